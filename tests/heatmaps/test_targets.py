"""Gaussian targets."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mahtdiag.heatmaps.decoding import gaussian_targets

from . import naive


@settings(max_examples=50, deadline=None)
@given(
    x=st.floats(-30.0, 60.0),
    y=st.floats(-30.0, 60.0),
    sigma=st.floats(0.3, 9.0),
    height=st.integers(1, 20),
    width=st.integers(1, 20),
)
def test_formula(x: float, y: float, sigma: float, height: int, width: int) -> None:
    result = gaussian_targets(torch.tensor([x, y], dtype=torch.float64), sigma, height, width)
    np.testing.assert_allclose(result.numpy(), naive.gaussian(x, y, sigma, height, width), atol=1e-14)


def test_the_peak_is_one_on_a_cell() -> None:
    target = gaussian_targets(torch.tensor([[[3.0, 5.0]]]), 2.0, 8, 9)
    assert target.shape == (1, 1, 8, 9)
    assert target[0, 0, 5, 3].item() == 1.0
    assert target.amax().item() == 1.0


def test_a_missing_point_is_a_map_of_nan_and_touches_no_other() -> None:
    points = torch.tensor([[2.0, 2.0], [torch.nan, 2.0], [2.0, torch.nan], [torch.nan, torch.nan]])
    target = gaussian_targets(points, 2.0, 6, 7)
    assert target.isnan().all((-2, -1)).tolist() == [False, True, True, True]
    assert target[0].isfinite().all()


def test_a_point_far_outside_gives_zeros() -> None:
    target = gaussian_targets(torch.tensor([[1e6, -1e6], [-torch.inf, 3.0]]), 2.0, 6, 7)
    assert (target == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_dtype_is_that_of_the_points(dtype: torch.dtype) -> None:
    assert gaussian_targets(torch.zeros(2, 3, 2, dtype=dtype), 1.0, 4, 4).dtype == dtype


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan")])
def test_impossible_sigma(sigma: float) -> None:
    with pytest.raises(ValueError, match="sigma"):
        gaussian_targets(torch.zeros(1, 2), sigma, 4, 4)


@pytest.mark.parametrize("shape", [(4,), (3, 1), (2, 3, 3), ()])
def test_points_have_two_coordinates(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="points"):
        gaussian_targets(torch.zeros(shape), 2.0, 4, 4)


def test_differentiable() -> None:
    points = torch.tensor([[2.3, 1.7], [4.1, 0.2]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: gaussian_targets(p, 1.5, 5, 6), points)
