"""What findings measured, as it is drawn: the right places, inside the picture, explained by the legend."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mahtdiag.anatomy.findings import check_anatomy
from mahtdiag.anatomy.rule import Shape, Sign, crossing_point, meeting_point
from mahtdiag.anatomy.rules import RULES
from mahtdiag.reports import palette
from mahtdiag.reports.overlay.draw import draw_overlay
from mahtdiag.reports.overlay.marks import MAX_FINDINGS, DrawnQuantity, Mark, shown_quantities
from mahtdiag.reports.overlay.names import Placer
from mahtdiag.reports.overlay.panel import DETAILS, panel_blocks
from mahtdiag.reports.overlay.scene import Box, Scene, Stage, arc, clipped, extended, make_scene
from mahtdiag.schema.frames import Size
from mahtdiag.schema.records import Finding, ImageRecord
from mahtdiag.schema.skeleton import AP, LA, SKELETONS, Skeleton
from tests.reports.overlay.overlay_records import make_record, spine
from tests.reports.overlay.test_overlays import GREY, count, decode, drawn

Points = NDArray[np.float64]
BOX = Box(0, 0, 1000, 800)
# One figure pixel is one original pixel, and a half of one further right and down.
STAGE = Stage(Box(0, 0, 550, 650), Box(0, 0, 550, 650), Size(650, 550))


def scene_of(pred: Points, skeleton: Skeleton = AP) -> Scene:
    return make_scene(make_record(skeleton, pred=pred), skeleton, STAGE, 0)


def fired(code: str, vertebra: str = "L3", keypoints: tuple[int, ...] = (), unit: str = "") -> Finding:
    return Finding(code, 0, vertebra, 2.0, unit, 1.0, 2.0, keypoints)


def quantity(pred: Points, finding: Finding, skeleton: Skeleton = AP) -> DrawnQuantity:
    (only,) = shown_quantities(scene_of(pred, skeleton), (finding,))
    return only


def shape(of: DrawnQuantity, kind: Shape) -> Points:
    """The points of one kind, in original pixels."""
    return next(points for shape, points in of.shapes if shape is kind) - 0.5


angles = st.floats(0.05, math.pi - 0.05)
places = st.tuples(st.floats(-400, 400), st.floats(-400, 400))


@given(places, st.floats(0, math.pi), angles, st.floats(-50, 50), st.floats(-50, 50))
def test_lines_meet_where_they_were_made_to(
    at: tuple[float, float], first: float, turn: float, near: float, far: float
) -> None:
    ways = [np.array([math.cos(a), math.sin(a)]) for a in (first, first + turn)]
    segments = [np.array(at) + np.outer([s, s + 60.0], way) for s, way in zip((near, far), ways, strict=True)]
    found = meeting_point(segments[0], segments[1])
    np.testing.assert_allclose(found, at, atol=1e-6)
    crosses = all(-60 < s < 0 for s in (near, far))
    touches = any(min(abs(s), abs(s + 60)) < 1e-3 for s in (near, far))
    assert touches or np.isfinite(crossing_point(segments[0], segments[1])).all() == crosses
    for segment in segments:
        longer = extended(segment, found)
        ends = np.vstack([segment, found])
        assert np.ptp(longer, axis=0) == pytest.approx(np.ptp(ends, axis=0), abs=1e-6)


def test_parallel_and_unknown_lines_do_not_meet() -> None:
    one = np.array([[0.0, 0.0], [10.0, 1.0]])
    for other in (one + np.array([0.0, 5.0]), np.full((2, 2), np.nan), np.full((2, 2), 3.0)):
        assert np.isnan(meeting_point(one, other)).all()
        assert extended(one, meeting_point(one, other)) is one


# A thousandth of a pixel is the least that a sample can be beyond the border by.
coordinates = st.integers(-1_500_000, 2_500_000).map(lambda thousandths: thousandths / 1000)
ends = st.tuples(coordinates, coordinates)


@given(ends, ends)
def test_clipping_agrees_with_sampling(start: tuple[float, float], end: tuple[float, float]) -> None:
    segment = np.array([start, end])
    share = np.linspace(0, 1, 2001)[:, None]
    samples = (1 - share) * segment[0] + share * segment[1]
    inside = samples[BOX.contains(samples)]
    kept = clipped(segment, BOX)
    step = float(np.hypot(*(segment[1] - segment[0]))) / 2000 + 1e-6
    if np.isnan(kept).any():
        assert len(inside) == 0
    elif len(inside):
        assert np.hypot(*(kept[0] - inside[0])) <= step * 1.01
        assert np.hypot(*(kept[1] - inside[-1])) <= step * 1.01


def test_clipping_survives_a_segment_of_no_length() -> None:
    for tiny in (0.0, 5e-324):
        np.testing.assert_array_equal(clipped(np.array([[0.0, 0.0], [0.0, tiny]]), BOX)[0], [0.0, 0.0])


def test_an_arc_goes_the_short_way() -> None:
    strokes = arc(np.array([5.0, 7.0]), np.array([3.0, 0.0]), np.array([0.0, -2.0]), 10.0)
    np.testing.assert_allclose(strokes[0, 0], [15, 7])
    np.testing.assert_allclose(strokes[-1, 1], [5, -3], atol=1e-9)
    np.testing.assert_allclose(np.hypot(*(strokes.reshape(-1, 2) - [5, 7]).T), 10)


def test_endplates_are_extended_until_they_meet() -> None:
    pred = spine(AP)
    pred[8:12] = [[200, 300], [300, 320], [200, 400], [300, 380]]
    lines = quantity(pred, fired("A201"))
    # 0.2 px up and 0.2 px down per pixel: the gap of 100 px closes after 250 px.
    np.testing.assert_allclose(lines.at - 0.5, [450, 350], atol=1e-6)
    strokes = shape(lines, Shape.LINE)
    np.testing.assert_allclose(strokes[:2], [[[200, 300], [450, 350]], [[200, 400], [450, 350]]], atol=1e-6)
    pred[8:12] = [[200, 300], [300, 301], [200, 400], [300, 399]]
    leaving = quantity(pred, fired("A201"))
    assert shape(leaving, Shape.LINE)[:, :, 0].max() == pytest.approx(549.5)
    assert leaving.mark is Sign.ANGLE


def test_a_disc_and_the_sacrum() -> None:
    pred = spine(LA)
    pred[21] += [0.0, 60.0]
    wedge = quantity(pred, fired("A202", "L5/S1"), LA)
    upper, lower = shape(wedge, Shape.LINE)[:2]
    for plate, line in ((pred[18:20], upper), (pred[20:22], lower)):
        along = plate[1] - plate[0]
        assert abs(np.linalg.det(np.stack([along, line[1] - line[0]]))) < 1e-6
    assert shown_quantities(scene_of(pred, LA), (fired("A201", "S1"),)) == ()


def test_a_tilted_endplate_stands_against_the_mean_of_its_neighbours() -> None:
    pred = spine(AP)
    pred[9] += [0.0, 60.0]
    tilt = quantity(pred, fired("A203", "L3", (8, 9)))
    usual = shape(tilt, Shape.DASHED)[0]
    assert usual[0, 1] == pytest.approx(usual[1, 1])
    own = shape(tilt, Shape.LINE)[0]
    np.testing.assert_allclose(own.mean(axis=0), pred[8:10].mean(axis=0))


def rotated(points: Points, degrees: float) -> Points:
    turn = math.radians(degrees)
    matrix = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    turned: Points = (points - points.mean(axis=0)) @ matrix.T + points.mean(axis=0)
    return turned


@pytest.mark.parametrize(
    ("skeleton", "first", "turned", "usual_deg"),
    [
        # L2's endplates 12° apart: L1's upper one is expected to lean by half of that, the other way.
        (AP, 0, {6: 12.0}, -6.0),
        # L4's 12° apart, and L5's upper one as L4's lower one: L5's lower one is expected half as far on.
        (AP, 18, {14: 12.0, 16: 12.0}, 18.0),
        # The disc L4/L5 wedged by 12°: L5/S1 is expected to be so as well.
        (LA, 20, {16: 12.0, 18: 12.0}, 24.0),
    ],
)
def test_an_outer_endplate_stands_against_what_the_next_wedge_makes_usual(
    skeleton: Skeleton, first: int, turned: dict[int, float], usual_deg: float
) -> None:
    pred = spine(skeleton)
    for left, degrees in turned.items():
        pred[left : left + 2] = rotated(pred[left : left + 2], degrees)
    pred[first : first + 2] = rotated(pred[first : first + 2], 50)
    drawing = quantity(pred, fired("A203", skeleton.vertebra_of[first], (first, first + 1)), skeleton)
    (usual,) = shape(drawing, Shape.DASHED)
    along = usual[1] - usual[0]
    assert math.degrees(math.atan2(along[1], along[0])) == pytest.approx(usual_deg)
    np.testing.assert_allclose(usual.mean(axis=0), pred[first : first + 2].mean(axis=0))


def test_the_crossing_of_an_outline() -> None:
    pred = spine(AP)
    pred[[10, 11]] = pred[[11, 10]]
    centre = pred[8:12].mean(axis=0)
    np.testing.assert_allclose(shape(quantity(pred, fired("A401")), Shape.CROSS), centre[None])
    pred = spine(AP)
    pred[[9, 11]] = pred[[11, 9]]
    np.testing.assert_allclose(shape(quantity(pred, fired("A401")), Shape.CROSS), centre[None])
    assert shown_quantities(scene_of(spine(AP)), (fired("A401"),)) == ()


def test_an_overlap_is_shaded_where_it_is() -> None:
    pred = spine(AP)
    whole = pred.copy()
    whole[10:12, 1] += 100
    area = shape(quantity(whole, fired("A102", "L3/L4")), Shape.AREA)
    np.testing.assert_allclose(sorted(map(tuple, area)), sorted(map(tuple, whole[10:14])))
    half = pred.copy()
    gap = half[12, 1] - half[10, 1]
    half[10, 1] += 2 * gap
    corners = shape(quantity(half, fired("A102", "L3/L4")), Shape.AREA)
    middle = (half[12] + half[13]) / 2
    np.testing.assert_allclose(corners[0], middle, atol=1e-6)
    np.testing.assert_allclose(corners[1:], [half[10], half[12]], atol=1e-6)


def test_arrows_go_from_the_first_name_to_the_second() -> None:
    pred = spine(AP)
    pred[8:12], pred[12:16] = pred[12:16].copy(), pred[8:12].copy()
    descent = shape(quantity(pred, fired("A101", "L3/L4")), Shape.ARROW)[0]
    np.testing.assert_allclose(descent, [pred[8:12].mean(axis=0), pred[12:16].mean(axis=0)])
    exchange = shape(quantity(pred, fired("A103")), Shape.ARROW)[0]
    np.testing.assert_allclose(exchange, [pred[8:10].mean(axis=0), pred[10:12].mean(axis=0)])
    sideways = shape(quantity(pred, fired("A402")), Shape.ARROW)[0]
    np.testing.assert_allclose(sideways, [pred[[8, 10]].mean(axis=0), pred[[9, 11]].mean(axis=0)])


@pytest.mark.parametrize(
    ("code", "place", "unit", "lengths"),
    [
        ("A301", "L3", "width/height", [165.0, 48.75]),
        ("A302", "L3/L4", "of the mean width", [165.0, 165.0]),
        ("A302", "L3/L4", "of the mean height", [48.75, 48.75]),
        ("A501", "L3/L4", "usual spacings", [97.5]),
        ("A501", "L3/L4", "heights", [48.75]),
    ],
)
def test_bars_are_as_long_as_what_they_measure(
    code: str, place: str, unit: str, lengths: list[float]
) -> None:
    bars = shape(quantity(spine(AP), fired(code, place, unit=unit)), Shape.BAR)
    assert np.hypot(*(bars[:, 1] - bars[:, 0]).T) == pytest.approx(lengths)


def test_off_corners_point_to_where_they_should_be() -> None:
    pred = spine(AP)
    place = pred[8].copy()
    pred[8] = pred[8] + [60.0, 0.0]
    off = quantity(pred, fired("A404", keypoints=(8,)))
    np.testing.assert_allclose(shape(off, Shape.DASHED), [[pred[8], place]])
    np.testing.assert_allclose(shape(off, Shape.SQUARE), [place])
    outer = spine(AP)
    place = outer[0].copy()
    outer[0] -= [60.0, 0.0]
    off = quantity(outer, fired("A405", "L1", keypoints=(0,)))
    np.testing.assert_allclose(shape(off, Shape.DASHED), [[outer[0], place]])
    last = spine(LA)
    place = last[21].copy()
    last[21] += [60.0, 0.0]
    off = quantity(last, fired("A405", "S1", keypoints=(21,)), LA)
    np.testing.assert_allclose(shape(off, Shape.SQUARE), [place])
    pred[8] = pred[11] - [10.0, 5.0]
    foot = shape(quantity(pred, fired("A403", keypoints=(8,))), Shape.SQUARE)[0]
    chord = pred[10] - pred[9]
    assert np.linalg.det(np.stack([foot - pred[9], chord])) == pytest.approx(0, abs=1e-6)
    assert (foot - pred[8]) @ chord == pytest.approx(0, abs=1e-6)


def test_keypoints_beyond_the_border_coinciding_and_missing() -> None:
    pred = spine(AP)
    pred[8] = (-70.0, 300.0)
    border = shape(quantity(pred, fired("A601", keypoints=(8,))), Shape.LINE)
    assert border.shape == (1, 2, 2)
    np.testing.assert_allclose(border[0, :, 0], 4.5)
    assert border[0].mean(axis=0)[1] == pytest.approx(300)
    pred[10:12] = pred[11]
    rings = shape(quantity(pred, fired("A602", keypoints=(10, 11))), Shape.RING)
    np.testing.assert_allclose(rings, pred[10:12])
    pred[8:10] = np.nan
    missing = quantity(pred, fired("A603", keypoints=(8, 9)))
    assert (missing.mark, missing.shapes) == (None, ())


CODES = [rule.code for rule in RULES]


@given(st.integers(0, 10_000), st.sampled_from([0.02, 0.1, 0.5]), st.sampled_from(SKELETONS))
def test_whatever_fires_is_drawn_inside_the_picture(seed: int, noise: float, skeleton: Skeleton) -> None:
    rng = np.random.default_rng(seed)
    pred = spine(skeleton) + rng.normal(size=(skeleton.keypoints, 2)) * noise * 550
    pred[rng.random(skeleton.keypoints) < 0.05] = np.nan
    pred[rng.random(skeleton.keypoints) < 0.05] = pred[0]
    findings = check_anatomy(pred[None], skeleton, image_size_px=np.array([[550.0, 650.0]])).of_image(0)
    shown = shown_quantities(scene_of(pred, skeleton), findings)
    assert len(shown) <= MAX_FINDINGS
    severities = sorted((f.severity for f in findings), reverse=True)[:MAX_FINDINGS]
    assert all(q.finding.severity >= severities[-1] for q in shown)
    for one in shown:
        assert STAGE.box.contains(one.at[None])[0]
        assert np.isfinite(one.strokes()).all()
        assert all(np.isfinite(points).all() for _, points in one.shapes)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("vertebra", ["L1", "L5", "S1", "L4/L5", "L5/S1", "", "T12"])
@pytest.mark.parametrize("nothing", [False, True])
def test_no_finding_breaks_the_drawing(code: str, vertebra: str, nothing: bool) -> None:
    for skeleton in SKELETONS:
        pred = np.full((skeleton.keypoints, 2), np.nan) if nothing else np.full((skeleton.keypoints, 2), 9.0)
        scene = scene_of(pred, skeleton)
        for keypoints in ((), (0,), (18, 19)):
            for one in shown_quantities(scene, (fired(code, vertebra, keypoints),)):
                assert np.isfinite(one.strokes()).all()


def tilted() -> ImageRecord:
    pred = spine(AP)
    pred[9, 1] += 50
    return make_record(pred=pred, findings=(Finding("A201", 0, "L3", 34.0, "°", 22.0, 2.0, (8, 9, 10, 11)),))


def legend(record: ImageRecord, **marks: bool) -> list[Mark | Sign]:
    by_name: dict[str, Mark | Sign] = {mark.name: mark for mark in (*Mark, *Sign)}
    given = {by_name[name]: shown for name, shown in marks.items()}
    blocks = panel_blocks(record, AP, 1.0, 0, {}, given, stretched=False)
    return [row.mark for block in blocks for row in block if row.mark]


def test_the_drawing_reaches_beyond_the_vertebra_only_for_its_finding() -> None:
    record = tilted()
    bare = make_record(pred=record.keypoints.pred_px)
    assert count(drawn(record), palette.FINDING) > count(drawn(bare), palette.FINDING) + 800
    assert legend(record, ANGLE=True, CROSSING=False) == [Sign.ANGLE]


def test_every_mark_has_a_line_in_the_legend_and_a_picture() -> None:
    marks = {mark.name: True for mark in (*Mark, *Sign)}
    assert set(legend(make_record(), **marks)) == {*Mark, *Sign}
    # Two panels that differ in a legend line differ in pixels: each swatch is drawn.
    second = np.full((20, 2), np.nan)
    second[3] = (300.0, 500.0)
    plain = decode(draw_overlay(GREY, make_record(), AP))
    marked = decode(draw_overlay(GREY, make_record(), AP, second_peaks=second))
    assert count(plain, palette.SECOND_PEAK) == 0
    assert count(marked[:, :1100], palette.SECOND_PEAK) > 60
    assert count(marked[:, 1100:], palette.SECOND_PEAK) > 30


def test_second_peaks_are_joined_to_their_predictions() -> None:
    pred, second = np.full((20, 2), np.nan), np.full((20, 2), np.nan)
    pred[0], second[0], second[1] = (100.0, 300.0), (400.0, 300.0), (200.0, 500.0)
    record = make_record(gt=np.full((20, 2), np.nan), pred=pred, sigma=np.full((20, 2), np.nan))
    picture = decode(draw_overlay(GREY, record, AP, second_peaks=second))[:1300, :1100]
    wanted = np.array([int(palette.SECOND_PEAK[at : at + 2], 16) for at in (1, 3, 5)])
    rows, columns = np.nonzero((np.abs(picture - wanted) <= 40).all(axis=-1))
    between = (abs(rows - 601) < 4) & (columns > 230) & (columns < 760)
    assert 40 < between.sum() < 530 * 3
    # The prediction is missing: a triangle and no line.
    assert ((abs(rows - 1001) < 20) & (abs(columns - 401) < 20)).sum() > 20
    with pytest.raises(ValueError, match=r"second peaks are \(3, 2\)"):
        draw_overlay(GREY, record, AP, second_peaks=second[:3])


def test_judged_labels_are_what_is_marked() -> None:
    labels = spine(AP)
    labels[9, 1] += 50
    nothing = np.full((20, 2), np.nan)
    blamed = Finding("A201", 0, "L3", 34.0, "°", 22.0, 2.0, (8, 9, 10, 11))
    record = make_record(gt=labels, pred=nothing, sigma=nothing, findings=(blamed,))
    judged = decode(draw_overlay(GREY, record, AP, labels_judged=True))
    assert count(judged[:1300, :1100], palette.FINDING) > 500
    # Of a prediction that is not there, only the code below the name remains.
    assert count(drawn(record), palette.FINDING) < 200
    blocks = panel_blocks(record, AP, 1.0, 3, {}, {}, stretched=False, labels_judged=True)
    heads = [block[0].left for block in blocks]
    assert heads[1:] == ["Labels", "Anatomical findings"]


def test_the_panel_lists_what_is_not_drawn() -> None:
    many = tuple(fired(code, f"L{n}") for n in (1, 2, 3) for code in ("A201", "A203", "A404"))
    for detail in DETAILS:
        blocks = panel_blocks(
            make_record(findings=many), AP, 1.0, 0, {"A201": "t"}, {}, stretched=False, detail=detail
        )
        text = [row.left for block in blocks for row in block]
        assert sum(line.startswith("A") and line[1:4].isdigit() for line in text) == MAX_FINDINGS
        assert ("also A404 L1, L2, L3" in text) == (detail.further_rows > 0)
        assert ("and 3 more" in text) == (detail.further_rows == 0)
        assert ("   t" in text) == detail.titles


def test_texts_of_a_crowded_picture_do_not_collide(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Box] = []
    take = Placer.take

    def remembered(self: Placer, choices: list[tuple[Box, float]]) -> Box:
        taken.append(take(self, choices))
        return taken[-1]

    monkeypatch.setattr(Placer, "take", remembered)
    rng = np.random.default_rng(3)
    for _ in range(4):
        taken.clear()
        pred = spine(AP) + rng.normal(size=(20, 2)) * 40
        findings = check_anatomy(pred[None], AP, image_size_px=None).of_image(0)
        draw_overlay(GREY, make_record(pred=pred, findings=findings), AP)
        assert len(taken) == 5 + 3 + MAX_FINDINGS
        shared = [a.shared_area(b) for i, a in enumerate(taken) for b in taken[:i]]
        assert max(shared) == 0
