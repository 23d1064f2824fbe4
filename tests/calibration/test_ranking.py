"""Ranking numbers against SciPy and loops, and what must not change them."""

from itertools import pairwise, permutations
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from mahtdiag.calibration.ranking import (
    is_constant,
    quantile_bins,
    rank,
    rank_bins,
    roc_auc,
    sparsification,
    spearman,
    spearman_influence,
)

from .simulate import FloatArray

few_values = st.lists(st.integers(0, 5), min_size=4, max_size=40)


@given(few_values)
def test_ranks_are_those_of_scipy(values: list[int]) -> None:
    array = np.array(values, dtype=float)
    np.testing.assert_array_equal(rank(array).ranks, stats.rankdata(array))


@settings(deadline=None)
@given(few_values, st.randoms(use_true_random=False))
def test_spearman_is_that_of_scipy(values: list[int], random: object) -> None:
    x = np.array(values, dtype=float)
    y = np.random.default_rng(len(values)).permutation(x) + 0.5 * x
    if is_constant(x) or is_constant(y):
        assert spearman(x, y) is None
    else:
        assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)


def test_spearman_undefined() -> None:
    rising = np.arange(5.0)
    assert spearman(np.ones(5), rising) is None
    assert spearman(rising, np.full(5, 0.1 + 0.2)) is None
    assert spearman(rising[:2], rising[:2]) is None
    assert spearman_influence(np.ones(5), rising) is None


def test_influence_predicts_the_change_of_the_correlation() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    y = x + rng.normal(size=400)
    influence = spearman_influence(x, y)
    base = spearman(x, y)
    assert influence is not None
    assert base is not None
    assert influence.mean() == pytest.approx(0.0, abs=1e-12)
    left_out = np.array([spearman(np.delete(x, i), np.delete(y, i)) for i in range(400)])
    np.testing.assert_allclose((base - left_out) * 399, influence, atol=0.05)


def naive_influence(x: FloatArray, y: FloatArray) -> FloatArray:
    """By its definition, one pair after the other."""
    n = len(x)

    def mid(values: FloatArray) -> FloatArray:
        below = [sum(v < w for v in values) + 0.5 * sum(v == w for v in values) for w in values]
        return np.array(below) / n

    def above(by: FloatArray, values: FloatArray) -> FloatArray:
        weights = [[float(b > a) + 0.5 * float(b == a) for b in by] for a in by]
        return np.asarray(np.array(weights) @ values / n, dtype=np.float64)

    f, g = mid(x), mid(y)
    total = f * g + above(x, g) + above(y, f)
    return np.asarray((total - total.mean()) / (f.std() * g.std()), dtype=np.float64)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), min_size=4, max_size=30), st.randoms())
def test_influence_is_that_of_the_definition_however_ties_are_ordered(
    pairs: list[tuple[int, int]], random: Random
) -> None:
    x, y = (np.array(values, dtype=np.float64) for values in zip(*pairs, strict=True))
    influence = spearman_influence(x, y)
    assume(influence is not None)
    assert influence is not None
    np.testing.assert_allclose(influence, naive_influence(x, y), atol=1e-9)
    order = random.sample(range(len(x)), len(x))
    again = spearman_influence(x[order], y[order])
    assert again is not None
    np.testing.assert_allclose(again, influence[order], atol=1e-9)


def _expected_curve(sigma: FloatArray, error: FloatArray) -> FloatArray:
    """Mean over all orders of ties of the mean error of the first 1 … n keypoints."""
    curves = []
    for order in permutations(range(len(sigma))):
        if all(sigma[a] <= sigma[b] for a, b in pairwise(order)):
            curves.append([np.mean(error[list(order[: k + 1])]) for k in range(len(order))])
    return np.asarray(np.mean(curves, axis=0), dtype=np.float64)


def test_sparsification_by_hand() -> None:
    sigma = np.array([1.0, 2.0, 2.0, 3.0, 3.0, 0.5])
    error = np.array([4.0, 1.0, 3.0, 9.0, 2.0, 0.5])
    curve, oracle = _expected_curve(sigma, error), _expected_curve(error, error)
    found = sparsification(sigma, error)
    assert found is not None
    assert found.ause_px == pytest.approx(np.mean(curve - oracle), abs=1e-12)
    assert found.ause == pytest.approx(np.mean(curve - oracle) / error.mean(), abs=1e-12)
    assert found.aurc_px == pytest.approx(curve.mean(), abs=1e-12)
    np.testing.assert_allclose(found.kept_error_px, curve[::-1], atol=1e-12)
    np.testing.assert_allclose(found.oracle_error_px, oracle[::-1], atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_ranking_ignores_order_and_monotone_changes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sigma, error = rng.integers(1, 8, size=50).astype(float), rng.exponential(size=50)
    order = rng.permutation(50)
    a, b = sparsification(sigma, error), sparsification(np.exp(sigma[order]), error[order])
    assert a is not None
    assert b is not None
    assert a.ause == pytest.approx(b.ause, abs=1e-12)
    assert spearman(sigma, error) == pytest.approx(spearman(np.exp(sigma[order]), error[order]), abs=1e-12)
    assert quantile_bins(sigma, error).jaccard == quantile_bins(sigma[order] ** 3, error[order]).jaccard
    assert roc_auc(sigma, error > 1) == roc_auc(np.exp(sigma[order]), error[order] > 1)


def test_perfect_and_reversed_ranking() -> None:
    error = np.arange(1.0, 101.0)
    best, worst = sparsification(error, error), sparsification(-error, error)
    assert best is not None
    assert worst is not None
    assert best.ause == 0.0
    assert worst.ause is not None
    assert worst.ause > 0.5
    assert quantile_bins(error, error).jaccard == (1.0,) * 5
    assert quantile_bins(-error, error).jaccard == (0.0, 0.0, 1.0, 0.0, 0.0)


def test_quantile_bins_by_sets() -> None:
    rng = np.random.default_rng(2)
    sigma, error = rng.normal(size=103), rng.normal(size=103) ** 2
    found = quantile_bins(sigma, error)
    by_sigma, by_error = rank_bins(sigma, 5), rank_bins(error, 5)
    for b in range(5):
        s, e = set(np.flatnonzero(by_sigma == b)), set(np.flatnonzero(by_error == b))
        assert found.jaccard[b] == pytest.approx(len(s & e) / len(s | e))
        assert found.mean_error_px[b] == pytest.approx(error[sorted(s)].mean())
    assert max(found.counts) - min(found.counts) <= 1


def test_empty_bins_are_none() -> None:
    found = quantile_bins(np.ones(4), np.ones(4))
    assert found.jaccard == (None, None, 1.0, None, None)
    assert found.mean_error_px == (None, None, 1.0, None, None)


def test_auc_by_pairs() -> None:
    rng = np.random.default_rng(3)
    sigma = rng.integers(0, 6, size=40).astype(float)
    large = rng.random(40) < 0.3
    wins = [(a > b) + 0.5 * (a == b) for a in sigma[large] for b in sigma[~large]]
    assert roc_auc(sigma, large) == pytest.approx(np.mean(wins), abs=1e-12)
    assert roc_auc(sigma, np.zeros(40, dtype=bool)) is None
    assert roc_auc(sigma, np.ones(40, dtype=bool)) is None


def test_nothing_and_zero_errors() -> None:
    empty = np.array([])
    assert sparsification(empty, empty) is None
    zero = sparsification(np.arange(3.0), np.zeros(3))
    assert zero is not None
    assert zero.ause is None
