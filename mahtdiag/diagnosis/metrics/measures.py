"""How a number follows from the table of a run: means, totals, quantiles, and functions of other sums.

A number that is a function of sums over images has one formula for its estimate, for resampled images and for
the difference between two runs. Where two runs are compared, what counts is what both know.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mahtdiag.diagnosis.run_table import RunTable

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Values = Floats | Bools | NDArray[np.int64]
Columns = tuple[NDArray[np.number], NDArray[np.number]]
"""What is summed over the images of run A and of run B, `[N, C]` each."""

Interval = tuple[float, float]
Sums = tuple[Floats, NDArray[np.int64]]
"""Sum and number of the known values of each image, `[N]`."""

FEWEST_UNITS = 10
"""Of fewer images, or patients, nothing is said of two runs: five more might say the opposite."""

WITHIN_ERRORS = 1.6
SAME_PX, SAME_SHARE = 0.01, 1e-4
"""What rounding may make of the same prediction, and of the same σ."""

T = TypeVar("T")


class TwoRuns:
    """Runs A and B over the same N images in the same order, and what was found of both."""

    def __init__(self, a: RunTable, b: RunTable) -> None:
        self.a, self.b = a, b
        self._once: dict[object, object] = {}
        self._last: tuple[object, object] = None, None
        self._counts: list[Columns] = []

    @property
    def units(self) -> NDArray[np.int64]:
        """What is independent, `[N]`, as the run tells that knows the patients."""
        return self.a.units if self.a.patients is not None else self.b.units

    def once(self, compute: Callable[["TwoRuns"], T]) -> T:
        """What a function says of both, computed the first time; the function is not a lambda."""
        if compute not in self._once:
            self._once[compute] = compute(self)
        found: T = self._once[compute]  # type: ignore[assignment]
        return found

    def last(self, compute: Callable[["TwoRuns"], T]) -> T:
        """The same of what is large: held until something else is asked for."""
        if self._last[0] != compute:
            self._last = None, None
            self._last = compute, compute(self)
        found: T = self._last[1]  # type: ignore[assignment]
        return found

    def parts(self) -> Iterator[tuple[RunTable, RunTable]]:
        """Both over consecutive images, a few thousand at a time."""
        return zip(self.a.parts(), self.b.parts(), strict=True)

    @cached_property
    def same_places(self) -> bool:
        """Whether both predict the same places but for rounding: another batch size, another processor."""
        return all(_is_same(a.pred_px, b.pred_px, SAME_PX, 0.0) for a, b in self.parts())

    @cached_property
    def same(self) -> bool:
        """Whether both predict the same places and σ but for rounding."""
        return self.same_places and all(
            _is_same(a.sigma_px, b.sigma_px, 0.0, SAME_SHARE) for a, b in self.parts()
        )

    def counted(self, count: NDArray[np.number]) -> Columns:
        """The same counts `[N]` for both: most numbers are means over the same keypoints, summed once."""
        for known in self._counts:
            if np.array_equal(known[0][:, 0], count):
                return known
        column = count.astype(np.float64)[:, np.newaxis]
        self._counts.append((column, column))
        return self._counts[-1]


def _is_same(a: Floats, b: Floats, most: float, share: float) -> bool:
    """Whether values differ by no more than `most` and a share of themselves, and lack the same ones."""
    return a.shape == b.shape and bool(np.isclose(a, b, rtol=share, atol=most, equal_nan=True).all())


@dataclass(frozen=True, slots=True)
class Paired:
    """A number of two runs as a function of sums over their images.

    `columns` are summed; `of_a` and `of_b` map the sums `[..., C]` of all of them to the number `[...]`, NaN
    where it is undefined. `count` `[N]`: how many values an image has of it in both runs, the same for both.
    `apart`: `of_a` and `of_b` differ, or their slopes turn about between A and B, as those of a distance from
    a target do. `by_shares`: it is told by a share of values, and its functions are straight lines of one
    slope. `fewest`: so many units with a value it takes to tell the runs apart by it.
    """

    columns: tuple[Columns, ...]
    of_a: Callable[[Floats], Floats]
    of_b: Callable[[Floats], Floats]
    count: NDArray[np.number]
    apart: bool = False
    by_shares: bool = False
    fewest: int = FEWEST_UNITS

    @property
    def is_nothing(self) -> bool:
        """Whether what is summed first is 0 in every image of both runs."""
        return not any(side.any() for side in self.columns[0])


class Measure(Protocol):
    """How a table yields a number; raises ColumnNotReadError where a table lacks what the number needs."""

    def value(self, table: RunTable) -> float | None:
        """The number; None where the run does not know it."""

    def paired(self, runs: TwoRuns) -> Paired | None:
        """The number of two runs; None where they cannot be compared by it, or one does not know it."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is summed over images: `values` of a table, `[N, …]`, where they are `known`, `[N, …]`."""

    values: Callable[[RunTable], Values]
    known: Callable[[RunTable], Bools]

    def of(self, table: RunTable) -> Sums:
        """Sum and number of the known values of each image, `[N]`."""
        parts = [self._of(part) for part in table.parts()]
        return np.concatenate([sums for sums, _ in parts]), np.concatenate([count for _, count in parts])

    def _of(self, table: RunTable) -> Sums:
        known = self.known(table)
        return by_image(self.values(table), known), count_by_image(known)

    def of_both(self, runs: TwoRuns) -> tuple[Columns, NDArray[np.int64]]:
        """The same over the values that both runs know."""
        known = self.known(runs.a) & self.known(runs.b)
        a, b = (by_image(self.values(side), known)[:, np.newaxis] for side in (runs.a, runs.b))
        return (a, b), count_by_image(known)

    def pooled(self, table: RunTable) -> Floats | None:
        """All known values together, `[M]`; None where there is none."""
        known = _pooled(self.values(table), self.known(table))
        return known if known.size else None

    def sorted_in_both(self, runs: TwoRuns) -> tuple[Bools, tuple[Floats, Floats]] | None:
        """Where both runs know a value, `[N, …]`, and the ascending values of each there; None if nowhere."""
        known = self.known(runs.a) & self.known(runs.b)
        a, b = (np.sort(_pooled(self.values(side), known)) for side in (runs.a, runs.b))
        return (known, (a, b)) if known.any() else None


def _pooled(values: Values, known: Bools) -> Floats:
    """The known values together, `[M]`."""
    return np.asarray(values[known], dtype=np.float64)


def by_image(values: Values, known: Bools) -> Floats:
    """Sum of the known values of each image, `[N, …]` to `[N]`."""
    # Sums of booleans are several times faster than those of numbers.
    kept = np.logical_and(values, known) if values.dtype == np.bool_ else np.where(known, values, 0)
    return np.asarray(_flat(kept).sum(axis=1), dtype=np.float64)


def every_image(table: RunTable) -> Bools:
    """What is known of every image, `[N]`."""
    return np.ones(len(table), dtype=np.bool_)


def count_by_image(known: Bools) -> NDArray[np.int64]:
    """Number of known values of each image, `[N, …]` to `[N]`."""
    return np.asarray(_flat(known).sum(axis=1))


def _flat(values: NDArray[Any]) -> NDArray[Any]:
    """`[N, …]` to `[N, M]`."""
    return values.reshape(len(values), math.prod(values.shape[1:]))


def quotient(sums: Floats) -> Floats:
    """Sums `[..., 2]` of values and their number to means `[...]`, NaN where there is no value."""
    means = np.full(sums.shape[:-1], np.nan)
    np.divide(sums[..., 0], sums[..., 1], out=means, where=sums[..., 1] > 0)
    return means


def whole(sums: Floats) -> Floats:
    """Sums `[..., 1]` as they are, `[...]`."""
    return sums[..., 0]


@dataclass(frozen=True, slots=True)
class Mean:
    """Mean of the known values; `of_nothing` where there is none."""

    terms: Terms
    of_nothing: float | None = None

    def value(self, table: RunTable) -> float | None:
        """Sum over count."""
        return self.of_sums(self.terms.of(table))

    def of_sums(self, sums: Sums) -> float | None:
        """The same from the sums of each image."""
        total, count = np.stack(sums, axis=1).sum(axis=0)
        return float(total / count) if count else self.of_nothing

    def paired(self, runs: TwoRuns) -> Paired | None:
        """Over the values that both runs know."""
        sums, count = self.terms.of_both(runs)
        counts = runs.counted(count)
        return Paired((sums, counts), quotient, quotient, counts[0][:, 0])


@dataclass(frozen=True, slots=True)
class RootMean(Mean):
    """Square root of the mean of the known values, none of which is negative."""

    def of_sums(self, sums: Sums) -> float | None:
        """The same from the sums of each image."""
        mean = Mean.of_sums(self, sums)
        return None if mean is None else math.sqrt(mean)

    def paired(self, runs: TwoRuns) -> Paired | None:
        """Over the values that both runs know."""
        sums, count = self.terms.of_both(runs)
        counts = runs.counted(count)
        return Paired((sums, counts), _root, _root, counts[0][:, 0])


def _root(sums: Floats) -> Floats:
    return np.sqrt(quotient(sums))


@dataclass(frozen=True, slots=True)
class Total:
    """Sum of the known values, a whole number."""

    terms: Terms

    def value(self, table: RunTable) -> float | None:
        """The sum."""
        return self.of_sums(self.terms.of(table))

    def of_sums(self, sums: Sums) -> float | None:
        """The same from the sums of each image."""
        return int(sums[0].sum())

    def paired(self, runs: TwoRuns) -> Paired | None:
        """Over the values that both runs know."""
        return Paired(
            (self.terms.of_both(runs)[0],), whole, whole, runs.counted(np.ones(len(runs.a)))[0][:, 0]
        )


@dataclass(frozen=True, slots=True)
class Pooled:
    """A function of all known values together, `[M]`, which no sums over images tell."""

    terms: Terms
    reduce: Callable[[Floats], float]

    def value(self, table: RunTable) -> float | None:
        """None where nothing is known."""
        known = self.terms.pooled(table)
        return None if known is None else float(self.reduce(known))

    def paired(self, _: TwoRuns) -> Paired | None:
        """Never."""
        return None


@dataclass(frozen=True, slots=True)
class Told:
    """A number that the whole table tells at once."""

    value: Callable[[RunTable], float | None]

    def paired(self, _: TwoRuns) -> Paired | None:
        """Never."""
        return None


@dataclass(frozen=True, slots=True)
class ToldWithInterval:
    """A number that the whole table tells at once, with its own 95 % interval, from `fewest` units on."""

    told: Callable[[RunTable], tuple[float, Interval] | None]
    fewest: int

    def value(self, table: RunTable) -> float | None:
        """The number; None where it is not known."""
        found = self.told(table)
        return None if found is None else found[0]

    def interval(self, table: RunTable) -> Interval | None:
        """Its interval."""
        found = self.told(table)
        return None if found is None else found[1]

    def paired(self, _: TwoRuns) -> Paired | None:
        """Never."""
        return None


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile of all known values together.

    Two runs are told apart by their shares of values at or below the quantile of both together, which swaps
    of the runs leave as it is: the run that holds fewer has the higher quantile, by the excess over the
    density there. The density is that of the values between the levels that the share might as well have
    had, and it takes more than one unit beyond the level to tell two runs apart. Source: Woodruff, Journal of
    the American Statistical Association 47 (1952); Bahadur, Annals of Mathematical Statistics 37 (1966).
    """

    terms: Terms
    level: float

    def value(self, table: RunTable) -> float | None:
        """By linear interpolation between ranks; None where nothing is known."""
        known = self.terms.pooled(table)
        return None if known is None else float(np.quantile(known, self.level))

    def paired(self, runs: TwoRuns) -> Paired | None:
        """Over the values that both runs know."""
        found = runs.last(self.terms.sorted_in_both)
        if found is None:
            return None
        known, ordered = found
        count = count_by_image(known)
        a, b = (float(_at(values, np.array(self.level))) for values in ordered)
        pooled = np.sort(np.concatenate(ordered))
        middle = float(_at(pooled, np.array(self.level)))
        below = [by_image(np.asarray(self.terms.values(side) <= middle), known) for side in (runs.a, runs.b)]
        slope = _slope(pooled, self.level, _error_of_share(0.5 * (below[0] + below[1]), count, runs.units))
        counts = runs.counted(count)
        functions = [
            _Below(estimate, float(reached.sum() / count.sum()), slope)
            for estimate, reached in zip((a, b), below, strict=True)
        ]
        fewest = max(FEWEST_UNITS, math.ceil(round(1.2 / min(self.level, 1.0 - self.level), 6)))
        columns = (below[0][:, np.newaxis], below[1][:, np.newaxis]), counts
        return Paired(columns, functions[0], functions[1], counts[0][:, 0], by_shares=True, fewest=fewest)


@dataclass(frozen=True, slots=True)
class _Below:
    """A quantile from the number of values at or below that of both runs, and of all values."""

    estimate: float
    share: float
    slope: float

    def __call__(self, sums: Floats) -> Floats:
        """Sums `[..., 2]` to quantiles `[...]`, NaN where there is no value at all."""
        return np.asarray(self.estimate - (quotient(sums) - self.share) * self.slope)


def _error_of_share(reached: Floats, count: NDArray[np.int64], units: NDArray[np.int64]) -> float:
    """Standard error of the share of values reached, of units `[N]` that are independent."""
    share = reached.sum() / count.sum()
    by_unit = np.bincount(units, weights=reached - share * count)
    return float(np.sqrt(np.square(by_unit).sum()) / count.sum())


def _slope(ordered: Floats, level: float, error: float) -> float:
    """How fast the quantile rises with its level, over the levels within `error` times WITHIN_ERRORS."""
    reach = max(WITHIN_ERRORS * error, 1.0 / ordered.size)
    low, high = max(level - reach, 0.0), min(level + reach, 1.0)
    ends = _at(ordered, np.array([low, high]))
    return float((ends[1] - ends[0]) / (high - low))


def _at(ordered: Floats, level: Floats) -> Floats:
    """Quantiles of ascending values, as `np.quantile` interpolates them; NaN at a NaN."""
    place = level * (ordered.size - 1)
    below = np.where(np.isfinite(place), place, 0.0).astype(np.int64)
    above = np.minimum(below + 1, ordered.size - 1)
    return np.asarray(ordered[below] + (ordered[above] - ordered[below]) * (place - below))
