"""Tests of normality against scipy.stats, and how often they are wrong."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mahtdiag.statistics.normality import MOST_RANKED, normal_p

Floats = np.typing.NDArray[np.float64]
SHAPES = ("normal", "exponential", "uniform", "heavy", "rounded")


def sample(shape: str, n: int, seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    values = {
        "normal": rng.normal(3, 7, n),
        "exponential": rng.exponential(1, n),
        "uniform": rng.uniform(-1, 1, n) + 1000,
        "heavy": rng.standard_t(3, n),
        "rounded": np.append(np.round(rng.normal(0, 2, n - 2)), [-9, 9]),
    }
    return values[shape]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SHAPES), st.integers(8, 300), st.integers(0, 10**6))
def test_against_shapiro(shape: str, n: int, seed: int) -> None:
    # Its normal scores and tails have seven digits, ours all.
    values = sample(shape, n, seed)
    assert normal_p(values) == pytest.approx(stats.shapiro(values).pvalue, rel=3e-5, abs=1e-15)


@pytest.mark.parametrize("shape", SHAPES)
def test_of_many_against_shapiro_and_beyond_against_normaltest(shape: str) -> None:
    many = sample(shape, MOST_RANKED + 1, 1)
    few = many[:-1]
    assert normal_p(few) == pytest.approx(stats.shapiro(few).pvalue, rel=1e-5, abs=1e-15)
    assert normal_p(many) == pytest.approx(stats.normaltest(many).pvalue, rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("n", [8, 11, 12, 40, MOST_RANKED + 1])
def test_neither_place_nor_unit_nor_order_matters(n: int) -> None:
    values = sample("heavy", n, 2)
    usual = normal_p(values)
    for same in (1000 * values + 7, -values, values[::-1]):
        assert normal_p(same) == pytest.approx(usual, rel=1e-6, abs=1e-300)


@pytest.mark.parametrize("n", [10, 30])
def test_a_normal_sample_is_called_another_as_often_as_said(n: int) -> None:
    rng = np.random.default_rng(n)
    said = sum(normal_p(values) < 0.05 for values in rng.normal(size=(2000, n)))
    assert stats.binomtest(said, 2000, 0.05).pvalue > 1e-3


def test_too_few_are_refused() -> None:
    with pytest.raises(ValueError, match="7 values are too few"):
        normal_p(np.arange(7.0))
