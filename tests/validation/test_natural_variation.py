"""The seven quantities and when a spine leaves the natural variation."""

import math
from itertools import pairwise

import numpy as np
import pytest

from mahtdiag.schema.skeleton import AP, LA, SKELETONS, Skeleton
from tests.anatomy.naive import between_deg, direction, dot, middle, minus, tilt_deg
from tests.anatomy.spines import GAP, HEIGHT, WIDTH, natural_spines, straight_spine
from validation.natural_variation import LARGEST, beyond_natural, quantities


@pytest.mark.parametrize("skeleton", SKELETONS)
def test_the_quantities_of_one_spine_at_a_time(skeleton: Skeleton) -> None:
    points = natural_spines(skeleton, 6)
    found = quantities(points)
    assert found.keys() == LARGEST.keys()
    for image in range(6):
        bodies = [[(float(x), float(y)) for x, y in points[image, 4 * v : 4 * v + 4]] for v in range(5)]
        heights = [(math.dist(b[0], b[2]) + math.dist(b[1], b[3])) / 2 for b in bodies]
        widths = [(math.dist(b[0], b[1]) + math.dist(b[2], b[3])) / 2 for b in bodies]
        mean_height = sum(heights) / 5
        centres = [middle(*b) for b in bodies]
        steps = [direction(minus(b, a)) for a, b in pairwise(centres)]
        ends = [(middle(*a[2:]), middle(*b[:2])) for a, b in pairwise(bodies)]
        expected = (
            [abs(between_deg(tilt_deg(*b[:2]), tilt_deg(*b[2:]))) for b in bodies],
            [w / h for w, h in zip(widths, heights, strict=True)],
            [math.dist(a, b) / mean_height for a, b in pairwise(centres)],
            [dot(minus(b, a), s) / mean_height for (a, b), s in zip(ends, steps, strict=True)],
            [abs(b - a) / ((a + b) / 2) for a, b in pairwise(widths)],
            [abs(b - a) / ((a + b) / 2) for a, b in pairwise(heights)],
            [abs(between_deg(tilt_deg(*a[2:]), tilt_deg(*b[:2]))) for a, b in pairwise(bodies)],
        )
        for values, wanted in zip(found.values(), expected, strict=True):
            assert values[:, image] == pytest.approx(wanted)


@pytest.mark.parametrize("skeleton", SKELETONS)
def test_a_spine_drawn_by_ruler_is_natural(skeleton: Skeleton) -> None:
    assert not beyond_natural(natural_spines(skeleton, 20)).any()


def test_each_way_out_of_the_natural_variation() -> None:
    def changed(
        rows: list[int], by: tuple[float, float]
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        points = straight_spine(AP)
        points[rows] += by
        return points

    tilted = math.tan(math.radians(22.0)) * WIDTH
    out = [
        changed([1], (0.0, -tilted)),
        changed(list(range(12, 20)), (0.0, 1.3 * HEIGHT - GAP)),
        changed([9, 11], (0.5 * WIDTH, 0.0)),
        changed([2, 3], (0.0, -0.6 * HEIGHT)),
        changed([8, 9], (0.0, 2.0 * HEIGHT)),
        changed([8], (math.nan, 0.0)),
    ]
    within = [changed([1], (0.0, -tilted * 0.9)), changed([9, 11], (0.4 * WIDTH, 0.0))]
    assert beyond_natural(np.stack(out)).all()
    assert not beyond_natural(np.stack(within)).any()


def test_the_sacrum_is_not_in_the_table() -> None:
    points = straight_spine(LA)[None].copy()
    points[0, 21] += (0.0, 80.0)
    assert not beyond_natural(points).any()
