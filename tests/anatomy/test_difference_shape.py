"""Limits of agreement where differences are not normal or grow, against formulas written out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mahtdiag.anatomy.difference_shape import (
    _binomial_quantiles,
    difference_shape,
    percentile_limits,
    regression_limits,
)

Floats = np.typing.NDArray[np.float64]


def pair(seed: int, n: int, slope: float = 0.0, growth: float = 0.0) -> tuple[Floats, Floats]:
    """Predictions and labels 5 to 45 in size; a bias of `slope` and a spread of `growth` per unit of size."""
    rng = np.random.default_rng(seed)
    labelled = rng.uniform(5, 45, n)
    predicted = labelled + slope * labelled + rng.normal(0, 1, n) * (2 + growth * labelled)
    return predicted, labelled


@settings(max_examples=30, deadline=None)
@given(st.integers(39, 400), st.integers(0, 10**6))
def test_percentiles_against_ranks(n: int, seed: int) -> None:
    predicted, labelled = pair(seed, n)
    found = percentile_limits(predicted, labelled, np.arange(n))
    assert found is not None
    d = np.sort(predicted - labelled)
    rank = 0.025 * (n + 1)
    low = int(rank)
    expected = d[low - 1] + (rank - low) * (d[min(low, n - 1)] - d[low - 1])
    assert found.lower == pytest.approx(expected)
    mirrored = percentile_limits(labelled, predicted, np.arange(n))
    assert mirrored is not None
    assert mirrored.upper == pytest.approx(-found.lower)
    if n < 146:
        assert found.lower_ci95 is None
        return
    assert found.lower_ci95 is not None
    assert mirrored.upper_ci95 == pytest.approx((-found.lower_ci95[1], -found.lower_ci95[0]))
    # The ends are order statistics between which the percentile lies in at least 95 %.
    first, last = (int(np.abs(d - end).argmin()) + 1 for end in found.lower_ci95)
    assert stats.binom.cdf(last - 1, n, 0.025) - stats.binom.cdf(first - 1, n, 0.025) >= 0.95


def test_few_images_or_patients_have_no_percentiles() -> None:
    predicted, labelled = pair(0, 78)
    assert percentile_limits(predicted[:38], labelled[:38], np.arange(38)) is None
    assert percentile_limits(predicted, labelled, np.arange(78) // 2) is not None
    assert percentile_limits(predicted, labelled, np.arange(78) // 3) is None
    assert percentile_limits(predicted * np.nan, labelled, np.arange(78)) is None


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(-0.2, 0.2), st.floats(0, 0.2), st.floats(0.1, 10))
def test_regression_limits_against_least_squares(
    seed: int, slope: float, growth: float, scale: float
) -> None:
    predicted, labelled = pair(seed, 60, slope, growth)
    found = regression_limits(predicted, labelled)
    mean, d = (predicted + labelled) / 2, predicted - labelled
    line = stats.linregress(mean, d)
    spread = stats.linregress(np.abs(mean), np.abs(d - line.intercept - line.slope * mean))
    half = 1.959964 * np.sqrt(np.pi / 2) * (spread.intercept + spread.slope * 20)
    middle = line.intercept + line.slope * 20
    assert found.at(20) == pytest.approx((middle - max(half, 0), middle + max(half, 0)), rel=1e-5, abs=1e-6)
    scaled = regression_limits(scale * predicted, scale * labelled)
    assert scaled.at(20 * scale) == pytest.approx([scale * end for end in found.at(20)], rel=1e-6, abs=1e-9)


def test_what_differs_is_told() -> None:
    usual = difference_shape(*pair(1, 100), np.arange(100))
    assert min(usual.p_normal, usual.p_bias, usual.p_spread) > 0.01
    for slope in (0.2, -0.2):
        assert difference_shape(*pair(1, 100, slope=slope), np.arange(100)).p_bias < 1e-4
    assert difference_shape(*pair(1, 400, growth=0.1), np.arange(400)).p_spread < 1e-3
    labelled = np.random.default_rng(0).uniform(5, 45, 100)
    skewed = labelled + np.random.default_rng(1).exponential(3, 100)
    assert difference_shape(skewed, labelled, np.arange(100)).p_normal < 1e-6


@pytest.mark.parametrize("noisier", ["labels", "predictions"])
def test_noise_of_one_of_the_two_is_no_bias_that_grows(noisier: str) -> None:
    """Noise of labels alone makes differences fall with the label, noise of predictions rise with them."""
    said = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        truth = rng.normal(20, 8, 100)
        noisy = truth + rng.normal(0, 4, 100)
        predicted, labelled = (truth, noisy) if noisier == "labels" else (noisy, truth)
        said += difference_shape(predicted, labelled, np.arange(100)).p_bias < 0.05
    assert said <= 16


def test_nothing_is_said_of_few_or_of_equal_ones() -> None:
    predicted, labelled = pair(0, 18)
    few = difference_shape(predicted, labelled, np.arange(18) // 2)
    equal = difference_shape(labelled + 1, labelled, np.arange(18))
    assert np.isnan([few.p_normal, few.p_bias, few.p_spread]).all()
    assert np.isnan([equal.p_normal, equal.p_bias, equal.p_spread]).all()
    constant = difference_shape(predicted - labelled + 5.0, np.full(18, 5.0), np.arange(18))
    assert constant.p_spread == 1.0


def test_binomial_quantiles_against_scipy() -> None:
    for count in (39, 146, 147, 1000, 100_000):
        expected = [int(stats.binom.ppf(share, count, 0.025)) for share in (0.025, 0.975)]
        assert _binomial_quantiles(count, 0.025, (0.025, 0.975)) == expected
