"""Rectangles, lines and arcs in figure pixels."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.sketch import cross

Points = NDArray[np.float64]

ARC_STEPS: Final = 12


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in figure pixels, y down."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    def inset(self, margin: float) -> "Box":
        """The rectangle without a margin on all sides."""
        return Box(self.left + margin, self.top + margin, self.right - margin, self.bottom - margin)

    @property
    def corners(self) -> Points:
        """The four corners in turn, `[4, 2]`."""
        x0, y0, x1, y1 = self.left, self.top, self.right, self.bottom
        return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])

    @staticmethod
    def around(x: float, y: float, width: float, height: float) -> "Box":
        """The rectangle of this size with its centre at (x, y)."""
        return Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)

    def shared_area(self, other: "Box") -> float:
        """Area of the overlap with another rectangle."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(width, 0.0) * max(height, 0.0)

    def contains(self, points: Points) -> NDArray[np.bool_]:
        """Whether each of `[N, 2]` points lies inside; a missing point (NaN) does not."""
        x, y = points[:, 0], points[:, 1]
        return (x >= self.left) & (x <= self.right) & (y >= self.top) & (y <= self.bottom)


def extended(segment: Points, to: Points) -> Points:
    """The segment `[2, 2]` made longer so that it holds a point of its line; as it is where that is NaN."""
    if not np.isfinite(to).all():
        return segment
    along = segment[1] - segment[0]
    share = float((to - segment[0]) @ along / (along @ along))
    return np.stack([segment[0] + min(share, 0.0) * along, segment[0] + max(share, 1.0) * along])


def clipped(segment: Points, box: Box) -> Points:
    """The part of a segment `[2, 2]` inside the box, NaN where there is none (Liang and Barsky, 1984)."""
    along = segment[1] - segment[0]
    low, high = np.array([box.left, box.top]), np.array([box.right, box.bottom])
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        shares = np.stack([(low - segment[0]) / along, (high - segment[0]) / along])
    still = along == 0
    within = (segment[0] >= low) & (segment[0] <= high)
    enter = np.where(still, np.where(within, -np.inf, np.inf), shares.min(axis=0)).max()
    leave = np.where(still, np.where(within, np.inf, -np.inf), shares.max(axis=0)).min()
    first, last = max(float(enter), 0.0), min(float(leave), 1.0)
    if not first <= last:
        return np.full((2, 2), np.nan)
    return np.stack([segment[0] + first * along, segment[0] + last * along])


def arc(at: Points, one: Points, other: Points, radius: float) -> Points:
    """Strokes `[N, 2, 2]` of an arc about a point, between two directions at most 180° apart."""
    start = float(np.arctan2(one[1], one[0]))
    turn = float(np.arctan2(cross(one, other), one @ other))
    angles = start + turn * np.linspace(0, 1, ARC_STEPS + 1)
    points = at + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.stack([points[:-1], points[1:]], axis=1)


def exit_point(start: Points, end: Points, box: Box) -> Points:
    """Where the way from `start` to `end` (outside the box) leaves it; a start outside is first moved in."""
    low, high = np.array([box.left, box.top]), np.array([box.right, box.bottom])
    inside = np.clip(start, low, high)
    along = end - inside
    limits = np.where(along > 0, high - inside, low - inside)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        share = np.where(along != 0, limits / along, np.inf)
    return np.asarray(inside + along * min(1.0, float(share.min())), dtype=np.float64)
