"""From the tables of a run to its calibration: residuals, σ, groups, the units σ could have, the numbers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mahtdiag.calibration import CalibrationReport, HeadUnits, calibration_report
from mahtdiag.calibration.report import Json
from mahtdiag.errors import RunFolderError
from mahtdiag.runs.document import RunDocument
from mahtdiag.runs.reading import ImageColumns, KeypointColumns, Run
from mahtdiag.schema.frames import CoordinateConvention, FrameMap, ResizeMode, Size
from mahtdiag.schema.model_spec import UncertaintyFrame, UncertaintySource
from mahtdiag.schema.skeleton import CORNERS_PER_VERTEBRA
from mahtdiag.workflows.calibration.choices import CalibrationChoices

Floats = NDArray[np.float64]

DEFAULT_CHOICES = CalibrationChoices()
LARGE_ERROR_WIDTHS = 0.1
AGE_BANDS = ((0, 20), (20, 40), (40, 60), (60, 80))
OLDEST_BAND = "80 and older"
DROPOUT, ENSEMBLE = "mc-dropout", "ensemble"


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
    images: ImageColumns
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
    return inputs_of(run, run.images(), run.keypoints(), choices)


def inputs_of(
    run: Run,
    images: ImageColumns,
    keypoints: KeypointColumns,
    choices: CalibrationChoices = DEFAULT_CHOICES,
) -> CalibrationInputs:
    """The same from tables that have been read already; raises what `read_inputs` raises."""
    if keypoints.image != tuple(n for n, ok in zip(images.image, images.ok, strict=True) if ok):
        raise RunFolderError(f"{run.path}: its tables list different images; damaged, evaluate again")
    if not keypoints.image:
        raise RunFolderError(f"{run.path}: no image was evaluated, so there is nothing to judge")
    if np.isnan(keypoints.sigma_px).all():
        raise RunFolderError(
            f"{run.path}: the run has no σ; if the network has no uncertainty head, "
            "evaluate again with --uncertainty heatmap"
        )
    source = sigma_source(run.document)
    large_error_px, large_error = _large_error(images, keypoints, choices.large_error_mm)
    return CalibrationInputs(
        run=run,
        images=images,
        source=source,
        residual_px=keypoints.pred_px - keypoints.gt_px,
        sigma_px=keypoints.sigma_px,
        covariance_px2=(
            stored_covariance(keypoints.spread_px2, run.document)
            if source == UncertaintySource.HEATMAP
            else None
        ),
        shares=variance_shares(keypoints.sigma_aleatoric_px, keypoints.sigma_epistemic_px),
        at_min=keypoints.at_min,
        at_max=keypoints.at_max,
        large_error_px=large_error_px,
        large_error=large_error,
        groups={k: of for k, of in _groups(images, keypoints).items() if k in choices.groups},
        units=_units(run.document, images),
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


def sigma_source(document: RunDocument) -> str:
    """`head`, `heatmap`, `mc-dropout` or `ensemble`: where the σ of a run came from."""
    settled = document.settings.get("uncertainty_source")
    if isinstance(settled, str):
        return settled
    asked = document.settings.get("uncertainty")
    if str(asked).startswith(DROPOUT):
        return DROPOUT
    if document.checkpoint.members:
        return ENSEMBLE
    # A network without a head is recorded as `none`, so that `auto` means its head.
    return str(UncertaintySource.HEAD if asked in (None, UncertaintySource.AUTO) else asked)


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


def stored_covariance(spread_px2: Floats, document: RunDocument) -> Floats:
    """Covariance of the spread, `[N, K, 2, 2]`, with the factors that σ was multiplied by."""
    covariance = spread_px2[..., [[0, 1], [1, 2]]]
    factors = _recalibration(document).get("by_keypoint")
    if isinstance(factors, dict):
        by_keypoint = [factors.get(name) for name in document.view.keypoint_names]
        covariance = covariance * np.array(by_keypoint, dtype=np.float64)[:, None, None] ** 2
    return covariance


def _recalibration(document: RunDocument) -> Mapping[str, object]:
    """The factors that σ was multiplied by before it was stored; empty where it was not."""
    stored = document.settings.get("recalibration")
    return stored if isinstance(stored, dict) else {}


def _large_error(images: ImageColumns, keypoints: KeypointColumns, limit_mm: float) -> tuple[Floats, str]:
    """A length where the pixel spacing is known, otherwise 10 % of the width of the labelled vertebra."""
    spacing = images.pixel_spacing_mm[images.ok]
    known = np.isfinite(spacing) & (spacing > 0)
    in_px = limit_mm / np.where(known, spacing, 1.0)
    limit = np.where(known[:, None], in_px[:, None], LARGE_ERROR_WIDTHS * _widths_px(keypoints.gt_px))
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


def _groups(images: ImageColumns, keypoints: KeypointColumns) -> dict[str, ArrayLike]:
    view, rows = keypoints.view, np.flatnonzero(images.ok).tolist()
    groups: dict[str, ArrayLike] = {
        "vertebra": np.array(view.vertebra_of),
        "corner": np.array(view.corner_of),
        "keypoint": np.array(view.keypoint_names),
    }
    sex = np.array([images.sex[i] or "" for i in rows])[:, None]
    age = np.array([age_band(float(years)) for years in images.age_years[images.ok]])[:, None]
    for kind, labels in (("sex", sex), ("age band", age)):
        if (labels != "").any():
            groups[kind] = labels
    return groups


def age_band(years: float) -> str:
    """Twenty years of age as a name; empty where the age is unknown."""
    if not np.isfinite(years):
        return ""
    return next((f"{low} to {high - 1}" for low, high in AGE_BANDS if years < high), OLDEST_BAND)


def _units(document: RunDocument, images: ImageColumns) -> HeadUnits:
    """Sizes of the units that a head's σ is, or could have been meant, in; NaN if it is no head's.

    Without a size nothing is suspected: every comparison with NaN is false.
    """
    known = _network_frame(document)
    if known is None or sigma_source(document) != UncertaintySource.HEAD or _recalibration(document):
        return HeadUnits(np.nan)
    network_input, heatmap, mode, convention = known
    sizes = np.stack([images.height, images.width], axis=-1)[images.ok].astype(np.int64)
    distinct, which = np.unique(sizes, axis=0, return_inverse=True)
    frames = [
        FrameMap(Size(int(height), int(width)), network_input, heatmap, mode, convention)
        for height, width in distinct
    ]

    def spread(values: list[Floats]) -> Floats:
        return np.stack(values)[which.reshape(-1)][:, None, :]

    input_px = spread([1.0 / frame.input_per_original for frame in frames])
    cell_px = spread([frame.original_per_cell for frame in frames])
    whole_px = input_px * network_input.xy
    in_cells = document.settings.get("uncertainty_frame") == UncertaintyFrame.HEATMAP
    others: dict[str, ArrayLike] = (
        {"model-input pixels": input_px} if in_cells else {"heatmap cells": cell_px}
    )
    others |= {
        "original pixels": 1.0,
        "units of the model input (0 to 1)": whole_px,
        "units of the model input (−1 to 1)": whole_px / 2.0,
    }
    return HeadUnits(cell_px if in_cells else input_px, others)


def _network_frame(document: RunDocument) -> tuple[Size, Size, ResizeMode, CoordinateConvention] | None:
    settings = document.settings
    network_input, heatmap = (_size(settings.get(name)) for name in ("input_size", "heatmap_size"))
    if network_input is None or heatmap is None:
        return None
    try:
        mode = ResizeMode(str(settings.get("resize", ResizeMode.STRETCH)))
        convention = CoordinateConvention(str(settings.get("coords", CoordinateConvention.HALF_PIXEL)))
    except ValueError:
        return None
    return network_input, heatmap, mode, convention


def _size(value: object) -> Size | None:
    """`256x128` as a size; None for anything else."""
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", str(value))
    return Size(int(found[1]), int(found[2])) if found else None
