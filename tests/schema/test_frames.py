"""Frames: original pixels, model-input pixels, heatmap cells."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mahtdiag.schema.frames import CoordinateConvention, FrameMap, HeatmapGrid, Placement, Size
from mahtdiag.schema.preprocessing import Anchor, Resize, ResizeMode

HALF, SCALE = CoordinateConvention.HALF_PIXEL, CoordinateConvention.SCALE
STRETCH, LETTERBOX = Resize.STRETCH, Resize.LETTERBOX
EXAMPLES = settings(max_examples=100, deadline=None)
resizes = st.one_of(
    st.just(STRETCH),
    st.builds(
        Resize,
        mode=st.just(ResizeMode.LETTERBOX),
        anchor=st.sampled_from(Anchor),
        pad=st.floats(1.0, 10.0),
    ),
)
sides = st.integers(1, 4000)
sizes = st.builds(Size, sides, sides)
maps = st.builds(
    FrameMap,
    original=sizes,
    network_input=st.builds(Size, st.integers(1, 1024), st.integers(1, 1024)),
    heatmap=st.builds(Size, st.integers(1, 256), st.integers(1, 256)),
    resize=resizes,
    convention=st.sampled_from(CoordinateConvention),
)
mirrored_maps = st.builds(replace, maps, mirrored=st.just(True))
steps = st.tuples(st.floats(0.25, 64.0), st.floats(0.25, 64.0))
places = st.tuples(st.floats(-50.0, 50.0), st.floats(-50.0, 50.0))
any_maps = st.one_of(
    maps,
    mirrored_maps,
    st.builds(replace, st.one_of(maps, mirrored_maps), grid=st.builds(HeatmapGrid, steps, places)),
)
coordinates = st.floats(-5000.0, 5000.0)
points = st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=5).map(np.array)
Points = NDArray[np.float64]


@EXAMPLES
@given(frames=any_maps, original=points)
def test_there_and_back(frames: FrameMap, original: Points) -> None:
    inside = frames.original_to_input(original)
    cells = frames.input_to_heatmap(inside)
    np.testing.assert_allclose(frames.input_to_original(inside), original, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(frames.heatmap_to_input(cells), inside, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(frames.original_to_heatmap(original), cells, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(frames.heatmap_to_original(cells), original, rtol=1e-9, atol=1e-4)


@EXAMPLES
@given(frames=maps, original=points, dx=st.floats(-50.0, 50.0), dy=st.floats(-50.0, 50.0))
def test_differences_scale_by_the_stated_factors(
    frames: FrameMap, original: Points, dx: float, dy: float
) -> None:
    step = np.array([dx, dy])
    moved = frames.original_to_input(original + step) - frames.original_to_input(original)
    np.testing.assert_allclose(
        moved, np.broadcast_to(step * frames.input_per_original, moved.shape), atol=1e-6
    )
    cells = frames.original_to_heatmap(original + step) - frames.original_to_heatmap(original)
    np.testing.assert_allclose(
        cells * frames.original_per_cell, np.broadcast_to(step, cells.shape), atol=1e-5
    )
    np.testing.assert_allclose(
        frames.original_per_cell * frames.input_per_original * frames.cells_per_input, 1.0, rtol=1e-12
    )


@EXAMPLES
@given(frames=maps)
def test_missing_points_stay_missing(frames: FrameMap) -> None:
    given_points = np.array([[np.nan, np.nan], [3.0, 4.0]])
    for change in (
        frames.original_to_input,
        frames.input_to_original,
        frames.input_to_heatmap,
        frames.heatmap_to_input,
        frames.original_to_heatmap,
        frames.heatmap_to_original,
    ):
        result = change(given_points)
        assert np.isnan(result).all(axis=1).tolist() == [True, False]
        assert change(given_points[None, None]).shape == (1, 1, 2, 2)
    assert np.isnan(given_points).sum() == 2


def test_half_pixel_by_hand() -> None:
    frames = FrameMap(Size(100, 200), Size(50, 50), Size(25, 10), STRETCH, HALF)
    corner = frames.original_to_input(np.array([-0.5, -0.5]))
    np.testing.assert_allclose(corner, [-0.5, -0.5])
    np.testing.assert_allclose(frames.original_to_input(np.array([199.5, 99.5])), [49.5, 49.5])
    np.testing.assert_allclose(frames.original_to_input(np.array([0.0, 0.0])), [-0.375, -0.25])
    np.testing.assert_allclose(frames.input_to_heatmap(np.array([0.0, 0.0])), [-0.4, -0.25])


def test_scale_by_hand() -> None:
    frames = FrameMap(Size(100, 200), Size(50, 50), Size(25, 10), STRETCH, SCALE)
    np.testing.assert_allclose(frames.original_to_input(np.array([0.0, 0.0])), [0.0, 0.0])
    np.testing.assert_allclose(frames.original_to_input(np.array([40.0, 30.0])), [10.0, 15.0])
    np.testing.assert_allclose(frames.original_to_heatmap(np.array([40.0, 30.0])), [2.0, 7.5])


def test_defaults_are_stretch_and_half_pixel() -> None:
    frames = FrameMap(Size(10, 10), Size(20, 20), Size(5, 5))
    assert (frames.resize, frames.convention) == (STRETCH, HALF)


@EXAMPLES
@given(original=sizes, target=st.builds(Size, st.integers(1, 1024), st.integers(1, 1024)))
def test_letterbox_is_centred_and_keeps_the_aspect(original: Size, target: Size) -> None:
    place = Placement.of(original, target, LETTERBOX)
    right = target.width - place.left - place.resized.width
    below = target.height - place.top - place.resized.height
    assert min(place.left, place.top, right, below) >= 0
    assert 0 <= right - place.left <= 1
    assert 0 <= below - place.top <= 1
    assert min(place.left + right, place.top + below) == 0
    factor = min(target.height / original.height, target.width / original.width)
    assert abs(place.resized.width - max(1.0, factor * original.width)) <= 0.5 + 1e-9
    assert abs(place.resized.height - max(1.0, factor * original.height)) <= 0.5 + 1e-9


@EXAMPLES
@given(original=sizes, target=sizes)
def test_stretch_fills_the_input(original: Size, target: Size) -> None:
    assert Placement.of(original, target, STRETCH) == Placement(target, 0, 0)


def test_letterbox_by_hand() -> None:
    frames = FrameMap(Size(100, 50), Size(64, 64), Size(16, 16), LETTERBOX)
    assert frames.placement == Placement(Size(64, 32), left=16, top=0)
    np.testing.assert_allclose(frames.original_to_input(np.array([-0.5, -0.5])), [15.5, -0.5])
    np.testing.assert_allclose(frames.original_to_input(np.array([49.5, 99.5])), [47.5, 63.5])
    np.testing.assert_allclose(frames.original_to_heatmap(np.array([24.5, 49.5])), [7.5, 7.5])


def ramps(size: Size) -> NDArray[np.float32]:
    """An image whose two channels are x and y."""
    y, x = np.mgrid[: size.height, : size.width]
    return np.stack([x, y], -1).astype(np.float32)


@pytest.mark.parametrize(
    ("original", "target"),
    [
        (Size(40, 60), Size(64, 64)),
        (Size(100, 37), Size(64, 96)),
        (Size(31, 200), Size(32, 128)),
        (Size(50, 50), Size(50, 50)),
        (Size(33, 47), Size(128, 160)),
    ],
)
def test_half_pixel_is_what_cv2_resize_does(original: Size, target: Size) -> None:
    """A resized ramp holds, at each pixel, the original coordinate that the map gives."""
    resized = cv2.resize(ramps(original), (target.width, target.height), interpolation=cv2.INTER_LINEAR)
    frames = FrameMap(original, target, target, STRETCH, HALF)
    expected = frames.input_to_original(ramps(target).astype(np.float64))
    inside = ((expected >= 0) & (expected <= original.xy - 1)).all(-1)
    assert inside.mean() > 0.8
    np.testing.assert_allclose(resized[inside], expected[inside], atol=0.02)


@pytest.mark.parametrize(("original", "factor"), [(Size(60, 80), 2), (Size(90, 30), 3), (Size(128, 128), 8)])
def test_half_pixel_is_what_area_averaging_does(original: Size, factor: int) -> None:
    target = Size(original.height // factor, original.width // factor)
    resized = cv2.resize(ramps(original), (target.width, target.height), interpolation=cv2.INTER_AREA)
    frames = FrameMap(original, target, target, STRETCH, HALF)
    np.testing.assert_allclose(resized, frames.input_to_original(ramps(target).astype(np.float64)), atol=1e-3)


@pytest.mark.parametrize("place", [(20, 30), (57, 11), (40, 40)])
def test_a_dot_lands_where_the_map_says(place: tuple[int, int]) -> None:
    original, target = Size(64, 80), Size(192, 160)
    dot = np.zeros((original.height, original.width), np.float32)
    dot[place[1], place[0]] = 1.0
    resized = cv2.resize(dot, (target.width, target.height), interpolation=cv2.INTER_LINEAR)
    y, x = np.mgrid[: target.height, : target.width]
    found = np.array([(resized * x).sum(), (resized * y).sum()]) / resized.sum()
    frames = FrameMap(original, target, target, STRETCH, HALF)
    np.testing.assert_allclose(frames.original_to_input(np.array(place, np.float64)), found, atol=0.02)


def test_the_conventions_differ_by_a_constant() -> None:
    given_points = np.array([[3.0, 9.0], [50.0, 70.0]])
    half = FrameMap(Size(100, 100), Size(25, 50), Size(25, 50), STRETCH, HALF)
    scale = FrameMap(Size(100, 100), Size(25, 50), Size(25, 50), STRETCH, SCALE)
    shift = half.original_to_input(given_points) - scale.original_to_input(given_points)
    np.testing.assert_allclose(shift, [[-0.25, -0.375]] * 2)


def test_sizes_are_written_height_first() -> None:
    assert str(Size(512, 256)) == "512x256"
    assert Size(512, 256).xy.tolist() == [256.0, 512.0]


@EXAMPLES
@given(frames=maps, original=points)
def test_a_mirrored_image_is_mapped_as_any_image_after_it_is_mirrored(
    frames: FrameMap, original: Points
) -> None:
    before = original * [-1, 1] + [frames.original.width - 1, 0]
    found = replace(frames, mirrored=True).original_to_input(original)
    np.testing.assert_allclose(found, frames.original_to_input(before), rtol=1e-9, atol=1e-6)


def test_cells_at_multiples_of_the_stride() -> None:
    frames = FrameMap(Size(256, 128), Size(256, 128), Size(33, 17), grid=HeatmapGrid((8.0, 8.0), (0.0, 0.0)))
    np.testing.assert_array_equal(frames.heatmap_to_input(np.array([[0, 0], [16, 32]])), [[0, 0], [128, 256]])
    np.testing.assert_array_equal(frames.original_per_cell, [8.0, 8.0])


@EXAMPLES
@given(frames=maps, cells=points)
def test_the_conventions_are_grids_of_their_own(frames: FrameMap, cells: Points) -> None:
    step = frames.network_input.xy / frames.heatmap.xy
    origin = np.zeros(2) if frames.convention is SCALE else (step - 1) / 2
    grid = HeatmapGrid((step[0], step[1]), (origin[0], origin[1]))
    same = replace(frames, grid=grid)
    np.testing.assert_allclose(
        same.heatmap_to_input(cells), frames.heatmap_to_input(cells), rtol=1e-9, atol=1e-6
    )
