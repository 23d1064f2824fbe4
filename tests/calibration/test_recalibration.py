"""Sigma scaling against a minimiser, and no image judged by a factor it helped to fit."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from mahtdiag.calibration.gaussian import nll
from mahtdiag.calibration.recalibration import (
    apply_sigma_scale,
    cross_fitted_sigma,
    fit_sigma_scale,
    recalibration_table,
)

from .simulate import calibrated


def test_scale_minimises_the_likelihood() -> None:
    data = calibrated(np.random.default_rng(0))
    scale = fit_sigma_scale(data.residual_px, data.sigma_px / 3)
    best = minimize_scalar(
        lambda s: float(nll(data.residual_px, s * data.sigma_px / 3).mean()),
        bounds=(0.1, 10),
        method="bounded",
    )
    assert scale.common == pytest.approx(best.x, rel=1e-4)
    z = 3 * data.residual_px[:, 7] / data.sigma_px[:, 7]
    assert scale.by_keypoint[7] == pytest.approx(np.sqrt(np.mean(z**2)), rel=1e-12)
    assert scale.n == 1000
    assert scale.counts == (50,) * 20


def test_few_labels_take_the_common_factor() -> None:
    data = calibrated(np.random.default_rng(1))
    residual = data.residual_px.copy()
    residual[19:, 4] = np.nan
    scale = fit_sigma_scale(residual, data.sigma_px)
    assert scale.counts[4] == 19
    assert scale.by_keypoint[4] == scale.common
    assert scale.by_keypoint[3] != scale.common


def test_scaling_sigma_scales_the_factor_back() -> None:
    data = calibrated(np.random.default_rng(2))
    once = fit_sigma_scale(data.residual_px, data.sigma_px)
    twice = fit_sigma_scale(data.residual_px, apply_sigma_scale(data.sigma_px, once, "keypoint"))
    np.testing.assert_allclose(twice.by_keypoint, 1.0, rtol=1e-12)
    halved = fit_sigma_scale(data.residual_px, 0.5 * data.sigma_px)
    assert halved.common == pytest.approx(2 * once.common, rel=1e-12)


def test_no_image_helps_to_fit_its_own_factor() -> None:
    data = calibrated(np.random.default_rng(3), images=25)
    base = cross_fitted_sigma(data.residual_px, data.sigma_px)
    changed = data.residual_px.copy()
    changed[11] *= 100.0
    again = cross_fitted_sigma(changed, data.sigma_px)
    np.testing.assert_array_equal(again[11], base[11])
    same = np.array([np.array_equal(again[i], base[i]) for i in range(25)])
    # Its whole fold of five keeps its factor, all others change.
    assert same.sum() == 5


def test_cross_fitting_against_a_loop() -> None:
    data = calibrated(np.random.default_rng(4), images=13, keypoints=30)
    fold = np.random.default_rng(9).permutation(13) % 5
    expected = data.sigma_px.copy()
    for part in range(5):
        rest = fold != part
        z = data.residual_px[rest] / data.sigma_px[rest]
        expected[~rest] *= np.sqrt(np.mean(z**2))
    np.testing.assert_allclose(
        cross_fitted_sigma(data.residual_px, data.sigma_px, seed=9), expected, rtol=1e-12
    )


def test_table_repairs_a_wrong_scale() -> None:
    data = calibrated(np.random.default_rng(5), images=60)
    before, common, own = recalibration_table(data.residual_px, data.sigma_px / 2)
    assert (before.scope, common.scope, own.scope) == (None, "global", "keypoint")
    assert before.sigma_scale == pytest.approx(2.0, rel=0.1)
    for row in (common, own):
        assert row.sigma_scale == pytest.approx(1.0, abs=0.03)
        assert row.mace < 0.3 * before.mace
        assert row.nll < before.nll


def test_images_without_labels_keep_their_place() -> None:
    data = calibrated(np.random.default_rng(6), images=10)
    residual = data.residual_px.copy()
    residual[3] = np.nan
    sigma = cross_fitted_sigma(residual, data.sigma_px)
    assert sigma.shape == data.sigma_px.shape
    assert np.all(sigma > 0)


def test_bad_input() -> None:
    ones = np.ones((1, 3, 2))
    with pytest.raises(ValueError, match="at least 2"):
        cross_fitted_sigma(ones, ones)
    with pytest.raises(ValueError, match="no factor to fit"):
        fit_sigma_scale(np.full((2, 3, 2), np.nan), np.ones((2, 3, 2)))
    with pytest.raises(ValueError, match="residuals are 0"):
        fit_sigma_scale(0 * ones, ones)
    scale = fit_sigma_scale(ones, ones)
    with pytest.raises(ValueError, match="must be"):
        apply_sigma_scale(np.ones((1, 4, 2)), scale, "keypoint")
