"""Spines drawn by ruler, for tests that need to know the truth."""

import numpy as np
from numpy.typing import NDArray

from mahtdiag.schema.skeleton import AP, CORNERS_PER_VERTEBRA, LA, LUMBAR, Skeleton, View

Floats = NDArray[np.float64]

THORACIC = tuple(f"T{n}" for n in range(1, 13))
T1_TO_L5 = Skeleton("T1-L5", View.AP, (*THORACIC, *LUMBAR))
T1_TO_S1 = Skeleton("T1-S1", View.LA, (*THORACIC, *LUMBAR), "S1")
ANY_SKELETON = (AP, LA, T1_TO_L5, T1_TO_S1)
"""Those that the product knows, and two made up of the whole spine."""

WIDTH, HEIGHT, GAP, LEFT, TOP = 90.0, 50.0, 22.0, 400.0, 100.0
IMAGE_SIZE = (1000.0, 1000.0)


def straight_spine(of: Skeleton | View) -> Floats:
    """`[K, 2]`: equal rectangles one below the other; every coordinate is a whole number."""
    skeleton = of.skeleton if isinstance(of, View) else of
    points = []
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
