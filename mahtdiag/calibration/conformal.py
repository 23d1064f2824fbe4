"""Conformal regions: radii that keep their promise whatever the distribution of the errors is.

Patients, or images where none is known, are what is exchangeable: keypoints and images of one depend on one
another. So each of U units weighs 1/(U + 1), shared equally by its scores, and 1/(U + 1) lies at infinity for
the unit that comes next.
"""

from dataclasses import dataclass
from math import ceil, inf

import numpy as np
from numpy.typing import ArrayLike

from mahtdiag.calibration.scores import (
    BoolArray,
    FloatArray,
    IntArray,
    Points,
    mahalanobis_squared,
    radial_error_px,
)

CONFORMAL_LEVELS: tuple[float, ...] = (0.68, 0.9, 0.95)
"""Shares that conformal regions are fitted for."""


@dataclass(frozen=True, slots=True)
class ConformalRadii:
    """Limits on the score, fitted on one set and meant for another.

    `coverage`: promised share, 1 − α. `pooled`: one limit for all keypoints, which a keypoint taken at random
    of the next unit keeps. `by_keypoint`: [K], the same for each keypoint, from `counts` scores.
    `whole_image`: the limit that all labelled keypoints of an image taken at random of the next unit keep.
    `units` are behind `pooled` and `whole_image`. A limit of infinity means too few units: the region is
    unbounded. NaN: not known.
    """

    coverage: float
    pooled: float
    whole_image: float
    units: int
    by_keypoint: FloatArray
    counts: tuple[int, ...]

    @property
    def unbounded(self) -> tuple[int, ...]:
        """Keypoints whose region is unbounded for want of units."""
        return tuple(int(k) for k in np.flatnonzero(np.isinf(self.by_keypoint)))


def units_needed(coverage: float) -> int:
    """The fewest units that can promise a share: U/(U + 1) must reach it.

    >>> [units_needed(share) for share in (0.68, 0.9, 0.95)]
    [3, 9, 19]
    """
    return ceil(coverage / (1.0 - coverage) - 1e-9)


def conformal_limit(scores: ArrayLike, coverage: float, units: ArrayLike | None = None) -> float:
    """Limit that one score, taken at random of the next unit, stays below with at least the promised share.

    The smallest score s with Σ_u (share of the scores of unit u that are ≤ s) ≥ coverage · (U + 1); infinity
    if there is none. With one score per unit that is the ⌈(n+1)·coverage⌉-th smallest of n.
    Scores of any shape, in their own unit; `units` spreads to that shape, None makes every score a unit.
    NaN scores are left out. Raises ValueError unless 0 < coverage < 1.
    Source: Lee, Barber, Willett, Distribution-free inference with hierarchical data (2023), the hierarchical
    conformal prediction; Dunn, Wasserman, Ramdas, J. Am. Stat. Assoc. 118 (2023).

    >>> conformal_limit(range(1, 20), 0.9)
    18.0
    >>> conformal_limit([1.0, 2.0], 0.9)
    inf
    """
    if not 0.0 < coverage < 1.0:
        raise ValueError(f"coverage is {coverage}, give a share above 0 and below 1")
    values = np.asarray(scores, dtype=np.float64)
    known = ~np.isnan(values)
    ordered = values[known]
    if units is None:
        # The product may exceed a whole number by rounding alone: 20 · 0.9 must stay 18.
        place = ceil((ordered.size + 1) * coverage - 1e-9)
        return inf if place > ordered.size else float(np.partition(ordered, place - 1)[place - 1])
    unit, count = _numbered(np.broadcast_to(np.asarray(units), values.shape)[known])
    return _limit_over_units(ordered, coverage, unit, count)


def _limit_over_units(scores: FloatArray, coverage: float, unit: IntArray, count: IntArray) -> float:
    """The same for known scores [S]: the unit of each [S], and how many scores each unit has [U]."""
    order = np.argsort(scores, kind="stable")
    reached = np.cumsum((1.0 / count[unit])[order])
    place = int(np.searchsorted(reached, coverage * (int(np.count_nonzero(count)) + 1) - 1e-9))
    return inf if place >= scores.size else float(scores[order[place]])


def _numbered(units: FloatArray | IntArray) -> tuple[IntArray, IntArray]:
    """Units as 0 … U−1, and how often each occurs."""
    _, codes, count = np.unique(units, return_inverse=True, return_counts=True)
    return codes, count


def _largest(scores: FloatArray) -> FloatArray:
    """The largest score of each image [N]; NaN without one."""
    return np.where(np.isnan(scores).all(axis=1), np.nan, np.fmax.reduce(scores, axis=1, initial=-inf))


def fit_conformal(scores: ArrayLike, coverage: float = 0.9, units: ArrayLike | None = None) -> ConformalRadii:
    """Limits per keypoint, pooled, and for whole images.

    `scores`: [N, K], for instance the Mahalanobis distance d (an ellipse d·σ) or the radial error in pixels
    (a disc). `units`: whole numbers [N], the same for images of one patient; None makes every image its own.
    NaN scores are left out. Raises ValueError if the shape is wrong or coverage not inside (0, 1).
    """
    array = np.asarray(scores, dtype=np.float64)
    if array.ndim != 2:
        raise ValueError(f"scores {array.shape} must be [images, keypoints]")
    of_image = np.arange(len(array)) if units is None else np.asarray(units)
    known = ~np.isnan(array)
    unit, _ = _numbered(of_image)

    def limit(column: FloatArray, seen: BoolArray) -> float:
        return _limit_over_units(column[seen], coverage, unit[seen], np.bincount(unit[seen]))

    return ConformalRadii(
        coverage=coverage,
        pooled=conformal_limit(array, coverage, of_image[:, np.newaxis]),
        whole_image=conformal_limit(_largest(array), coverage, of_image),
        units=len(np.unique(of_image[known.any(axis=1)])),
        by_keypoint=np.array([limit(*column) for column in zip(array.T, known.T, strict=True)]),
        counts=tuple(int(c) for c in known.sum(axis=0)),
    )


@dataclass(frozen=True, slots=True)
class Held:
    """What share of other scores lay inside the limits, every unit weighing the same; None if unknown."""

    by_keypoint: float | None
    pooled: float | None
    whole_image: float | None


def conformal_held(scores: ArrayLike, radii: ConformalRadii, units: ArrayLike | None = None) -> Held:
    """Share of other scores [N, K] inside the limits, of images inside that for whole images.

    Means over units of the share of each. NaN scores are left out. Raises ValueError if K does not fit.
    """
    return _held(_inside(scores, radii), units)


def _inside(scores: ArrayLike, radii: ConformalRadii) -> FloatArray:
    """1 inside, 0 outside, NaN without a score: by keypoint, pooled, and of whole images, [N, 2·K + 1]."""
    array = np.asarray(scores, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != len(radii.by_keypoint):
        raise ValueError(f"scores {array.shape} must be [images, {len(radii.by_keypoint)}]")
    both = np.column_stack([array, array, _largest(array)])
    limits = np.concatenate([radii.by_keypoint, np.full(array.shape[1], radii.pooled), [radii.whole_image]])
    return np.where(np.isnan(both) | np.isnan(limits), np.nan, (both <= limits).astype(np.float64))


def _held(inside: FloatArray, units: ArrayLike | None) -> Held:
    of_image = np.arange(len(inside)) if units is None else np.asarray(units)
    keypoints = inside.shape[1] // 2

    def share(part: FloatArray) -> float | None:
        known = ~np.isnan(part)
        if not known.any():
            return None
        unit, count = _numbered(np.broadcast_to(of_image[:, np.newaxis], part.shape)[known])
        return float((np.bincount(unit, weights=part[known]) / count).mean())

    return Held(
        share(inside[:, :keypoints]), share(inside[:, keypoints : 2 * keypoints]), share(inside[:, -1:])
    )


def cross_fitted_held(
    scores: ArrayLike, coverage: float, *, units: ArrayLike | None = None, folds: int = 5, seed: int = 0
) -> Held:
    """Shares inside conformal limits that their own unit did not help to fit.

    `scores`: [N, K], NaN where missing; whole units are dealt to the folds. A score without a finite limit
    counts as inside. None with fewer than 2 units that have a score.
    Source: cross-fitting, Stone, J. R. Stat. Soc. B 36 (1974); Vovk, Ann. Math. Artif. Intell. 74 (2015).
    """
    array = np.asarray(scores, dtype=np.float64)
    of_image = np.arange(len(array)) if units is None else np.asarray(units)
    known = ~np.isnan(array).all(axis=1)
    array, of_image = array[known], of_image[known]
    unit, count = _numbered(of_image)
    if len(count) < 2:
        return Held(None, None, None)
    parts = min(folds, len(count))
    fold = (np.random.default_rng(seed).permutation(len(count)) % parts)[unit]
    inside = np.empty((len(array), 2 * array.shape[1] + 1))
    for part in range(parts):
        others = fold != part
        radii = fit_conformal(array[others], coverage, of_image[others])
        inside[~others] = _inside(array[~others], radii)
    return _held(inside, of_image)


@dataclass(frozen=True, slots=True)
class ConformalRow:
    """Limits for one promised share, and the shares that they held of units they were not fitted on."""

    limits: ConformalRadii
    held: Held


@dataclass(frozen=True, slots=True)
class ConformalTable:
    """One row per promised share: limits on d for the ellipse d·σ, and on the radial error, in pixels."""

    ellipse: tuple[ConformalRow, ...]
    disc_px: tuple[ConformalRow, ...]


def conformal_scores(points: Points) -> tuple[FloatArray, FloatArray]:
    """Mahalanobis distance d and radial error in pixels, [N, K] each; NaN without a usable keypoint."""
    d_squared = (
        mahalanobis_squared(points.residual_px, points.sigma_px)
        if points.covariance_px2 is None
        else mahalanobis_squared(points.residual_px, covariance_px2=points.covariance_px2)
    )
    distance, error_px = np.full(points.kept.shape, np.nan), np.full(points.kept.shape, np.nan)
    distance[points.kept] = np.sqrt(d_squared)
    error_px[points.kept] = radial_error_px(points.residual_px)
    return distance, error_px


def fit_conformal_table(
    distance: FloatArray, error_px: FloatArray, units: ArrayLike | None = None, *, folds: int = 5
) -> ConformalTable:
    """Limits from all units, judged by cross-fitting. Scores as from `conformal_scores`."""

    def row(scores: FloatArray, level: float) -> ConformalRow:
        held = cross_fitted_held(scores, level, units=units, folds=folds)
        return ConformalRow(fit_conformal(scores, level, units), held)

    def rows(scores: FloatArray) -> tuple[ConformalRow, ...]:
        return tuple(row(scores, level) for level in CONFORMAL_LEVELS)

    return ConformalTable(rows(distance), rows(error_px))


def judge_conformal_table(
    distance: FloatArray, error_px: FloatArray, fitted: ConformalTable, units: ArrayLike | None = None
) -> ConformalTable:
    """The same limits with the shares that they hold of these scores; ValueError if K does not fit."""

    def rows(scores: FloatArray, old: tuple[ConformalRow, ...]) -> tuple[ConformalRow, ...]:
        return tuple(ConformalRow(row.limits, conformal_held(scores, row.limits, units)) for row in old)

    return ConformalTable(rows(distance, fitted.ellipse), rows(error_px, fitted.disc_px))
