"""Whether another σ is more likely than the one that came: the change of the NLL, over units."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mahtdiag.calibration.scores import (
    LARGEST_PX,
    SMALLEST_PX,
    BoolArray,
    FloatArray,
    Points,
    blocks,
    collect_points,
    nll,
    summed,
)
from mahtdiag.statistics.intervals import Interval, mean_interval


@dataclass(frozen=True, slots=True)
class Change:
    """A difference, after − before, with its 95 % interval over units (None with one unit)."""

    value: float
    ci95: Interval | None

    @property
    def is_drop(self) -> bool:
        """True if it is below 0 beyond chance."""
        return self.ci95 is not None and self.ci95[1] < 0.0

    @property
    def is_rise(self) -> bool:
        """True if it is above 0 beyond chance."""
        return self.ci95 is not None and self.ci95[0] > 0.0


def nll_changes(
    residual_px: ArrayLike,
    before_px: ArrayLike,
    *after_px: ArrayLike,
    units: ArrayLike | None = None,
) -> tuple[Change, ...]:
    """Mean Gaussian negative log-likelihood under each of `after_px` less that under `before_px`.

    Below 0: the other σ is better. Shapes [N, K, 2], pixels. Missing keypoints and σ unusable in any of them
    are left out of all. Intervals are over `units`. Raises ValueError if nothing is left.
    """
    before, after = np.asarray(before_px), [np.asarray(sigma) for sigma in after_px]
    return nll_changes_of(residual_px, before, lambda: iter(after), units=units)


def nll_changes_of(
    residual_px: ArrayLike,
    before_px: FloatArray,
    after_px: Callable[[], Iterator[FloatArray]],
    units: ArrayLike | None = None,
) -> tuple[Change, ...]:
    """The same where each σ comes when it is looked at, from the first at each call."""
    usable = usable_sigma(before_px)
    for sigma in after_px():
        usable &= usable_sigma(sigma)
    points = collect_points(residual_px, np.where(usable, before_px, np.nan), units=units)
    if points.n == 0:
        raise ValueError("no keypoint with a label and a valid σ: there is nothing to compare")
    rows = [nll_change(points, np.asarray(points.pick_axes(sigma, "after_px"))) for sigma in after_px()]
    return changes_of(points, rows)


def nll_change(points: Points, sigma_px: FloatArray) -> FloatArray:
    """NLL under another σ [M, 2] less that under their own, mean of both axes, [M]."""
    found = np.empty(points.n)
    for part in blocks(points.n):
        residual = points.residual_px[part]
        found[part] = (nll(residual, sigma_px[part]) - nll(residual, points.sigma_px[part])).mean(axis=1)
    return found


def usable_sigma(sigma_px: FloatArray) -> BoolArray:
    found: BoolArray = (sigma_px >= SMALLEST_PX) & (sigma_px <= LARGEST_PX)
    return found


def changes_of(points: Points, rows: Sequence[FloatArray]) -> tuple[Change, ...]:
    """Means of [M] differences with intervals over units."""
    counts = np.bincount(points.unit, minlength=points.n_units).astype(np.float64)
    by_unit = [summed(points.unit, row, points.n_units) for row in rows]
    return tuple(
        Change(float(row.mean()), mean_interval(np.asarray(of, dtype=np.float64), counts))
        for row, of in zip(rows, by_unit, strict=True)
    )
