"""The generator of whole spines: what is annotated is drawn, and spines are those that people have."""

import numpy as np
import pytest
from numpy.typing import NDArray

from training.radiographs import draw_whole_spine, sample_whole_spine
from training.radiographs.drawing import Points
from training.radiographs.spine import Spine

SPINES = [sample_whole_spine(np.random.default_rng(seed)) for seed in range(300)]


def largest_cobb_deg(spine: Spine) -> float:
    """Between the two most tilted of the 17 vertebrae, by the middles of their sides."""
    bodies = spine.keypoints.reshape(17, 4, 2)
    line = bodies[:, [1, 3]].mean(axis=1) - bodies[:, [0, 2]].mean(axis=1)
    return float(np.ptp(np.degrees(np.arctan2(line[:, 1], line[:, 0]))))


def test_the_seed_decides_everything() -> None:
    first, again, other = (draw_whole_spine(seed, height=200) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.keypoints_px, again.keypoints_px)
    assert not np.array_equal(first.keypoints_px, other.keypoints_px)


def test_the_film_is_tall_and_has_68_keypoints() -> None:
    drawn = draw_whole_spine(1)
    height, width = drawn.image.shape
    assert 1400 <= height <= 1600
    assert 0.35 < width / height < 0.45
    assert drawn.keypoints_px.shape == (68, 2)
    assert len(drawn.listhesis) == 34
    np.testing.assert_array_equal(drawn.t12_px, drawn.keypoints_px[44:48])


def test_height_changes_the_sampling_and_not_the_picture() -> None:
    small, large = draw_whole_spine(3, height=300), draw_whole_spine(3, height=900)
    np.testing.assert_allclose((small.keypoints_px + 0.5) * 3.0, large.keypoints_px + 0.5, atol=1e-9)
    shared = min(small.image.shape[1], large.image.shape[1] // 3)
    blocks = large.image[:, : 3 * shared].astype(float).reshape(300, 3, shared, 3).mean(axis=(1, 3))
    correlation = np.corrcoef(blocks.ravel(), small.image[:, :shared].ravel().astype(float))[0, 1]
    assert correlation > 0.97


@pytest.mark.parametrize("spine", SPINES[:60], ids=range(60))
def test_keypoints_are_ordered_and_well_inside(spine: Spine) -> None:
    x, y = spine.keypoints.T
    assert x.min() > 0.03
    assert x.max() < spine.aspect - 0.03
    assert y.min() > 0.03
    assert y.max() < 0.97
    assert [vertebra.name for vertebra in spine.annotated] == [
        *(f"T{n}" for n in range(1, 13)), *(f"L{n}" for n in range(1, 6))
    ]  # fmt: skip
    bodies = spine.keypoints.reshape(17, 4, 2)
    assert np.all(np.diff(bodies.mean(axis=1)[:, 1]) > 0)
    assert np.all(bodies[:, ::2, 0] < bodies[:, 1::2, 0])
    for body in bodies:
        assert is_convex(body[[0, 1, 3, 2]])


def is_convex(ring: Points) -> bool:
    """Clockwise as seen, without a corner that points inwards."""
    sides = np.roll(ring, -1, axis=0) - ring
    following = np.roll(sides, -1, axis=0)
    return bool(np.all(sides[:, 0] * following[:, 1] - sides[:, 1] * following[:, 0] > 0))


def test_vertebrae_grow_downwards_and_do_not_touch() -> None:
    heights, widths, gaps = (np.array(values) for values in zip(*map(measured, SPINES), strict=True))
    assert np.all(np.diff(np.median(heights, axis=0)[:14]) > 0), "T1 to L2"
    assert np.all(np.diff(np.median(widths, axis=0)[4:]) > 0), "T5 to L5"
    ratio = widths / heights
    assert ratio.min() > 1.1
    assert ratio.max() < 2.5
    assert gaps.min() > 0.05
    assert gaps.max() < 0.7


def measured(spine: Spine) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Heights, widths, and the least distance of facing corners, in median lumbar heights."""
    bodies = spine.keypoints.reshape(17, 4, 2)
    height = np.linalg.norm(bodies[:, 2:] - bodies[:, :2], axis=-1).mean(axis=1)
    width = np.linalg.norm(bodies[:, 1::2] - bodies[:, ::2], axis=-1).mean(axis=1)
    gap = np.linalg.norm(bodies[1:, :2] - bodies[:-1, 2:], axis=-1).min(axis=1)
    unit = np.median(height[12:])
    return height / unit, width / unit, gap / unit


def test_a_third_is_straight_and_curves_reach_fifty_degrees() -> None:
    cobb_deg = np.array([largest_cobb_deg(spine) for spine in SPINES])
    assert 0.2 < np.mean(cobb_deg < 11.0) < 0.5
    assert np.mean(cobb_deg > 35.0) > 0.05
    assert 45.0 < cobb_deg.max() < 60.0


def test_curves_go_to_both_sides_and_one_or_two_are_seen() -> None:
    """A single curve leaves the line between its ends to one side, a double one to both."""
    kinds = []
    for spine in SPINES:
        if largest_cobb_deg(spine) < 15.0:
            continue
        centres = spine.keypoints.reshape(17, 4, 2).mean(axis=1)
        aside = centres[:, 0] - np.interp(centres[:, 1], centres[[0, -1], 1], centres[[0, -1], 0])
        one_sided = min(aside.max(), -aside.min()) < 0.2 * np.abs(aside).max()
        kinds.append((one_sided, bool(np.sign(aside[np.abs(aside).argmax()]) > 0)))
    assert {(True, True), (True, False), (False, True), (False, False)} == set(kinds)
    assert 0.2 < np.mean([one for one, _ in kinds]) < 0.8


def test_bodies_are_brighter_than_discs_on_easy_films() -> None:
    brighter = []
    for seed in range(8):
        drawn = draw_whole_spine(seed, height=700)
        if drawn.difficulty > 0.2:
            continue
        bodies = drawn.keypoints_px.reshape(17, 4, 2)
        discs = 0.5 * (bodies[:-1, 2:].mean(axis=1) + bodies[1:, :2].mean(axis=1))
        for body, disc in zip(bodies[:-1].mean(axis=1), discs, strict=True):
            (bx, by), (dx, dy) = np.rint(body).astype(int), np.rint(disc).astype(int)
            inside = drawn.image[by - 3 : by + 4, bx - 6 : bx + 7].mean()
            brighter.append(inside > drawn.image[dy : dy + 1, dx - 6 : dx + 7].mean())
    assert np.mean(brighter) > 0.85
