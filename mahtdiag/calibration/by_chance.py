"""What MACE perfect calibration gives at this size: few errors never lie on the diagonal."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import pi, sqrt

import numpy as np
from scipy import special

from mahtdiag.calibration.clustered import critical_value
from mahtdiag.calibration.scores import LEVELS, BoolArray, FloatArray, IntArray, Points, mean_absolute_gap

MIN_UNITS = 10
"""Below so many images, or patients, nobody can tell how much the errors of one hang together."""

_DRAWS = 1000
_MOST_UNITS = 1000
_USUAL = 0.95


@dataclass(frozen=True, slots=True)
class MaceByChance:
    """MACE of a calibrated model on a set of the same size: `mean`, and `most` in 19 of 20 sets."""

    mean: float
    most: float


def mace_by_chance(size: FloatArray, unit: IntArray, seed: int = 0) -> MaceByChance | None:
    """MACE that would be seen if σ were right, with errors that hang together within units as these do.

    |z| is replaced by its rank, which makes σ right and keeps the dependence. The gaps of the curve are then
    sums over units of what each has too many or too few below every level; their law is that of the sums
    with random normal weights on the units. mean = √(2/π)·mean over levels of the clustered standard error;
    `most`: the 95 % quantile of 1,000 draws, widened as Student's t is against the normal.
    `size`: |z| [M, axes], `unit`: [M] any whole numbers. None below 10 units. Of more than 1,000 units that
    many are looked at: the numbers fall with the root of how many there are.
    Source: the multiplier bootstrap, van der Vaart, Wellner, Weak Convergence (1996), ch. 2.9.
    """
    codes, unit = np.unique(unit, return_inverse=True)
    looked_at = _looked_at(unit, len(codes), seed)
    return None if looked_at is None else _of_units(size[looked_at.rows], looked_at)


@dataclass(frozen=True, slots=True)
class _LookedAt:
    """Of so many units those that are looked at, with random weights: their `rows` of [M], and numbers."""

    units: int
    rows: IntArray
    unit: IntArray
    weights: FloatArray


def _looked_at(unit: IntArray, units: int, seed: int = 0) -> _LookedAt | None:
    """`unit`: [M], 0 … `units` − 1, each of them there; None of too few."""
    if units < MIN_UNITS:
        return None
    chosen, weights = _weights(units, seed)
    rows = np.flatnonzero(chosen[unit])
    return _LookedAt(units, rows, (np.cumsum(chosen) - 1)[unit[rows]], weights)


def _of_units(size: FloatArray, looked_at: _LookedAt) -> MaceByChance:
    """`size`: |z| of the rows that are looked at."""
    weights, count = looked_at.weights, looked_at.weights.shape[1]
    gaps = _gaps(size, looked_at.unit, count) / sqrt(1.0 - 1.0 / count) * sqrt(count / looked_at.units)
    mean = sqrt(2.0 / pi) * float(np.sqrt((gaps**2).sum(axis=0)).mean())
    drawn = mean_absolute_gap(weights @ gaps + LEVELS)
    widened = critical_value(1.0 - _USUAL, count) / special.ndtri(0.5 + 0.5 * _USUAL)
    return MaceByChance(mean, float(np.quantile(drawn, _USUAL) * widened))


def _weights(units: int, seed: int) -> tuple[BoolArray, FloatArray]:
    """Which of the units are looked at `[U]`, and random weights of these `[draws, looked at]`."""
    chosen, normals = _drawn(max(units, _MOST_UNITS), seed)
    looked_at = min(units, _MOST_UNITS)
    return chosen[:units], normals[: _DRAWS * looked_at].reshape(_DRAWS, looked_at)


@lru_cache(maxsize=1)
def _drawn(units: int, seed: int) -> tuple[BoolArray, FloatArray]:
    """The same, the weights in one row, of at least as many units as are looked at; kept for the next group.

    Of fewer units it has the first numbers, which are those that would be drawn for them.
    """
    rng = np.random.default_rng(seed)
    chosen = np.ones(units, dtype=np.bool_)
    if units > _MOST_UNITS:
        chosen[rng.permutation(units)[_MOST_UNITS:]] = False
    normals = rng.normal(size=_DRAWS * _MOST_UNITS)
    chosen.flags.writeable = normals.flags.writeable = False
    return chosen, normals


def _gaps(size: FloatArray, unit: IntArray, units: int) -> FloatArray:
    """What each unit adds to the gap at each level, were |z| as calibrated: [units, levels]."""
    axes, n = size.shape[1], size.size
    rank = np.empty(n)
    rank[np.argsort(size, axis=None, kind="stable")] = (np.arange(n) + 0.5) / n
    level = np.searchsorted(LEVELS, rank, side="left")
    width = len(LEVELS)
    counts = np.bincount(np.repeat(unit, axes) * width + level, minlength=units * width)
    inside = np.cumsum(counts.reshape(units, width), axis=1)
    return np.asarray((inside - inside[:, -1:] * LEVELS) / n, dtype=np.float64)


def by_group(
    points: Points, codes: IntArray, groups: int, axes: Sequence[int] = (0, 1)
) -> Iterator[tuple[int, MaceByChance | None]]:
    """Number of units and `mace_by_chance` of every group; `codes` [M]: the group of each keypoint.

    |z| is only asked for where it is looked at.
    """
    for group in range(groups):
        rows = np.flatnonzero(codes == group) if groups > 1 else np.arange(points.n, dtype=np.int32)
        unit = points.unit[rows]
        present = np.bincount(unit, minlength=points.n_units) > 0
        units = int(present.sum())
        looked_at = _looked_at((np.cumsum(present, dtype=np.int32) - 1)[unit], units)
        yield (
            units,
            None if looked_at is None else _of_units(_size(points, rows[looked_at.rows], axes), looked_at),
        )


def _size(points: Points, rows: IntArray, axes: Sequence[int]) -> FloatArray:
    """|z| of some keypoints, [rows, axes]."""
    z = [points.residual_px[rows, axis] / points.sigma_px[rows, axis] for axis in axes]
    return np.asarray(np.abs(np.stack(z, axis=1)), dtype=np.float64)
