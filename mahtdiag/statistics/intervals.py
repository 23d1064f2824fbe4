"""95 % intervals of means, shares, quantiles and distances, over units: patients, or images.

Keypoints of one image are not independent, and neither are images of one patient; so everything here is given
by unit, and what a unit says as a whole is what varies. Nothing is drawn at random but in `gap_interval`, so
that the same numbers have the same interval whatever their order. Simulations of what these intervals hold:
`python -m validation intervals`.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, betaincinv, stdtrit

Floats = NDArray[np.float64]
Interval = tuple[float, float]

FEWEST = 10
"""Units below which no interval but that of a share is given: none of these would hold what it says."""

FEWEST_OF_SQUARES = 50
"""The same for means of squares, such as the best σ scale or the likelihood: a single unit decides them."""

_TAIL = 0.025
_DRAWS = 2000
_HALVINGS = 40
_ROWS = 4096


def by_unit(values: ArrayLike, units: NDArray[np.integer]) -> Floats:
    """Sums over the images of each unit: `[N]` or `[N, C]` to `[U]` or `[U, C]`.

    `units` `[N]`: the number of each image's unit; a number that no image has is no unit.
    """
    values = np.asarray(values, dtype=np.float64)
    if np.array_equal(units, np.arange(len(values))):
        return values
    sums = SumsByUnit(units)
    sums.add(values)
    return sums.total


class SumsByUnit:
    """The same sums, to which the images are added in their order, any number at a time."""

    def __init__(self, units: NDArray[np.integer]) -> None:
        known, codes = np.unique(units, return_inverse=True)
        self._units, self._codes, self._added = len(known), codes.astype(np.int32), 0
        self._total: Floats | None = None

    def add(self, values: Floats) -> None:
        """The values of the next images, `[n]` or `[n, C]`."""
        if self._total is None:
            self._total = np.zeros((self._units, *values.shape[1:]))
        np.add.at(self._total, self._codes[self._added : self._added + len(values)], values)
        self._added += len(values)

    @property
    def total(self) -> Floats:
        """What has been added, `[U]` or `[U, C]`; of nothing at all `[0]`."""
        return np.zeros(0) if self._total is None else self._total


def mean_interval(sums: Floats, counts: Floats, fewest: int = FEWEST, tail: float = _TAIL) -> Interval | None:
    """Interval of Σ sums / Σ counts, each `[U]`, a ratio whose units have unlike counts.

    Its linearised terms are uᵢ = (sumᵢ − mean·countᵢ)·U/Σ counts; see `estimate_interval`. Units with count 0
    are left out. `tail`: the chance of the truth beyond each end, smaller where many are asked. None below
    `fewest` units.
    """
    known = counts > 0
    sums, counts = sums[known], counts[known]
    if np.count_nonzero(known) < fewest:
        return None
    mean = sums.sum() / counts.sum()
    if not np.isfinite(mean):
        return None
    return estimate_interval(float(mean), (sums - mean * counts) * len(counts) / counts.sum(), tail)


def jackknife(number: Callable[[Floats], Floats], sums: Floats) -> Floats:
    """Influence of each unit on a function of sums `[U, C]`: (U − 1)·(number of all − number without it).

    `[U]`, or `[U, …]` where the function gives several numbers.

    Source: Efron, Tibshirani, An Introduction to the Bootstrap (1993), ch. 11.
    """
    total = sums.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        whole = number(total)
        # Of many units a few thousand at a time: what is left without each is as large as all sums.
        found = [
            (len(sums) - 1) * (whole - number(total - sums[first : first + _ROWS]))
            for first in range(0, max(len(sums), 1), _ROWS)
        ]
    return np.concatenate(found)


def estimate_interval(estimate: float, influence: Floats, tail: float = _TAIL) -> Interval | None:
    """Interval of an estimate whose error is, to first order, the mean of the units' influence `[U]`.

    With u the influence, s its standard deviation, γ its skewness and k = γ/√U, the studentised error
    T = (estimate − truth)·√U/s is skewed where u is; T + k·T²/3 + k²·T³/27 + k/6 is not, and has nearly
    Student's t law. Its quantiles are mapped back. (Of errors, which are skewed, Student's own interval ends
    too low on both sides.) Heavy tails make s itself uncertain: the degrees of freedom are 2U/(κ − 1), at
    least 3 and at most U − 1, where κ is what the kurtosis is beyond 1.5·γ², that of a gamma law. None below
    `FEWEST` units, where something is not finite, or where no unit differs from another, which says nothing
    about those not seen.
    Sources: Hall, On the removal of skewness by transformation, Journal of the Royal Statistical Society B 54
    (1992); for the degrees of freedom Satterthwaite, Biometrics Bulletin 2 (1946).
    """
    if influence.size < FEWEST:
        return None
    return _skewed_interval(estimate, influence, tail)


def _skewed_interval(estimate: float, influence: Floats, tail: float = _TAIL) -> Interval | None:
    units = influence.size
    if units < 2 or not np.isfinite(estimate) or not np.isfinite(influence).all():
        return None
    centred = influence - influence.mean()
    variance = float(np.mean(centred**2))
    if variance <= 1e-24 * max(estimate * estimate, 1e-300):
        return None
    standard = centred / np.sqrt(variance)
    skewness, kurtosis = (float(np.mean(standard**power)) for power in (3, 4))
    beyond = kurtosis - 1.5 * skewness**2
    freedom = min(units - 1.0, max(3.0, 2.0 * units / max(beyond - 1.0, 1e-9)))
    error, quantile = np.sqrt(variance / (units - 1)), float(stdtrit(freedom, 1.0 - tail))
    k = skewness / np.sqrt(units)
    low, high = (estimate - _untransformed(end, k) * error for end in (quantile, -quantile))
    return float(low), float(high)


def _untransformed(value: float, k: float) -> float:
    """The T for which T + k·T²/3 + k²·T³/27 + k/6 is a value."""
    if abs(k) < 1e-9:
        return value
    return float((np.cbrt(1.0 + k * (value - k / 6.0)) - 1.0) * 3.0 / k)


def exact_interval(count: float, of: float) -> Interval | None:
    """Interval of a share of independent cases, `of` of them, that is never empty; None without a case.

    `count` and `of` need not be whole. Source: Clopper, Pearson, The use of confidence or fiducial limits,
    Biometrika 26 (1934).
    """
    if of <= 0:
        return None
    low = 0.0 if count <= 0 else float(betaincinv(count, of - count + 1.0, _TAIL))
    high = 1.0 if count >= of else float(betaincinv(count + 1.0, of - count, 1.0 - _TAIL))
    return low, high


def share_interval(hits: Floats, counts: Floats) -> Interval | None:
    """Interval of the share Σ hits / Σ counts of cases, each `[U]`, that depend on each other within a unit.

    That of as many independent cases (see `_effective_cases`), and where it reaches farther that of
    `mean_interval`, which knows that few units may hold all of a rare kind, but no farther than if a unit
    were one case. With one case per unit it is `exact_interval`. It is never empty, holds for any number of
    units, and is None without a case and for several cases of a single unit.
    """
    known = counts > 0
    hits, counts = hits[known], counts[known]
    if counts.size == 0 or (counts.size == 1 and counts[0] > 1):
        return None
    share = float(hits.sum() / counts.sum())
    effective = _effective_cases(share, hits, counts)
    low, high = exact_interval(share * effective, effective) or (0.0, 1.0)
    if counts.max() > 1:
        skewed = _skewed_interval(share, (hits - share * counts) * len(counts) / counts.sum())
        widest = exact_interval(share * counts.size, counts.size)
        if skewed is not None and widest is not None:
            low, high = min(low, max(skewed[0], widest[0])), max(high, min(skewed[1], widest[1]))
    return low, high


def _effective_cases(wanted: float, hits: Floats, counts: Floats) -> float:
    """How many independent cases would tell a share `wanted` as well as these do.

    n = p(1 − p)/v·(t_cases/t_units)², v being the variance of the share of hits over units, and never more
    than there are. Where all or none are hits, nothing tells how they depend: a unit counts as one case.
    Source: Korn, Graubard, Confidence intervals for proportions with small expected number of positive counts
    estimated from survey data, Survey Methodology 24 (1998).
    """
    units, cases = len(counts), float(counts.sum())
    share = float(hits.sum()) / cases
    if units < 2 or counts.max() <= 1 or not 0.0 < share < 1.0:
        return float(units)
    varied = float(np.sum((hits - share * counts) ** 2)) * units / (units - 1) / cases**2
    if varied <= 0.0:
        return float(units)
    few, many = (float(stdtrit(n - 1, 1.0 - _TAIL)) for n in (units, cases))
    return min(cases, max(1.0, wanted * (1.0 - wanted) / varied * (many / few) ** 2))


def fewest_for(level: float) -> int:
    """Units below which a quantile has no interval: two should lie beyond it."""
    return max(FEWEST, int(np.ceil(2.0 / min(level, 1.0 - level) - 1e-9)))


def quantile_interval(ordered: Floats, level: float, hits: Floats, counts: Floats) -> Interval | None:
    """Interval of a quantile of all cases together, `ordered` `[M]` ascending.

    Of n independent cases the r-th is below the quantile with the chance I_level(r, n + 1 − r); the ends are
    the values at the shares r/n where that is 97.5 % and 2.5 %, n being the number of independent cases that
    vary as the `hits` do: those of the `counts` cases of each unit, `[U]` each, that are not above the
    estimate. None where an end lies beyond all values, or below `fewest_for` units.
    Sources: Woodruff, Confidence intervals for medians and other position measures, Journal of the American
    Statistical Association 47 (1952); David, Nagaraja, Order Statistics (2003), ch. 7.
    """
    known = counts > 0
    if np.count_nonzero(known) < fewest_for(level):
        return None
    n = _effective_cases(level, hits[known], counts[known])
    low, high = (_rank(level, n, chance) / n * ordered.size for chance in (1.0 - _TAIL, _TAIL))
    if low < 1.0 or high > ordered.size:
        return None
    return float(ordered[int(np.floor(low)) - 1]), float(ordered[int(np.ceil(high)) - 1])


def _rank(level: float, n: float, chance: float) -> float:
    """The r, 0 to n + 1, at which I_level(r, n + 1 − r) falls to a chance."""
    low, high = 0.0, n + 1.0
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if betainc(middle, n + 1.0 - middle, level) > chance else (low, middle)
    return high


def gap_interval(
    gaps: Floats, influence: Floats, size: Callable[[Floats], Floats], seed: int = 0
) -> Interval | None:
    """Interval of the size of gaps `[L]`, such as their mean absolute value, which noise pushes up.

    size(gaps) ± the 95 % quantile of size(e), cut at 0, where e are the errors of the gaps: Gaussian with the
    covariance of the units' `influence` `[U, L]`, over a χ with U − 1 degrees of freedom. The true size lies
    no farther off than size(e) (triangle inequality); where there are no gaps, and where they are large, the
    interval holds the truth just as often as it says. `size` is a norm, `[..., L]` to `[...]`.
    None below `FEWEST` units.
    """
    return gap_interval_of(gaps, len(influence), lambda: iter([influence]), size, seed)


def gap_interval_of(
    gaps: Floats,
    units: int,
    influence: Callable[[], Iterator[Floats]],
    size: Callable[[Floats], Floats],
    seed: int = 0,
) -> Interval | None:
    """The same where the influence of all units comes in blocks `[n, L]`, from the first at each call."""
    if units < FEWEST or not all(np.isfinite(block).all() for block in influence()):
        return None
    rng = np.random.default_rng(seed)
    total = np.zeros(len(gaps))
    for block in influence():
        total = np.concatenate([total[np.newaxis], block]).sum(axis=0)
    products = sum((block - total / units).T @ (block - total / units) for block in influence())
    values, vectors = np.linalg.eigh(products / (units * (units - 1)))
    errors = rng.normal(size=(_DRAWS, len(gaps))) @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
    errors *= np.sqrt((units - 1) / rng.chisquare(units - 1, size=(_DRAWS, 1)))
    found, reach = float(size(gaps)), float(np.quantile(size(errors), 1.0 - 2.0 * _TAIL))
    return max(0.0, found - reach), found + reach
