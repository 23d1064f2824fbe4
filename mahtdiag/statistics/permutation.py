"""Whether images of a group have larger errors than all others, where patients are what is independent.

If the group has nothing to do with the error, it is chance which patients, or images, are in it: to draw the
members anew leaves everything else as likely as before, whatever the errors are like. The share of draws
whose statistic is as extreme as the one that was seen is therefore a p-value at any number of patients.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

SEED = 0
DRAWS = 5000
FEWEST_DRAWS = 1000

# Draws times what is drawn: beyond, fewer draws are made.
_MOST_DRAWN = 20_000_000
_AT_ONCE = 500_000
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class TwoSamples:
    """A group against all others: mean of the group − mean of the others, and its two-sided p-value."""

    difference: float
    p_value: float


def two_sample_test(
    sums: Floats, counts: Floats, units: Ints, member: Bools, seed: int = SEED, draws: int = DRAWS
) -> TwoSamples | None:
    """Permutation test of two means Σ sums / Σ counts, of members and of the others; None without either.

    `sums` and `counts` `[N]`: of the keypoints of each image; `units` `[N]`: the number of its patient, or
    its own; `member` `[N]`: whether it is in the group. Where the group is the patient's, patients change
    places. Where it differs between images of a patient, images change places within each patient who has
    some of both, so that what the patient is like enters nothing, and patients who have all in the group or
    none do so with those of as many images: the more images, the rarer it is that all are in the group. The
    statistic is the difference over its standard error (Janssen, 1997; Chung and Romano, 2013), which such
    draws rank rightly where one side varies more, too.
    The p-value is twice the smaller of both one-sided ones, so that errors that are skewed, and groups of
    unlike size, are not more often called worse than better. At most `draws`, 1,000 of very many.
    Sources: Pitman, Supplement to the Journal of the Royal Statistical Society 4 (1937); Janssen, Statistics
    and Probability Letters 36 (1997); Chung, Romano, Annals of Statistics 41 (2013).
    """
    known = counts > 0
    sums, counts, units, member = sums[known], counts[known], units[known], member[known]
    if not member.any() or member.all():
        return None
    rows = _rows(sums, counts, units, member)
    seen, difference = _statistic(rows, rows.member[np.newaxis].astype(np.float64))
    if not np.isfinite(seen[0]):
        # Nothing varies: they differ in every draw as they do here, or not at all.
        return TwoSamples(float(difference[0]), 1.0)
    above = below = made = 0
    for drawn in _drawn(rows, seed, draws):
        found = _statistic(rows, drawn)[0]
        tolerance = _ROUNDING * max(1.0, abs(float(seen[0])))
        # A draw without any spread is as extreme as can be, on either side.
        above += int(np.count_nonzero(~(found < seen[0] - tolerance)))
        below += int(np.count_nonzero(~(found > seen[0] + tolerance)))
        made += len(drawn)
    p_value = min(1.0, 2.0 * (1 + min(above, below)) / (1 + made))
    return TwoSamples(float(difference[0]), p_value)


@dataclass(frozen=True, slots=True)
class _Rows:
    """What changes places within a block: whole patients (blocks below 0), or images of one patient."""

    sums: Floats
    counts: Floats
    member: Bools
    block: Ints


def _rows(sums: Floats, counts: Floats, units: Ints, member: Bools) -> _Rows:
    codes = np.unique(units, return_inverse=True)[1]
    images, inside = np.bincount(codes), np.bincount(codes, member)
    split = (inside > 0) & (inside < images)
    whole, apart = ~split, split[codes]
    alike = -images[whole] if split.any() else np.full(whole.sum(), -1)
    return _Rows(
        np.concatenate([np.bincount(codes, sums)[whole], sums[apart]]),
        np.concatenate([np.bincount(codes, counts)[whole], counts[apart]]),
        np.concatenate([inside[whole] > 0, member[apart]]),
        np.concatenate([alike, codes[apart]]),
    )


def _drawn(rows: _Rows, seed: int, draws: int) -> Iterator[Floats]:
    """Members drawn anew, at most so many times, some draws `[D, rows]` at a time."""
    rng = np.random.default_rng(seed)
    size = len(rows.sums)
    left = min(draws, max(FEWEST_DRAWS, _MOST_DRAWN // size))
    order = np.argsort(rows.block, kind="stable")
    ends = np.flatnonzero(np.diff(rows.block[order])) + 1
    while left > 0:
        some = min(left, max(1, _AT_ONCE // size))
        left -= some
        drawn = np.zeros((some, size))
        for block in np.split(order, ends):
            told = np.broadcast_to(rows.member[block], (some, block.size))
            drawn[:, block] = rng.permuted(told, axis=1)
        yield drawn


def _statistic(rows: _Rows, member: Floats) -> tuple[Floats, Floats]:
    """The difference of the means over its standard error, and the difference, by draw `[D]`."""
    sums, counts = rows.sums, rows.counts
    products = np.stack([sums, counts, sums**2, sums * counts, counts**2, np.ones_like(sums)], axis=1)
    inside = member @ products
    means, variances = zip(*(_mean(part) for part in (inside, products.sum(axis=0) - inside)), strict=True)
    difference = means[0] - means[1]
    variance = variances[0] + variances[1]
    scale = float((sums**2).sum()) / float(counts.sum()) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        over = difference / np.sqrt(np.where(variance > _ROUNDING**2 * scale, variance, 0.0))
    return np.where(np.isinf(over), np.nan, over), difference


def _mean(part: Floats) -> tuple[Floats, Floats]:
    """Mean of one side and the variance of this mean, from sums of products over its rows `[D, 6]`."""
    sums, counts, squares, cross, counted, size = part.T
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = sums / counts
        around = np.maximum(squares - 2.0 * mean * cross + mean**2 * counted, 0.0)
        return mean, around / counts**2 * np.where(size > 1, size / (size - 1.0), np.nan)
