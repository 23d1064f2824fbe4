"""Calibration numbers of two runs, by the names that `run.json` has for them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mahtdiag.calibration.points import Points, collect_points
from mahtdiag.calibration.scores import COVERAGE_LEVELS
from mahtdiag.calibration.sums import (
    COUNT_COLUMNS,
    SCORE_COLUMNS,
    Numbers,
    image_sums,
    mean_scores,
    numbers_of,
)
from mahtdiag.diagnosis.compared_run import ComparedRun, image_blocks
from mahtdiag.diagnosis.paired import PairedReading, Reading, never_alone
from mahtdiag.schema.skeleton import View

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

PREFIX = "calibration."
_OF_SCORES = (
    *("nll", "crps_px", "check", "interval", "sharpness_px", "sigma_scale", "bias_x", "bias_y"),
    "radial.sigma_scale",
)
_GAPS = ("mace", "rmsce", "miscalibration_area", "radial.mace")
_PUSHED_UP = frozenset(f"{PREFIX}{name}" for name in _GAPS)
_LEVELS = tuple(f"{level:g}" for level in COVERAGE_LEVELS)
_OF_COUNTS = (
    *_GAPS,
    *(f"{of}coverage.{level}.observed" for of in ("", "radial.") for level in _LEVELS),
)
NAMES = (*_OF_SCORES, *_OF_COUNTS)
"""What can be compared, without `calibration.`; ENCE and numbers of ranking are no functions of sums."""


def has_calibration(name: str, _: View) -> bool:
    """Whether a name is that of a calibration number that can be compared."""
    return name.startswith(PREFIX) and name.removeprefix(PREFIX) in NAMES


def calibration_readings(a: ComparedRun, b: ComparedRun, names: Iterable[str]) -> list[PairedReading]:
    """The calibration numbers among `names`, over keypoints with a label and a usable σ in both runs.

    Empty where no keypoint has all that.
    """
    chosen = [name.removeprefix(PREFIX) for name in names if has_calibration(name, a.view)]
    if not chosen:
        return []
    sums = [_Sums.empty(a.images) for _ in "ab"]
    for some in image_blocks(a.images):
        _add_block(sums, a, b, some)
    if not sums[0].scores.any():
        return []
    found = []
    for part, known in ((_Sums.of_scores, _OF_SCORES), (_Sums.of_counts, _OF_COUNTS)):
        asked = [name for name in chosen if name in known]
        if asked:
            whole = tuple(f"{PREFIX}{name}" for name in asked)
            found.append(PairedReading(whole, part(sums[0], asked), part(sums[1], asked), _PUSHED_UP))
    return found


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums of one run by image, 0 for an image without a keypoint usable in both runs."""

    scores: Floats
    counts: NDArray[np.float32]

    @staticmethod
    def empty(images: int) -> "_Sums":
        """Before anything is added."""
        # One image has few residuals: single precision counts them exactly, in half the memory.
        counts = np.zeros((images, len(COUNT_COLUMNS)), dtype=np.float32)
        return _Sums(np.zeros((images, len(SCORE_COLUMNS))), counts)

    def of_scores(self, names: Sequence[str]) -> Reading:
        """The numbers that are functions of scores."""
        by_image = mean_scores(self.scores)
        return Reading(
            self.scores,
            lambda sums: _named(numbers_of(sums, SCORE_COLUMNS), names),
            lambda i: by_image.get(names[i]),
        )

    def of_counts(self, names: Sequence[str]) -> Reading:
        """The numbers that are functions of counts by level, of which an image alone has too few."""
        return Reading(self.counts, lambda sums: _named(numbers_of(sums, COUNT_COLUMNS), names), never_alone)


def _add_block(sums: Sequence[_Sums], a: ComparedRun, b: ComparedRun, some: slice) -> None:
    """Add up some images of both runs, over the keypoints with a label and a usable σ in both."""
    points = [_points(side, some) for side in (a, b)]
    both = points[0].kept & points[1].kept
    rows = some.start + np.flatnonzero(both.any(axis=1))
    for side, run, each in zip(sums, (a, b), points, strict=True):
        whole = image_sums(each if np.array_equal(each.kept, both) else _points(run, some, both))
        side.scores[rows] = whole.take(SCORE_COLUMNS, axis=1)
        side.counts[rows] = whole.take(COUNT_COLUMNS, axis=1)


def _points(run: ComparedRun, some: slice, only: Bools | None = None) -> Points:
    """The usable keypoints of some images, of those alone that are given `[n, K]`."""
    residual = run.pred_px[some] - run.gt_px[some]
    if only is not None:
        residual[~only] = np.nan
    covariance = None if run.covariance_px2 is None else run.covariance_px2[some]
    return collect_points(residual, run.sigma_px[some], covariance)


def _named(found: Numbers, names: Sequence[str]) -> Floats:
    by_name = {name: getattr(found, name) for name in names if "." not in name}
    by_name |= {"radial.mace": found.radial_mace, "radial.sigma_scale": found.radial_sigma_scale}
    for i, level in enumerate(_LEVELS):
        by_name[f"coverage.{level}.observed"] = found.coverage[..., i]
        by_name[f"radial.coverage.{level}.observed"] = found.radial_coverage[..., i]
    return np.stack([by_name[name] for name in names], axis=-1)
