"""One test for every paired number: the signs of what each unit contributes to the difference are flipped.

If two runs are equally good, it is chance which of them did better on a patient: swapping both runs there
flips the sign of what that patient contributes, and leaves everything else as likely as before. The share
of all flips whose statistic is as extreme as the one that was seen is therefore a p-value at any number of
units; the differences for which it is not small make the interval, so that p < 0.05 exactly where 0 lies
outside.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Interval = tuple[float, float]

SEED = 0
FLIPS = 5000
FEWEST_FLIPS = 1000
UNSEEN = 4
"""So many units stand for what was not seen: with them, the upper end of a count of 0 is about 4."""

# Flips times units: beyond, fewer flips are drawn.
_MOST_DRAWN = 20_000_000
# All flips of so few units are tried.
_EXACT_UNITS = 11
_UNITS_AT_ONCE = 1024
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Contributions:
    """What U units contribute to the difference of a number in two runs.

    `value` `[U]` adds up to the difference; `weight` `[U]` is each unit's share of the number, 1 in all.
    `unseen`: of what is counted and may be rare, how much one more of it adds to the number, otherwise 0.
    """

    value: Floats
    weight: Floats
    unseen: float = 0.0


@dataclass(frozen=True)
class SignFlipTest:
    """Test and interval of one difference.

    The statistic is Student's t, which ranks the flips as their sum does, since their sum of squares is
    always the same. A flip is as extreme as what was seen, for hypotheses on one side of the difference, up
    to the mean of the flipped units or that of the others, whichever is further away; the ends of the
    interval are quantiles of these. Sources: Fisher, The Design of Experiments (1935); Hartigan, Journal of
    the American Statistical Association 64 (1969), for the interval; Romano, ibid. 85 (1990), for what is not
    symmetric.

    Of what is counted, units that were not seen are flipped as well where the hypothesis asks for more of it
    than was seen; it does not between 0 and the difference, where the test is that of McNemar.

    `value`, `square`, `cross` and `weight`: sums over units of the values, and of products with the weights.
    `flipped`, `flipped_weight` and `flipped_unseen` `[F]`: sums of each with some signs flipped.
    """

    value: float
    square: float
    cross: float
    weight: float
    units: int
    unseen: float
    flipped: Floats
    flipped_weight: Floats
    flipped_unseen: Floats
    is_exact: bool

    @property
    def standard_error(self) -> float:
        """Of the difference, in its unit; with what was not seen."""
        around = self._square(self.value) + UNSEEN * self.unseen**2
        return float(np.sqrt(max(around, 0.0) * self.units / max(self.units - 1, 1)))

    def p_value(self, difference: float = 0.0) -> float:
        """Two-sided p-value of the hypothesis that the difference is this one."""
        if self.value == difference:
            return 1.0
        place = 0 if difference < self.value else 1
        plain = self._p(self._ends[place], place, difference)
        between = min(0.0, self.value) <= difference <= max(0.0, self.value)
        return plain if between else max(plain, self._p(self._ends_with_unseen[place], place, difference))

    def interval(self, level: float = 0.05) -> Interval:
        """All differences whose p-value is at least this, from the lowest to the highest."""
        plain = [self._end(self._ends[place], place, level) for place in (0, 1)]
        wide = [self._end(self._ends_with_unseen[place], place, level) for place in (0, 1)]
        low = plain[0] if plain[0] > 0.0 else min(plain[0], wide[0])
        high = plain[1] if plain[1] < 0.0 else max(plain[1], wide[1])
        return low, high

    @cached_property
    def _ends(self) -> tuple[Floats, Floats]:
        return self._extreme_until(self.flipped)

    @cached_property
    def _ends_with_unseen(self) -> tuple[Floats, Floats]:
        if self.unseen == 0.0:
            return self._ends
        # Either sign of what was not seen is as likely, and swapped runs get the mirrored interval.
        both = [self._extreme_until(self.flipped + sign * self.flipped_unseen) for sign in (1.0, -1.0)]
        lowest, highest = (np.concatenate(each) for each in zip(*both, strict=True))
        return lowest, highest

    def _extreme_until(self, flipped: Floats) -> tuple[Floats, Floats]:
        """The lowest and the highest hypothesis `[F]` for which each flip is as extreme as what was seen."""
        with np.errstate(divide="ignore", invalid="ignore"):
            one = _whole(self.value + flipped, self._tolerance) / _whole(1.0 + self.flipped_weight)
            other = _whole(self.value - flipped, self._tolerance) / _whole(1.0 - self.flipped_weight)
        # All or no units flipped: what was seen itself, which is always as extreme.
        none = np.isnan(one) | np.isnan(other)
        return np.where(none, -np.inf, np.fmin(one, other)), np.where(none, np.inf, np.fmax(one, other))

    @property
    def _tolerance(self) -> float:
        return _ROUNDING * float(np.sqrt(self.square))

    def _end(self, ends: Floats, place: int, level: float) -> float:
        # As many flips as extreme as make up the level, the one that was seen among them.
        needed = level * ends.size if self.is_exact else level * (ends.size + 1) - 1.0
        rank = int(np.ceil(needed - _ROUNDING)) - 1
        sign = (1.0, -1.0)[place]
        end = sign * float(np.partition(sign * ends, rank)[rank])
        return 0.0 if abs(end) <= self._tolerance else end

    def _p(self, ends: Floats, place: int, difference: float) -> float:
        sign = (1.0, -1.0)[place]
        extreme = int(np.count_nonzero(sign * ends <= sign * difference + self._tolerance))
        if self.is_exact:
            return extreme / ends.size
        found = (1 + extreme) / (1 + ends.size)
        if extreme:
            return found
        # Hoeffding's bound, where no flip drawn is as extreme.
        seen = abs(self.value - difference)
        return min(found, 2.0 * float(np.exp(-0.5 * seen**2 / self._square(difference))))

    def _square(self, difference: float) -> float:
        """Sum of squares about a hypothesis."""
        return self.square - 2.0 * difference * self.cross + difference**2 * self.weight


def _whole(sums: Floats, tolerance: float = _ROUNDING) -> Floats:
    """The same with what is left over by rounding as 0."""
    return np.where(np.abs(sums) <= tolerance, 0.0, sums)


def sign_flip_tests(numbers: Sequence[Contributions], seed: int = SEED) -> tuple[SignFlipTest, ...]:
    """Tests of many numbers over the same units, by the same flips.

    All flips of up to 11 units are tried; of more, 5,000 are drawn (1,000 of very many units), and their
    opposites count with them. The same seed gives the same flips.
    """
    if not numbers:
        return ()
    units = len(numbers[0].value)
    weights = {id(each.weight): each.weight for each in numbers}
    places = {key: place for place, key in enumerate(weights)}
    values = [*(each.value for each in numbers), *weights.values()]
    chosen, total = np.zeros((_flips(units), len(values))), np.zeros(len(values))
    for some, flipped in _chosen(units, len(chosen), seed):
        columns = np.stack([each[some] for each in values], axis=1)
        chosen += flipped @ columns
        total = np.concatenate([total[np.newaxis], columns]).sum(axis=0)
    drawn = total - 2.0 * chosen
    unseen = _unseen(units, len(chosen), seed)
    return tuple(
        SignFlipTest(
            value=float(each.value.sum()),
            square=float(np.square(each.value).sum()),
            cross=float((each.value * each.weight).sum()),
            weight=float(np.square(each.weight).sum()),
            units=int(np.count_nonzero((each.weight != 0.0) | (each.value != 0.0))),
            unseen=each.unseen,
            flipped=drawn[:, place],
            flipped_weight=drawn[:, len(numbers) + places[id(each.weight)]],
            flipped_unseen=each.unseen * unseen,
            is_exact=units <= _EXACT_UNITS,
        )
        for place, each in enumerate(numbers)
    )


def _flips(units: int) -> int:
    """How many flips are tried; all of them, with those of what was not seen, where the units are few."""
    if units <= _EXACT_UNITS:
        return 1 << (units + UNSEEN - 1)
    return int(np.clip(_MOST_DRAWN // units, FEWEST_FLIPS, FLIPS))


def _chosen(units: int, flips: int, seed: int) -> Iterator[tuple[slice, Floats]]:
    """Which units are flipped, some units `[flips, n]` at a time."""
    rng = np.random.default_rng(seed)
    for first in range(0, units, _UNITS_AT_ONCE):
        some = slice(first, min(first + _UNITS_AT_ONCE, units))
        if units <= _EXACT_UNITS:
            yield some, (np.arange(flips)[:, np.newaxis] >> np.arange(units) & 1).astype(np.float64)
        else:
            yield some, rng.integers(0, 2, (flips, some.stop - first), dtype=np.uint8).astype(np.float64)


def _unseen(units: int, flips: int, seed: int) -> Floats:
    """Sums `[flips]` of units of 1 that were not seen, with some signs flipped."""
    if units <= _EXACT_UNITS:
        signs = np.arange(flips)[:, np.newaxis] >> (units + np.arange(UNSEEN)) & 1
    else:
        signs = np.random.default_rng([seed, 1]).integers(0, 2, (flips, UNSEEN))
    return np.asarray(UNSEEN - 2.0 * signs.sum(axis=1))
