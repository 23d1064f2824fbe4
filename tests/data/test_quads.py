"""Corners without names, told by how the vertebrae lie."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mahtdiag.data.quads import clockwise, corners_by_place, in_one_order
from mahtdiag.errors import DataError

SQUARE = np.array([[-1.0, -0.7], [1.0, -0.7], [-1.0, 0.7], [1.0, 0.7]])


def turned(
    degrees: float, scale: float, shift: tuple[float, float]
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.asarray(SQUARE @ turn.T * scale + shift)


@given(
    st.sampled_from(list(permutations(range(4)))),
    st.floats(-44.0, 44.0),
    st.floats(1.0, 500.0),
    st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)),
)
def test_any_order_of_a_tilted_vertebra_is_told(
    order: tuple[int, ...], degrees: float, scale: float, shift: tuple[float, float]
) -> None:
    assert corners_by_place(turned(degrees, scale, shift)[list(order)][np.newaxis]) == order


def test_incomplete_vertebrae_do_not_vote_and_few_outliers_do_not_decide() -> None:
    quads = np.stack([SQUARE[[0, 1, 3, 2]]] * 20)
    quads[0] = quads[0, ::-1]
    quads[1, 2] = np.nan
    assert corners_by_place(quads) == (0, 1, 3, 2)


def test_no_one_order_is_refused() -> None:
    with pytest.raises(DataError, match=r"no one order: UL, UR, LL, LR in 2 of 3 vertebrae"):
        corners_by_place(np.stack([SQUARE, SQUARE, SQUARE[::-1]]))
    with pytest.raises(DataError, match="no vertebra is complete"):
        corners_by_place(np.full((2, 4, 2), np.nan))


@given(
    st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.floats(-44.0, 44.0)), min_size=1, max_size=6),
    st.floats(1.0, 500.0),
)
def test_outlines_that_begin_anywhere_are_turned_alike(
    drawn: list[tuple[int, bool, float]], scale: float
) -> None:
    right = np.stack([turned(degrees, scale, (3.0, 5.0))[[0, 1, 3, 2]] for _, _, degrees in drawn])
    begun = np.stack(
        [
            np.roll(quad[::-1] if back else quad, start, axis=0)
            for quad, (start, back, _) in zip(right, drawn, strict=True)
        ]
    )
    assert np.array_equal(clockwise(begun), right)
    assert in_one_order(begun) == (len({(start, back) for start, back, _ in drawn}) == 1)


def test_an_outline_that_crosses_itself_stays_as_it_is() -> None:
    assert np.array_equal(clockwise(SQUARE[None]), SQUARE[None])
