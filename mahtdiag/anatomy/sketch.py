"""What is drawn of a finding: points and lines over the spine that broke a rule."""

from dataclasses import dataclass
from enum import Enum, StrEnum, auto

import numpy as np
from numpy.typing import NDArray

from mahtdiag.schema.findings import Finding
from mahtdiag.schema.skeleton import CORNERS_PER_ENDPLATE, CORNERS_PER_VERTEBRA, Skeleton

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

    def corners(self, vertebra: int) -> Points:
        """The corners in file order, `[4, 2]`; of a last endplate the two that there are."""
        return self.points[CORNERS_PER_VERTEBRA * vertebra :][:CORNERS_PER_VERTEBRA]

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
