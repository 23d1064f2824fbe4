"""From the tables of a run to its calibration: residuals, σ, groups, the units σ could have, the numbers."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mahtdiag.calibration import CalibrationReport, HeadUnits, calibration_report
from mahtdiag.calibration.report import Json
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.errors import RunFolderError
from mahtdiag.runs.reading import Run
from mahtdiag.schema.model_spec import UncertaintySource
from mahtdiag.schema.skeleton import CORNERS_PER_VERTEBRA
from mahtdiag.workflows.calibration.choices import CalibrationChoices

Floats = NDArray[np.float64]

DEFAULT_CHOICES = CalibrationChoices()
LARGE_ERROR_WIDTHS = 0.1
AGE_BANDS = ((0, 20), (20, 40), (40, 60), (60, 80))
OLDEST_BAND = "80 and older"


@dataclass(frozen=True, slots=True)
class VarianceShares:
    """Mean over keypoints and axes of the share of σ² within passes (aleatoric) and between (epistemic)."""

    aleatoric: float
    epistemic: float


@dataclass(frozen=True, slots=True)
class CalibrationInputs:
    """The N evaluated images of a run, K keypoints each, original pixels; NaN where missing.

    `residual_px` (predicted − true) and `sigma_px` `[N, K, 2]`; `covariance_px2` `[N, K, 2, 2]` where σ is
    the heatmap's spread, else None. `shares`: how σ² is made up, None where its parts are not told apart.
    `large_error_px` `[N, K]`: what counts as a large error, `large_error` in words.
    """

    run: Run
    table: RunTable
    source: str
    residual_px: Floats
    sigma_px: Floats
    covariance_px2: Floats | None
    shares: VarianceShares | None
    at_min: NDArray[np.bool_]
    at_max: NDArray[np.bool_]
    large_error_px: Floats
    large_error: str
    groups: Mapping[str, ArrayLike]
    units: HeadUnits
    choices: CalibrationChoices


def read_inputs(run: Run, choices: CalibrationChoices = DEFAULT_CHOICES) -> CalibrationInputs:
    """Everything that the calibration of a run needs.

    Raises:
        RunFolderError: a table is missing, damaged or does not fit the other, nothing was evaluated, or the
            run has no σ.
    """
    table = run.table()
    if not len(table):
        raise RunFolderError(f"{run.path}: no image was evaluated, so there is nothing to judge")
    if np.isnan(table.sigma_px).all():
        raise RunFolderError(
            f"{run.path}: the run has no σ; if the network has no uncertainty head, "
            "evaluate again with --uncertainty heatmap"
        )
    large_error_px, large_error = _large_error(table, choices.large_error_mm)
    return CalibrationInputs(
        run=run,
        table=table,
        source=table.conditions.sigma_source,
        residual_px=table.pred_px - table.gt_px,
        sigma_px=table.sigma_px,
        covariance_px2=table.covariance_px2,
        shares=variance_shares(table.sigma_aleatoric_px, table.sigma_epistemic_px),
        at_min=table.at_min,
        at_max=table.at_max,
        large_error_px=large_error_px,
        large_error=large_error,
        groups={k: of for k, of in _groups(table).items() if k in choices.groups},
        units=_units(run, table),
        choices=choices,
    )


def judge(inputs: CalibrationInputs) -> CalibrationReport:
    """All numbers and the verdict."""
    return calibration_report(
        inputs.residual_px,
        inputs.sigma_px,
        covariance_px2=inputs.covariance_px2,
        at_min=inputs.at_min,
        at_max=inputs.at_max,
        large_error_px=inputs.large_error_px,
        groups=inputs.groups,
        keypoint_names=inputs.run.view.skeleton.keypoint_names,
        units=inputs.units,
        resamples=inputs.choices.resamples,
        seed=inputs.choices.seed,
    )


def variance_shares(aleatoric_px: Floats, epistemic_px: Floats) -> VarianceShares | None:
    """Shares of σ² over the keypoints and axes where both parts are known and σ is above 0; else None."""
    within, between = aleatoric_px**2, epistemic_px**2
    total = within + between
    known = np.isfinite(total) & (total > 0)
    if not known.any():
        return None
    share = float(np.mean(between[known] / total[known]))
    return VarianceShares(1.0 - share, share)


def shares_json(shares: VarianceShares | None) -> dict[str, Json]:
    """The shares by their names in JSON, null where the parts of σ are not told apart."""
    return {
        "aleatoric_share": None if shares is None else shares.aleatoric,
        "epistemic_share": None if shares is None else shares.epistemic,
    }


def _large_error(table: RunTable, limit_mm: float) -> tuple[Floats, str]:
    """A length where the pixel spacing is known, otherwise 10 % of the width of the labelled vertebra."""
    spacing = table.pixel_spacing_mm
    known = np.isfinite(spacing) & (spacing > 0)
    in_px = limit_mm / np.where(known, spacing, 1.0)
    limit = np.where(known[:, None], in_px[:, None], LARGE_ERROR_WIDTHS * _widths_px(table.gt_px))
    names = [f"{limit_mm:g} mm"] if known.any() else []
    names += [] if known.all() else [f"{100 * LARGE_ERROR_WIDTHS:g} % of vertebra width"]
    return limit, " or ".join(names)


def _widths_px(gt_px: Floats) -> Floats:
    """Mean length of the labelled endplates of each keypoint's vertebra, [N, K]; NaN without one."""
    lengths = np.linalg.norm(gt_px[:, 1::2] - gt_px[:, 0::2], axis=-1)
    k = gt_px.shape[1]
    widths = np.full((len(gt_px), k), np.nan)
    for first in range(0, k, CORNERS_PER_VERTEBRA):
        own = lengths[:, first // 2 : (first + CORNERS_PER_VERTEBRA) // 2]
        count = np.isfinite(own).sum(axis=1)
        mean = np.nansum(own, axis=1) / np.maximum(count, 1)
        widths[:, first : first + CORNERS_PER_VERTEBRA] = np.where(count > 0, mean, np.nan)[:, None]
    return widths


def _groups(table: RunTable) -> dict[str, ArrayLike]:
    skeleton = table.skeleton
    groups: dict[str, ArrayLike] = {
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


def age_band(years: float) -> str:
    """Twenty years of age as a name; empty where the age is unknown."""
    if not np.isfinite(years):
        return ""
    return next((f"{low} to {high - 1}" for low, high in AGE_BANDS if years < high), OLDEST_BAND)


def _units(run: Run, table: RunTable) -> HeadUnits:
    """Sizes of the units that a head's σ is, or could have been meant, in; NaN if it is no head's.

    Without a size nothing is suspected: every comparison with NaN is false.
    """
    how, settings = table.conditions, run.document.resolved
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
