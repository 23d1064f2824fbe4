"""The parts of an overlay: numbers in words, geometry, places for texts, grey values."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from mahtdiag.anatomy.rule import Sign
from mahtdiag.reports.overlay.draw import for_display
from mahtdiag.reports.overlay.lettering import printable, shorten, width_px
from mahtdiag.reports.overlay.marks import Mark
from mahtdiag.reports.overlay.names import Placer
from mahtdiag.reports.overlay.panel import Words, block_height, in_px, lay_out, panel_blocks
from mahtdiag.reports.overlay.scene import SHARE_IN_ELLIPSE, Box, Stage, exit_point, worst_keypoints
from mahtdiag.schema.frames import CoordinateConvention, FrameMap, Size
from mahtdiag.schema.preprocessing import Resize
from mahtdiag.schema.records import ImageRecord
from mahtdiag.schema.skeleton import AP, LA, Skeleton
from tests.reports.overlay.overlay_records import NO_LOSSES, finding, make_record, spine, without_labels


def panel(record: ImageRecord, skeleton: Skeleton = AP, worst: int = 3, **titles: str) -> dict[str, str]:
    """The text at the right of each row of the panel, by the text at its left."""
    marks: dict[Mark | Sign, bool] = {Mark.LABEL: True}
    blocks = panel_blocks(record, skeleton, 1.0, worst, titles, marks, stretched=False)
    return {row.left.strip(): row.right for block in blocks for row in block}


def test_the_panel_tells_the_errors_in_pixels_and_in_millimetres_where_these_are_known() -> None:
    pred = spine(AP) + np.array([3.0, 4.0])
    pred[19] = spine(AP)[19] + np.array([60.0, 80.0])
    rows = panel(make_record(pred=pred))
    assert rows["mean"] == "9.75 px"  # (19·5 + 100)/20
    assert rows["largest"] == "100.0 px"
    assert rows["L5 LR"] == "100.0 px · 25.0 σ"
    assert "pixel spacing unknown" in rows
    rows = panel(make_record(pred=pred, spacing=0.2))
    assert rows["largest"] == "20.00 mm · 100.0 px"
    assert "0.200 mm per pixel" in rows


def test_the_panel_counts_what_is_not_drawn() -> None:
    gt, pred, sigma = spine(AP), spine(AP) + 1.0, np.full((20, 2), 2.0)
    gt[[1, 2]], gt[6] = np.nan, (np.inf, 3.0)
    pred[4], pred[7], pred[8] = np.nan, (-0.6, 5.0), (5.0, 649.6)
    sigma[11] = (0.0, 1.0)
    rows = panel(make_record(gt=gt, pred=pred, sigma=sigma))
    assert rows["keypoints labelled"] == "17 of 20"
    assert rows["labels missing, not drawn"] == "3"
    assert rows["predictions undefined, not drawn"] == "1"
    assert rows["predictions outside the image"] == "2"
    assert rows["σ missing or not positive"] == "1"
    complete = panel(make_record())
    assert not any("missing" in left or "undefined" in left or "outside" in left for left in complete)


def test_the_share_of_labels_inside_two_sigma_agrees_with_counting_them() -> None:
    rng = np.random.default_rng(5)
    gt = spine(LA)
    sigma = rng.uniform(1, 9, gt.shape)
    pred = gt + rng.normal(size=gt.shape) * sigma * 1.3
    gt[3] = np.nan
    inside = 0
    for k in range(22):
        if k != 3:
            inside += sum(((pred[k, a] - gt[k, a]) / sigma[k, a]) ** 2 for a in range(2)) <= 4
    record = make_record(LA, gt=gt, pred=pred, sigma=sigma)
    assert panel(record, LA)["labels inside 2 σ"].startswith(f"{inside} of 21 ")


def test_the_expected_share_agrees_with_drawing_from_a_normal_distribution() -> None:
    draws = np.random.default_rng(3).normal(size=(200_000, 2))
    assert pytest.approx((np.hypot(*draws.T) <= 2).mean(), abs=0.003) == SHARE_IN_ELLIPSE


def test_the_panel_tells_all_losses_and_a_dash_where_there_is_none() -> None:
    rows = panel(make_record())
    parts = ("total, weighted", "heatmap", "from keypoint pixels", "coordinates", "anatomical")
    assert [rows[part] for part in parts] == ["1.25", "0.00400", "25 %", "2.40", "0.110"]
    terms = ("order", "parallel", "ratio", "uncertainty")
    assert [rows[term] for term in terms] == ["0", "0.0200", "1.08", "0.700"]
    empty = panel(make_record(losses=NO_LOSSES))
    assert [empty[part] for part in ("total, weighted", "heatmap")] == ["–"] * 2
    unlabelled = panel(without_labels(make_record(losses=NO_LOSSES)))
    assert "No labels" in unlabelled
    assert not {"total, weighted", "heatmap", "mean", "largest", "Radial error"} & unlabelled.keys()
    assert not any("nan" in text.lower() for item in empty.items() for text in item)


def test_findings_stand_by_severity_with_their_titles() -> None:
    rows = panel(make_record(findings=(finding(),)), A201="endplates not parallel")
    assert rows["A201 L3"] == "34.2° · limit 22.0"
    assert "endplates not parallel" in rows
    assert panel(make_record())["Anatomical findings"] == "none"
    several = tuple(replace(finding(f"A20{n}"), severity=s) for n, s in enumerate((2.0, 9.0, np.nan, 4.0)))
    listed = [left for left in panel(make_record(findings=several)) if left.startswith("A20")]
    assert listed == ["A201 L3", "A203 L3", "A200 L3", "A202 L3"]


@pytest.mark.parametrize(
    ("direction", "words"), [(1, "all one level too low"), (-1, "all one level too high")]
)
def test_a_spine_that_is_one_level_off_is_said(direction: int, words: str) -> None:
    label = spine(AP)
    step = (label[4:] - label[:-4]).mean(axis=0) * direction
    assert panel(make_record(pred=label + step))["Level shift"] == words
    assert "Level shift" not in panel(make_record(pred=label + step / 4))
    assert "Level shift" not in panel(without_labels(make_record(pred=label + step)))


def test_only_drawn_marks_are_explained() -> None:
    marks: dict[Mark | Sign, bool] = {Mark.LABEL: True, Mark.WORST: False}
    blocks = panel_blocks(make_record(), AP, 1.0, 3, {}, marks, stretched=True)
    assert [row.mark for block in blocks for row in block if row.mark] == [Mark.LABEL]
    assert any(row.left == "grey values stretched for display" for row in blocks[0])


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.123, "0.12 px"), (9.94, "9.94 px"), (9.99, "9.99 px"), (23.444, "23.44 px"), (1e300, "1.0e+300 px"),
     (math.nan, "–"), (math.inf, "–")],
)  # fmt: skip
def test_pixels_are_short(value: float, text: str) -> None:
    assert in_px(value) == text


@given(hnp.arrays(np.float64, st.integers(0, 22)), st.integers(0, 25))
def test_worst_keypoints_agree_with_sorting(errors: NDArray[np.float64], count: int) -> None:
    finite = [(-float(e), k) for k, e in enumerate(errors) if math.isfinite(e)]
    assert list(worst_keypoints(errors, count)) == [k for _, k in sorted(finite)[:count]]


coordinates = st.floats(-500, 1500)


@given(coordinates, coordinates, st.floats(0, 2 * math.pi), st.floats(2000, 20000))
def test_the_exit_point_is_on_the_border_and_on_the_way(x: float, y: float, turn: float, far: float) -> None:
    box = Box(0, 0, 1000, 800)
    start = np.array([np.clip(x, 0, 1000), np.clip(y, 0, 800)])
    end = start + far * np.array([math.cos(turn), math.sin(turn)])
    at = exit_point(start, end, box)
    gaps = [at[0], 1000 - at[0], at[1], 800 - at[1]]
    assert min(gaps) == pytest.approx(0, abs=1e-6)
    assert min(gaps) >= -1e-6
    way, whole = at - start, end - start
    assert way[0] * whole[1] - way[1] * whole[0] == pytest.approx(0, abs=1e-3)
    assert way @ whole >= 0


@given(hnp.arrays(np.float64, (20, 2), elements=st.floats(0, 2000)))
def test_the_stage_places_points_like_a_resize_of_the_image(points: NDArray[np.float64]) -> None:
    original, shown = Size(1700, 1300), Size(850, 1040)
    stage = Stage(Box(0, 0, 1140, 950), Box(50, 70, 50 + shown.width, 70 + shown.height), original)
    frame = FrameMap(original, shown, shown, Resize.STRETCH, CoordinateConvention.HALF_PIXEL)
    # Figure coordinates count from the border of the first pixel, not from its centre.
    expected = frame.original_to_input(points) + 0.5 + [50, 70]
    np.testing.assert_allclose(stage.place(points), expected, atol=1e-9)


@given(st.text(max_size=120), st.floats(20, 400), st.booleans(), st.booleans())
def test_shortened_text_fits(text: str, limit: float, bold: bool, keep_end: bool) -> None:
    short = shorten(text, limit, 15.0, bold=bold, keep_end=keep_end)
    assert width_px(short, 15.0, bold=bold) <= limit
    if width_px(printable(text), 15.0, bold=bold) <= limit:
        assert short == printable(text)


def test_a_long_name_keeps_both_ends() -> None:
    short = shorten("0001-F-037Y0" + "x" * 200 + "-copy.png", 300, 15.0, keep_end=True)
    assert short.startswith("0001-F")
    assert short.endswith("copy.png")
    assert "…" in short
    assert shorten("0001" + "x" * 200, 100, 15.0).endswith("…")


def test_unprintable_characters_become_boxes() -> None:
    assert printable("ä€σ\n\u060c\u60a3\udcff\u200b") == "ä€σ□\u060c□□□"


@given(st.floats(-200, 1300), st.floats(-200, 1000), st.floats(5, 300), st.floats(5, 100), st.integers(0, 30))
def test_a_placed_text_is_inside_the_stage(x: float, y: float, width: float, height: float, n: int) -> None:
    stage = Box(0, 0, 1000, 800)
    points = np.random.default_rng(n).uniform(0, 800, (n, 2))
    placer = Placer(stage, points, points)
    placed = placer.take([(Box.around(x, y, width, height), 0.0)])
    assert placed.left >= 0
    assert placed.top >= 0
    assert placed.right <= 1000
    assert placed.bottom <= 800
    assert (placed.width, placed.height) == pytest.approx((width, height))


def test_texts_avoid_each_other_and_keypoints() -> None:
    free, hides, beside = Box(0, 0, 50, 20), Box(100, 0, 150, 20), Box(200, 0, 250, 20)
    placer = Placer(Box(-10, -10, 500, 500), np.array([[125.0, 10.0]]), np.empty((0, 2)))
    assert placer.take([(free, 0.0), (beside, 5.0)]) == free
    assert placer.take([(free, 0.0), (hides, 1.0), (beside, 5.0)]) == beside


@given(st.integers(0, 2**32 - 1))
def test_the_cheapest_place_agrees_with_weighing_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    placer = Placer(Box(0, 0, 400, 300), rng.uniform(0, 400, (12, 2)), rng.uniform(0, 300, (200, 2)))
    for _ in range(4):
        choices = [(Box.around(x, y, 60, 20), price) for x, y, price in rng.uniform(0, 350, (25, 3)).tolist()]
        costs = []
        for place, price in choices:
            padded = Box(place.left - 3, place.top - 3, place.right + 3, place.bottom + 3)
            lost = 1200 - place.shared_area(Box(3, 3, 397, 297))
            shared = sum(place.shared_area(other) for other in placer.taken)
            dots, strokes = padded.contains(placer.dots).sum(), place.contains(placer.strokes).sum()
            costs.append(price + 40 * dots + 4 * strokes + shared + 50 * lost)
        best = choices[int(np.argmin(costs))][0]
        taken = placer.take(choices)
        assert abs(taken.left - min(max(best.left, 3), 337)) < 1e-9
        assert abs(taken.top - min(max(best.top, 3), 277)) < 1e-9


@given(st.lists(st.integers(1, 20), min_size=1, max_size=9), st.integers(1, 5))
def test_columns_hold_every_block_once_in_order_and_in_height(lengths: list[int], columns: int) -> None:
    blocks = [tuple(Words(f"{n}.{m}") for m in range(length)) for n, length in enumerate(lengths)]
    layout = lay_out(blocks, columns)
    assert [block for column in layout.columns for block in column] == blocks
    assert len(layout.columns) <= columns
    assert all(sum(map(block_height, column)) <= layout.height for column in layout.columns)


def test_shrinking_averages_areas() -> None:
    image = np.random.default_rng(4).integers(0, 256, (60, 40), dtype=np.uint8)
    image[0, :2] = (0, 255)  # the whole scale is used: nothing is stretched
    image[:6] = np.repeat([[0], [255]], 3, axis=0)
    shown, stretched = for_display(image, Size(20, 10))
    expected = image.reshape(20, 3, 10, 4).mean(axis=(1, 3))
    assert not stretched
    np.testing.assert_allclose(shown[:, :, 0], expected, atol=0.51)


@given(st.integers(0, 99), st.booleans(), st.booleans())
def test_stretching_agrees_with_doing_it_pixel_by_pixel(seed: int, deep: bool, colour: bool) -> None:
    rng = np.random.default_rng(seed)
    top = int(rng.integers(3, 65535 if deep else 255))
    values = rng.integers(top // 2, top, (31, 20, 3) if colour else (31, 20))
    low, high = np.percentile(values[::2, ::2], (0.5, 99.5))
    gain, black = 255 / max(high - low, 1), 0.0
    if not deep and gain > 3:
        gain, black = 3.0, (255 - 3 * (high - low)) * low / (low + 255 - high)
    expected = np.clip((values - low) * gain + black, 0, 255)
    shown, stretched = for_display(
        values.astype(np.uint16) if deep else values.astype(np.uint8), Size(31, 20)
    )
    if not deep and not 0 < high - low < 128:
        assert not stretched
        expected = values.astype(np.float64)
    expected = expected if colour else np.repeat(expected[..., None], 3, axis=2)
    assert np.abs(shown - expected).max() <= 1


@given(st.integers(1, 50), st.integers(0, 5000))
def test_sixteen_bit_pictures_do_not_depend_on_scale_and_offset(factor: int, offset: int) -> None:
    base = np.random.default_rng(6).integers(0, 1000, (50, 40)).astype(np.uint16)
    first, stretched = for_display(base, Size(50, 40))
    second, _ = for_display((base * factor + offset).astype(np.uint16), Size(50, 40))
    assert stretched
    assert first.min() == 0
    assert first.max() == 255
    assert np.abs(first.astype(int) - second).max() <= 1


@pytest.mark.parametrize("low", [0, 100, 215])
def test_narrow_eight_bit_pictures_gain_contrast_and_keep_their_end_of_the_scale(low: int) -> None:
    image = (low + np.arange(1600).reshape(40, 40) % 40).astype(np.uint8)
    shown, stretched = for_display(image, Size(40, 40))
    assert stretched
    spread = int(shown.max()) - int(shown.min())
    assert 39 * 3 - 3 <= spread <= 39 * 3 + 3
    middle_before, middle_after = low + 19.5, (int(shown.max()) + int(shown.min())) / 2
    assert (middle_before < 110) == (middle_after < 110) or low == 100


def test_a_flat_picture_stays_as_it_is() -> None:
    shown, stretched = for_display(np.full((9, 9), 77, np.uint8), Size(30, 30))
    assert not stretched
    assert (shown == 77).all()
    deep, _ = for_display(np.full((9, 9), 777, np.uint16), Size(30, 30))
    assert (deep == 0).all()
