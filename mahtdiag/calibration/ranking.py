"""Does a larger σ mean a larger error? Rank correlation, selective prediction, quantile bins, detection.

All functions take one σ and one error per keypoint, shape [n], finite (see `points.collect_points`); values
that enter several of them can be ranked once with `rank`. Numbers that the data cannot define are None. Where
values tie, the mean over all orders of the tied values is used, so that no number depends on the order of the
input.
"""

from dataclasses import dataclass

import numpy as np

from mahtdiag.calibration.scores import BoolArray, FloatArray, IntArray, blocks


@dataclass(frozen=True, slots=True)
class Sparsification:
    """Mean error of what is kept when the least certain keypoints are removed first.

    `removed`: shares removed, 0 … 1 (exclusive), [steps]; `kept_error_px` and `oracle_error_px`: mean error
    of the kept keypoints when removing by σ and by the error itself, [steps].
    `ause_px`: area between the two over all n steps; `ause`: the same divided by the mean error (None if the
    mean error is 0). `aurc_px`: area under the risk–coverage curve, the mean of the σ curve.
    """

    removed: FloatArray
    kept_error_px: FloatArray
    oracle_error_px: FloatArray
    ause_px: float
    ause: float | None
    aurc_px: float


@dataclass(frozen=True, slots=True)
class QuantileBins:
    """Bins of equal count by σ against bins of equal count by error, the lowest first.

    `jaccard`: shared keypoints over all keypoints of the two bins, [bins], None where both bins are empty;
    `mean_error_px`: mean error of each σ bin, None where empty; `counts`: keypoints per σ bin.
    """

    jaccard: tuple[float | None, ...]
    mean_error_px: tuple[float | None, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ranked:
    """Values [n] with the order that sorts them."""

    values: FloatArray
    order: IntArray

    @property
    def ranks(self) -> FloatArray:
        """Their ranks 1 … n, the mean rank where values tie; found anew each time, since they are large."""
        runs, n = _runs(self.sorted(self.values)), len(self.values)
        tied = None if runs is None else _mean_of_runs(runs, np.arange(1.0, n + 1.0))
        found = np.empty(n)
        for part in blocks(n):
            places = np.arange(part.start + 1.0, part.stop + 1.0) if tied is None else tied[part]
            found[self.order[part]] = places
        return found

    def sorted(self, values: FloatArray) -> FloatArray:
        """Values [n] in this order."""
        found = np.empty(len(values))
        for part in blocks(len(found)):
            found[part] = values[self.order[part]]
        return found


def rank(values: FloatArray | Ranked) -> Ranked:
    """Sort once; what is ranked already is returned as it is."""
    if isinstance(values, Ranked):
        return values
    small = np.int32 if len(values) < 2**31 else np.int64
    return Ranked(values, np.argsort(values, kind="stable").astype(small))


def tie_mean(ordered: FloatArray, values: FloatArray) -> FloatArray:
    """Replace `values` by their mean over runs of equal `ordered` (ascending); shapes [n] in and out."""
    return _mean_of_runs(_runs(ordered), values)


def _runs(ordered: FloatArray) -> IntArray | None:
    """Where runs of equal ascending values begin; None where no two are equal."""
    first = np.ones(len(ordered), dtype=np.bool_)
    first[1:] = ordered[1:] != ordered[:-1]
    return None if first.all() else np.flatnonzero(first)


def _mean_of_runs(starts: IntArray | None, values: FloatArray) -> FloatArray:
    if starts is None:
        return values
    size = np.diff(np.append(starts, len(values)))
    return np.repeat(np.add.reduceat(values, starts) / size, size)


def is_constant(values: FloatArray) -> bool:
    """True if the values differ by no more than rounding (1e-9 of the largest magnitude)."""
    if values.size == 0:
        return True
    low, high = float(values.min()), float(values.max())
    return high - low <= 1e-9 * max(abs(low), abs(high))


def spearman(sigma_px: FloatArray | Ranked, error_px: FloatArray | Ranked) -> float | None:
    """Spearman correlation of σ and error: Pearson correlation of their average ranks, −1 … 1.

    None with fewer than 3 keypoints or when either is constant. Source: Spearman, Am. J. Psychol. 15 (1904).
    """
    sigma, error = rank(sigma_px), rank(error_px)
    if _has_no_rank(sigma, error):
        return None
    x, y = sigma.ranks, error.ranks
    x -= x.mean()
    y -= y.mean()
    value = float(np.dot(x, y)) / float(np.sqrt(np.dot(x, x) * np.dot(y, y)))
    return min(1.0, max(-1.0, value))


def _has_no_rank(sigma: Ranked, error: Ranked) -> bool:
    return len(sigma.values) < 3 or is_constant(sigma.values) or is_constant(error.values)


def spearman_influence(sigma_px: FloatArray | Ranked, error_px: FloatArray | Ranked) -> FloatArray | None:
    """How much each keypoint moves the Spearman correlation, to first order; its mean is 0.

    With F, G the mid-distribution values of σ and error: (F·G + E[G; σ' above σ] + E[F; error' above error])
    over sd(F)·sd(G), centred. Summed by image it gives the spread of the correlation under resampling of
    images without ranking again. Shape [n]; None where `spearman` is.
    Source: the delta method for rank statistics, van der Vaart, Asymptotic Statistics (1998), ch. 12 and 20.
    """
    sigma, error = rank(sigma_px), rank(error_px)
    if _has_no_rank(sigma, error):
        return None
    # Ranks of many keypoints are found anew, not held: never more than three numbers of each at a time.
    total, other = _middles(sigma), _middles(error)
    spread = total.std() * other.std()
    total *= other
    del other
    _add_mean_above(total, sigma, error)
    _add_mean_above(total, error, sigma)
    # The spread of the ranks themselves varies only through ties; that part is left out.
    total -= total.mean()
    total /= spread
    return total


def _middles(by: Ranked) -> FloatArray:
    """The mid-distribution value of each, [n]."""
    found = by.ranks
    found -= 0.5
    found /= len(found)
    return found


def _add_mean_above(total: FloatArray, by: Ranked, of: Ranked) -> None:
    """To each i: (1/n)·Σ_j middle_j·(1[by_j > by_i] + ½·1[by_j = by_i]); the middles are those of `of`."""
    # Where values tie the order is chance: each stands for all of them.
    runs = _runs(by.sorted(by.values))
    values = _mean_of_runs(runs, by.sorted(_middles(of)))
    above = np.cumsum(values[::-1])[::-1]
    values *= 0.5
    above -= values
    above /= len(values)
    above = _mean_of_runs(runs, above)
    for part in blocks(len(total)):
        total[by.order[part]] += above[part]


def sparsification(
    sigma_px: FloatArray | Ranked, error_px: FloatArray | Ranked, steps: int = 100
) -> Sparsification | None:
    """Remove the least certain keypoints first and watch the mean error of the rest.

    The areas use every step (n of them); the curves are thinned to `steps` points for a picture.
    AUSE = mean over steps of (σ curve − oracle curve), divided by the mean error: 0 is a perfect ranking.
    Pixels in, pixels out. None with no keypoints.
    Source: Ilg et al., Uncertainty Estimates and Multi-Hypotheses Networks for Optical Flow, ECCV 2018.
    """
    sigma, error = rank(sigma_px), rank(error_px)
    n = len(error.values)
    if n == 0:
        return None
    removed = np.linspace(0.0, 1.0, min(steps, n), endpoint=False)
    keep = n - 1 - np.floor(removed * n + 1e-9).astype(np.intp)
    kept, mean_kept, _ = _kept_error(sigma, error.values, keep)
    oracle, mean_oracle, mean_error = _running_mean(error.sorted(error.values), keep)
    area = max(0.0, mean_kept - mean_oracle)
    return Sparsification(
        removed=removed,
        kept_error_px=kept,
        oracle_error_px=oracle,
        ause_px=area,
        ause=area / mean_error if mean_error > 0 else None,
        aurc_px=mean_kept,
    )


def _kept_error(sigma: Ranked, error_px: FloatArray, keep: IntArray) -> tuple[FloatArray, float, float]:
    """Mean error of the 1, 2, … n most certain keypoints, as `_running_mean`."""
    runs = _runs(sigma.sorted(sigma.values))
    return _running_mean(_mean_of_runs(runs, sigma.sorted(error_px)), keep)


def _running_mean(values: FloatArray, keep: IntArray) -> tuple[FloatArray, float, float]:
    """Means of the first 1, 2, … n values, which are overwritten: those to `keep`, their mean, the last."""
    means = np.cumsum(values, out=values)
    for part in blocks(len(means)):
        means[part] /= np.arange(part.start + 1.0, part.stop + 1.0)
    return means[keep], float(means.mean()), float(means[-1])


def rank_bins(values: FloatArray | Ranked, bins: int) -> IntArray:
    """Bin 0 … bins−1 of equal count by rank; tied values share a bin. Shape [n] in and out."""
    known = values.values if isinstance(values, Ranked) else values
    ordered = values.sorted(known) if isinstance(values, Ranked) else np.sort(values)
    starts = [_first_in(ordered, number, bins) for number in range(1, bins)]
    # A value belongs to the last bin that begins at or below it; a bin without values begins above all.
    edges = np.array([ordered[start] if start < len(ordered) else np.inf for start in starts])
    found = np.empty(len(known), dtype=np.int16)
    for part in blocks(len(known)):
        found[part] = np.searchsorted(edges, known[part], side="right")
    return found


def _first_in(ordered: FloatArray, number: int, bins: int) -> int:
    """Where in ascending values the first run of equal ones is whose bin is `number` or a later one."""
    low, high = 0, len(ordered)
    while low < high:
        middle = (low + high) // 2
        first, last = (int(np.searchsorted(ordered, ordered[middle], side)) for side in ("left", "right"))
        # The mean rank of the run, as `rank` counts it.
        position = (0.5 * (first + 1 + last) - 0.5) / len(ordered)
        low, high = (low, first) if min(int(position * bins), bins - 1) >= number else (last, high)
    return low


def quantile_bins(
    sigma_px: FloatArray | Ranked, error_px: FloatArray | Ranked, bins: int = 5
) -> QuantileBins:
    """Do the keypoints of each fifth by σ belong to the same fifth by error? Jaccard index per bin.

    Source: Schobs, Swift, Lu, Uncertainty Estimation for Heatmap-based Landmark Localization, IEEE TMI 2023.
    """
    error = rank(error_px)
    by_sigma, by_error = rank_bins(sigma_px, bins), rank_bins(error, bins)
    table = np.bincount(by_sigma * bins + by_error, minlength=bins * bins).reshape(bins, bins)
    in_sigma, in_error, both = table.sum(axis=1), table.sum(axis=0), np.diag(table)
    union = in_sigma + in_error - both
    total = np.bincount(by_sigma, weights=error.values, minlength=bins)
    return QuantileBins(
        jaccard=tuple(float(b / u) if u else None for b, u in zip(both, union, strict=True)),
        mean_error_px=tuple(float(t / c) if c else None for t, c in zip(total, in_sigma, strict=True)),
        counts=tuple(int(c) for c in in_sigma),
    )


def roc_auc(sigma_px: FloatArray | Ranked, is_large: BoolArray) -> float | None:
    """Area under the ROC curve when σ is used to find large errors.

    P(σ of a large error > σ of a small one), ties count ½. Shapes [n] and [n]; 0 … 1. None unless there are
    both large and small errors. Source: Hanley, McNeil, Radiology 143 (1982).
    """
    large = int(is_large.sum())
    small = len(is_large) - large
    if large == 0 or small == 0:
        return None
    ranks = float(rank(sigma_px).ranks[is_large].sum())
    return (ranks - large * (large + 1) / 2.0) / (large * small)
