"""Spines drawn by ruler, for tests that need to know the truth."""

import numpy as np
from numpy.typing import NDArray

from mahtdiag.schema.skeleton import AP, CORNERS_PER_VERTEBRA, LA, Levels, Skeleton, View

Floats = NDArray[np.float64]

T1_TO_L5 = Skeleton.of(View.AP, Levels("T1", "L5"))
T1_TO_S1 = Skeleton.of(View.LA, Levels("T1", "S1"))
CERVICAL_LA = Skeleton.of(View.LA, Levels("C2", "C7"))
C2_TO_L5 = Skeleton.of(View.AP, Levels("C2", "L5"))
C2_TO_S1 = Skeleton.of(View.LA, Levels("C2", "S1"))
ANY_SKELETON = (AP, LA, T1_TO_L5, T1_TO_S1, CERVICAL_LA, C2_TO_L5, C2_TO_S1)
"""The usual two, those of 68 and 70 keypoints, and three that an endplate begins: 22, 90 and 92."""
SHORT = tuple(
    Skeleton.of(view, Levels(*ends))
    for view, ends in (
        (View.AP, ("L5", "L5")), (View.LA, ("L5", "S1")), (View.LA, ("C2", "C3")), (View.AP, ("T12", "L1")),
        (View.AP, ("L3", "L5")), (View.LA, ("L3", "S1")), (View.LA, ("C2", "C4")),
    )
)  # fmt: skip
"""Runs that lack neighbours for some of what is measured."""

WIDTH, HEIGHT, GAP, LEFT, TOP = 90.0, 50.0, 22.0, 400.0, 100.0
IMAGE_SIZE = (1000.0, 1000.0)


def straight_spine(of: Skeleton | View) -> Floats:
    """`[K, 2]`: equal rectangles one below the other; every coordinate is a whole number."""
    skeleton = of.skeleton if isinstance(of, View) else of
    points = []
    if skeleton.first_endplate is not None:
        points += [(LEFT, TOP - GAP), (LEFT + WIDTH, TOP - GAP)]
    for vertebra in range(len(skeleton.bodies)):
        top = TOP + vertebra * (HEIGHT + GAP)
        points += [(LEFT, top), (LEFT + WIDTH, top), (LEFT, top + HEIGHT), (LEFT + WIDTH, top + HEIGHT)]
    if skeleton.last_endplate is not None:
        top = TOP + len(skeleton.bodies) * (HEIGHT + GAP)
        points += [(LEFT, top), (LEFT + WIDTH, top)]
    return np.array(points)


def natural_spines(of: Skeleton | View, count: int, seed: int = 0) -> Floats:
    """`[count, K, 2]`: bent and jittered, within the natural variation."""
    rng = np.random.default_rng(seed)
    points = np.repeat(straight_spine(of)[None], count, axis=0)
    bend = rng.uniform(-2e-4, 2e-4, size=(count, 1))
    middle = points[..., 1].mean()
    points[..., 0] += bend * (points[..., 1] - middle) ** 2
    return points + rng.normal(0.0, 0.8, points.shape)


def sizes_for(points: Floats) -> Floats:
    """Image sizes `[N, 2]` that hold the spines above."""
    levels = points.shape[1] / CORNERS_PER_VERTEBRA
    size = IMAGE_SIZE if levels < 10 else (IMAGE_SIZE[0], TOP + levels * (HEIGHT + GAP) + TOP)
    return np.tile(np.array(size), (points.shape[0], 1))
