"""The three angles of the AASCE set, and its score, against loops."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mahtdiag.anatomy.aasce_angles import BODIES, aasce_angles, has_aasce_angles, smape_percent
from mahtdiag.schema.skeleton import AP, LA, Levels, Skeleton, View

from .spines import T1_TO_L5, Floats
from .test_coronal import S_CURVE, mirrored, naive_midlines, scoliotic_spines, spine_with


def naive_angles(points: Floats, height: float) -> list[float]:
    """Image by image, with the side of a point as that of an angle."""
    tilts = naive_midlines(points)
    angle = [[abs(one - other) for other in tilts] for one in tilts]
    u, low = max(((a, b) for a in range(17) for b in range(a, 17)), key=lambda pair: angle[pair[0]][pair[1]])
    plates = [(points[k] + points[k + 1]) / 2 for k in range(0, 68, 2)]
    down = math.atan2(*(plates[-1] - plates[0]))
    sides = {np.sign(math.sin(math.atan2(*(plate - plates[0])) - down)) for plate in plates[1:-2]}
    if len(sides) == 1:
        return [angle[u][low], angle[0][u], angle[low][16]]
    second = max(range(u + 1), key=lambda v: angle[v][u])
    if plates[2 * u + 1][1] + plates[2 * low + 1][1] < height:
        return [angle[u][low], angle[u][second], max(angle[low][low:])]
    return [angle[u][low], angle[u][second], max(angle[second][: second + 1])]


OTHERS = (
    (View.AP, Levels("T2", "L5")),
    (View.AP, Levels("T1", "L4")),
    (View.LA, Levels("T1", "L5")),
)
C_CURVE = (-12, -14, -18, -20, -18, -12, -6, 0, 4, 8, 14, 20, 24, 22, 20, 18, 15)


def ends(points: Floats, height: float) -> list[tuple[float, str, str]]:
    found = aasce_angles(points[None], T1_TO_L5, np.array([height]))
    return [
        (round(float(found.angle_deg[0, n]), 6), BODIES[found.upper[0, n]], BODIES[found.lower[0, n]])
        for n in range(3)
    ]


def test_each_of_its_three_cases() -> None:
    bow, snake = spine_with(C_CURVE), spine_with(S_CURVE)
    assert ends(bow, 2000) == [(44, "T4", "L1"), (8, "T1", "T4"), (9, "L1", "L5")]
    # The largest curve, T11 to L4, is in the lower half of one image, and in the upper half of a longer one.
    assert ends(snake, 1500) == [(43, "T11", "L4"), (40, "T5", "T11"), (15, "T1", "T5")]
    assert ends(snake, 2500) == [(43, "T11", "L4"), (40, "T5", "T11"), (4, "L4", "L5")]


def test_the_border_between_the_halves() -> None:
    snake = spine_with(S_CURVE)
    plates = snake.reshape(34, 2, 2).mean(axis=1)[1::2, 1]
    border = float(plates[10] + plates[15])
    assert ends(snake, border)[2][1:] == ("T1", "T5")
    assert ends(snake, border + 0.001)[2][1:] == ("L4", "L5")


def test_a_spine_whose_ends_are_exactly_above_each_other_counts_as_s_shaped() -> None:
    bow = spine_with(C_CURVE)
    middles = bow.reshape(34, 2, 2).mean(axis=1)
    bow[66:, 0] += middles[0, 0] - middles[-1, 0]
    middle = bow.reshape(34, 2, 2).mean(axis=1)[[0, -1], 0]
    bow[66:, 0] += middle[0] - middle[1]
    assert np.diff(bow.reshape(34, 2, 2).mean(axis=1)[[0, -1], 0]) == 0
    exact, beside = ends(bow, 5000), ends(bow + np.where(np.arange(68) > 65, 1e-6, 0.0)[:, None], 5000)
    assert exact[1][1:] == ("T1", "T4")
    assert exact[2][0] > beside[2][0] - 1e-6
    assert beside[2][2] == "L5"


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6), st.floats(500, 4000))
def test_against_a_loop(seed: int, height: float) -> None:
    points = scoliotic_spines(seed)[0]
    found = aasce_angles(points[None], T1_TO_L5, np.array([height]))
    assert found.angle_deg[0] == pytest.approx(naive_angles(points, height), abs=1e-9)
    tilts = naive_midlines(points)
    between = [abs(tilts[a] - tilts[b]) for a, b in zip(found.upper[0], found.lower[0], strict=True)]
    assert found.angle_deg[0] == pytest.approx(between)
    assert (found.upper <= found.lower).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(500, 4000), st.floats(0.1, 10))
def test_scale_side_and_place_change_nothing(seed: int, height: float, scale: float) -> None:
    points, heights = scoliotic_spines(seed, 3), np.array([height, 1500, 3000])
    found = aasce_angles(points, T1_TO_L5, heights)
    for changed, tall in (
        (points * scale, heights * scale),
        (mirrored(points), heights),
        (points + np.array([300, 0]), heights),
        # Twice the shift is taller: the sum of two heights is asked.
        (points + np.array([0, 50]), heights + 100),
    ):
        again = aasce_angles(changed, T1_TO_L5, tall)
        np.testing.assert_allclose(again.angle_deg, found.angle_deg, atol=1e-6)
        assert again.upper.tolist() == found.upper.tolist()
        assert again.lower.tolist() == found.lower.tolist()


def test_what_is_missing_is_unknown() -> None:
    points = np.stack([spine_with(S_CURVE)] * 4)
    points[0, 13] = np.nan
    points[1, 67, 0] = np.inf
    found = aasce_angles(points, T1_TO_L5, np.array([1500, 1500, np.nan, 1500]))
    assert np.isnan(found.angle_deg).all(axis=1).tolist() == [True, True, True, False]
    assert (found.upper[:3] == -1).all()
    assert (found.lower[:3] == -1).all()
    assert aasce_angles(points[:0], T1_TO_L5, np.zeros(0)).angle_deg.shape == (0, 3)


def test_which_skeletons_have_them() -> None:
    assert has_aasce_angles(T1_TO_L5)
    longer = Skeleton.of(View.AP, Levels("C6", "S1"))
    assert has_aasce_angles(longer)
    points = np.pad(spine_with(S_CURVE), ((8, 2), (0, 0)))[None]
    found = aasce_angles(points, longer, np.array([1500]))
    assert found.angle_deg[0] == pytest.approx([43, 40, 15])
    others = (AP, LA, *(Skeleton.of(*each) for each in OTHERS))
    assert not any(has_aasce_angles(skeleton) for skeleton in others)


def test_smape() -> None:
    labelled = np.array([[40, 20, 10], [60, 30, 0], [0, 0, 0], [10, 5, np.nan], [0, 0, 0]], dtype=np.float64)
    predicted = np.array([[30, 25, 5], [60, 30, 0], [8, 1, 1], [10, 5, 5], [0, 0, 0]], dtype=np.float64)
    expected = [100 * (10 + 5 + 5) / (70 + 45 + 15), 0, 100, math.nan, 0]
    assert smape_percent(predicted, labelled) == pytest.approx(expected, nan_ok=True)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 100))
def test_smape_against_a_loop_and_invariant(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    labelled, predicted = rng.uniform(0, 80, (2, 4, 3))
    found = smape_percent(predicted, labelled)
    for n in range(4):
        apart = sum(abs(predicted[n, k] - labelled[n, k]) for k in range(3))
        assert found[n] == pytest.approx(100 * apart / sum([*predicted[n], *labelled[n]]))
    np.testing.assert_allclose(smape_percent(scale * predicted, scale * labelled), found)
    np.testing.assert_array_equal(smape_percent(labelled, predicted), found)
    np.testing.assert_allclose(smape_percent(predicted[:, ::-1], labelled[:, ::-1]), found)
