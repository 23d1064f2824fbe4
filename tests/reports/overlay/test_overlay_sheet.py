"""Marks on a sheet: each in its pixels, its layer and its clip; letters where they are asked for."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgba
from numpy.typing import NDArray

from mahtdiag.reports.overlay.lettering import Lettering, width_px
from mahtdiag.reports.overlay.scene import Box
from mahtdiag.reports.overlay.sheet import Sheet, closed, joined, rgb_bytes
from mahtdiag.schema.frames import Size

Pixels = NDArray[np.uint8]
BLACK, WHITE = "#000000", "#FFFFFF"
RED, GREEN, BLUE = (to_rgba(colour) for colour in ("#FF0000", "#00FF00", "#0000FF"))


def sheet(height: int = 40, width: int = 60) -> Sheet:
    return Sheet(Size(height, width), BLACK)


def box(left: float, top: float, right: float, bottom: float) -> NDArray[np.float64]:
    return Box(left, top, right, bottom).corners


def painted(page: Sheet) -> set[tuple[int, int]]:
    """(x, y) of every pixel that is not black."""
    rows, columns = np.nonzero(page.pixels()[..., :3].any(axis=2))
    return set(zip(columns.tolist(), rows.tolist(), strict=True))


def block(left: int, top: int, right: int, bottom: int) -> set[tuple[int, int]]:
    return set(itertools.product(range(left, right), range(top, bottom)))


def test_an_empty_sheet_is_opaque_paper() -> None:
    pixels = Sheet(Size(3, 5), "#14171B").pixels()
    assert pixels.shape == (3, 5, 4)
    assert (pixels == [0x14, 0x17, 0x1B, 255]).all()
    assert rgb_bytes("#14171B").tolist() == [0x14, 0x17, 0x1B]


@given(st.integers(0, 30), st.integers(0, 50), st.integers(1, 9), st.integers(1, 9))
def test_a_shape_fills_its_pixels_and_no_others(top: int, left: int, height: int, width: int) -> None:
    page = sheet()
    page.shape(closed(box(left, top, left + width, top + height)), RED, RED, 0.0, 1.0)
    assert painted(page) == block(left, top, left + width, top + height)


def test_a_stroke_lies_along_its_path_within_its_clip() -> None:
    page = sheet()
    path = joined(np.array([[[5.0, 20.0], [50.0, 20.0]]]))
    page.stroke(path, RED, 4.0, 1.0, round_ends=False, clip=Box(10, 0, 30, 21))
    assert painted(page) == block(10, 18, 30, 21)


@given(st.floats(15, 25))
def test_strokes_lie_between_whole_pixels_where_they_should(y: float) -> None:
    page = sheet()
    page.stroke(joined(np.array([[[5.0, y], [50.0, y]]])), RED, 3.0, 1.0, round_ends=False)
    covered = page.pixels()[:, 30, 0] / 255
    assert (covered * (np.arange(40) + 0.5)).sum() / covered.sum() == pytest.approx(y, abs=0.02)
    assert covered.sum() == pytest.approx(3.0, abs=0.03)


def test_no_vertex_of_a_long_path_is_left_out() -> None:
    strokes = np.random.default_rng(0).uniform(5, 35, (100, 2, 2))
    assert not joined(strokes).should_simplify
    assert not closed(strokes[:, 0]).should_simplify


def test_dashes_have_their_lengths() -> None:
    page = sheet()
    path = joined(np.array([[[0.0, 20.0], [60.0, 20.0]]]))
    page.stroke(path, RED, 2.0, 1.0, dashes=(7.0, 3.0), round_ends=False)
    drawn = {x for x, _ in painted(page)}
    assert drawn == {x for x in range(60) if x % 10 < 7}


def test_strokes_of_one_path_do_not_add_up_where_they_cross() -> None:
    page = sheet()
    path = joined(np.array([[[5.0, 20.0], [50.0, 20.0]], [[20.0, 5.0], [20.0, 35.0]]]))
    page.stroke(path, (*RED[:3], 0.5), 4.0, 1.0)
    pixels = page.pixels()
    assert pixels[20, 20].tolist() == pixels[20, 40].tolist() == pixels[10, 20].tolist()


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_higher_mark_lies_above_in_whatever_order_they_come(order: tuple[int, ...]) -> None:
    page = sheet()
    for level in order:
        colour = (RED, GREEN, BLUE)[level]
        page.shape(closed(box(10 + level, 10, 30 + level, 30)), colour, colour, 0.0, float(level))
    row = page.pixels()[20]
    assert row[[10, 11, 31], :3].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]


def test_marks_of_one_height_lie_in_the_order_they_came() -> None:
    page = sheet()
    for colour in (BLUE, GREEN, RED):
        page.shape(closed(box(10, 10, 30, 30)), colour, colour, 0.0, 1.0)
    assert page.pixels()[20, 20, :3].tolist() == [255, 0, 0]


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_a_stamp_is_laid_over_as_its_opacity_says(below: int, above: int, alpha: int) -> None:
    page = sheet()
    page.show(np.full((40, 60, 3), below, dtype=np.uint8), 0, 0)
    page.stamp(np.array([[[above, above, above, alpha]]], dtype=np.uint8), 13, 7, 1.0)
    pixels = page.pixels()
    assert abs(int(pixels[7, 13, 0]) - (above * alpha + below * (255 - alpha)) / 255) <= 1.5
    pixels[7, 13] = pixels[0, 0]
    assert (pixels == [below, below, below, 255]).all()


def test_pictures_and_stamps_stand_upright_in_their_place() -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (9, 11, 3), dtype=np.uint8)
    rgba = np.concatenate([rng.integers(0, 256, (5, 7, 3)), np.full((5, 7, 1), 255)], axis=2).astype(np.uint8)
    page = sheet()
    page.stamp(rgba, 30, 20, 0.0)
    page.show(rgb, 2, 3)
    pixels = page.pixels()
    assert (pixels[3:12, 2:13, :3] == rgb).all()
    assert (pixels[20:25, 30:37] == rgba).all()
    pixels[3:12, 2:13] = pixels[20:25, 30:37] = 0
    assert not pixels[..., :3].any()


@pytest.mark.parametrize("halo_px", [0.0, 2.2])
@pytest.mark.parametrize(("align", "start"), [("left", 0.0), ("center", 0.5), ("right", 1.0)])
def test_letters_stand_where_they_are_asked_for(halo_px: float, align: str, start: float) -> None:
    page = Sheet(Size(60, 300), "#808080")
    Lettering(page).write("Hill", 150.0, 30.0, 20.0, WHITE, bold=True, align=align, halo_px=halo_px)
    pixels = page.pixels()[..., 0]
    rows, columns = np.nonzero(pixels > 200)
    assert (rows.min() + rows.max() + 1) / 2 == pytest.approx(30.0, abs=1.5)
    width = width_px("Hill", 20.0, bold=True)
    assert columns.min() == pytest.approx(150.0 - start * width, abs=3)
    assert columns.max() + 1 == pytest.approx(150.0 + (1 - start) * width, abs=4)
    assert (pixels < 40).any() == (halo_px > 0)


def test_all_lines_of_one_size_stand_on_the_same_baseline() -> None:
    bottoms = []
    for text in ("mmm", "1.5", "Äll", "HOH"):
        page = Sheet(Size(60, 300), BLACK)
        Lettering(page).write(text, 50.0, 30.0, 14.5, WHITE)
        bottoms.append(np.nonzero(page.pixels()[..., 0] > 128)[0].max())
    assert len(set(bottoms)) == 1


def test_letters_do_not_depend_on_what_was_written_before() -> None:
    def line(text: str) -> Pixels:
        page = Sheet(Size(40, 200), BLACK)
        Lettering(page).write(text, 5.0, 20.0, 15.0, WHITE)
        return page.pixels().copy()

    first = line("unchanged 1")
    for number in range(600):  # more than are remembered
        line(f"{number}")
    assert (line("unchanged 1") == first).all()
