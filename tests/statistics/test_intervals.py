"""Intervals against SciPy and written-out formulas, their symmetries, and where there is none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import binomtest, quantile_test, t

from mahtdiag.statistics.intervals import (
    FEWEST,
    Floats,
    by_unit,
    estimate_interval,
    exact_interval,
    gap_interval,
    jackknife,
    mean_interval,
    quantile_interval,
    share_interval,
)


def skewed(units: int, seed: int = 0) -> Floats:
    """Mean errors of so many units."""
    return np.exp(np.random.default_rng(seed).normal(1.0, 0.7, units))


def at_most(values: Floats, limit: float) -> Floats:
    """1 where a value is at most a limit, else 0."""
    return np.asarray(values <= limit, dtype=np.float64)


def size(gaps: Floats) -> Floats:
    """Mean absolute value."""
    return np.asarray(np.abs(gaps).mean(axis=-1))


@pytest.mark.parametrize("units", [10, 25, 400])
def test_mean_against_the_formula_written_out(units: int) -> None:
    """The studentised mean whose transform is at each quantile, found by a root finder."""
    values = [float(v) for v in skewed(units)]
    mean = sum(values) / units
    moments = [sum((v - mean) ** power for v in values) / units for power in (2, 3, 4)]
    k = moments[1] / moments[0] ** 1.5 / units**0.5
    beyond = moments[2] / moments[0] ** 2 - 1.5 * moments[1] ** 2 / moments[0] ** 3
    freedom = min(units - 1, max(3.0, 2 * units / max(beyond - 1, 1e-9)))

    def bound(quantile: float) -> float:
        root = float(brentq(lambda x: x + k * x**2 / 3 + k**2 * x**3 / 27 + k / 6 - quantile, -1e4, 1e4))
        return mean - root * float((moments[0] / (units - 1)) ** 0.5)

    q = float(t.ppf(0.975, freedom))
    found = mean_interval(np.array(values), np.ones(units))
    assert found == pytest.approx((bound(q), bound(-q)), rel=1e-9)


def test_without_skewness_it_is_students() -> None:
    values = np.concatenate([np.linspace(1, 3, 20), 4 - np.linspace(1, 3, 20)])
    centred = values - 2.0
    freedom = min(39.0, float(80 / (np.mean(centred**4) / np.mean(centred**2) ** 2 - 1)))
    half = float(t.ppf(0.975, freedom)) * values.std(ddof=1) / np.sqrt(40)
    assert mean_interval(values, np.ones(40)) == pytest.approx((values.mean() - half, values.mean() + half))


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    scale=st.floats(1e-3, 1e3),
    shift=st.floats(-1e3, 1e3),
    units=st.integers(10, 60),
)
def test_mean_moves_grows_and_does_not_know_order(seed: int, scale: float, shift: float, units: int) -> None:
    rng = np.random.default_rng(seed)
    values, counts = skewed(units, seed), rng.integers(1, 9, units).astype(float)
    base = mean_interval(values * counts, counts)
    order = rng.permutation(units)
    moved = mean_interval(((scale * values + shift) * counts)[order], counts[order])
    assert base is not None
    assert moved is not None
    tolerance = 1e-9 * (abs(shift) + scale * values.max())
    assert moved == pytest.approx([scale * end + shift for end in base], abs=tolerance)
    mirrored = mean_interval(-values * counts, counts)
    assert mirrored == pytest.approx((-base[1], -base[0]), rel=1e-9)


def test_a_mean_of_unlike_counts_is_a_ratio() -> None:
    """Its influence is that of leaving units out, to first order."""
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 20, 200).astype(float)
    sums = counts * skewed(200)
    influence = jackknife(lambda s: s[..., 0] / s[..., 1], np.stack([sums, counts], axis=1))
    found = estimate_interval(float(sums.sum() / counts.sum()), influence)
    assert mean_interval(sums, counts) == pytest.approx(found, rel=0.01)


def test_jackknife_of_a_mean_is_exact() -> None:
    values = skewed(30)
    influence = jackknife(lambda s: s[..., 0] / s[..., 1], np.stack([values, np.ones(30)], axis=1))
    np.testing.assert_allclose(influence, values - values.mean())


def test_units_that_do_not_differ_say_nothing_of_others() -> None:
    assert mean_interval(np.full(30, 2.0), np.ones(30)) is None
    assert mean_interval(np.zeros(30), np.ones(30)) is None
    assert mean_interval(np.full(30, np.nan), np.ones(30)) is None
    assert mean_interval(np.full(30, np.inf), np.ones(30)) is None


@pytest.mark.parametrize("units", range(FEWEST))
def test_too_few_units(units: int) -> None:
    values, counts = skewed(units), np.ones(units)
    assert mean_interval(values, counts) is None
    assert estimate_interval(1.0, values) is None
    assert quantile_interval(np.sort(values), 0.5, at_most(values, 3.0), counts) is None
    assert gap_interval(np.ones(3), np.ones((units, 3)), size) is None
    assert (share_interval((values < 3).astype(float), counts) is None) is (units == 0)


def test_units_without_a_case_are_none() -> None:
    values, counts = np.insert(skewed(20), 3, 0.0), np.insert(np.ones(20), 3, 0.0)
    assert mean_interval(values, counts) == mean_interval(skewed(20), np.ones(20))
    hits = (values > 3).astype(float)
    assert share_interval(hits, counts) == share_interval(hits[counts > 0], counts[counts > 0])


def test_sums_by_unit() -> None:
    values = np.arange(12.0).reshape(6, 2)
    found = by_unit(values, np.array([4, 0, 4, 2, 2, 2]))
    np.testing.assert_array_equal(found, [values[1], values[3:].sum(axis=0), values[0] + values[2]])
    np.testing.assert_array_equal(by_unit(values, np.arange(6)), values)
    assert by_unit([], np.array([], dtype=np.int64)).shape == (0,)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.integers(2, 30))
def test_shares_of_units_whose_cases_go_together(drawn: tuple[int, int], cases: int) -> None:
    """All or no cases of a unit: they say little more than one case each would."""
    count, units = drawn
    hits = np.where(np.arange(units) < count, float(cases), 0.0)
    found = share_interval(hits, np.full(units, float(cases)))
    alone = exact_interval(count, units)
    assert found is not None
    assert alone is not None
    assert found[0] <= alone[0] + 0.02
    assert found[1] >= alone[1] - 0.02


def test_shares_of_independent_cases() -> None:
    """So many units that their spread is known: nearly the exact interval of all cases."""
    hits = np.random.default_rng(0).binomial(20, 0.7, 2000).astype(float)
    found, exact = share_interval(hits, np.full(2000, 20.0)), exact_interval(hits.sum(), 40000)
    assert found == pytest.approx(exact, abs=0.0005)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), units=st.integers(2, 40), rate=st.floats(0.0, 1.0))
def test_a_share_and_its_complement(seed: int, units: int, rate: float) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 20, units).astype(float)
    hits = rng.binomial(counts.astype(int), rate).astype(float)
    low, high = share_interval(hits, counts) or (np.nan, np.nan)
    assert 0.0 <= low <= hits.sum() / counts.sum() <= high <= 1.0
    assert high - low > 0.0
    assert share_interval(counts - hits, counts) == pytest.approx((1 - high, 1 - low), abs=1e-9)


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_quantiles_of_independent_cases_against_scipy(level: float) -> None:
    values = np.sort(skewed(300))
    estimate = float(np.quantile(values, level))
    found = quantile_interval(values, level, at_most(values, estimate), np.ones(300))
    expected = np.array(quantile_test(values, q=estimate, p=level).confidence_interval(0.95))
    assert found is not None
    places = np.searchsorted(values, [*found, *expected.tolist()])
    np.testing.assert_allclose(places[:2], places[2:], atol=2)


def test_a_quantile_whose_interval_would_leave_the_values() -> None:
    for units, level in ((19, 0.9), (60, 0.95), (60, 0.05)):
        values = np.sort(skewed(units))
        hits = at_most(values, float(np.quantile(values, level)))
        assert quantile_interval(values, level, hits, np.ones(units)) is None


def test_gaps_far_from_zero_have_the_interval_of_their_mean() -> None:
    """All gaps share one error, and are so large that none changes sign."""
    rng = np.random.default_rng(0)
    influence = np.repeat(rng.normal(size=(400, 1)), 5, axis=1)
    low, high = gap_interval(np.full(5, 2.0), influence, size) or (np.nan, np.nan)
    half = 1.96 * influence[:, 0].std(ddof=1) / 20
    assert (low, high) == pytest.approx((2 - half, 2 + half), abs=0.1 * half)


def test_without_gaps_the_interval_begins_at_zero_as_often_as_it_says() -> None:
    held = 0
    for seed in range(300):
        influence = np.random.default_rng(seed).normal(size=(30, 8)) @ np.triu(np.ones((8, 8)))
        interval = gap_interval(influence.mean(axis=0), influence, size, seed)
        assert interval is not None
        held += interval[0] == 0.0
    assert 0.92 <= held / 300 <= 0.98


def test_gaps_of_many_sizes_are_held() -> None:
    for shift in (0.1, 0.3, 1.0):
        held = 0
        for seed in range(200):
            noise = np.random.default_rng(seed).normal(size=(20, 6))
            low, high = gap_interval(shift + noise.mean(axis=0), noise, size, seed) or (np.nan, np.nan)
            held += low <= shift <= high
        assert held / 200 >= 0.92


@given(st.integers(1, 300).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_intervals_are_those_of_the_exact_binomial_test(drawn: tuple[int, int]) -> None:
    count, of = drawn
    expected = binomtest(count, of).proportion_ci(0.95, method="exact")
    assert exact_interval(count, of) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_none_found_is_not_certainty() -> None:
    assert exact_interval(0, 3) == pytest.approx((0.0, 1 - 0.025 ** (1 / 3)))
    assert exact_interval(3, 3) == pytest.approx((0.025 ** (1 / 3), 1.0))


def test_intervals_keep_their_promise() -> None:
    """Chance, summed over all outcomes, that the interval holds the true share."""
    for of in (1, 7, 40):
        for true in (0.0, 0.01, 0.3, 0.5, 0.97, 1.0):
            chance = [
                float(np.exp(_log_choose(of, k)) * true**k * (1 - true) ** (of - k)) for k in range(of + 1)
            ]
            intervals = [exact_interval(k, of) for k in range(of + 1)]
            held = sum(c for c, i in zip(chance, intervals, strict=True) if i and i[0] <= true <= i[1])
            assert sum(chance) == pytest.approx(1.0)
            assert held >= 0.95 - 1e-12


def _log_choose(of: int, k: int) -> float:
    return float(np.log(np.arange(k + 1, of + 1)).sum() - np.log(np.arange(1, of - k + 1)).sum())
