"""Corners without names, told by how the vertebrae lie."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mahtdiag.data.quads import corners_by_place
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
