"""Agreement statistics against published examples and the formulas written out."""

import math
from statistics import mean, stdev

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import cohen_kappa_score  # type: ignore[import-untyped]

from mahtdiag.anatomy.agreement import bland_altman, confusion_table, detection, icc_a1, weighted_kappa

# Six targets, four judges: Shrout and Fleiss, Psychological Bulletin 86:420, 1979, table 2; ICC(2,1) = 0.29.
SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=np.float64
)


def test_icc_of_the_published_example() -> None:
    found = icc_a1(SHROUT_FLEISS)
    assert found.n == 6
    assert round(found.value, 2) == 0.29
    assert (round(found.low, 2), round(found.high, 2)) == (0.02, 0.76)


def naive_icc(rows: list[list[float]]) -> tuple[float, float, float]:
    """McGraw and Wong's ICC(A,1) and its interval from sums of squares written out."""
    n, k = len(rows), len(rows[0])
    grand = mean(v for row in rows for v in row)
    judges = [mean(row[j] for row in rows) for j in range(k)]
    msr = k * sum((mean(row) - grand) ** 2 for row in rows) / (n - 1)
    msc = n * sum((judge - grand) ** 2 for judge in judges) / (k - 1)
    total = sum((v - grand) ** 2 for row in rows for v in row)
    mse = (total - msr * (n - 1) - msc * (k - 1)) / ((n - 1) * (k - 1))
    r = (msr - mse) / (msr + (k - 1) * mse + k / n * (msc - mse))
    a, b = k * r / (n * (1 - r)), 1 + k * r * (n - 1) / (n * (1 - r))
    v = (a * msc + b * mse) ** 2 / ((a * msc) ** 2 / (k - 1) + (b * mse) ** 2 / ((n - 1) * (k - 1)))
    fl, fu = stats.f.ppf(0.975, n - 1, v), stats.f.ppf(0.975, v, n - 1)
    rest = k * msc + (k * n - k - n) * mse
    # Divided by the quantile, so that an infinite one gives the limit.
    low = n * (msr / fl - mse) / (rest + n * msr / fl)
    high = n * (msr - mse / fu) / (rest / fu + n * msr)
    return r, float(low), float(high)


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 30), st.integers(2, 4), st.integers(0, 10**6), st.floats(0.01, 100))
def test_icc_against_the_formula_and_invariant(n: int, k: int, seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    ratings = rng.normal(20, 5, (n, 1)) + rng.normal(0, 3, (n, k))
    found = icc_a1(ratings)
    assert (found.value, found.low, found.high) == pytest.approx(naive_icc(ratings.tolist()), rel=1e-6)
    assert found.low <= found.value <= found.high
    moved = icc_a1(scale * ratings[::-1, ::-1] - 7)
    assert (moved.value, moved.low, moved.high) == pytest.approx(
        (found.value, found.low, found.high), rel=1e-6
    )


def test_icc_punishes_a_bias_that_correlation_ignores() -> None:
    truth = np.random.default_rng(0).normal(0, 1, 50)
    assert icc_a1(np.stack([truth, truth], axis=1)).value == 1.0
    assert icc_a1(np.stack([truth, truth + 3], axis=1)).value < 0.3


@pytest.mark.parametrize(
    "ratings",
    [np.empty((0, 2)), np.ones((1, 2)), np.full((5, 2), 3.7), np.full((4, 2), np.nan), np.ones((5, 1))],
)
def test_undefined_icc(ratings: np.typing.NDArray[np.float64]) -> None:
    found = icc_a1(ratings)
    assert math.isnan(found.value)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_icc_counts_patients() -> None:
    """Every image twice: the interval is that of the mean squares with the freedom of the patients."""
    rng = np.random.default_rng(3)
    ratings = rng.normal(20, 5, (15, 1)) + rng.normal(0, 3, (15, 2))
    once, units = icc_a1(ratings), np.arange(15).repeat(2)
    assert icc_a1(ratings, np.arange(15) * 7) == once
    twice, blind = icc_a1(ratings.repeat(2, axis=0), units), icc_a1(ratings.repeat(2, axis=0))
    assert (twice.n, twice.value) == (30, blind.value)
    assert twice.low < blind.low < blind.value < blind.high < twice.high
    # Not the tenth part apart from those of 15 images: the mean squares differ by 28/29 and 14/15.
    assert [twice.low, twice.high] == pytest.approx([once.low, once.high], abs=0.1 * (once.high - once.low))
    one = icc_a1(ratings, np.zeros(15, np.int64))
    assert one.value == once.value
    assert math.isnan(one.low)
    hole = np.concatenate([ratings, [[np.nan, 1.0]]])
    assert icc_a1(hole, np.append(np.arange(15), 3)) == once


def test_icc_without_variation_between_images() -> None:
    found = icc_a1(np.tile([[1.0, 2.0]], (5, 1)))
    assert found.value == 0.0
    assert math.isnan(found.low)


def test_icc_leaves_out_incomplete_rows() -> None:
    holes = np.concatenate([SHROUT_FLEISS, [[np.nan, 1, 2, 3]]])
    assert icc_a1(holes) == icc_a1(SHROUT_FLEISS)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 40), st.integers(0, 10**6), st.floats(-5, 5))
def test_bland_altman_against_the_formula(n: int, seed: int, shift: float) -> None:
    rng = np.random.default_rng(seed)
    labelled = rng.normal(0, 10, n)
    predicted = labelled + rng.normal(1, 2, n)
    found = bland_altman(predicted, labelled)
    differences = (predicted - labelled).tolist()
    bias, sd = mean(differences), stdev(differences)
    t = stats.t.ppf(0.975, n - 1)
    assert found.n == n
    assert (found.bias, found.sd) == pytest.approx((bias, sd))
    assert (found.lower, found.upper) == pytest.approx((bias - 1.959964 * sd, bias + 1.959964 * sd), rel=1e-6)
    assert found.bias_ci95[1] - found.bias == pytest.approx(t * sd / math.sqrt(n))
    quantiles = np.array([stats.nct.ppf(q, n - 1, 1.959964 * math.sqrt(n)) for q in (0.025, 0.975)])
    quantiles /= math.sqrt(n)
    assert found.upper_ci95 == pytest.approx(bias + sd * quantiles, rel=1e-5)
    assert found.lower_ci95 == pytest.approx(bias - sd * quantiles[::-1], rel=1e-5)
    assert found.units == n
    assert found.mean_absolute == pytest.approx(mean(abs(d) for d in differences))
    shifted = bland_altman(predicted + shift, labelled)
    assert shifted.bias == pytest.approx(found.bias + shift)
    assert shifted.sd == pytest.approx(found.sd)


def test_bland_altman_with_too_few_pairs() -> None:
    none = bland_altman(np.array([np.nan]), np.array([1.0]))
    assert none.n == 0
    assert math.isnan(none.bias)
    one = bland_altman(np.array([3.0, np.nan]), np.array([1.0, 1.0]))
    assert (one.n, one.bias, one.mean_absolute) == (1, 2.0, 2.0)
    assert math.isnan(one.upper)


def test_bland_altman_counts_patients() -> None:
    """Every image twice tells no more than once."""
    rng = np.random.default_rng(0)
    labelled = rng.normal(0, 10, 30)
    predicted = labelled + rng.normal(1, 2, 30)
    once = bland_altman(predicted, labelled)
    twice = bland_altman(predicted.repeat(2), labelled.repeat(2), np.arange(30).repeat(2))
    assert (twice.n, twice.units) == (60, 30)
    assert twice.bias_ci95 == pytest.approx(once.bias_ci95)
    assert twice.upper_ci95[1] - twice.upper_ci95[0] == pytest.approx(
        (once.upper_ci95[1] - once.upper_ci95[0]) * twice.sd / once.sd
    )
    assert math.isnan(bland_altman(predicted, labelled, np.zeros(30, np.int64)).upper)


GRADES = (1, 2, 3, 4, 5)


@settings(max_examples=40, deadline=None)
@given(st.integers(12, 60), st.integers(0, 10**6))
def test_weighted_kappa_against_scikit_learn_and_a_loop(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labelled = rng.integers(0, 6, (n, 3))
    predicted = np.where(rng.random((n, 3)) < 0.6, labelled, rng.integers(0, 6, (n, 3)))
    units = rng.integers(0, n // 2, n)
    found = weighted_kappa(labelled, predicted, units, GRADES)

    def by_hand(rows: np.typing.NDArray[np.bool_]) -> float:
        both = (labelled[rows] > 0) & (predicted[rows] > 0)
        return float(
            cohen_kappa_score(labelled[rows][both], predicted[rows][both], labels=GRADES, weights="quadratic")
        )

    assert found.value == pytest.approx(by_hand(np.ones(n, np.bool_)))
    assert found.cases == int(((labelled > 0) & (predicted > 0)).sum())
    graded = (labelled > 0) & (predicted > 0)
    patients = [u for u in np.unique(units) if graded[units == u].any()]
    above = [u for u in patients if (graded & ((labelled > 1) | (predicted > 1)))[units == u].any()]
    if len(above) < 10:
        assert math.isnan(found.low)
        return
    without = np.array([by_hand(units != u) for u in patients])
    count = len(patients)
    error = math.sqrt((count - 1) / count * float(((without - without.mean()) ** 2).sum()))
    half = stats.t.ppf(0.975, min(len(above), count) - 1) * error / (1 - found.value**2)
    middle = math.atanh(found.value)
    assert (found.low, found.high) == pytest.approx((math.tanh(middle - half), math.tanh(middle + half)))


def test_kappa_of_grades_that_all_agree_or_are_one() -> None:
    one = np.ones((20, 5), np.int64)
    assert math.isnan(weighted_kappa(one, one, np.arange(20), GRADES).value)
    some = one.copy()
    some[:12, 0] = 2
    agreed = weighted_kappa(some, some, np.arange(20), GRADES)
    assert agreed.value == 1.0
    assert math.isnan(agreed.low)
    assert weighted_kappa(one[:0], one[:0], np.arange(0), GRADES).cases == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(0, 10**6))
def test_detection_against_counting(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    said, found = rng.integers(-1, 2, (n, 1)), rng.integers(-1, 2, (n, 1))
    got = detection(said, found, np.arange(n))
    for share, value in ((got.sensitivity, 1), (got.specificity, 0)):
        cases = (said == value) & (found >= 0)
        hits = int((cases & (found == value)).sum())
        assert (share.hits, share.cases, share.units) == (hits, cases.sum(), cases.sum())
        if cases.any():
            exact = stats.binomtest(hits, int(cases.sum())).proportion_ci(0.95, method="exact")
            assert (share.low, share.high) == pytest.approx((exact.low, exact.high))
        else:
            assert (share.low, share.high) == (0.0, 1.0)


def test_detection_counts_patients_not_levels() -> None:
    said = np.zeros((6, 5), np.int64)
    got = detection(said, said, np.array([0, 0, 1, 1, 2, 2])).specificity
    assert (got.cases, got.units) == (30, 3)
    assert got.low == pytest.approx(stats.binomtest(3, 3).proportion_ci(0.95, method="exact").low)


def test_confusion_table() -> None:
    labelled, predicted = np.array([1, 1, 2, 3, 0, 1]), np.array([1, 2, 2, 1, 1, 1])
    table = confusion_table(labelled, predicted, (1, 2, 3))
    assert table.tolist() == [[2, 1, 0], [0, 1, 0], [1, 0, 0]]
