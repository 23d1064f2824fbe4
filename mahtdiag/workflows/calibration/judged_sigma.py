"""How the σ of a run is judged, and every number that comes of it: the one way for all commands."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import JsonValue, ValidationError

from mahtdiag.calibration.chained import chain_points
from mahtdiag.calibration.expected_error import expected_error_report
from mahtdiag.calibration.report import CalibrationReport, Json, report_of
from mahtdiag.calibration.scores import Points, collect_points
from mahtdiag.calibration.verdict import HeadUnits
from mahtdiag.config.settings import CalibrationSettings
from mahtdiag.config.values import CalibrationGroup
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.spacing import error_by_spacing_mm, spacing_xy_mm
from mahtdiag.diagnosis.subgroups import age_band
from mahtdiag.errors import RunFolderError
from mahtdiag.runs.document import RunDocument
from mahtdiag.runs.reading import Run
from mahtdiag.runs.settings import RunSettings
from mahtdiag.schema.choices import UncertaintySource
from mahtdiag.schema.skeleton import Region

Floats = NDArray[np.float64]

SECTION = "calibration"
LARGE_ERROR_WIDTHS = 0.1
CURVES = ("curve", "sparsification", "adversarial")


@dataclass(frozen=True, slots=True)
class CalibrationChoices:
    """The seed of what is drawn at random, kinds of groups, and what a large error is."""

    seed: int = 0
    groups: tuple[str, ...] = get_args(CalibrationGroup)
    large_error_mm: float = 4.0

    def tells_apart(self, kind: str) -> bool:
        """Whether groups of a kind are wanted; regions are where vertebrae are."""
        return ("vertebra" if kind == "region" else kind) in self.groups

    def as_settings(self) -> dict[str, JsonValue]:
        """As `run.json` keeps them."""
        return {**asdict(self), "groups": list(self.groups)}


def choices_of(settings: CalibrationSettings, document: RunDocument | None = None) -> CalibrationChoices:
    """The choices for a run; `settings` first, then those in its `document`."""
    try:
        stored = {} if document is None else document.resolved.calibration
        # Earlier versions had others.
        known = CalibrationSettings.model_validate(
            {name: value for name, value in stored.items() if name in CalibrationSettings.model_fields}
        )
    except ValidationError:
        # Of another version: what is set here and the defaults are known, and shown.
        known = CalibrationSettings()
    both = known.overridden_by(settings)
    return CalibrationChoices(**{name: value for name, value in both if value is not None})


@dataclass(frozen=True, slots=True)
class VarianceShares:
    """Mean over keypoints and axes of the share of σ² within passes (aleatoric) and between (epistemic)."""

    aleatoric: float
    epistemic: float


@dataclass(frozen=True, slots=True)
class JudgedSigma:
    """The σ of a run with all numbers about it.

    `shares`: how σ² is made up, None where its parts are not told apart. `large_error`: what counts as a
    large error, in words.
    """

    run: Run
    table: RunTable
    choices: CalibrationChoices
    report: CalibrationReport
    shares: VarianceShares | None
    large_error: str

    @property
    def residual_px(self) -> Floats:
        """Predicted − true, `[N, K, 2]`; NaN where unlabelled."""
        return residual_px(self.table)

    def points(self) -> Points:
        """The keypoints that can be judged."""
        return points_of(self.table)

    def shares_json(self) -> dict[str, Json]:
        """The shares by their names in JSON, null where the parts of σ are not told apart."""
        return {f"{part}_share": getattr(self.shares, part, None) for part in ("aleatoric", "epistemic")}

    def numbers(self) -> dict[str, Json]:
        """What `run.json` holds and gates limit: no curves, which are for pictures and can be drawn again."""
        content = self.report.as_json()
        radial = content["radial"]
        if isinstance(radial, dict):
            content["radial"] = {name: value for name, value in radial.items() if name != "curve"}
        return {name: of for name, of in content.items() if name not in CURVES} | self.shares_json()


def has_sigma(table: RunTable) -> bool:
    """Whether any keypoint has a σ."""
    return any(not np.isnan(part.sigma_px).all() for part in table.parts())


def require_sigma(run: Run) -> RunTable:
    """The table of a run with σ to judge.

    Raises:
        RunFolderError: a table is missing, damaged or does not fit the other, nothing was evaluated, or the
            run has no σ.
    """
    table = run.table()
    if not len(table):
        raise RunFolderError(f"{run.path}: no image was evaluated, so there is nothing to judge")
    if not table.labelled:
        raise RunFolderError(
            f"{run.path}: its images have no labels, so σ cannot be judged; evaluate annotated images"
        )
    if not has_sigma(table):
        raise RunFolderError(f"{run.path}: the run has no σ; {_with_sigma(run.document.resolved)}")
    return table


def _with_sigma(settings: RunSettings) -> str:
    """How to come to a run with σ."""
    if settings.from_file:
        return "predictions with a σ (sigma_x, sigma_y) have one"
    if not settings.has_heatmaps:
        return (
            "its network returns coordinates alone: say where its uncertainty is, --output sigma=PATH, or "
            "use --uncertainty mc-dropout:N or several checkpoints"
        )
    return "if the network has no uncertainty head, evaluate again with --uncertainty heatmap"


def judge_sigma(run: Run, choices: CalibrationChoices | None = None) -> JudgedSigma:
    """Judge the σ of all evaluated images of a run, by these choices or as the run was judged.

    Raises what `require_sigma` raises.
    """
    table = require_sigma(run)
    choices = choices or choices_of(CalibrationSettings(), run.document)
    limit_px, in_words = large_errors(table, choices.large_error_mm)
    report = report_of(
        points_of(table),
        at_min=table.at_min,
        at_max=table.at_max,
        large_error_px=limit_px,
        groups={kind: of for kind, of in groups_of(table).items() if choices.tells_apart(kind)},
        keypoint_names=table.skeleton.keypoint_names,
        head_units=head_units(run),
        seed=choices.seed,
    )
    expected = None
    if any(np.isfinite(part.expected_error_px).any() for part in table.parts()):
        expected = expected_error_report(table.expected_error_px, table.error_px, table.units)
    if expected is not None:
        reasons = {name: why for name, why in report.reasons.items() if name != "expected_error"}
        report = replace(report, expected_error=expected, reasons=reasons)
    shares = _shares_of(table)
    return JudgedSigma(run, table, choices, report, shares, in_words)


def residual_px(table: RunTable) -> Floats:
    """Predicted − true, `[N, K, 2]`; NaN where unlabelled."""
    return table.pred_px - table.gt_px


def points_of(table: RunTable, *, ellipses: bool = True) -> Points:
    """The keypoints of a table that can be judged; without `ellipses` by the σ of both axes alone."""
    # A part without any stands beside others that have one.
    has_covariance = ellipses and any(part.covariance_px2 is not None for part in table.parts())

    def covariance_px2(part: RunTable) -> Floats | None:
        own = part.covariance_px2 if ellipses else None
        return np.full((*part.sigma_px.shape, 2), np.nan) if own is None and has_covariance else own

    parts = (collect_points(residual_px(part), part.sigma_px, covariance_px2(part)) for part in table.parts())
    return chain_points(parts, table.units)


def variance_shares(aleatoric_px: Floats, epistemic_px: Floats) -> VarianceShares | None:
    """Shares of σ² over the keypoints and axes where both parts are known and σ is above 0; else None."""
    return _mean_share([_between(aleatoric_px, epistemic_px)])


def _shares_of(table: RunTable) -> VarianceShares | None:
    parts = table.parts()
    return _mean_share([_between(part.sigma_aleatoric_px, part.sigma_epistemic_px) for part in parts])


def _between(aleatoric_px: Floats, epistemic_px: Floats) -> Floats:
    """The share of σ² that is epistemic, where it is known, `[M]`."""
    within, between = aleatoric_px**2, epistemic_px**2
    total = within + between
    known = np.isfinite(total) & (total > 0)
    return np.asarray(between[known] / total[known], dtype=np.float64)


def _mean_share(parts: Sequence[Floats]) -> VarianceShares | None:
    shares = np.concatenate(parts)
    if not shares.size:
        return None
    share = float(np.mean(shares))
    return VarianceShares(1.0 - share, share)


def large_errors(table: RunTable, limit_mm: float) -> tuple[Floats, str]:
    """What counts as a large error, in pixels, `[N, K]` or `[N, 1]`, and in words.

    A length where the pixel spacing is known, otherwise 10 % of the width of the labelled vertebra.
    """
    spacing = spacing_xy_mm(table)
    known = np.all(np.isfinite(spacing) & (spacing > 0), axis=1)
    names = [f"{limit_mm:g} mm"] if known.any() else []
    names += [] if known.all() else [f"{100 * LARGE_ERROR_WIDTHS:g} % of vertebra width"]
    if known.all() and (spacing[:, 0] == spacing[:, 1]).all():
        return limit_mm / spacing[:, :1], names[0]
    return table.by_parts(lambda part: _large_px(part, limit_mm)), " or ".join(names)


def _large_px(table: RunTable, limit_mm: float) -> Floats:
    spacing = spacing_xy_mm(table)
    known = np.all(np.isfinite(spacing) & (spacing > 0), axis=1)
    in_px = limit_mm / np.where(known, spacing.max(axis=1), 1.0)[:, None]
    if (spacing[known, 0] != spacing[known, 1]).any():
        # Along each error: as many pixels as its own length has for its millimetres.
        in_mm = error_by_spacing_mm(table)
        along = limit_mm * table.error_px / np.where(in_mm > 0, in_mm, np.nan)
        uneven = known & (spacing[:, 0] != spacing[:, 1])
        in_px = np.where(uneven[:, None] & np.isfinite(along), along, in_px)
    return np.where(known[:, None], in_px, LARGE_ERROR_WIDTHS * _widths_px(table))


def _widths_px(table: RunTable) -> Floats:
    """Mean length of the labelled endplates of each keypoint's vertebra, `[N, K]`; NaN without one."""
    skeleton = table.skeleton
    widths = np.full(table.gt_px.shape[:2], np.nan)
    for vertebra in skeleton.vertebrae:
        own = skeleton.keypoints_of(vertebra)
        left, right = (table.gt_px[:, own[side::2]] for side in (0, 1))
        lengths = np.linalg.norm(right - left, axis=-1)
        count = np.isfinite(lengths).sum(axis=1)
        mean = np.nansum(lengths, axis=1) / np.maximum(count, 1)
        widths[:, own] = np.where(count > 0, mean, np.nan)[:, None]
    return widths


def groups_of(table: RunTable) -> dict[str, ArrayLike]:
    """Labels by kind, of keypoints `[K]` or images `[N, 1]`; kinds of which nothing is known are absent."""
    skeleton = table.skeleton
    regions = {"region": np.array([str(Region.of(name)) for name in skeleton.vertebra_of])}
    groups: dict[str, ArrayLike] = {
        **(regions if skeleton.regions_apart else {}),
        "vertebra": np.array(skeleton.vertebra_of),
        "corner": np.array(skeleton.corner_of),
        "keypoint": np.array(skeleton.keypoint_names),
    }
    sex = np.array([sex or "" for sex in table.sex])[:, None]
    age = np.array([age_band(float(years)) for years in table.age_years])[:, None]
    for kind, labels in (("sex", sex), ("age band", age)):
        if (labels != "").any():
            groups[kind] = labels
    return groups


def head_units(run: Run) -> HeadUnits:
    """Sizes of the units that a head's σ is, or could have been meant, in; NaN if it is no head's.

    Without a size nothing is suspected: every comparison with NaN is false.
    """
    table, settings = run.table(), run.document.resolved
    how = table.conditions
    if how.frames is None or how.sigma_source != UncertaintySource.HEAD or settings.recalibrated:
        return HeadUnits(np.nan)
    input_px, cell_px = np.full((2, len(table), 1, 2), np.nan)
    for frame, rows in table.frames():
        input_px[rows], cell_px[rows] = 1.0 / frame.input_per_original, frame.original_per_cell
    whole_px = input_px * how.frames.network_input.xy
    in_cells = settings.sigma_in_cells
    others: dict[str, ArrayLike] = (
        {"model-input pixels": input_px} if in_cells else {"heatmap cells": cell_px}
    )
    others |= {
        "original pixels": 1.0,
        "units of the model input (0 to 1)": whole_px,
        "units of the model input (−1 to 1)": whole_px / 2.0,
    }
    return HeadUnits(cell_px if in_cells else input_px, others)
