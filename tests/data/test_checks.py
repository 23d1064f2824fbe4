"""Whether annotated keypoints can belong to their image."""

import math

import numpy as np

from mahtdiag.data.files import is_normalised, outside_image
from mahtdiag.schema.frames import Size
from mahtdiag.schema.skeleton import LA, LUMBAR, Skeleton, View

from .builders import spine


def test_keypoints_outside_the_image_are_named() -> None:
    size = Size(height=300, width=200)
    points = spine(View.LA)
    assert outside_image(points, size, LA) == ()
    points[0] = (-1.0, 300.0)
    points[1] = (200.0, -1.0)
    assert outside_image(points, size, LA) == ()
    points[6] = (-1.01, 50)
    points[9] = (50, 300.5)
    points[13] = (math.nan, math.nan)
    points[20] = (3120, 50)
    assert outside_image(points, size, LA) == (
        "L2 LL (x -1.01, y 50) lies outside the image (200 wide, 300 high)",
        "L3 UR (x 50, y 300.5) lies outside the image (200 wide, 300 high)",
        "S1 UL (x 3120, y 50) lies outside the image (200 wide, 300 high)",
    )


def test_of_an_image_that_does_not_fit_one_keypoint_is_named_and_the_others_counted() -> None:
    size = Size(height=300, width=200)
    points = spine(View.LA)
    points[[2, 5, 6]] += 1000.0
    assert len(outside_image(points, size, LA)) == 3
    points[7] += 1000.0
    first = outside_image(points, size, LA)[0]
    assert outside_image(points, size, LA) == (first,)
    assert first.startswith("L1 LL (x ")
    assert first.endswith(") lies outside the image (200 wide, 300 high), as do 3 more keypoints")


def test_keypoints_are_named_by_any_skeleton() -> None:
    whole = Skeleton("AP", View.AP, (*(f"T{n}" for n in range(1, 13)), *LUMBAR))
    points = np.full((whole.keypoints, 2), 50.0)
    points[-1] = (50, -7)
    assert outside_image(points, Size(100, 100), whole) == (
        "L5 LR (x 50, y -7) lies outside the image (100 wide, 100 high)",
    )


def test_shares_of_the_image_are_no_pixels() -> None:
    size = Size(800, 400)
    points = np.random.default_rng(0).uniform(40, 380, (20, 2))
    assert is_normalised(points / size.xy, size)
    assert is_normalised(points * 1e-300, size)
    assert not is_normalised(points, size)
    assert not is_normalised(points / size.xy, Size(8, 8))
    # All equal or missing is another mistake, which has a rule of its own.
    assert not is_normalised(np.zeros((20, 2)), size)
    assert not is_normalised(np.full((20, 2), np.nan), size)
