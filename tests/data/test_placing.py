"""Shapes of many images are placed together as they would be one after the other."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from mahtdiag.data.placing import LARGEST_COORDINATE_PX, Slots, place_shapes
from mahtdiag.schema.skeleton import AP, LA, UL, UR, Skeleton

Floats = NDArray[np.float64]
SEED = 7


def slots(index: Sequence[int], known: bool = True) -> Slots:
    """Slots for points that go there, −1 for those that go nowhere."""
    array = np.array(index, dtype=np.int64)
    return Slots(array, array >= 0, known)


def one_after_the_other(
    skeleton: Skeleton, shapes: Sequence[tuple[Slots, Floats]]
) -> tuple[Floats, str | None]:
    """The keypoints of one image and the start of its problem, written out point by point."""
    keypoints = np.full((skeleton.keypoints, 2), np.nan)
    quads: list[Floats] = []
    for kind, points in shapes:
        if not kind.used.any():
            continue
        quad = np.full((4, 2), np.nan)
        target = keypoints if kind.level_known else quad
        for at, point in zip(kind.index, points, strict=True):
            if at < 0 or not np.isfinite(point).all():
                continue
            if kind.level_known and np.isfinite(target[at, 0]) and (target[at] != point).any():
                return keypoints, f"{skeleton.keypoint_names[at]} is marked twice"
            target[at] = point
        if not kind.level_known:
            quads.append(quad)
    if quads:
        if np.isfinite(keypoints).any():
            return keypoints, "some vertebrae have a level"
        if len(quads) != len(skeleton.vertebrae):
            return keypoints, f"{len(quads)} vertebra"
        if any(not np.isfinite(quad).any() for quad in quads):
            return keypoints, "a vertebra without a level has no corner"
        with np.errstate(over="ignore"):
            quads.sort(key=lambda quad: float(np.nanmean(quad[:, 1])))
        for body in range(len(skeleton.bodies)):
            keypoints[4 * body : 4 * body + 4] = quads[body]
        if skeleton.last_endplate is not None:
            keypoints[-2:] = quads[-1][[UL, UR]]
    if (np.abs(keypoints[np.isfinite(keypoints)]) > LARGEST_COORDINATE_PX).any():
        return keypoints, "a coordinate of"
    return keypoints, None


def some_shapes(rng: np.random.Generator, skeleton: Skeleton) -> list[tuple[Slots, Floats]]:
    """Shapes as files have them: whole spines, vertebrae with and without a level, twice, with gaps."""
    whole = slots(range(skeleton.keypoints))
    vertebrae = [KINDS.setdefault(("level", v), slots(range(4 * v, 4 * v + 4))) for v in range(5)]
    nowhere = KINDS.setdefault(("nowhere", 0), slots([-1, -1]))
    partly = KINDS.setdefault(("partly", 0), slots([3, -1, 1]))
    unnamed = KINDS.setdefault(("unnamed", 0), slots([1, 0, 3, 2], known=False))
    chosen = {
        "whole": [whole],
        "levels": vertebrae,
        "twice": [*vertebrae, vertebrae[int(rng.integers(5))]],
        "parts": [partly, nowhere, vertebrae[2], partly],
        "unnamed": [unnamed] * len(skeleton.vertebrae),
        "too many": [unnamed] * 7,
        "mixed": [unnamed, vertebrae[0]],
        "none": [],
    }
    kinds = list(chosen.values())[int(rng.integers(len(chosen)))]
    result = []
    for kind in kinds:
        # Few different numbers, so that a point is often marked twice in one place.
        points = rng.integers(0, 3, (len(kind.index), 2)).astype(np.float64)
        points[rng.random(len(points)) < 0.15] = np.nan
        points[rng.random(points.shape) < 0.02] = [np.nan, np.inf, 1e308, -1e7][int(rng.integers(4))]
        result.append((kind, points))
    return result


KINDS: dict[tuple[str, int], Slots] = {}


@pytest.mark.parametrize("skeleton", [AP, LA], ids=str)
def test_together_as_one_after_the_other(skeleton: Skeleton) -> None:
    rng = np.random.default_rng(SEED)
    images = [some_shapes(rng, skeleton) for _ in range(800)]
    placed = place_shapes(skeleton, images)
    said = 0
    for i, shapes in enumerate(images):
        keypoints, problem = one_after_the_other(skeleton, shapes)
        if problem is None:
            assert i not in placed.problems
            np.testing.assert_array_equal(placed.keypoints[i], keypoints)
        else:
            said += 1
            assert placed.problems[i].startswith(problem)
    assert 100 < said < 700


def test_nothing_to_place() -> None:
    placed = place_shapes(AP, [[], []])
    assert np.isnan(placed.keypoints).all()
    assert placed.keypoints.shape == (2, 20, 2)
    assert not placed.problems
    assert place_shapes(AP, []).keypoints.shape == (0, 20, 2)
