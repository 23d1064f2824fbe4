"""Conformal regions: radii that keep their promise whatever the distribution of the errors is.

Patients, or images where none is known, are what is exchangeable: keypoints and images of one depend on one
another. So each of U units weighs 1/(U + 1), shared equally by its scores, and 1/(U + 1) lies at infinity for
the unit that comes next.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mahtdiag.calibration.scores import (
    BoolArray,
    FloatArray,
    IntArray,
    Points,
    blocks,
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
    _require_share(coverage)
    values = np.asarray(scores, dtype=np.float64)
    known = ~np.isnan(values)
    ordered = values[known]
    if units is None:
        # The product may exceed a whole number by rounding alone: 20 · 0.9 must stay 18.
        place = ceil((ordered.size + 1) * coverage - 1e-9)
        return inf if place > ordered.size else float(np.partition(ordered, place - 1)[place - 1])
    unit, count = _numbered(np.broadcast_to(np.asarray(units), values.shape)[known])
    return _limits_over_units(ordered, (coverage,), unit, count)[0]


def _require_share(coverage: float) -> None:
    if not 0.0 < coverage < 1.0:
        raise ValueError(f"coverage is {coverage}, give a share above 0 and below 1")


def _limits_over_units(
    scores: FloatArray, levels: Sequence[float], unit: IntArray, count: IntArray
) -> list[float]:
    """The same for known scores [S]: the unit of each [S], and how many scores each unit has [U].

    All levels from one order, which takes nearly all of the time.
    """
    order = np.argsort(scores, kind="stable")
    with np.errstate(divide="ignore"):
        weight = 1.0 / count
    reached = np.empty(scores.size)
    for part in blocks(scores.size):
        reached[part] = weight[unit[order[part]]]
    np.cumsum(reached, out=reached)
    units = int(np.count_nonzero(count))
    places = [int(np.searchsorted(reached, level * (units + 1) - 1e-9)) for level in levels]
    return [inf if place >= scores.size else float(scores[order[place]]) for place in places]


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
    return _fit_levels(scores, (coverage,), units)[0]


def _fit_levels(
    scores: ArrayLike, levels: Sequence[float], units: ArrayLike | None
) -> tuple[ConformalRadii, ...]:
    """The same for several promised shares."""
    for coverage in levels:
        _require_share(coverage)
    array = np.asarray(scores, dtype=np.float64)
    if array.ndim != 2:
        raise ValueError(f"scores {array.shape} must be [images, keypoints]")
    known = ~np.isnan(array)
    unit = _numbered(np.arange(len(array)) if units is None else np.asarray(units))[0].astype(np.int32)
    in_image = known.sum(axis=1)
    count = np.bincount(unit, weights=in_image).astype(np.int64)

    def limits(column: FloatArray, seen: BoolArray) -> list[float]:
        return _limits_over_units(column[seen], levels, unit[seen], np.bincount(unit[seen]))

    pooled = _limits_over_units(
        array.ravel() if known.all() else array[known], levels, np.repeat(unit, in_image), count
    )
    whole_image = limits(_largest(array), in_image > 0)
    by_keypoint = [limits(*column) for column in zip(array.T, known.T, strict=True)]
    return tuple(
        ConformalRadii(
            coverage=coverage,
            pooled=pooled[place],
            whole_image=whole_image[place],
            units=int(np.count_nonzero(count)),
            by_keypoint=np.array([found[place] for found in by_keypoint]),
            counts=tuple(int(c) for c in known.sum(axis=0)),
        )
        for place, coverage in enumerate(levels)
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


def _inside(scores: ArrayLike, radii: ConformalRadii) -> NDArray[np.int8]:
    """1 inside, 0 outside, −1 without a score: by keypoint, pooled, and of whole images, [N, 2·K + 1]."""
    array = np.asarray(scores, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != len(radii.by_keypoint):
        raise ValueError(f"scores {array.shape} must be [images, {len(radii.by_keypoint)}]")
    both = np.column_stack([array, array, _largest(array)])
    limits = np.concatenate([radii.by_keypoint, np.full(array.shape[1], radii.pooled), [radii.whole_image]])
    return np.where(np.isnan(both) | np.isnan(limits), -1, both <= limits).astype(np.int8)


def _held(inside: NDArray[np.int8], units: ArrayLike | None) -> Held:
    unit, _ = _numbered(np.arange(len(inside)) if units is None else np.asarray(units))
    keypoints = inside.shape[1] // 2

    def share(part: NDArray[np.int8]) -> float | None:
        held, count = (np.bincount(unit, weights=of.sum(axis=1)) for of in (part == 1, part >= 0))
        known = count > 0
        return float((held[known] / count[known]).mean()) if known.any() else None

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
    return _held_by_folds(scores, (coverage,), units, folds, seed)[0]


def _held_by_folds(
    scores: ArrayLike, levels: Sequence[float], units: ArrayLike | None, folds: int, seed: int = 0
) -> tuple[Held, ...]:
    """The same for several promised shares."""
    array = np.asarray(scores, dtype=np.float64)
    of_image = np.arange(len(array)) if units is None else np.asarray(units)
    known = ~np.isnan(array).all(axis=1)
    if not known.all():
        array, of_image = array[known], of_image[known]
    unit, count = _numbered(of_image)
    if len(count) < 2:
        return (Held(None, None, None),) * len(levels)
    parts = min(folds, len(count))
    fold = (np.random.default_rng(seed).permutation(len(count)) % parts)[unit]
    inside = np.empty((len(levels), len(array), 2 * array.shape[1] + 1), dtype=np.int8)
    for part in range(parts):
        others = fold != part
        radii = _fit_levels(array[others], levels, of_image[others])
        own = array[~others]
        for of_level, fitted in zip(inside, radii, strict=True):
            of_level[~others] = _inside(own, fitted)
    return tuple(_held(of_level, of_image) for of_level in inside)


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
    distance, error_px = np.empty((2, points.n))
    for part in blocks(points.n):
        residual = points.residual_px[part]
        distance[part] = (
            mahalanobis_squared(residual, points.sigma_px[part])
            if points.covariance_px2 is None
            else mahalanobis_squared(residual, covariance_px2=points.covariance_px2[part])
        )
        error_px[part] = radial_error_px(residual)
    np.sqrt(distance, out=distance)
    return _placed(distance, points.kept), _placed(error_px, points.kept)


def _placed(values: FloatArray, kept: BoolArray) -> FloatArray:
    """Values [M] where they came from, [N, K]; NaN elsewhere."""
    if kept.all():
        return values.reshape(kept.shape)
    found = np.full(kept.shape, np.nan)
    found[kept] = values
    return found


def fit_conformal_table(
    distance: FloatArray, error_px: FloatArray, units: ArrayLike | None = None, *, folds: int = 5
) -> ConformalTable:
    """Limits from all units, judged by cross-fitting. Scores as from `conformal_scores`."""

    def rows(scores: FloatArray) -> tuple[ConformalRow, ...]:
        held = _held_by_folds(scores, CONFORMAL_LEVELS, units, folds)
        return tuple(map(ConformalRow, _fit_levels(scores, CONFORMAL_LEVELS, units), held))

    return ConformalTable(rows(distance), rows(error_px))


def judge_conformal_table(
    distance: FloatArray, error_px: FloatArray, fitted: ConformalTable, units: ArrayLike | None = None
) -> ConformalTable:
    """The same limits with the shares that they hold of these scores; ValueError if K does not fit."""

    def rows(scores: FloatArray, old: tuple[ConformalRow, ...]) -> tuple[ConformalRow, ...]:
        return tuple(ConformalRow(row.limits, conformal_held(scores, row.limits, units)) for row in old)

    return ConformalTable(rows(distance, fitted.ellipse), rows(error_px, fitted.disc_px))
