"""Anatomy of a random spine: where every vertebra lies, before anything is drawn; here a lumbar one.

Lengths are in image heights, y points down. The spine is built from the sacrum upwards, each vertebra put on
the upper endplate of the one below, which makes the order of the levels and the size of a slip exact by
construction.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.radiographs.drawing import Points

View = Literal["AP", "LA"]

LUMBAR = ("L1", "L2", "L3", "L4", "L5")
_BUILT = ("L5", "L4", "L3", "L2", "L1", "T12", "T11", "T10", "T9")
_SHRINK = {"T12": 0.93, "T11": 0.88, "T10": 0.84, "T9": 0.81}

LEFT_SLIP, RIGHT_SLIP, ANTEROLISTHESIS, RETROLISTHESIS = 1, 2, 3, 4


@dataclass(frozen=True, slots=True)
class Vertebra:
    """One vertebral body: corners UL, UR, LL, LR, shape [4, 2], and what makes it hard to read."""

    name: str
    corners: Points
    waist: float
    concavity: float
    osteophytes: NDArray[np.float64]
    """Size of the bony spur at each corner, in body heights; shape [4]."""
    ghost: Points
    """Offset of the second contour that a rotated or tilted body shows; shape [2]."""
    ghost_weight: float

    def at(self, local: Points) -> Points:
        """Image place of body coordinates: u from -1 (left) to 1 (right), v from -1 (upper) to 1 (lower)."""
        u, v = local[:, :1], local[:, 1:]
        upper = self.corners[0] * (1.0 - u) + self.corners[1] * (1.0 + u)
        lower = self.corners[2] * (1.0 - u) + self.corners[3] * (1.0 + u)
        return np.asarray(0.25 * (upper * (1.0 - v) + lower * (1.0 + v)))

    @property
    def centre(self) -> Points:
        """Mean of the corners; shape [2]."""
        return np.asarray(self.corners.mean(axis=0))

    @property
    def height(self) -> float:
        """Mean height of the body."""
        (ax, ay), (bx, by), (cx, cy), (dx, dy) = self.corners.tolist()
        return 0.5 * (math.hypot(cx - ax, cy - ay) + math.hypot(dx - bx, dy - by))

    @property
    def width(self) -> float:
        """Mean width of the body."""
        (ax, ay), (bx, by), (cx, cy), (dx, dy) = self.corners.tolist()
        return 0.5 * (math.hypot(bx - ax, by - ay) + math.hypot(dx - cx, dy - cy))


@dataclass(frozen=True, slots=True)
class Spine:
    """Everything the painters need to know: vertebrae L1 down, thoracic ones T12 up, the sacrum, the neck."""

    view: View
    aspect: float
    anterior: int
    """LA: +1 when the patient faces the right border, -1 the left one; AP: +1."""
    lumbar: tuple[Vertebra, ...]
    thoracic: tuple[Vertebra, ...]
    s1: Points
    """Left and right end of the upper endplate of S1; shape [2, 2]."""
    slips: tuple[int, ...]
    """Listhesis code of L1..L5."""
    slip_share: tuple[float, ...]
    """Displacement of L1..L5 along the endplate below, as a share of its length, positive towards +x."""
    hardness: float
    whole: bool = False
    """Whether the thoracic vertebrae are annotated, too."""
    cervical: tuple[Vertebra, ...] = ()
    """Of a whole spine: C7 up."""

    @property
    def annotated(self) -> tuple[Vertebra, ...]:
        """The vertebrae that are annotated, from above."""
        return (*self.thoracic[::-1], *self.lumbar) if self.whole else self.lumbar

    @property
    def size(self) -> float:
        """Typical body height: the length that the details are proportional to."""
        return sorted(vertebra.height for vertebra in self.lumbar)[2]

    @property
    def keypoints(self) -> Points:
        """Corners in the order of the annotation; shape [20, 2] for AP, [22, 2] for LA, [68, 2] for whole."""
        corners = np.concatenate([vertebra.corners for vertebra in self.annotated])
        return corners if self.view == "AP" else np.concatenate([corners, self.s1])

    @property
    def listhesis(self) -> tuple[int, ...]:
        """One code per annotated endplate."""
        thoracic = (0,) * (len(self.annotated) - len(self.slips))
        rows = tuple(code for code in (*thoracic, *self.slips) for _ in range(2))
        return rows if self.view == "AP" else (*rows, 0)


@dataclass(frozen=True, slots=True)
class Plan:
    """Numbers of a spine still without place: index 0 is L5, then upwards; tilts clockwise, in radians.

    Lengths are in mean heights of a lumbar body, slips in shares of the endplate below.
    """

    tilt: NDArray[np.float64]
    s1_tilt: float
    wedge: NDArray[np.float64]
    width: NDArray[np.float64]
    height: NDArray[np.float64]
    disc: NDArray[np.float64]
    slip: NDArray[np.float64]
    s1_width: float


def sample_spine(view: View, rng: np.random.Generator) -> Spine:
    """Draw a random spine of either view."""
    aspect = float(rng.uniform(0.55, 0.80))
    hardness = float(rng.uniform(0.6, 1.0) if rng.random() < 0.25 else rng.uniform(0.0, 0.4))
    anterior = -1 if view == "LA" and rng.random() < 0.2 else 1
    plan = _plan_ap(rng, hardness) if view == "AP" else _plan_la(rng, anterior, hardness)
    bodies, s1 = stack(plan, anterior if view == "LA" else 0)
    bodies, s1 = _place(bodies, s1, aspect, view, anterior, rng)
    vertebrae = tuple(
        finish(name, corners, hardness, rng) for name, corners in zip(_BUILT, bodies, strict=True)
    )
    share = tuple(float(value) for value in plan.slip[4::-1])
    codes = tuple(slip_code(view, value * anterior) for value in share)
    return Spine(view, aspect, anterior, vertebrae[4::-1], vertebrae[5:], s1, codes, share, hardness)


def slip_code(view: View, share: float) -> int:
    if abs(share) < 0.06:
        return 0
    if view == "AP":
        return RIGHT_SLIP if share > 0 else LEFT_SLIP
    return ANTEROLISTHESIS if share > 0 else RETROLISTHESIS


def _proportions(rng: np.random.Generator, ratio: float, growth: float) -> tuple[NDArray[np.float64], ...]:
    """Heights, widths and disc heights from L5 up to T9, the mean lumbar height being 1."""
    levels = np.arange(len(_BUILT))
    shrink = np.array([_SHRINK.get(name, 1.0) for name in _BUILT])
    height = (1.0 + 0.015 * (2 - levels)) * (1.0 + 0.03 * rng.normal(size=levels.size)) * shrink
    width = (
        ratio * (1.0 + growth * (2 - np.minimum(levels, 4))) * (1.0 + 0.015 * rng.normal(size=levels.size))
    )
    width *= np.where(levels > 4, shrink, 1.0)
    disc = (
        rng.uniform(0.27, 0.42) * (1.0 + 0.05 * (1.5 - levels)) * (1.0 + 0.08 * rng.normal(size=levels.size))
    )
    narrow = rng.random(levels.size) < np.where(levels < 3, 0.10, 0.02)
    disc = np.where(narrow, 0.55 * disc, disc) * np.where(levels > 4, 0.7, 1.0)
    return height, width, disc


def _plan_ap(rng: np.random.Generator, hardness: float) -> Plan:
    count = len(_BUILT)
    height, width, disc = _proportions(rng, float(rng.uniform(1.40, 1.75)), 0.045)
    s1_tilt = math.radians(rng.normal() * 2.0 + rng.uniform(-1.0, 1.0) * 3.0)
    cobb = math.radians(rng.uniform(10.0, 25.0) if rng.random() < 0.3 else rng.uniform(0.0, 9.0))
    steps = np.linspace(0.0, 1.0, count) * rng.uniform(0.9, 1.5) + rng.uniform(0.0, 1.0)
    tilt = s1_tilt + 0.5 * cobb * np.sin(2.0 * math.pi * steps)
    tilt += np.radians(1.0) * rng.normal(size=count)
    tilt = np.clip(tilt, -0.30, 0.30)
    slip = 0.012 * rng.normal(size=count)
    slip = np.clip(slip, -0.035, 0.035)
    if rng.random() < 0.08:
        slip[rng.integers(0, 4)] = rng.choice([-1.0, 1.0]) * rng.uniform(0.09, 0.22)
    wedge = np.radians(1.6 + 1.5 * hardness) * rng.normal(size=count)
    return Plan(
        tilt, s1_tilt, wedge, width, height, disc * 0.9, slip, float(width[0] * rng.uniform(0.96, 1.06))
    )


def _plan_la(rng: np.random.Generator, anterior: int, hardness: float) -> Plan:
    count = len(_BUILT)
    height, width, disc = _proportions(rng, float(rng.uniform(1.22, 1.48)), 0.012)
    lordosis = math.radians(np.clip(rng.normal(45.0, 12.0), 20.0, 70.0))
    s1_tilt = lordosis * rng.uniform(0.58, 0.72) + math.radians(rng.uniform(-5.0, 3.0))
    # Two thirds of the lordosis lie below L4; above L1 the curve turns round into kyphosis.
    share = np.array([0.30, 0.52, 0.71, 0.86, 0.97, 1.01, 1.0, 0.93, 0.83]) + 0.012 * rng.normal(size=count)
    tilt = s1_tilt - lordosis * share
    wedge = np.radians(
        np.array([6.0, 3.0, 1.5, 0.0, -1.5, -3.0, -3.0, -3.0, -3.0]) + 1.3 * rng.normal(size=count)
    )
    if rng.random() < 0.12:
        broken = int(rng.integers(2, 6))
        wedge[broken] -= math.radians(rng.uniform(6.0, 13.0))
        height[broken] *= rng.uniform(0.72, 0.90)
    slip = np.clip(0.012 * rng.normal(size=count), -0.035, 0.035)
    if rng.random() < 0.18:
        level = int(rng.choice([0, 1, 2], p=[0.42, 0.46, 0.12]))
        backward = rng.random() < 0.3
        slip[level] = -rng.uniform(0.08, 0.18) if backward else rng.uniform(0.08, 0.25 if level > 1 else 0.42)
        disc[level] *= 0.75
    s1_width = float(width[0] * rng.uniform(0.96, 1.06))
    return Plan(
        tilt * anterior, s1_tilt * anterior, wedge * anterior, width, height, disc, slip * anterior, s1_width
    )


def _axes(tilt: float) -> tuple[Points, Points]:
    """Unit vectors along an endplate (to the right) and away from it (upwards)."""
    along = np.array([math.cos(tilt), math.sin(tilt)])
    return along, np.array([along[1], -along[0]])


def stack(plan: Plan, anterior: int) -> tuple[list[Points], Points]:
    """Corners of every body, and the ends of the S1 endplate, with the middle of the latter at the origin."""
    along, _ = _axes(plan.s1_tilt)
    s1 = np.stack([-0.5 * plan.s1_width * along, 0.5 * plan.s1_width * along])
    below, below_tilt = s1, plan.s1_tilt
    bodies = []
    for level in range(len(plan.tilt)):
        tilt, wedge, width = plan.tilt[level], plan.wedge[level], plan.width[level]
        lower_tilt, upper_tilt = tilt + 0.5 * wedge, tilt - 0.5 * wedge
        along, _ = _axes(lower_tilt)
        lower = np.stack([-0.5 * width * along, 0.5 * width * along])
        lower += _seat(lower, below, below_tilt, plan.disc[level], plan.slip[level], anterior)
        middle_axis = _axes(tilt)[1]
        upper_along, _ = _axes(upper_tilt)
        top_width = width * (0.95 if anterior == 0 else 0.985)
        top = lower.mean(axis=0) + plan.height[level] * middle_axis
        upper = np.stack([top - 0.5 * top_width * upper_along, top + 0.5 * top_width * upper_along])
        bodies.append(np.concatenate([upper, lower]))
        below, below_tilt = upper, upper_tilt
    return bodies, s1


def _seat(lower: Points, below: Points, below_tilt: float, disc: float, slip: float, anterior: int) -> Points:
    """Shift that puts a lower endplate on the endplate below: a disc between, slipped by a share of it.

    In LA the posterior corners are aligned before the slip, as the slip is measured there; in AP the middles.
    """
    along, away = _axes(below_tilt)
    anchor, own = below.mean(axis=0), lower.mean(axis=0)
    if anterior:
        posterior = 0 if anterior > 0 else 1
        anchor, own = below[posterior], lower[posterior]
    shift = anchor + slip * float(np.linalg.norm(below[1] - below[0])) * along - own
    gaps = (lower + shift - anchor) @ away
    return np.asarray(shift + max(disc - gaps.mean(), 0.12 - gaps.min()) * away)


def _place(
    bodies: list[Points], s1: Points, aspect: float, view: View, anterior: int, rng: np.random.Generator
) -> tuple[list[Points], Points]:
    """Scale and move the spine to a plausible place of the film, every keypoint well inside."""
    stacked = np.concatenate([*bodies[:5], s1])
    span = float(rng.uniform(0.52, 0.63))
    scale = span / float(s1[:, 1].mean() - bodies[4][:2, 1].mean())
    s1_y = float(np.clip(rng.uniform(0.14, 0.22) + span, 0.71, 0.84))
    low, high = scale * stacked[:, 0].min(), scale * stacked[:, 0].max()
    middle = 0.5 * aspect + rng.uniform(-0.06, 0.06)
    if view == "LA":
        middle += 0.03 * anterior
    margin = 0.06
    x = float(np.clip(middle - 0.5 * (low + high), margin - low, aspect - margin - high))
    offset = np.array([x, s1_y])
    return [scale * body + offset for body in bodies], scale * s1 + offset


def finish(name: str, corners: Points, hardness: float, rng: np.random.Generator) -> Vertebra:
    """Add to a body what its outline needs: waist, concave endplates, spurs and a second contour."""
    vertebra = Vertebra(
        name=name,
        corners=corners,
        waist=float(rng.uniform(0.025, 0.07)),
        concavity=float(rng.uniform(0.015, 0.075)),
        osteophytes=np.zeros(4),
        ghost=np.zeros(2),
        ghost_weight=0.0,
    )
    spurs = np.where(rng.random(4) < 0.05 + 0.35 * hardness, rng.uniform(0.06, 0.24, 4), 0.0)
    doubled = rng.random() < 0.06 + 0.55 * hardness
    angle, reach = rng.uniform(0.0, 2.0 * math.pi), rng.uniform(0.08, 0.28)
    weight = float(rng.uniform(0.6, 1.35))
    ghost = vertebra.height * reach * np.array([math.cos(angle), math.sin(angle)])
    return replace(
        vertebra,
        osteophytes=spurs,
        ghost=ghost if doubled else vertebra.ghost,
        ghost_weight=weight if doubled else 0.0,
    )
