"""Calibration numbers of two runs, by the names that `run.json` has for them."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from mahtdiag.calibration.gaussian import COVERAGE_LEVELS
from mahtdiag.calibration.samples import Points, collect_points
from mahtdiag.calibration.tally import Numbers, mean_scores, numbers, tally
from mahtdiag.diagnosis.compared_run import ComparedRun
from mahtdiag.diagnosis.paired import PairedReading, Reading

Floats = NDArray[np.float64]

PREFIX = "calibration."
SCORES = ("nll", "crps_px", "check", "interval")
_SUMMED = (*SCORES, "mace", "rmsce", "miscalibration_area", "sharpness_px", "sigma_scale", "bias_x", "bias_y")
_PUSHED_UP = ("mace", "rmsce", "miscalibration_area", "radial.mace")
_LEVELS = tuple(f"{level:g}" for level in COVERAGE_LEVELS)
NAMES = (
    *_SUMMED,
    *(f"coverage.{level}.observed" for level in _LEVELS),
    "radial.mace",
    "radial.sigma_scale",
    *(f"radial.coverage.{level}.observed" for level in _LEVELS),
)
"""What can be compared, without `calibration.`; ENCE and numbers of ranking are no functions of sums."""


def calibration_reading(a: ComparedRun, b: ComparedRun, names: Iterable[str]) -> PairedReading | None:
    """The calibration numbers among `names`, over keypoints with a label and a usable σ in both runs.

    None if none is asked for, or no keypoint has all that.
    """
    chosen = [name.removeprefix(PREFIX) for name in names if name.removeprefix(PREFIX) in NAMES]
    if not chosen:
        return None
    points = [_points(side) for side in (a, b)]
    both = points[0].kept & points[1].kept
    if not both.any():
        return None
    points = [
        each if np.array_equal(each.kept, both) else _points(side, both)
        for each, side in zip(points, (a, b), strict=True)
    ]
    sides = [_reading(each, a.images, chosen) for each in points]
    return PairedReading(
        tuple(f"{PREFIX}{name}" for name in chosen),
        sides[0],
        sides[1],
        frozenset(f"{PREFIX}{name}" for name in _PUSHED_UP),
    )


def _points(run: ComparedRun, only: NDArray[np.bool_] | None = None) -> Points:
    residual = run.pred_px - run.gt_px
    if only is not None:
        residual[~only] = np.nan
    return collect_points(residual, run.sigma_px, run.covariance_px2)


def _reading(points: Points, images: int, names: Sequence[str]) -> Reading:
    rows = points.kept.any(axis=1)
    sums = tally(points).by_image
    if not rows.all():
        whole = np.zeros((images, sums.shape[1]))
        whole[rows] = sums
        sums = whole
    scores = mean_scores(sums)
    unknown = np.full(images, np.nan)
    values = np.stack([scores.get(name, unknown) for name in names], axis=1)
    return Reading(sums, lambda total: _named(numbers(total), names), values)


def _named(found: Numbers, names: Sequence[str]) -> Floats:
    by_name = {name: getattr(found, name) for name in _SUMMED}
    by_name |= {"radial.mace": found.radial_mace, "radial.sigma_scale": found.radial_sigma_scale}
    for i, level in enumerate(_LEVELS):
        by_name[f"coverage.{level}.observed"] = found.coverage[..., i]
        by_name[f"radial.coverage.{level}.observed"] = found.radial_coverage[..., i]
    return np.stack([by_name[name] for name in names], axis=-1)
