"""The permutation test of a group against the others."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mahtdiag.statistics.permutation import two_sample_test


def _t(a: np.ndarray, b: np.ndarray) -> float:
    return float((a.mean() - b.mean()) / np.sqrt(a.var(ddof=1) / a.size + b.var(ddof=1) / b.size))


def test_agrees_with_all_ways_to_choose_the_members() -> None:
    rng = np.random.default_rng(0)
    values = rng.exponential(size=12)
    values[:5] += 0.9
    seen = _t(values[:5], values[5:])
    every = [
        _t(values[list(some)], np.delete(values, list(some))) for some in combinations(range(values.size), 5)
    ]
    above = np.mean([t >= seen - 1e-12 for t in every])
    below = np.mean([t <= seen + 1e-12 for t in every])
    found = two_sample_test(values, np.ones(12), np.arange(12), np.arange(12) < 5)
    assert found is not None
    assert found.difference == pytest.approx(values[:5].mean() - values[5:].mean())
    assert found.p_value == pytest.approx(2 * min(above, below), abs=0.015)


def test_what_a_patient_is_like_enters_nothing_where_the_groups_differ_within_patients() -> None:
    rng = np.random.default_rng(1)
    units = np.arange(20).repeat(2)
    member = np.tile([True, False], 20)
    values = 100.0 * rng.random(20)[units] + np.where(member, 0.5, 0.0) + 0.1 * rng.normal(size=40)
    found = two_sample_test(values, np.ones(40), units, member)
    assert found is not None
    assert found.p_value < 0.01


def test_images_of_one_patient_are_no_evidence_of_their_own() -> None:
    rng = np.random.default_rng(2)
    value = rng.normal(size=12)
    member = np.arange(12) < 6
    once = two_sample_test(value, np.ones(12), np.arange(12), member)
    units = np.arange(12).repeat(5)
    often = two_sample_test(value[units], np.ones(60), units, member[units])
    assert once is not None
    assert often is not None
    assert often.p_value == once.p_value


def test_patients_change_places_only_with_those_of_as_many_images_where_images_are_chosen() -> None:
    """All draws of a small case: pairs within the split patient, and within each number of images."""
    units = np.array([0, 0, 1, 2, 3, 4, 4, 5, 5])
    member = np.array([1, 0, 1, 0, 0, 1, 1, 0, 0], dtype=np.bool_)
    values = np.array([1.0, 2.0, 0.5, 0.8, 1.7, 9.0, 8.0, 11.0, 13.5])
    rows = [[0], [1], [2], [3], [4], [5, 6], [7, 8]]
    sums, counts = np.array([values[r].sum() for r in rows]), np.array([float(len(r)) for r in rows])
    every = [
        _ratio_t(sums, counts, np.isin(np.arange(7), [own, single, pair]))
        for own in (0, 1)
        for single in (2, 3, 4)
        for pair in (5, 6)
    ]
    seen = _ratio_t(sums, counts, np.isin(np.arange(7), [0, 2, 5]))
    found = two_sample_test(values, np.ones(9), units, member)
    assert found is not None
    above = np.mean([each >= seen - 1e-9 for each in every])
    below = np.mean([each <= seen + 1e-9 for each in every])
    assert found.p_value == pytest.approx(min(1.0, 2 * min(above, below)), abs=0.02)
    assert found.difference == pytest.approx(values[member].mean() - values[~member].mean())


def _ratio_t(sums: np.ndarray, counts: np.ndarray, inside: np.ndarray) -> float:
    """Difference of two ratios of sums over its standard error, side by side."""
    means, variances = [], []
    for side in (inside, ~inside):
        mean = sums[side].sum() / counts[side].sum()
        rest = sums[side] - mean * counts[side]
        means.append(mean)
        variances.append(side.sum() / (side.sum() - 1) * (rest**2).sum() / counts[side].sum() ** 2)
    return float((means[0] - means[1]) / np.sqrt(sum(variances)))


def test_nothing_to_compare() -> None:
    ones = np.ones(4)
    assert two_sample_test(ones, ones, np.arange(4), np.zeros(4, dtype=np.bool_)) is None
    assert two_sample_test(ones, ones * [0, 0, 1, 1], np.arange(4), np.arange(4) < 2) is None
    same = two_sample_test(ones, ones, np.arange(4), np.arange(4) < 2)
    assert same is not None
    assert (same.difference, same.p_value) == (0.0, 1.0)


@given(st.integers(0, 10**6), st.floats(0.01, 100.0))
def test_a_scale_changes_the_difference_alone(seed: int, scale: float) -> None:
    values = np.random.default_rng(seed).exponential(size=24)
    member = np.arange(24) < 11
    one = two_sample_test(values, np.ones(24), np.arange(24), member)
    other = two_sample_test(values * scale, np.ones(24), np.arange(24), member)
    assert one is not None
    assert other is not None
    assert other.difference == pytest.approx(scale * one.difference, rel=1e-9, abs=1e-12)
    assert other.p_value == pytest.approx(one.p_value, abs=1e-3)
