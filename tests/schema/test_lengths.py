"""Millimetres where a pixel is no square."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mahtdiag.schema.frames import PixelSpacing, lengths_mm

MM = st.floats(0.05, 5.0)


@given(st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)), min_size=1, max_size=5), MM, MM)
def test_lengths_by_hand(steps: list[tuple[float, float]], x_mm: float, y_mm: float) -> None:
    found = lengths_mm(np.array([steps]), np.array([[x_mm, y_mm]]))
    wanted = [((dx * x_mm) ** 2 + (dy * y_mm) ** 2) ** 0.5 for dx, dy in steps]
    np.testing.assert_allclose(found, [wanted], rtol=1e-12, atol=1e-100)


def test_a_spacing_for_both_directions() -> None:
    assert PixelSpacing.square(None) is None
    assert PixelSpacing(0.2, 0.2).either_mm == 0.2
    assert PixelSpacing(0.2, 0.3).either_mm is None
