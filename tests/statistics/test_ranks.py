"""Ranks and Spearman's test against scipy.stats."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mahtdiag.statistics.ranks import mean_ranks, rising_p


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 200), st.integers(0, 2), st.floats(-1, 1), st.integers(0, 10**6))
def test_against_spearman(n: int, digits: int, slope: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.append(np.round(rng.normal(size=n - 2), digits), [-9, 9])
    y = np.round(slope * x + rng.normal(size=n), 1 + digits)
    np.testing.assert_array_equal(mean_ranks(x), stats.rankdata(x))
    if np.ptp(y) == 0:
        assert rising_p(x, y) == 1.0
        return
    found = stats.spearmanr(x, y)
    expected = found.pvalue if found.statistic > 0 else 1.0
    assert rising_p(x, y) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    # Ranks alone count, and neither is before the other.
    assert rising_p(np.exp(x), y) == rising_p(x, y)
    assert rising_p(y, x) == pytest.approx(rising_p(x, y), rel=1e-12)


def test_nothing_rises_with_what_is_flat_or_falls() -> None:
    x = np.arange(20.0)
    assert rising_p(x, np.ones(20)) == rising_p(np.ones(20), x) == rising_p(x, -x) == 1.0
    assert rising_p(x[:2], x[:2]) == 1.0
    assert rising_p(x, x) == 0.0
