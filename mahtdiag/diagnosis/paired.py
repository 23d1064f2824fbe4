"""The same images judged twice: differences with paired intervals and p-values, and their correction.

Keypoints of one image are not independent, nor are images of one patient: what is tested is what each
patient, or each image where none is known, contributes to the difference.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from mahtdiag.diagnosis.metrics.measures import Columns, Paired
from mahtdiag.statistics.sign_flips import SEED, Contributions, Interval, SignFlipTest, sign_flip_tests

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SIGNIFICANCE = 0.05
POWER = 0.8
ROUNDING = 1e-5
"""A difference below this share of the number in every unit is one of arithmetic, not of the runs."""

_IMAGES_AT_ONCE = 8192

# Of a derivative: as a share of what is summed.
_STEP = 1e-6
# Places and shares by which Gauss and Legendre integrate from 0 to 1.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(3)
_PLACES, _SHARES = 0.5 * (1.0 + _NODES), 0.5 * _WEIGHTS
# A quantile's slope is taken for what the runs say of it, within this many times its own.
_SLOPES = (0.5, 2.0)


@dataclass(frozen=True, slots=True)
class PairedNumber:
    """A number by name, read in two runs; `counts`: it counts rare things, of which there may be none.

    `same`: the runs say the same of it but for rounding.
    """

    name: str
    paired: Paired
    counts: bool = False
    same: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """One number in two runs: `difference` is b − a, with its 95 % interval and p-value from one test.

    `units`: how many patients or images have the number. Where these are below `fewest`, `test`, `ci95`,
    `p_value` and `p_holm` are None: nothing is said of so few. `p_holm` is corrected for all that were
    compared with it. `same`: no unit differs by more than rounding, which is known of any number of them.
    """

    name: str
    a: float
    b: float
    difference: float
    units: int
    fewest: int
    same: bool
    test: SignFlipTest | None = field(compare=False, repr=False)
    ci95: Interval | None
    p_value: float | None
    p_holm: float | None

    def too_few(self, unit: str) -> str:
        """Why nothing is said of it, in words; `unit`: `images` or `patients`."""
        return f"too few {unit}: {self.units}, at least {self.fewest}"

    def p_beyond(self, bound: float) -> float | None:
        """Two-sided p-value of a true difference of `bound`, 1 where the test sees it on another side.

        It may where a quantile is told by the share of values beyond it. None where there is no test.
        """
        if self.test is None:
            return None
        agrees = (self.difference - bound) * (self.test.value - bound) > 0.0
        return self.test.p_value(bound) if agrees else 1.0

    def detectable(self, level: float = SIGNIFICANCE) -> float | None:
        """The smallest true difference that a test at this level shows in 80 of 100 such sets.

        That of Student's t: (t(1 − level/2) + t(0.8)) standard errors. None where there is no test, or
        nothing that varies.
        """
        if self.test is None or self.test.standard_error == 0.0:
            return None
        free = float(self.units - 1)
        quantiles = stdtrit(free, 1.0 - level / 2.0) + stdtrit(free, POWER)
        return float(quantiles * self.test.standard_error)


def paired_differences(
    numbers: Iterable[PairedNumber], units: Ints, *, seed: int = SEED
) -> tuple[Difference, ...]:
    """Every number that is defined in both runs, in order, with p-values corrected for their number.

    `units` `[N]`: codes of what is independent. A number that is no mean is linear in what a unit adds to it,
    to first order, and it is this influence whose signs are flipped. The same seed gives the same numbers.
    Sources: `sign_flips`; for the influence Hampel, Journal of the American Statistical Association 69
    (1974); Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    known = [*_told(numbers, units)]
    tests = iter(sign_flip_tests([each.given for each in known if each.is_enough], seed))
    return with_holm([each.difference(next(tests) if each.is_enough else None) for each in known])


def with_holm(differences: Sequence[Difference]) -> tuple[Difference, ...]:
    """The same with `p_holm` corrected for the number of them that were tested."""
    corrected = iter(holm([each.p_value for each in differences if each.p_value is not None]))
    return tuple(
        each if each.p_value is None else replace(each, p_holm=next(corrected)) for each in differences
    )


def _told(numbers: Iterable[PairedNumber], units: Ints) -> Iterator["_Told"]:
    """What each number that is defined in both runs comes to; the columns of one are gone at the next.

    Equal weights are one object, which is held and summed once.
    """
    weights: list[Floats] = []
    totals: list[tuple[Columns, _Totals]] = []
    for number in numbers:
        # Many numbers in a row are functions of the same sums.
        totals = [each for each in totals if any(each[0] is own for own in number.paired.columns)]
        missing = [own for own in number.paired.columns if not any(own is each for each, _ in totals)]
        totals += [(own, _Totals.of(own)) for own in missing]
        read = _Read.of(
            number, units, [next(t for c, t in totals if c is own) for own in number.paired.columns]
        )
        if not (math.isfinite(read.a) and math.isfinite(read.b)):
            continue
        given = read.contributions()
        weight = next((known for known in weights if np.array_equal(given.weight, known)), given.weight)
        if weight is given.weight:
            weights.append(weight)
        yield _Told.of(read, replace(given, weight=weight))


@dataclass(frozen=True, slots=True)
class _Totals:
    """Sums of columns of both runs `[C]` each, and the mean of the sums of their magnitudes `[C]`."""

    sums: tuple[Floats, Floats]
    sizes: Floats

    @staticmethod
    def of(columns: Columns) -> "_Totals":
        a, b = (each.sum(axis=0, dtype=np.float64) for each in columns)
        # What is not negative, as most is, is as large as its sum.
        sizes = [
            total if each.min() >= 0.0 else np.abs(each).sum(axis=0, dtype=np.float64)
            for total, each in zip((a, b), columns, strict=True)
        ]
        return _Totals((a, b), 0.5 * (sizes[0] + sizes[1]))


@dataclass(frozen=True, slots=True)
class _Read:
    """A number read in both runs, and how many values of it each unit has, `[U]`."""

    number: PairedNumber
    units: Ints
    sums: tuple[Floats, Floats]
    sizes: Floats
    a: float
    b: float
    count: Floats

    @staticmethod
    def of(number: PairedNumber, units: Ints, of_columns: Sequence[_Totals]) -> "_Read":
        """`of_columns`: the sums of each of its columns."""
        paired = number.paired
        a, b = (np.concatenate([each.sums[side] for each in of_columns]) for side in (0, 1))
        sizes = np.concatenate([each.sizes for each in of_columns])
        count = np.bincount(units, weights=paired.count).astype(np.float64)
        return _Read(number, units, (a, b), sizes, float(paired.of_a(a)), float(paired.of_b(b)), count)

    @property
    def known_units(self) -> int:
        return int(np.count_nonzero(self.count))

    def contributions(self) -> Contributions:
        """What each unit contributes to b − a, all 0 where that is no more than rounding."""
        number, slopes = self.number, self._slopes()
        influence = self._projected(1, slopes[1]) - self._projected(0, slopes[0])
        weight = self.count / self.count.sum()
        value = self._adding_up(np.bincount(self.units, weights=influence).astype(np.float64), weight)
        is_counted = number.counts or number.paired.by_shares
        if number.same or (not is_counted and self._is_rounding(value, weight)):
            return Contributions(np.zeros_like(value), weight)
        one = 0.5 * abs(float(slopes[0][0] + slopes[1][0]))
        return Contributions(value, weight, one if is_counted else 0.0)

    def _adding_up(self, value: Floats, weight: Floats) -> Floats:
        """Contributions to first order as those to b − a."""
        paired, difference, total = self.number.paired, self.b - self.a, value.sum()
        if paired.by_shares:
            # Exact under a swap of runs; the slope is only known so well.
            return value * np.clip(difference / total, *_SLOPES) if total else value
        if not paired.apart and total * difference > 0.0:
            # A factor alone, which no flip of signs feels, makes up for the few places on the way.
            return np.asarray(value * (difference / total))
        return np.asarray(value + (difference - total) * weight)

    def _is_rounding(self, value: Floats, weight: Floats) -> bool:
        return self.is_alike and bool((np.abs(value) <= self._rounding * weight).all())

    @property
    def _rounding(self) -> float:
        return ROUNDING * max(abs(self.a), abs(self.b))

    @property
    def is_alike(self) -> bool:
        return self.number.same or abs(self.b - self.a) <= self._rounding

    def _slopes(self) -> tuple[Floats, Floats]:
        """Slopes of the number by each sum, of A and of B: their own, or those on the way from A to B."""
        paired, (a, b) = self.number.paired, self.sums
        if paired.apart:
            return _gradient(paired.of_a, a, self.sizes), _gradient(paired.of_b, b, self.sizes)
        on_the_way = np.zeros_like(a)
        for place, share in zip(_PLACES, _SHARES, strict=True):
            on_the_way += share * _gradient(paired.of_a, a + place * (b - a), self.sizes)
        return on_the_way, on_the_way

    def _projected(self, side: int, slopes: Floats) -> Floats:
        """What each image adds to the number of a run, `[N]`."""
        total, first = np.zeros(len(self.units)), 0
        for columns in self.number.paired.columns:
            values = columns[side]
            of_columns = slopes[first : first + values.shape[1]]
            for start in range(0, len(values), _IMAGES_AT_ONCE):
                some = slice(start, start + _IMAGES_AT_ONCE)
                # Small whole numbers are exact in single precision.
                block = values[some] if values.dtype.kind == "f" else values[some].astype(np.float32)
                total[some] += block @ of_columns.astype(block.dtype)
            first += values.shape[1]
        return total


@dataclass(frozen=True, slots=True)
class _Told:
    """What is kept of a number that was read in both runs: what its units contribute, and a few words."""

    name: str
    a: float
    b: float
    known_units: int
    fewest: int
    same: bool
    given: Contributions

    @staticmethod
    def of(read: _Read, given: Contributions) -> "_Told":
        """A difference of rounding is none."""
        same = read.is_alike and not given.value.any()
        fewest = read.number.paired.fewest
        return _Told(read.number.name, read.a, read.b, read.known_units, fewest, same, given)

    @property
    def is_enough(self) -> bool:
        return self.known_units >= self.fewest

    def difference(self, test: SignFlipTest | None) -> Difference:
        """The record of it."""
        found = Difference(
            name=self.name,
            a=self.a,
            b=self.b,
            difference=0.0 if self.same else self.b - self.a,
            units=self.known_units,
            fewest=self.fewest,
            same=self.same,
            test=test,
            ci95=None,
            p_value=None,
            p_holm=None,
        )
        if test is None:
            return found
        low, high = test.interval(SIGNIFICANCE)
        ends = min(low, found.difference), max(high, found.difference)
        p_value = found.p_beyond(0.0)
        return replace(found, ci95=ends, p_value=p_value, p_holm=p_value)


def _gradient(number: Callable[[Floats], Floats], sums: Floats, sizes: Floats) -> Floats:
    """Slopes of a number at these sums `[C]`, 0 where it has none."""
    # Of sizes near the smallest number there is, the step is none.
    steps = np.where(_STEP * sizes > 0.0, _STEP * sizes, 1.0)
    around = np.diag(steps)
    slopes = (number(sums + around) - number(sums - around)) / (2.0 * steps)
    return np.where(np.isfinite(slopes), slopes, 0.0)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number by Holm's step-down method, in the same order.

    The i-th smallest of m becomes the largest of (m − j + 1)·p_j over j ≤ i, at most 1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(steps, 1.0)
    found: list[float] = corrected.tolist()
    return found
