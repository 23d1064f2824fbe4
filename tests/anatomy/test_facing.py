"""Which way a lateral image faces: never told by the curve or slip that is measured in it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from mahtdiag.anatomy.facing import Facing, find_facing, slip_codes
from mahtdiag.anatomy.measurements import measure_lateral
from mahtdiag.schema.choices import FacingSide
from mahtdiag.schema.skeleton import LA

from .spines import WIDTH, Floats
from .test_measurements import bent, mirrored


def found(points: Floats, codes: Floats | None = None, units: list[int] | None = None) -> Facing:
    images = len(points)
    return find_facing(
        *(points, LA),
        np.full((images, 5), np.nan) if codes is None else codes,
        np.arange(images) if units is None else np.array(units),
    )


def set_of(right: int, left: int = 0, step_deg: float = 4.0) -> Floats:
    """Lordotic spines that face right, and some that face left."""
    spine = bent(LA, step_deg)
    return np.array([spine] * right + [mirrored(spine, LA)] * left).reshape(-1, LA.keypoints, 2)


def slipped(percent_to_the_right: float, level: int = 3) -> Floats:
    """A straight spine, one level of which is moved."""
    points = bent(LA, 0.0)
    points[: 4 * level + 4, 0] += percent_to_the_right / 100 * WIDTH
    return points


@pytest.mark.parametrize(
    ("to_the_right", "code", "side"),
    [(34, 3, 1), (-34, 3, -1), (34, 4, -1), (-12, 4, 1), (3, 3, 0), (34, 0, 0)],
)
def test_codes_tell(to_the_right: float, code: int, side: int) -> None:
    codes = np.zeros((1, 5))
    codes[0, 3] = code
    facing = found(slipped(to_the_right)[None], codes)
    assert facing.side.tolist() == [side]
    assert facing.by_codes.tolist() == [side != 0]


def test_an_anterolisthesis_keeps_its_sign() -> None:
    """34 % forwards in a kyphotic patient: the sign of the curve would call it 34 % backwards."""
    points = bent(LA, -1.5)
    points[:16, 0] += 0.34 * WIDTH
    codes = np.array([[0, 0, 0, 3.0, 0]])
    facing = found(points[None], codes)
    measured = measure_lateral(points[None], LA, facing.side)
    assert measured.lordosis_deg == pytest.approx([-15])
    straight = measure_lateral(bent(LA, -1.5)[None], LA, facing.side)
    assert measured.slip_percent[0, 3] - straight.slip_percent[0, 3] == pytest.approx(34, abs=1)
    assert measured.slip_percent[0, 3] > 25


def test_codes_that_contradict_each_other_tell_nothing() -> None:
    points = slipped(20, level=1)
    points[:16, 0] -= 0.4 * WIDTH
    assert found(points[None], np.array([[0, 3.0, 0, 3.0, 0]])).side.tolist() == [0]


@pytest.mark.parametrize("turned", [False, True])
def test_a_kyphosis_among_others_keeps_its_sign(turned: bool) -> None:
    points = np.concatenate([set_of(30), bent(LA, -1.5)[None]])
    if turned:
        points = np.stack([mirrored(each, LA) for each in points])
    facing = found(points)
    assert set(facing.side.tolist()) == {-1 if turned else 1}
    assert measure_lateral(points, LA, facing.side).lordosis_deg[-1] == pytest.approx(-15)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_a_majority_of_others_against_an_exact_test(right: int, left: int) -> None:
    points = np.concatenate([set_of(right, left), bent(LA, 0.2)[None]])
    most, of = max(right, left), right + left
    low = binomtest(most, of).proportion_ci(0.95, method="exact").low if of else 0.0
    expected = (1 if right > left else -1) if low > 0.8 else 0
    facing = found(points)
    assert facing.side[-1] == expected
    assert (facing.right, facing.left) == (right, left)


def test_the_images_of_a_patient_are_one_vote_and_do_not_vote_for_each_other() -> None:
    points = set_of(40)
    assert found(points, units=[0] * 40).side.tolist() == [0] * 40
    assert found(points, units=[n // 2 for n in range(40)]).side.tolist() == [1] * 40
    assert found(points[:34], units=[n // 2 for n in range(34)]).side.tolist() == [0] * 34
    assert found(points[:18]).side.tolist() == [1] * 18
    assert found(points[:17]).side.tolist() == [0] * 17


def test_codes_of_others_outvote_their_curves() -> None:
    """Thirty that slipped forwards to the left, though they bend as if they faced right; one without code."""
    points = np.stack([bent(LA, 4)] * 31)
    points[:30, :16, 0] -= 0.3 * WIDTH
    codes = np.zeros((31, 5))
    codes[:30, 3] = 3
    facing = found(points, codes)
    assert facing.side.tolist() == [-1] * 31
    assert facing.by_codes.sum() == 30


def test_a_single_dissenter_is_not_outvoted_by_few() -> None:
    """Of 20 patients one faces the other way: his others are of one mind, but the set is not."""
    assert found(set_of(19, 1)).side.tolist() == [0] * 20


def test_what_was_said_holds_for_all() -> None:
    for side, sign in ((FacingSide.LEFT, -1), (FacingSide.RIGHT, 1)):
        facing = find_facing(set_of(3), LA, np.full((3, 5), 3.0), np.arange(3), side)
        assert facing.side.tolist() == [sign] * 3
        assert facing.given


def test_degenerate_sets() -> None:
    assert found(np.empty((0, 22, 2))).side.shape == (0,)
    assert found(np.full((2, 22, 2), np.nan)).side.tolist() == [0, 0]
    assert found(np.full((2, 22, 2), 3.0), np.full((2, 5), 3.0)).side.tolist() == [0, 0]


def test_codes_of_endplates_belong_to_a_level() -> None:
    rows = {
        "both endplates of L4": ([0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0], [0, 0, 0, 3, 0]),
        "both sides of the disc L4/L5": ([0, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0], [0, 0, 0, 3, 0]),
        "upper endplate of S1": ([0] * 10 + [4], [0, 0, 0, 0, 4]),
        "both endplates of L4 and L5": ([0] * 6 + [3, 3, 4, 4, 0], [0, 0, 0, 3, 4]),
        "upper endplate of L1": ([3] + [0] * 10, [0] * 5),
    }
    for name, (endplates, levels) in rows.items():
        assert slip_codes(np.array([endplates], dtype=np.float64))[0].tolist() == levels, name
    unknown = np.full((1, 11), np.nan)
    assert np.isnan(slip_codes(unknown)).all()
    frontal = slip_codes(np.array([[0, 0, 1, 1, 0, 0, 0, 0, 2, 2]], dtype=np.float64))
    assert frontal.tolist() == [[0, 1, 0, 0]]
