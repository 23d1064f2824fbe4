"""Ellipse coverage against SciPy's χ² distribution, matrix algebra by hand, and rotations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mahtdiag.calibration.gaussian import LEVELS
from mahtdiag.calibration.radial import (
    ellipse_curve,
    ellipse_limit,
    mahalanobis_squared,
    radial_error_px,
    radial_mace,
    radial_sigma_px,
    radial_sigma_scale,
)


def test_limits_are_those_of_chi_square() -> None:
    np.testing.assert_allclose(ellipse_limit(LEVELS[:-1]), stats.chi2(2).ppf(LEVELS[:-1]), atol=1e-12)
    assert np.isinf(ellipse_limit(1.0))


def test_perfect_residuals_give_the_diagonal() -> None:
    d_squared = stats.chi2(2).ppf((np.arange(1000) + 0.5) / 1000)
    np.testing.assert_allclose(ellipse_curve(d_squared), LEVELS, atol=1e-3)
    assert radial_mace(d_squared) < 1e-3
    assert radial_sigma_scale(d_squared) == pytest.approx(1.0, abs=5e-3)


def test_one_dimensional_quantile_would_be_a_mistake() -> None:
    rng = np.random.default_rng(0)
    d_squared = mahalanobis_squared(rng.normal(size=(100_000, 2)), np.ones((100_000, 2)))
    assert float(ellipse_curve(d_squared, 0.95)) == pytest.approx(0.95, abs=3e-3)
    assert np.mean(d_squared <= 1.6448536269514722**2) == pytest.approx(0.7415, abs=5e-3)


def test_distance_against_the_matrix_inverse() -> None:
    rng = np.random.default_rng(1)
    root = rng.normal(size=(30, 2, 2))
    covariance = root @ root.transpose(0, 2, 1) + 0.1 * np.eye(2)
    residual = rng.normal(size=(30, 2))
    expected = [r @ np.linalg.inv(c) @ r for r, c in zip(residual, covariance, strict=True)]
    np.testing.assert_allclose(mahalanobis_squared(residual, covariance_px2=covariance), expected, rtol=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 6.3), st.floats(1e-2, 1e2))
def test_rotation_and_scale_do_not_matter(seed: int, angle: float, factor: float) -> None:
    rng = np.random.default_rng(seed)
    sigma, residual = rng.uniform(0.5, 3.0, size=(20, 2)), rng.normal(size=(20, 2))
    turn = factor * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    covariance = turn @ (np.eye(2) * (sigma**2)[:, np.newaxis]) @ turn.T
    np.testing.assert_allclose(
        mahalanobis_squared(residual @ turn.T, covariance_px2=covariance),
        mahalanobis_squared(residual, sigma),
        rtol=1e-8,
        atol=1e-10,
    )


def test_lengths_and_missing() -> None:
    np.testing.assert_array_equal(radial_error_px([[3.0, -4.0], [np.nan, 1.0]]), [5.0, np.nan])
    assert float(radial_sigma_px([1.0, 1.0])) == pytest.approx(np.sqrt(2.0))
    assert radial_mace([np.nan, 1.0]) == radial_mace([1.0])
    assert radial_sigma_scale([np.nan, 8.0]) == 2.0


def test_errors() -> None:
    with pytest.raises(ValueError, match="either"):
        mahalanobis_squared(np.zeros(2))
    with pytest.raises(ValueError, match="either"):
        mahalanobis_squared(np.zeros(2), np.ones(2), covariance_px2=np.eye(2))
    with pytest.raises(ValueError, match="undefined"):
        radial_sigma_scale([np.nan])
