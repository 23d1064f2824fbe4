"""Anatomy of a random whole spine from the front: neck to sacrum, straight or with one, two or three curves.

Built as the lumbar ones are (`spine.py`), twenty-two vertebrae from L5 up to C3.
"""

import math

import numpy as np
from numpy.typing import NDArray

from training.radiographs.drawing import Points
from training.radiographs.spine import LUMBAR, Plan, Spine, finish, slip_code, stack

_THORACIC = tuple(f"T{n}" for n in range(12, 0, -1))
_CERVICAL = ("C7", "C6", "C5", "C4", "C3")
_BUILT = (*LUMBAR[::-1], *_THORACIC, *_CERVICAL)
_T1 = _BUILT.index("T1")

# From L5 up, L3 being 1; choices within what adults have.
_HEIGHTS = (1.02, 1.02, 1.0, 0.98, 0.96, 0.92, 0.88, 0.85, 0.83, 0.81, 0.79, 0.77, 0.75, 0.73, 0.71, 0.69)
_WIDTHS = (1.10, 1.05, 1.0, 0.96, 0.93, 0.90, 0.86, 0.82, 0.78, 0.75, 0.72, 0.70, 0.69, 0.68, 0.69, 0.72)
_DISCS = (0.40, 0.41, 0.40, 0.38, 0.36, 0.33, 0.30, 0.28, 0.27, 0.26, 0.25, 0.25, 0.24, 0.24, 0.23, 0.23)
_T1_AND_NECK_HEIGHTS = (0.66, 0.58, 0.54, 0.52, 0.52, 0.54)
_T1_AND_NECK_WIDTHS = (0.76, 0.72, 0.62, 0.58, 0.56, 0.55)
_T1_AND_NECK_DISCS = (0.22, 0.22, 0.22, 0.22, 0.22, 0.22)

_STRAIGHT, _SINGLE, _DOUBLE, _TRIPLE = range(4)
_KINDS = (0.32, 0.28, 0.30, 0.10)
"""Chance of a spine with no, one, two and three curves."""
STRAIGHT_DEG = 9.0
"""Straight spines bend less than the 10 degrees of a scoliosis."""


def sample_whole_spine(rng: np.random.Generator) -> Spine:
    """Draw a random whole spine, seen from the front."""
    aspect = float(rng.uniform(0.36, 0.44))
    # What blurs and covers has the size of the film, and a body half of that on a lumbar one.
    hardness = float(rng.uniform(0.3, 0.55) if rng.random() < 0.2 else rng.uniform(0.0, 0.22))
    plan = _plan(rng, hardness)
    bodies, s1 = stack(plan, anterior=0)
    bodies, s1 = _place(bodies, s1, aspect, rng)
    vertebrae = tuple(
        finish(name, corners, hardness, rng) for name, corners in zip(_BUILT, bodies, strict=True)
    )
    share = tuple(float(value) for value in plan.slip[len(LUMBAR) - 1 :: -1])
    codes = tuple(slip_code("AP", value) for value in share)
    lumbar, thoracic, cervical = vertebrae[4::-1], vertebrae[5 : _T1 + 1], vertebrae[_T1 + 1 :]
    return Spine("AP", aspect, 1, lumbar, thoracic, s1, codes, share, hardness, True, cervical)


def _plan(rng: np.random.Generator, hardness: float) -> Plan:
    count = len(_BUILT)
    ratio = float(rng.uniform(1.50, 1.80))
    height = np.array((*_HEIGHTS, *_T1_AND_NECK_HEIGHTS)) * (1.0 + 0.025 * rng.normal(size=count))
    width = ratio * np.array((*_WIDTHS, *_T1_AND_NECK_WIDTHS)) * (1.0 + 0.015 * rng.normal(size=count))
    disc = np.array((*_DISCS, *_T1_AND_NECK_DISCS)) * rng.uniform(0.85, 1.12)
    disc *= 1.0 + 0.07 * rng.normal(size=count)
    narrow = rng.random(count) < np.where(np.arange(count) < 3, 0.08, 0.02)
    disc = np.where(narrow, 0.65 * disc, disc)
    curve = _curve(rng)
    tilt = curve + np.radians(0.7) * rng.normal(size=count)
    s1_tilt = float(0.5 * curve[0] + math.radians(1.5) * rng.normal())
    # Of the bend from body to body bones take nearly a half, discs the rest.
    wedge = -0.4 * np.gradient(curve) + np.radians(0.9 + 0.8 * hardness) * rng.normal(size=count)
    slip = np.clip(0.010 * rng.normal(size=count), -0.03, 0.03)
    return Plan(tilt, s1_tilt, wedge, width, height, disc, slip, float(width[0] * rng.uniform(0.98, 1.08)))


def _curve(rng: np.random.Generator) -> NDArray[np.float64]:
    """Tilt of every body, clockwise, in radians: half waves between the ends of the curves."""
    kind = int(rng.choice(len(_KINDS), p=_KINDS))
    main = rng.uniform(2.0, STRAIGHT_DEG) if kind == _STRAIGHT else _cobb_deg(rng)
    other = main * rng.uniform(0.55, 0.95)
    # Places of the end vertebrae from L5 (0) to T1 (16), and what lies between each two of them.
    if kind in (_STRAIGHT, _SINGLE):
        ends = [rng.uniform(0.0, 3.0), rng.uniform(8.0, 11.5)]
        bends = np.array([main])
    elif kind == _DOUBLE:
        ends = [rng.uniform(0.0, 1.5), rng.uniform(4.5, 6.5), rng.uniform(10.5, 12.5)]
        bends = np.array([other, main] if rng.random() < 0.7 else [main, other])
    else:
        ends = [0.0, rng.uniform(4.0, 5.5), rng.uniform(9.5, 11.0), 15.0]
        bends = np.array([0.7 * other, main, rng.uniform(0.4, 0.6) * main])
    steps = bends * np.where(np.arange(len(bends)) % 2, -1.0, 1.0) * rng.choice([-1.0, 1.0])
    tilts = np.concatenate([[0.0], np.cumsum(steps)])
    tilts -= 0.5 * (tilts.max() + tilts.min())
    # Beyond its ends a curve turns back: slowly above, at once below.
    places = np.array([-4.0, *ends, max(18.0, ends[-1] + 5.0)])
    values = np.array([0.0, *tilts, 0.15 * tilts[-1]])
    tilt = _waves(np.arange(len(_BUILT), dtype=np.float64), places, values)
    # Head over pelvis, or nearly.
    tilt -= tilt[: _T1 + 1].mean() + rng.normal() * 1.0
    return np.asarray(np.radians(tilt))


def _cobb_deg(rng: np.random.Generator) -> float:
    """Of the largest curve of a scoliosis; small ones are more frequent."""
    return float(11.0 + 38.0 * rng.beta(1.2, 1.8))


def _waves(at: Points, places: Points, values: Points) -> NDArray[np.float64]:
    """Half cosine waves through the values at the places."""
    segment = np.clip(np.searchsorted(places, at, side="right") - 1, 0, len(places) - 2)
    start, end = places[segment], places[segment + 1]
    share = np.clip((at - start) / (end - start), 0.0, 1.0)
    rise = 0.5 - 0.5 * np.cos(math.pi * share)
    return np.asarray(values[segment] + (values[segment + 1] - values[segment]) * rise)


def _place(
    bodies: list[Points], s1: Points, aspect: float, rng: np.random.Generator
) -> tuple[list[Points], Points]:
    """Scale and move the spine so that T1 to S1 fill the film, every keypoint well inside."""
    annotated = np.concatenate([*bodies[: _T1 + 1], s1])
    top, bottom = float(rng.uniform(0.05, 0.15)), float(rng.uniform(0.85, 0.92))
    scale = (bottom - top) / float(s1[:, 1].mean() - bodies[_T1][:2, 1].mean())
    low, high = scale * annotated[:, 0].min(), scale * annotated[:, 0].max()
    margin = 0.045
    x = 0.5 * aspect + float(rng.uniform(-0.02, 0.02)) - 0.5 * (low + high)
    offset = np.array([float(np.clip(x, margin - low, aspect - margin - high)), bottom])
    return [scale * body + offset for body in bodies], scale * s1 + offset
