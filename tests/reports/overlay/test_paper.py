"""Overlays for a paper: the spine alone, and what heatmaps hold over it."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mahtdiag.reports.overlay.heat import heat_over
from mahtdiag.reports.overlay.paper import LONGEST_PX, draw_cut_out, draw_paper, spine_box
from mahtdiag.schema.frames import FrameMap, Size
from mahtdiag.schema.skeleton import AP

from .overlay_records import make_record

SHAPE = (650, 550)


def test_it_is_cut_to_the_spine_and_has_no_panel() -> None:
    record = make_record()
    box = spine_box(record, record.size)
    points = np.concatenate([record.keypoints.gt_px, record.keypoints.pred_px])
    known = points[np.isfinite(points).all(axis=1)]
    assert box.contains(known).all()
    assert box.width * box.height < 0.9 * record.size.width * record.size.height
    picture = draw_cut_out(np.full(SHAPE, 128, np.uint8), record, AP)
    assert max(picture.shape[:2]) == LONGEST_PX
    assert picture.shape[1] / picture.shape[0] == pytest.approx(box.width / box.height, abs=0.01)
    assert (picture[:3, :3, :3] == 128).all(), "the radiograph reaches the corner"


def test_the_same_record_gives_the_same_png() -> None:
    record = make_record()
    image = np.full(SHAPE, 128, np.uint8)
    first = draw_paper(image, record, AP)
    assert first == draw_paper(image, record, AP)
    assert cv2.imdecode(np.frombuffer(first, np.uint8), cv2.IMREAD_COLOR) is not None


def test_an_aspect_leaves_white_beyond_the_image() -> None:
    record = make_record()
    picture = draw_cut_out(np.zeros(SHAPE, np.uint8), record, AP, aspect=6.0)
    assert picture.shape[1] / picture.shape[0] == pytest.approx(6.0, abs=0.05)
    assert (picture[:, :3, :3] == 255).all()


def test_without_a_point_the_whole_image_is_shown() -> None:
    record = make_record()
    nothing = np.full_like(record.keypoints.gt_px, np.nan)
    empty = replace(record, keypoints=replace(record.keypoints, gt_px=nothing, pred_px=nothing))
    box = spine_box(empty, empty.size)
    assert (box.width, box.height) == (empty.size.width, empty.size.height)
    draw_cut_out(np.full(SHAPE, 9, np.uint16), empty, AP)


def naive(maps: NDArray[np.float32], frame: FrameMap, place: tuple[float, float]) -> float:
    """Bilinear, by hand, of the largest share of a peak."""
    x, y = frame.original_to_heatmap(np.array([place]))[0]
    found = 0.0
    x0, y0 = int(np.floor(x)), int(np.floor(y))
    shares = np.max([one / one.max() for one in maps if one.max() > 0], axis=0)
    for i, wx in ((x0, 1 - (x - x0)), (x0 + 1, x - x0)):
        for j, wy in ((y0, 1 - (y - y0)), (y0 + 1, y - y0)):
            if 0 <= i < maps.shape[2] and 0 <= j < maps.shape[1]:
                found += wx * wy * shares[j, i]
    return float(found)


def test_heat_lies_where_the_heatmaps_say() -> None:
    rng = np.random.default_rng(0)
    maps = rng.uniform(0, 3, (4, 16, 12)).astype(np.float32)
    maps[3] = -1.0
    original = Size(64, 48)
    frame = FrameMap(original, Size(32, 24), Size(16, 12))
    layer = heat_over(maps, frame, original)
    assert layer.shape == (64, 48)
    assert layer.max() <= 1.0
    for place in ((0, 0), (20, 30), (47, 63), (13, 7)):
        # OpenCV interpolates at 1/32 of a cell.
        assert layer[place[1], place[0]] == pytest.approx(naive(maps, frame, place), abs=0.05)
    assert not heat_over(np.zeros((2, 16, 12), np.float32), frame, original).any()


def test_heat_is_seen_and_only_there() -> None:
    record = make_record()
    image = np.full(SHAPE, 100, np.uint8)
    heat = np.zeros((64, 64), np.float32)
    plain = draw_cut_out(image, record, AP)
    assert (draw_cut_out(image, record, AP, heat=heat) == plain).all()
    heat[:] = 1.0
    assert (draw_cut_out(image, record, AP, heat=heat) != plain).any(axis=-1).mean() > 0.5
