"""Scores against uncertainty-toolbox, SciPy's distributions, closed forms, naive sums; their invariances."""

import itertools

import numpy as np
import pytest
import uncertainty_toolbox as uct
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from mahtdiag.calibration.ranking import tie_mean
from mahtdiag.calibration.scores import (
    LEVELS,
    area_between,
    bin_starts,
    crps_px,
    ellipse_limit,
    ence,
    half_width,
    mahalanobis_squared,
    nll,
    radial_error_px,
    radial_sigma_px,
)

from .direct import (
    calibration_curve,
    check_score,
    ellipse_curve,
    interval_score,
    mace,
    miscalibration_area,
    radial_mace,
    rmsce,
    share_within,
)
from .simulate import FloatArray

PREDICTED = np.array([1.0, 2.0, 3.0])
SIGMA = np.array([0.1, 0.5, 1.0])
TRUE = np.array([1.5, 3.0, 2.0])

seeds = st.integers(0, 2**32 - 1)


def _sample(seed: int, n: int = 300) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    sigma = np.exp(rng.normal(size=n))
    return sigma * rng.normal(rng.normal(), 1.5, size=n), sigma


def test_published_example() -> None:
    residual = PREDICTED - TRUE
    assert mace(residual, SIGMA) == pytest.approx(0.373333, abs=5e-7)
    assert rmsce(residual, SIGMA) == pytest.approx(0.416576, abs=5e-7)
    assert miscalibration_area(residual, SIGMA) == pytest.approx(0.377104, abs=5e-7)
    assert nll(residual, SIGMA).mean() == pytest.approx(4.920361, abs=5e-7)
    assert crps_px(residual, SIGMA).mean() == pytest.approx(0.590806, abs=5e-7)
    assert check_score(residual, SIGMA).mean() == pytest.approx(0.298014, abs=5e-7)
    assert interval_score(residual, SIGMA).mean() == pytest.approx(3.207557, abs=5e-7)
    assert ence(residual, SIGMA, bins=3) == pytest.approx(5 / 3, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_uncertainty_toolbox(seed: int) -> None:
    residual, sigma = _sample(seed)
    predicted = np.linspace(-5, 5, len(residual))
    args = (predicted, sigma, predicted - residual)
    assert mace(residual, sigma) == pytest.approx(uct.mean_absolute_calibration_error(*args), abs=1e-9)
    assert rmsce(residual, sigma) == pytest.approx(uct.root_mean_squared_calibration_error(*args), abs=1e-9)
    assert miscalibration_area(residual, sigma) == pytest.approx(uct.miscalibration_area(*args), abs=1e-9)
    assert nll(residual, sigma).mean() == pytest.approx(uct.nll_gaussian(*args), abs=1e-9)
    assert crps_px(residual, sigma).mean() == pytest.approx(uct.crps_gaussian(*args), abs=1e-9)
    assert check_score(residual, sigma).mean() == pytest.approx(uct.check_score(*args), abs=1e-9)
    assert interval_score(residual, sigma).mean() == pytest.approx(uct.interval_score(*args), abs=1e-9)


def test_curve_counts_by_hand() -> None:
    residual, sigma = _sample(3, 40)
    expected = [
        np.mean([abs(r) / s <= w for r, s in zip(residual, sigma, strict=True)]) for w in half_width(LEVELS)
    ]
    np.testing.assert_allclose(calibration_curve(residual, sigma), expected, atol=1e-15)


def test_area_of_a_curve_that_crosses_the_diagonal() -> None:
    levels = np.array([0.0, 0.5, 1.0])
    observed = np.array([0.2, 0.4, 1.0])
    # From +0.2 to −0.1 the curve crosses after two thirds of the step: two triangles, then one.
    expected = 0.5 * (0.2 * 0.5 * 2 / 3) + 0.5 * (0.1 * 0.5 / 3) + 0.5 * 0.1 * 0.5
    assert float(area_between(observed, levels)) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("residual", [-3.0, -0.2, 0.0, 1.1, 40.0])
@pytest.mark.parametrize("sigma", [0.3, 2.0])
def test_scores_against_their_integrals(residual: float, sigma: float) -> None:
    def squared_gap(x: float) -> float:
        return float((stats.norm.cdf(x, scale=sigma) - (x >= -residual)) ** 2)

    edges = sorted({-12 * sigma - abs(residual), -residual, 12 * sigma + abs(residual)})
    pieces = itertools.pairwise(edges)
    crps = sum(
        integrate.quad(squared_gap, a, b, points=[0.0] if a < 0 < b else None, limit=200)[0]
        for a, b in pieces
    )
    assert float(crps_px(residual, sigma)) == pytest.approx(crps, rel=1e-6)
    assert float(nll(residual, sigma)) == pytest.approx(-stats.norm.logpdf(residual, scale=sigma), rel=1e-12)


def test_crps_of_a_calibrated_gaussian() -> None:
    # E[CRPS] = σ/√π when the forecast is right.
    z = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    assert crps_px(3.0 * z, np.full(z.shape, 3.0)).mean() == pytest.approx(3.0 / np.sqrt(np.pi), rel=1e-3)


@settings(max_examples=30, deadline=None)
@given(seeds, st.floats(1e-3, 1e3))
def test_scaling_error_and_sigma_together(seed: int, factor: float) -> None:
    residual, sigma = _sample(seed, 60)
    assert mace(factor * residual, factor * sigma) == pytest.approx(mace(residual, sigma), abs=1e-12)
    assert ence(factor * residual, factor * sigma) == pytest.approx(ence(residual, sigma), rel=1e-9)
    np.testing.assert_allclose(
        nll(factor * residual, factor * sigma), nll(residual, sigma) + np.log(factor), rtol=1e-9, atol=1e-9
    )
    for score in (crps_px, check_score, interval_score):
        scaled = score(factor * residual, factor * sigma)
        np.testing.assert_allclose(scaled, factor * score(residual, sigma), rtol=1e-9, atol=1e-12 * factor)


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_order_and_sign_do_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    residual = rng.normal(size=60)
    sigma = np.repeat(rng.uniform(0.5, 2.0, size=12), 5)
    order = rng.permutation(60)
    for number in (mace, rmsce, miscalibration_area, ence):
        assert number(-residual[order], sigma[order]) == pytest.approx(number(residual, sigma), abs=1e-12)


def test_missing_values_are_left_out() -> None:
    residual, sigma = _sample(1)
    with_gap = np.insert(residual, 7, np.nan), np.insert(sigma, 7, 1.0)
    assert mace(*with_gap) == mace(residual, sigma)
    assert ence(*with_gap) == ence(residual, sigma)
    assert np.isnan(nll(*with_gap)).sum() == 1


def test_nothing_left_is_an_error() -> None:
    with pytest.raises(ValueError, match="undefined"):
        ence([], [])
    with pytest.raises(ValueError, match="bins"):
        ence([1.0], [1.0], bins=0)


def test_more_bins_than_values() -> None:
    assert ence([1.0, 3.0], [1.0, 2.0], bins=10) == pytest.approx((0.0 + 0.5) / 2)


@given(st.integers(1, 50), st.integers(1, 50))
def test_bins_are_those_of_array_split(n: int, bins: int) -> None:
    if bins <= n:
        expected = [part[0] for part in np.array_split(np.arange(n), bins)]
        assert bin_starts(n, bins).tolist() == expected


def test_tie_mean_and_share() -> None:
    assert tie_mean(np.array([1.0, 1.0, 2.0]), np.array([0.0, 4.0, 5.0])).tolist() == [2.0, 2.0, 5.0]
    assert share_within([1.0, np.nan, 3.0, 2.0], [2.0, 0.5]).tolist() == [pytest.approx(2 / 3), 0.0]


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-5, 5), st.integers(1, 4)), min_size=1, max_size=40), st.integers(1, 12))
def test_ence_against_sorting(pairs: list[tuple[float, int]], bins: int) -> None:
    residual, sigma = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    order = np.argsort(sigma, kind="stable")
    squared = tie_mean(sigma[order], residual[order] ** 2)
    expected = []
    for part in np.array_split(np.arange(len(pairs)), min(bins, len(pairs))):
        rmse, rmv = np.sqrt(squared[part].mean()), np.sqrt(np.mean(sigma[order][part] ** 2))
        expected.append(abs(rmse - rmv) / rmv)
    assert ence(residual, sigma, bins) == pytest.approx(np.mean(expected), abs=1e-6)


def test_limits_are_those_of_chi_square() -> None:
    np.testing.assert_allclose(ellipse_limit(LEVELS[:-1]), stats.chi2(2).ppf(LEVELS[:-1]), atol=1e-12)
    assert np.isinf(ellipse_limit(1.0))


def test_perfect_residuals_give_the_diagonal() -> None:
    d_squared = stats.chi2(2).ppf((np.arange(1000) + 0.5) / 1000)
    np.testing.assert_allclose(ellipse_curve(d_squared), LEVELS, atol=1e-3)
    assert radial_mace(d_squared) < 1e-3


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
def test_rotation_and_scale_do_not_change_a_distance(seed: int, angle: float, factor: float) -> None:
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


def test_lengths_in_the_plane_and_missing() -> None:
    np.testing.assert_array_equal(radial_error_px([[3.0, -4.0], [np.nan, 1.0]]), [5.0, np.nan])
    assert float(radial_sigma_px([1.0, 1.0])) == pytest.approx(np.sqrt(2.0))
    assert radial_mace([np.nan, 1.0]) == radial_mace([1.0])


def test_one_spread_has_to_be_given() -> None:
    with pytest.raises(ValueError, match="either"):
        mahalanobis_squared(np.zeros(2))
    with pytest.raises(ValueError, match="either"):
        mahalanobis_squared(np.zeros(2), np.ones(2), covariance_px2=np.eye(2))
