"""Lines, crossings and arcs in figure pixels."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.reports.overlay.scene import Box

Points = NDArray[np.float64]

# Sine of the smallest angle at which two lines are said to meet.
PARALLEL: Final = 1e-6
ARC_STEPS: Final = 12


def meeting_point(one: Points, other: Points) -> Points:
    """Where the lines through two segments `[2, 2]` meet, `[2]`; NaN where they are parallel or unknown."""
    along, across = one[1] - one[0], other[1] - other[0]
    turn = _cross(along, across)
    lengths = float(np.hypot(*along) * np.hypot(*across))
    if not abs(turn) > PARALLEL * lengths:
        return np.full(2, np.nan)
    share = _cross(other[0] - one[0], across) / turn
    return np.asarray(one[0] + share * along, dtype=np.float64)


def crossing_point(one: Points, other: Points) -> Points:
    """Where two segments `[2, 2]` cross, `[2]`; NaN where they do not."""
    at = meeting_point(one, other)
    inside = all(float((at - ends[0]) @ (at - ends[1])) <= 0 for ends in (one, other))
    return at if inside else np.full(2, np.nan)


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
    turn = float(np.arctan2(_cross(one, other), one @ other))
    angles = start + turn * np.linspace(0, 1, ARC_STEPS + 1)
    points = at + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.stack([points[:-1], points[1:]], axis=1)


def _cross(one: Points, other: Points) -> float:
    return float(one[0] * other[1] - one[1] * other[0])
