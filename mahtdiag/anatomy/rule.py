"""What an anatomical rule is: its limits, what it measures, how it puts a finding in words and pictures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, StrEnum, auto

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.geometry import Bools, Floats, Geometry, endplates_above
from mahtdiag.anatomy.limit import ROUNDING, Fires, LimitSpec
from mahtdiag.schema.records import Finding, RuleGroup
from mahtdiag.schema.skeleton import CORNERS_PER_ENDPLATE, CORNERS_PER_VERTEBRA, Region, Skeleton

Points = NDArray[np.float64]

PARALLEL = 1e-6
"""Sine of the smallest angle at which two lines are said to meet."""

SHORTEST = 1e-9
"""A line shorter than this has no direction."""


class Shape(Enum):
    """How a set of points is drawn: strokes `[N, 2, 2]`, one area `[corners, 2]`, or places `[N, 2]`.

    ANGLE: apex and a place on either leg, `[N, 3, 2]`. MEETING: two strokes `[2, 2, 2]`, carried on until
    they meet, with the angle there. BORDER: places `[N, 2]` outside the image, shown where they left it.
    """

    LINE = auto()
    DASHED = auto()
    BAR = auto()
    ARROW = auto()
    AREA = auto()
    CROSS = auto()
    RING = auto()
    SQUARE = auto()
    ANGLE = auto()
    MEETING = auto()
    BORDER = auto()


class Sign(StrEnum):
    """What a sketch shows, in the words of the legend."""

    ANGLE = "angle at which endplates meet"
    TILT = "endplate against its neighbours' tilt"
    OVERLAP = "overlap of neighbouring endplates"
    DOWN = "from upper to lower, as named"
    SIDEWAYS = "from left to right, as named"
    LENGTH = "length that a finding measures"
    CROSSING = "the outline crosses itself"
    EXPECTED = "where its neighbours put a corner"
    BORDER = "a keypoint lies beyond this border"
    COINCIDING = "keypoints that coincide"


@dataclass(frozen=True, slots=True)
class Sketch:
    """One finding's drawing, in the frame of the points it was made from.

    `sign` explains it in the legend; None where the text alone says it. `at` `[A, 2]`: what its text can
    point to, the best place first; MEETING and BORDER have their own, and with nothing drawn the text stands
    at the vertebra.
    """

    sign: Sign | None
    shapes: tuple[tuple[Shape, Points], ...]
    at: Points


@dataclass(frozen=True, slots=True)
class Spine:
    """One spine to sketch on: `points` `[K, 2]` in any frame, NaN where missing."""

    points: Points
    skeleton: Skeleton

    def vertebra(self, finding: Finding) -> int:
        """Number of the vertebra of a finding, of the upper one where it concerns two."""
        return self.skeleton.vertebrae.index(finding.vertebra.partition("/")[0])

    def endplate(self, number: int) -> Points:
        """Left and right end, `[2, 2]`; NaN beyond the last endplate."""
        first = CORNERS_PER_ENDPLATE * number
        ends = self.points[first : first + CORNERS_PER_ENDPLATE]
        return ends if len(ends) == CORNERS_PER_ENDPLATE else np.full((2, 2), np.nan)

    def upper(self, vertebra: int) -> int:
        """Number of the upper endplate of a vertebra, of the only one that it has."""
        return max(2 * vertebra - endplates_above(self.skeleton), 0)

    def lower(self, vertebra: int) -> int:
        """Number of the lower endplate of a vertebra."""
        return 2 * vertebra + 1 - endplates_above(self.skeleton)

    def corners(self, vertebra: int) -> Points:
        """The corners in file order, `[4, 2]`; of an endplate by itself the two that there are."""
        return np.asarray(self.points[self.skeleton.vertebra_index == vertebra], dtype=np.float64)

    def centre(self, vertebra: int) -> Points:
        """Middle of the corners that are known, `[2]`."""
        corners = self.corners(vertebra)
        return middle(corners[np.isfinite(corners).all(axis=1)])

    def extents(self, vertebra: int) -> Points:
        """Width and height between the middles of a body's sides and endplates, `[2, 2, 2]`."""
        corners = self.corners(vertebra)
        if len(corners) < CORNERS_PER_VERTEBRA:
            return np.full((2, 2, 2), np.nan)
        ends = ((corners[0::2], corners[1::2]), (corners[:2], corners[2:]))
        return np.array([[middle(one), middle(other)] for one, other in ends])


def middle(points: Points) -> Points:
    """Mean of places `[N, 2]`, `[2]`; NaN of none."""
    return points.mean(axis=0) if len(points) else np.full(2, np.nan)


def way(stroke: Points) -> Points:
    """Unit vector from the first to the second end of a stroke `[2, 2]`."""
    along = stroke[1] - stroke[0]
    return np.asarray(along / max(float(np.hypot(*along)), SHORTEST), dtype=np.float64)


def arrow(sign: Sign, start: Points, end: Points) -> Sketch:
    """An arrow from one place to another, its text at the middle."""
    ends = np.stack([start, end])
    return Sketch(sign, ((Shape.ARROW, ends[None]),), ends.mean(axis=0, keepdims=True))


def bars(strokes: Points, at: Points) -> Sketch:
    """Lengths `[N, 2, 2]` that a rule measures, its text at `at` `[2]`."""
    return Sketch(Sign.LENGTH, ((Shape.BAR, strokes),), at[None])


def meeting_point(one: Points, other: Points) -> Points:
    """Where the lines through two strokes `[2, 2]` meet, `[2]`; NaN where they are parallel or unknown."""
    along, across = one[1] - one[0], other[1] - other[0]
    turn = cross(along, across)
    lengths = float(np.hypot(*along) * np.hypot(*across))
    if not abs(turn) > PARALLEL * lengths:
        return np.full(2, np.nan)
    share = cross(other[0] - one[0], across) / turn
    return np.asarray(one[0] + share * along, dtype=np.float64)


def crossing_point(one: Points, other: Points) -> Points:
    """Where two strokes `[2, 2]` cross, `[2]`; NaN where they do not."""
    at = meeting_point(one, other)
    inside = all(float((at - ends[0]) @ (at - ends[1])) <= 0 for ends in (one, other))
    return at if inside else np.full(2, np.nan)


def cross(one: Points, other: Points) -> float:
    """Outer product of two vectors `[2]`."""
    return float(one[0] * other[1] - one[1] * other[0])


END_STRENGTH = 0.75
"""What a value at the end of the spine counts against its neighbours' in `peaks`.

An end that is off adds half of that to its neighbour's value; a neighbour that is off adds all of it to the
end's.
"""


@dataclass(frozen=True, slots=True)
class Places:
    """What the rows of a quantity stand for.

    `levels` `[R]`: index into the skeleton's `places`; `members` `[R, K]`: the keypoints of each.
    """

    levels: NDArray[np.int64]
    members: Bools

    def __getitem__(self, rows: slice) -> "Places":
        return Places(self.levels[rows], self.members[rows])

    @staticmethod
    def vertebrae(skeleton: Skeleton) -> "Places":
        """All vertebrae, each with its keypoints."""
        levels = np.arange(len(skeleton.vertebrae))
        return Places(levels, skeleton.vertebra_index == levels[:, None])

    @staticmethod
    def bodies(skeleton: Skeleton) -> "Places":
        """The vertebrae with four corners."""
        first = endplates_above(skeleton)
        return Places.vertebrae(skeleton)[slice(first, first + len(skeleton.bodies))]

    @staticmethod
    def pairs(skeleton: Skeleton) -> "Places":
        """Neighbouring vertebrae, with the keypoints of both."""
        single = Places.vertebrae(skeleton)
        levels = single.levels.size + single.levels[:-1]
        return Places(levels, single.members[:-1] | single.members[1:])

    @staticmethod
    def discs(skeleton: Skeleton) -> "Places":
        """Neighbouring vertebrae, with the keypoints of the two endplates that face each other."""
        count = len(skeleton.vertebrae)
        upper = np.arange(count - 1)
        # Counted from the first body, an endplate faces the disc below its vertebra where its number is odd.
        number = np.arange(skeleton.keypoints) // CORNERS_PER_ENDPLATE + endplates_above(skeleton)
        disc = (number + 1) // 2 - 1
        return Places(count + upper, disc == upper[:, None])

    @staticmethod
    def endplates(skeleton: Skeleton) -> "Places":
        """All endplates, under the name of their vertebra."""
        numbers = np.arange(skeleton.endplates)
        members = np.arange(skeleton.keypoints) // CORNERS_PER_ENDPLATE == numbers[:, None]
        return Places(skeleton.vertebra_index[::CORNERS_PER_ENDPLATE], members)


@dataclass(frozen=True, slots=True)
class Quantity:
    """One quantity, to be held against the limit `key`, or against that of the region of each place.

    `values` `[R, n]`, NaN where it cannot be measured; `places`: what the rows stand for, and whom a finding
    blames; of these keypoints those alone that are annotated, or that `points` `[K, n]` names.
    """

    key: str
    values: Floats
    places: Places
    points: Bools | None = None

    def rows(self, chosen: Bools) -> "Quantity":
        """The values at some of its places alone."""
        places = Places(self.places.levels[chosen], self.places.members[chosen])
        return replace(self, values=self.values[chosen], places=places)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule with its permanent code, and all there is to know of it.

    `meaning` says what a violation tells, `formula` what is measured. `measure`: from the geometry of many
    images, and this rule's limits by key, to the quantities held against them. `sentence`: what is wrong, of
    one finding and the limit it breaks, to follow the name of the place; a text holds the amounts in braces
    (see `say`). `names_points`: the place is that of the blamed corners, not the level. `sketch`: what is
    drawn of a finding over its spine, None where nothing can be.
    """

    code: str
    group: RuleGroup
    title: str
    meaning: str
    formula: str
    limits: tuple[LimitSpec, ...]
    measure: Callable[[Geometry, Mapping[str, float]], tuple[Quantity, ...]]
    sentence: str | Callable[[Finding, LimitSpec], str]
    sketch: Callable[[Spine, Finding], Sketch | None]
    names_points: bool = False

    def say(self, finding: Finding, limit: LimitSpec) -> str:
        """What is wrong, with the value of the finding and of an ordinary spine.

        In a text `value` stands for the value, `below` for how far it lies below 0, `degrees` for an angle,
        `usual` and `usual_degrees` for an ordinary spine's.
        """
        if not isinstance(self.sentence, str):
            return self.sentence(finding, limit)
        return self.sentence.format(
            value=amount(finding.value),
            below=amount(-finding.value),
            degrees=degrees(finding.value),
            usual=amount(limit.typical),
            usual_degrees=degrees(limit.typical),
        )

    def limit_of(self, finding: Finding, skeleton: Skeleton) -> LimitSpec:
        """The limit that a finding breaks: in its unit, of its place, on its side."""
        at_last = finding.vertebra.rpartition("/")[-1] == skeleton.last_endplate
        limits = [limit for limit in self.limits if limit.unit == finding.unit]
        for region in (Region.of(finding.vertebra), None):
            limits = [limit for limit in limits if limit.region is region] or limits
        limits = [limit for limit in limits if limit.last and at_last] or limits
        for limit in limits:
            if (limit.fires is Fires.ABOVE) == (finding.value > finding.limit):
                return limit
        return limits[0]


def first_keypoints(skeleton: Skeleton) -> list[int]:
    """Index of the first keypoint of each vertebra: where `reduceat` begins a new one."""
    return [0, *(np.flatnonzero(np.diff(skeleton.vertebra_index)) + 1).tolist()]


def peaks(values: Floats, step: int, strengths: Floats | None = None) -> Floats:
    """Values `[R, n]` whose strength none `step` rows before or after exceeds; NaN in place of the others.

    A point that is off by d moves what its neighbours are held against: without this it would accuse them
    too. `strengths` are the values themselves where not given. Those that differ by rounding alone are equal.
    """
    strengths = values if strengths is None else strengths
    kept = values.copy()
    beaten = strengths * (1.0 + ROUNDING)
    kept[step:][strengths[:-step] > beaten[step:]] = np.nan
    kept[:-step][strengths[step:] > beaten[:-step]] = np.nan
    return kept


def amount(value: float) -> str:
    """A measured value as a sentence carries it: one decimal, two below 1/10, none from 100."""
    size = abs(value)
    if size >= 1e6:
        return f"{value:.1e}"
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 0.095 or value == 0 else f"{value:.2f}"


def degrees(value: float) -> str:
    """An angle as a sentence carries it."""
    return f"{value:.0f}°"


def usual(limit: LimitSpec) -> str:
    """The value of an ordinary spine as a sentence carries it."""
    return f"usual {amount(limit.typical)}"
