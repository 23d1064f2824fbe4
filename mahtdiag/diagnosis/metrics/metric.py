"""A number of a run, said once: its name and words, what it can be, how a table of a run yields it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from mahtdiag.diagnosis.columns import ColumnNotReadError
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.worst_images import Ranking, WorstImages
from mahtdiag.schema.skeleton import CORNERS, Skeleton
from mahtdiag.statistics.intervals import FEWEST, FEWEST_OF_SQUARES, fewest_for

if TYPE_CHECKING:
    from mahtdiag.diagnosis.metrics.measures import Measure, Paired, TwoRuns

Number = TypeVar("Number", bound=np.generic)

Images = Callable[[RunTable], Ranking | WorstImages | None]
"""The images that make a number of a table what it is."""

ERRORS = "metrics"
"""Numbers of this section may be named without it: `radial_error_mm.mean`, `sdr_mm.4`."""


EXAMPLE = -1
"""A `proposed` of numbers of which the worst serves as an example of a gate."""


class Key(str):
    """A part of a path that is the key of a table (`L5`, `A201`, `2.5`), not the field of a record."""

    __slots__ = ()


class Better(StrEnum):
    """Which way a number is better; NEITHER where it has a best value in between, or none."""

    LOWER = "lower"
    HIGHER = "higher"
    NEITHER = "neither"


class IntervalKind(StrEnum):
    """How the 95 % interval of a number is made (see `statistics.intervals`).

    MEAN: of a mean or of what is nearly one; SQUARES: of a mean of squares, which needs more units; SHARE,
    QUANTILE; GAP: of a distance, which noise pushes up.
    """

    NONE = "none"
    MEAN = "mean"
    SQUARES = "squares"
    SHARE = "share"
    QUANTILE = "quantile"
    GAP = "gap"

    @property
    def fewest(self) -> int:
        """Units, patients or images, below which no such interval is given; of the median for quantiles."""
        if self is IntervalKind.SHARE:
            return 1
        return FEWEST_OF_SQUARES if self is IntervalKind.SQUARES else FEWEST


class Compared(StrEnum):
    """Whether two runs are compared by a number.

    Whatever is asked for, where both know millimetres, where it is named, or never.
    """

    ALWAYS = "always"
    IN_MM = "in mm"
    ASKED = "asked"
    NEVER = "never"


class GroupKind(StrEnum):
    """What a number is about."""

    ALL = "all"
    REGION = "region"
    VERTEBRA = "vertebra"
    CORNER = "corner"
    RULE = "rule"
    ERROR_TYPE = "error type"


@dataclass(frozen=True, slots=True)
class Group:
    """What a number is about, by name, and the indices of the keypoints that it is about."""

    kind: GroupKind
    name: str
    keypoints: tuple[int, ...]

    def of(self, values: NDArray[Number]) -> NDArray[Number]:
        """The values of its keypoints, `[N, K, …]` to `[N, k, …]`, without a copy where these are all."""
        if len(self.keypoints) == values.shape[1]:
            return values
        return values[:, self.keypoints]


def everything(skeleton: Skeleton) -> Group:
    """All keypoints."""
    return Group(GroupKind.ALL, "", tuple(range(skeleton.keypoints)))


def regions(skeleton: Skeleton) -> tuple[Group, ...]:
    """One group per region of the spine, from above; none where the skeleton has one alone."""
    return tuple(
        Group(GroupKind.REGION, str(region), tuple(skeleton.keypoints_in(region).tolist()))
        for region in skeleton.regions_apart
    )


def vertebrae(skeleton: Skeleton) -> tuple[Group, ...]:
    """One group per vertebra, from above."""
    return tuple(
        Group(GroupKind.VERTEBRA, name, tuple(skeleton.keypoints_of(name).tolist()))
        for name in skeleton.vertebrae
    )


def corners(skeleton: Skeleton) -> tuple[Group, ...]:
    """One group per corner."""
    return tuple(
        Group(GroupKind.CORNER, name, tuple(skeleton.keypoints_at(name).tolist())) for name in CORNERS
    )


@dataclass(frozen=True, slots=True)
class Need:
    """What a run has to know for a number: what to do where it does not, and what two runs then lack."""

    advice: str
    of_both: str


@dataclass(frozen=True)
class Metric:
    """A number of `run.json`.

    `path`: where `run.json` has it. `label`: its words in tables, `short` in
    comparisons, where they are others. `unit`:
    `px`, `mm`, `share` (0..1), `count`, `s` or empty. `least`, `most`: the range of possible values, None
    where it is open. `measure`: how a run's table yields it, None where it is told by other means.
    `interval_path`: where `run.json` has its interval, None for `NAME_ci95` beside it. `behind`: the images
    that make it what it is, None where no image stands for it. `table`: title of the table that a comparison
    shows it in. `proposed`: the place of its gate among those that `init` proposes, 0: none. `required`: a
    run without it is damaged. `sparse`: runs in both of which it is 0 are not compared by it.
    """

    path: tuple[str, ...]
    label: str
    group: Group
    better: Better
    least: float | None = 0.0
    most: float | None = None
    unit: str = ""
    measure: "Measure | None" = None
    interval: IntervalKind = IntervalKind.NONE
    interval_path: tuple[str, ...] | None = None
    behind: Images | None = None
    need: Need | None = None
    short: str = ""
    table: str = ""
    compared: Compared = Compared.NEVER
    proposed: int = 0
    required: bool = False
    sparse: bool = False

    @cached_property
    def name(self) -> str:
        """How gates, tables and the command line name it: its path without `metrics`."""
        return ".".join(self.path[1:] if self.section == ERRORS else self.path)

    @cached_property
    def name_in_group(self) -> str:
        """Its name within its group: `radial_error_px.mean`; empty where it has none there."""
        keys = [place for place, part in enumerate(self.path) if part == self.group.name]
        return ".".join(self.path[keys[0] + 1 :]) if keys else self.name

    @property
    def section(self) -> str:
        """The section of `run.json` that holds it."""
        return self.path[0]

    @property
    def fewest(self) -> int:
        """Units, patients or images, below which it has no interval."""
        level, own = getattr(self.measure, "level", None), getattr(self.measure, "fewest", None)
        if isinstance(own, int):
            return own
        return self.interval.fewest if level is None else fewest_for(level)

    def value(self, table: RunTable) -> float | None:
        """The number of a run; None where it does not know it."""
        try:
            return None if self.measure is None else self.measure.value(table)
        except ColumnNotReadError:
            return None

    def paired(self, runs: "TwoRuns") -> "Paired | None":
        """The number of two runs; None where they are not compared by it, or one does not know it."""
        if self.measure is None or self.compared is Compared.NEVER:
            return None
        try:
            return self.measure.paired(runs)
        except ColumnNotReadError:
            return None

    def worst_images(self, table: RunTable, too_high: bool) -> WorstImages | None:
        """The images that push it away from its limit; None where there is none to name."""
        return worst_of(self.behind, table, too_high)

    @property
    def place_of_interval(self) -> tuple[str, ...]:
        """Where `run.json` has its interval."""
        return self.interval_path or (*self.path[:-1], f"{self.path[-1]}_ci95")

    @property
    def range_in_words(self) -> str:
        """What the number can be."""
        if self.unit == "share":
            return "is a share from 0 to 1, and 95 % is written 0.95"
        if self.least is not None and self.most is not None:
            return f"lies between {self.least:g} and {self.most:g}"
        return f"is never below {self.least:g}" if self.least is not None else "can be any number"


def worst_of(behind: Images | None, table: RunTable, too_high: bool) -> WorstImages | None:
    """The first of the images behind a number that is too high, or too low."""
    found = None if behind is None else behind(table)
    return found.worst(too_high) if isinstance(found, Ranking) else found


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval (None where it has none) and how many values it rests on."""

    value: float
    ci95: tuple[float, float] | None = None
    count: int = 0
