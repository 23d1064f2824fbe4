"""What is measured of any run of vertebrae: the lumbar part as ever, and angles where levels are there."""

import math
from dataclasses import fields

import numpy as np
import pytest

from mahtdiag.anatomy.measured_columns import measurement_columns
from mahtdiag.anatomy.measurements import (
    FrontalMeasurements,
    LateralMeasurements,
    measure_frontal,
    measure_lateral,
    sizes_alone,
)
from mahtdiag.anatomy.whole_spine import (
    BendMeasurements,
    CurveMeasurements,
    is_whole,
    measure_ap,
    measure_la,
    paired_curves,
)
from mahtdiag.schema.skeleton import AP, LA, WHOLE, Levels, Skeleton, View

from .spines import T1_TO_L5, Floats, natural_spines
from .test_coronal import S_CURVE, mirrored, spine_with

C2_TO_C7 = Skeleton.of(View.LA, Levels("C2", "C7"))
T4_TO_S1 = Skeleton.of(View.LA, Levels("T4", "S1"))
RIGHT = np.array([1])


def whole_spine(seed: int = 0, count: int = 3) -> Floats:
    """C2's lower endplate, C3 to L5, S1's upper endplate: `[count, 92, 2]`."""
    rng = np.random.default_rng(seed)
    tilts = np.cumsum(rng.normal(0, 4, (count, 24)), axis=1)
    return np.stack([spine_with(tuple(row))[2:-2] for row in tilts]) + rng.normal(0, 2, (count, 92, 2))


def columns_of(measured: FrontalMeasurements | LateralMeasurements, skeleton: Skeleton) -> dict[str, Floats]:
    return {f"{c.name} {c.level}": c.values for c in measurement_columns(measured, skeleton)}


def test_the_lumbar_spine_has_what_it_had() -> None:
    assert not is_whole(AP)
    assert not is_whole(LA)
    frontal = measure_ap(natural_spines(AP, 2), AP)
    assert type(frontal) is FrontalMeasurements
    assert [c.name for c in measurement_columns(frontal, AP)] == (
        ["cobb_deg"] + 4 * ["lateral_slip_percent"] + 5 * ["tilt_deg"]
    )
    lateral = measure_la(natural_spines(LA, 2), LA, np.array([1, -1]))
    assert type(lateral) is LateralMeasurements
    assert [c.name for c in measurement_columns(lateral, LA)] == (
        5 * ["slip_percent"] + ["lordosis_deg"] + 5 * ["segmental_deg"] + 5 * ["disc_height_index"]
        + 5 * ["wedging"]
    )  # fmt: skip
    assert paired_curves(frontal, frontal) == (frontal, frontal)


def test_angles_come_first_where_the_levels_are_there() -> None:
    points = spine_with(S_CURVE)[None]
    ours, _ = paired_curves(measure_ap(points, T1_TO_L5), measure_ap(points, T1_TO_L5))
    found = [(c.name, c.level, c.unit) for c in measurement_columns(ours, T1_TO_L5)]
    assert found[:6] == [
        ("cobb_deg", "T1–L5", "°"),
        ("midline_cobb_deg", "T1–L5", "°"),
        ("curve_deg", "proximal thoracic", "°"),
        ("curve_deg", "main thoracic", "°"),
        ("curve_deg", "thoracolumbar/lumbar", "°"),
        ("lateral_slip_percent", "T1/T2", "%"),
    ]
    assert len(found) == 5 + 16 + 17
    low = Skeleton.of(View.AP, Levels("T9", "L5"))
    ours, _ = paired_curves(*2 * [measure_ap(points[:, -low.keypoints :], low)])
    levels = [c.level for c in measurement_columns(ours, low) if c.name == "curve_deg"]
    assert levels == ["main thoracic", "thoracolumbar/lumbar"]


@pytest.mark.parametrize(
    ("skeleton", "expected"),
    [
        (C2_TO_C7, ["cervical_lordosis_deg C2–C7"]),
        (T4_TO_S1, ["thoracic_kyphosis_deg T4–T12", "lordosis_deg L1–S1"]),
        (Skeleton.of(View.LA, Levels("T10", "L5")), []),
        (WHOLE[1], ["thoracic_kyphosis_deg T4–T12", "cervical_lordosis_deg C2–C7", "lordosis_deg L1–S1"]),
    ],
    ids=str,
)
def test_a_lateral_angle_is_there_with_its_levels(skeleton: Skeleton, expected: list[str]) -> None:
    points = whole_spine(count=2)
    names = WHOLE[1].keypoint_names
    first = names.index(skeleton.keypoint_names[0])
    lateral = measure_la(points[:, first : first + skeleton.keypoints], skeleton, np.array([1, -1]))
    of_vertebrae = ("slip", "segmental", "disc", "wedging")
    found = columns_of(lateral, skeleton)
    assert [name for name in found if not name.startswith(of_vertebrae)] == expected
    assert all(np.isfinite(values).all() for name, values in found.items() if name in expected)


def test_every_level_is_what_its_part_of_the_spine_measures() -> None:
    """Of C2 to S1 with its two single endplates, in both views, against the skeletons of its parts."""
    points, side = whole_spine(), np.array([1, -1, 1])
    frontal = columns_of(measure_frontal(points, WHOLE[0]), WHOLE[0])
    lateral = columns_of(measure_lateral(points, WHOLE[1], side), WHOLE[1])
    assert len(frontal) == 1 + 23 + 22
    assert len(lateral) == 1 + 23 + 23 + 23 + 22
    for first, last in (("L1", "S1"), ("T1", "L5"), ("C3", "C7")):
        for whole, view in ((frontal, View.AP), (lateral, View.LA)):
            part = Skeleton.of(view, Levels(first, last))
            start = int(WHOLE[0].keypoints_of(first)[0])
            inside = points[:, start : start + part.keypoints]
            measured = (
                measure_frontal(inside, part) if view is View.AP else measure_lateral(inside, part, side)
            )
            for name, values in columns_of(measured, part).items():
                if not name.startswith("cobb_deg"):
                    np.testing.assert_array_equal(values, whole[name], err_msg=name)


@pytest.mark.parametrize("level", ["C2", "T5", "L3", "S1"])
def test_a_single_vertebra_is_measured_without_pairs(level: str) -> None:
    ap, la = (Skeleton.of(view, Levels(level, level)) for view in View)
    points = whole_spine()[:, : ap.keypoints]
    frontal = measure_ap(points, ap)
    assert np.isnan(frontal.cobb_deg).all()
    pair = paired_curves(frontal, frontal)
    assert [c.name for c in measurement_columns(pair[0], ap)] == ["tilt_deg"] * len(ap.bodies)
    lateral = measure_la(points, la, np.ones(3, dtype=np.int64))
    assert [c.name for c in measurement_columns(lateral, la)] == ["wedging"] * len(la.bodies)


def test_the_first_endplate_has_a_disc_and_a_slip_but_no_segment() -> None:
    points = whole_spine(1, 1)
    found = columns_of(measure_lateral(points, WHOLE[1], RIGHT), WHOLE[1])
    lower_left, lower_right, upper_left, upper_right = points[0, :4]
    across = upper_right - upper_left
    slip = 100 * ((lower_left - upper_left) @ across) / (across @ across)
    assert found["slip_percent C2/C3"] == pytest.approx([slip])
    disc = (math.dist(lower_left, upper_left) + math.dist(lower_right, upper_right)) / 2
    height = (math.dist(upper_left, points[0, 4]) + math.dist(upper_right, points[0, 5])) / 2
    assert found["disc_height_index C2/C3"] == pytest.approx([disc / height])
    assert np.isnan(found["segmental_deg C2/C3"]).all()
    assert np.isfinite(found["segmental_deg C3/C4"]).all()


def two_curves(left: Floats, right: Floats) -> CurveMeasurements:
    """Curves of three regions to the left and to the right, of as many images."""
    sizes = np.stack([left, right], axis=-1)
    none = np.zeros((len(sizes), 0))
    return CurveMeasurements(np.zeros(len(sizes)), none, none, np.zeros(len(sizes)), sizes)


def test_a_labelled_curve_is_held_against_one_to_the_same_side() -> None:
    nan = math.nan
    labelled = two_curves(np.array([[30, nan, 12.0]]), np.array([[nan, nan, 40.0]]))
    predicted = two_curves(np.array([[20, 15, 50.0]]), np.array([[35, 25, 38.0]]))
    ours, theirs = paired_curves(labelled, predicted)
    assert isinstance(ours, CurveMeasurements)
    assert isinstance(theirs, CurveMeasurements)
    np.testing.assert_array_equal(ours.curve_deg, [[30, nan, 40]])
    np.testing.assert_array_equal(theirs.curve_deg, [[20, 25, 38]])
    ours, theirs = paired_curves(two_curves(np.array([[nan] * 3]), np.array([[11.0, nan, nan]])), labelled)
    assert isinstance(theirs, CurveMeasurements)
    np.testing.assert_array_equal(theirs.curve_deg, [[nan, nan, 40]])


def test_pairs_of_drawn_spines_and_their_mirror_images() -> None:
    label, steep = spine_with(S_CURVE), spine_with(tuple(1.5 * tilt for tilt in S_CURVE))
    points = np.stack([label, mirrored(label)])
    for predicted, expected in (
        (np.stack([steep, mirrored(steep)]), [22.5, 60, 64.5]),
        (np.stack([mirrored(steep), steep]), [math.nan] * 3),
    ):
        ours, theirs = paired_curves(measure_ap(points, T1_TO_L5), measure_ap(predicted, T1_TO_L5))
        assert isinstance(ours, CurveMeasurements)
        assert isinstance(theirs, CurveMeasurements)
        np.testing.assert_allclose(ours.curve_deg, [[15, 40, 43]] * 2)
        np.testing.assert_allclose(theirs.curve_deg, [expected] * 2)


def test_bends_without_sign_are_as_far_apart_as_they_were() -> None:
    points = whole_spine(4, 40)
    label, predicted = (
        measure_la(each, WHOLE[1], np.ones(20, np.int64)) for each in (points[:20], points[20:])
    )
    ours, theirs = sizes_alone(label, predicted)
    for before, after in ((label, ours), (predicted, theirs)):
        assert isinstance(before, BendMeasurements)
        assert isinstance(after, BendMeasurements)
    for field in fields(BendMeasurements):
        if field.name not in ("wedging", "disc_height_index"):
            a, b = getattr(label, field.name), getattr(predicted, field.name)
            unsigned = getattr(ours, field.name)
            np.testing.assert_array_equal(unsigned, np.abs(a))
            np.testing.assert_allclose(np.abs(getattr(theirs, field.name) - unsigned), np.abs(b - a))
