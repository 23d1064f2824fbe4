"""Clinical measurements on spines whose angles and slips are known, and against a loop."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mahtdiag.anatomy.measured_columns import measurement_columns
from mahtdiag.anatomy.measurements import (
    cobb_deg,
    lordosis_bend_deg,
    measure_frontal,
    measure_lateral,
    meyerding_grade,
    shift_to_the_right,
    sizes_alone,
)
from mahtdiag.schema.skeleton import AP, LA, Skeleton

from .spines import GAP, HEIGHT, T1_TO_L5, T1_TO_S1, WIDTH, Floats, natural_spines, straight_spine


def bent(skeleton: Skeleton, step_deg: float) -> Floats:
    """Every endplate turned by `step_deg` more than the one above it, clockwise on screen."""
    points = straight_spine(skeleton)
    for n in range(1, skeleton.endplates):
        turn = math.radians(n * step_deg)
        centre = points[2 * n : 2 * n + 2].mean(axis=0)
        reach = WIDTH / 2 * np.array([math.cos(turn), math.sin(turn)])
        points[2 * n], points[2 * n + 1] = centre - reach, centre + reach
    return points


def mirrored(points: Floats, skeleton: Skeleton) -> Floats:
    """The patient facing the other way, corners renamed."""
    return (points * [-1.0, 1.0])[..., np.arange(skeleton.keypoints) ^ 1, :]


def test_lordosis_and_segments_of_a_bent_spine() -> None:
    points = np.stack([bent(LA, 4), mirrored(bent(LA, 4), LA), bent(LA, -1.5)])
    found = measure_lateral(points, LA, np.array([1, -1, 1]))
    assert found.lordosis_deg == pytest.approx([40, 40, -15])
    np.testing.assert_allclose(found.segmental_deg[:2], 8, atol=1e-9)
    assert (found.wedging[:2] > 1).all()
    np.testing.assert_allclose(found.wedging[0], found.wedging[1])
    assert (found.wedging[2] < 1).all()


def test_sizes_alone_keep_what_lies_between_label_and_prediction() -> None:
    """A kyphosis of 15° that is predicted as a lordosis of 5° is 20° off, whichever way the image faces."""
    points = np.stack([bent(LA, -1.5), bent(LA, 0.5)])
    points[0, :16, 0] -= 0.1 * WIDTH
    points[1, :16, 0] += 0.02 * WIDTH
    for label, predicted in (points, mirrored(points, LA)):
        unsigned = (measure_lateral(each[None], LA, np.array([0])) for each in (label, predicted))
        ours, theirs = sizes_alone(*unsigned)
        assert (ours.lordosis_deg[0], theirs.lordosis_deg[0]) == pytest.approx((15, -5))
        slips = ours.slip_percent[0, 3], theirs.slip_percent[0, 3]
        shifts = shift_to_the_right(np.stack([label, predicted]), LA)[:, 3]
        assert slips[0] > 0
        assert slips[0] - slips[1] == pytest.approx(np.sign(shifts[0]) * (shifts[0] - shifts[1]))
        assert (ours.wedging <= 1).all()
        assert (theirs.wedging[ours.wedging < 1] > 1).all()
        np.testing.assert_allclose(ours.disc_height_index.shape, (1, 5))


@pytest.mark.parametrize("level", range(5))
@pytest.mark.parametrize("facing", [1, -1])
@pytest.mark.parametrize("percent", [30.0, -12.0])
def test_slip(level: int, facing: int, percent: float) -> None:
    points = straight_spine(LA)
    points[: 4 * level + 4, 0] += facing * percent / 100 * WIDTH
    found = measure_lateral(points[None], LA, np.array([facing]))
    expected = np.zeros(5)
    expected[level] = percent
    np.testing.assert_allclose(found.slip_percent[0], expected, atol=1e-9)
    unknown = measure_lateral(points[None], LA, np.array([0]))
    np.testing.assert_allclose(unknown.slip_percent[0], facing * expected, atol=1e-9)


def naive_slip(points: Floats, level: int, facing: int) -> float:
    """Facing right: from LL of the upper to UL of the lower; facing left: LR and UR, forwards leftwards."""
    corner = 0 if facing > 0 else 1
    posterior, anterior = points[4 * level + 4 + corner], points[4 * level + 4 + 1 - corner]
    moved = points[4 * level + 2 + corner] - posterior
    endplate = anterior - posterior
    return float(100 * (moved @ endplate) / (endplate @ endplate))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, -1]), st.floats(0.1, 10), st.floats(-20, 20))
def test_lateral_against_a_loop_and_invariant(seed: int, facing: int, scale: float, turn_deg: float) -> None:
    points = bent(LA, 4 * facing) + np.random.default_rng(seed).normal(0, 4, (22, 2))
    found = measure_lateral(points[None], LA, np.array([facing]))
    for level in range(5):
        assert found.slip_percent[0, level] == pytest.approx(naive_slip(points, level, facing))
        disc = [math.dist(points[4 * level + 2 + c], points[4 * level + 4 + c]) for c in (0, 1)]
        around = [v for v in (level, level + 1) if v < 5]
        sides = [math.dist(points[4 * v + c], points[4 * v + 2 + c]) for v in around for c in (0, 1)]
        assert found.disc_height_index[0, level] == pytest.approx(np.mean(disc) / np.mean(sides))
        heights = [math.dist(points[4 * level + c], points[4 * level + 2 + c]) for c in (0, 1)]
        front, back = heights[::-1] if facing > 0 else heights
        assert found.wedging[0, level] == pytest.approx(front / back)
    assert found.segmental_deg.sum() == pytest.approx(found.lordosis_deg[0])
    turn = math.radians(turn_deg)
    matrix = scale * np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    other = measure_lateral(points[None] @ matrix + 50, LA, np.array([facing]))
    opposite = measure_lateral(mirrored(points, LA)[None], LA, np.array([-facing]))
    for column, moved, mirror in zip(
        measurement_columns(found, LA),
        measurement_columns(other, LA),
        measurement_columns(opposite, LA),
        strict=True,
    ):
        assert column.values == pytest.approx(moved.values, abs=1e-6)
        assert column.values == pytest.approx(mirror.values, abs=1e-6)


def test_frontal_of_a_bent_spine() -> None:
    points = bent(AP, 3)
    points[:8, 0] += 0.1 * WIDTH
    found = measure_frontal(points[None], AP)
    # L1 upper against L5 lower: nine steps.
    assert found.cobb_deg == pytest.approx([27])
    assert found.tilt_deg[0] == pytest.approx([1.5, 7.5, 13.5, 19.5, 25.5])


def test_cobb_takes_the_outer_endplates_of_two_vertebrae() -> None:
    """The most tilted endplates are L2's lower and L4's upper; the convention is L2's upper, L4's lower."""
    tilts = np.array([[0, 0], [8, 12], [0, 0], [-11, -6], [0, 0]], dtype=np.float64)
    assert cobb_deg(tilts[None, :, 0], tilts[None, :, 1]) == pytest.approx([14])
    one_wedged = np.array([[0, 0], [20, -20], [0, 0]], dtype=np.float64)
    assert cobb_deg(one_wedged[None, :, 0], one_wedged[None, :, 1]) == pytest.approx([20])


@pytest.mark.parametrize("level", range(4))
def test_lateral_slip(level: int) -> None:
    points = straight_spine(AP)
    points[: 4 * level + 4, 0] += 9
    expected = np.zeros(4)
    expected[level] = 10
    np.testing.assert_allclose(measure_frontal(points[None], AP).lateral_slip_percent[0], expected, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 10), st.floats(-30, 30))
def test_frontal_against_a_loop_and_invariant(seed: int, scale: float, turn_deg: float) -> None:
    points = natural_spines(AP, 1, seed)[0] + np.random.default_rng(seed).normal(0, 5, (20, 2))
    tilts = [
        math.degrees(math.atan2(points[k + 1][1] - points[k][1], points[k + 1][0] - points[k][0]))
        for k in range(0, 20, 2)
    ]
    found = measure_frontal(points[None], AP)
    between = [abs(tilts[2 * a] - tilts[2 * b + 1]) for a in range(5) for b in range(a + 1, 5)]
    assert found.cobb_deg[0] == pytest.approx(max(between))
    turn = math.radians(turn_deg)
    matrix = scale * np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    other = measure_frontal(points[None] @ matrix - 7, AP)
    assert other.cobb_deg[0] == pytest.approx(found.cobb_deg[0])
    assert other.lateral_slip_percent[0] == pytest.approx(found.lateral_slip_percent[0])
    assert other.tilt_deg[0] == pytest.approx(found.tilt_deg[0] + turn_deg)


def test_missing_and_degenerate_points() -> None:
    points = natural_spines(LA, 1)
    points[0, 8] = np.inf
    found = measure_lateral(points, LA, np.array([1]))
    assert np.isnan(found.slip_percent[0]).tolist() == [False, True, False, False, False]
    assert np.isnan(found.segmental_deg[0]).tolist() == [False, True, True, False, False]
    assert np.isfinite(found.lordosis_deg[0])
    assert np.isnan(found.wedging[0]).tolist() == [False, False, True, False, False]
    equal = measure_lateral(np.full((1, 22, 2), 3.0), LA, np.array([0]))
    assert all(np.isnan(column.values).all() for column in measurement_columns(equal, LA))
    assert np.isnan(lordosis_bend_deg(np.full((1, 22, 2), 3.0), LA)).all()
    frontal = measure_frontal(np.full((1, 20, 2), np.nan), AP)
    assert all(np.isnan(column.values).all() for column in measurement_columns(frontal, AP))


def test_columns_are_named_by_level() -> None:
    lateral = measurement_columns(measure_lateral(natural_spines(LA, 3), LA, np.zeros(3, dtype=np.int64)), LA)
    assert [(c.name, c.level, c.unit) for c in lateral][:7] == [
        ("slip_percent", "L1/L2", "%"),
        ("slip_percent", "L2/L3", "%"),
        ("slip_percent", "L3/L4", "%"),
        ("slip_percent", "L4/L5", "%"),
        ("slip_percent", "L5/S1", "%"),
        ("lordosis_deg", "L1–S1", "°"),
        ("segmental_deg", "L1/L2", "°"),
    ]
    assert [c.level for c in lateral if c.name == "wedging"] == ["L1", "L2", "L3", "L4", "L5"]
    frontal = measurement_columns(measure_frontal(natural_spines(AP, 3), AP), AP)
    assert [c.level for c in frontal] == [
        *("L1–L5", "L1/L2", "L2/L3", "L3/L4", "L4/L5"),
        *("L1", "L2", "L3", "L4", "L5"),
    ]
    assert all(c.values.shape == (3,) for c in (*lateral, *frontal))


def test_meyerding_grades() -> None:
    slips = np.array([0, 24.9, -24.9, 25, 49.9, -50, 75, 100, 100.1, np.nan])
    assert meyerding_grade(slips).tolist() == [1, 1, 1, 2, 2, 3, 4, 4, 5, 0]


def test_gap_of_the_straight_spine() -> None:
    found = measure_lateral(straight_spine(LA)[None], LA, np.array([1]))
    np.testing.assert_allclose(found.disc_height_index, GAP / HEIGHT)


@pytest.mark.parametrize("facing", [1, -1, 0])
def test_a_longer_spine_is_measured_alike_where_it_is_the_same(facing: int) -> None:
    """L1 to S1 of a whole spine against the same points by themselves; its lordosis is theirs, not T1's."""
    points = bent(T1_TO_S1, 2) + np.random.default_rng(1).normal(0, 2, (5, T1_TO_S1.keypoints, 2))
    sides = np.full(5, facing)
    whole = measurement_columns(measure_lateral(points, T1_TO_S1, sides), T1_TO_S1)
    part = measurement_columns(measure_lateral(points[:, 48:], LA, sides), LA)
    by_name = {(column.name, column.level): column.values for column in whole}
    assert len(by_name) == len(whole) == 1 + 3 * 17 + 17
    for column in part:
        np.testing.assert_array_equal(by_name[column.name, column.level], column.values)


def test_frontal_measurements_of_a_longer_spine() -> None:
    points = bent(T1_TO_L5, 1.5)[None]
    found = measure_frontal(points, T1_TO_L5)
    by_name = {(c.name, c.level): c.values for c in measurement_columns(found, T1_TO_L5)}
    assert by_name["cobb_deg", "T1–L5"] == pytest.approx([33 * 1.5])
    assert by_name["tilt_deg", "T1"] == pytest.approx([0.75])
    for column in measurement_columns(measure_frontal(points[:, 48:], AP), AP)[1:]:
        np.testing.assert_array_equal(by_name[column.name, column.level], column.values)


def test_without_a_sacrum_there_is_no_lordosis() -> None:
    points = bent(AP, 4)[None]
    found = measure_lateral(points, AP, np.array([1]))
    assert np.isnan(found.lordosis_deg).all()
    assert found.segmental_deg[0] == pytest.approx([8] * 4)
    assert found.disc_height_index.shape == (1, 4)
