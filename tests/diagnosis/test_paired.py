"""Paired differences against loops over all flips and published tests; what must not change them."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest, permutation_test, ttest_1samp

from mahtdiag.diagnosis.metrics.measures import Mean, Paired, Terms, Total, TwoRuns
from mahtdiag.diagnosis.paired import Difference, PairedNumber, holm, paired_differences
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.schema.skeleton import AP
from mahtdiag.statistics.sign_flips import Contributions, sign_flip_tests

Floats = NDArray[np.float64]
ERRORS = Terms(lambda table: table.error_px, lambda table: np.isfinite(table.error_px))


def two_runs(a: Floats, b: Floats) -> TwoRuns:
    """Runs with these errors and nothing else."""
    names = tuple(str(image) for image in range(len(a)))
    return TwoRuns(*(RunTable(AP, {"image": names, "error_px": errors}) for errors in (a, b)))


def means(a: Floats, b: Floats, seed: int = 0, units: NDArray[np.int64] | None = None) -> Difference:
    """The difference of the means of values `[N, K]`."""
    paired = Mean(ERRORS).paired(two_runs(a, b))
    assert paired is not None
    of = np.arange(len(a)) if units is None else units
    (found,) = paired_differences([PairedNumber("mean", paired)], of, seed=seed)
    return found


def values(images: int, seed: int = 0, missing: float = 0.2) -> tuple[Floats, Floats]:
    """Values of two runs, four per image, of which some are missing in either."""
    rng = np.random.default_rng(seed)
    hard = rng.normal(5.0, 2.0, (images, 1))
    a, b = hard + rng.normal(0.0, 1.0, (images, 4)), hard + rng.normal(0.3, 1.0, (images, 4))
    a[rng.random(a.shape) < missing] = np.nan
    b[rng.random(b.shape) < missing] = np.nan
    # No image without any value, and no two alike.
    a[:, 0], b[:, 0] = hard[:, 0], hard[:, 0] + rng.normal(0.1, 0.2, images)
    return a, b


def naive_p(differences: list[float]) -> float:
    """Share of all ways to choose the signs whose sum is as far from 0."""
    seen = abs(sum(differences))
    signs = itertools.product((1.0, -1.0), repeat=len(differences))
    sums = [abs(sum(s * d for s, d in zip(each, differences, strict=True))) for each in signs]
    return sum(total >= seen - 1e-9 for total in sums) / len(sums)


def test_the_p_value_against_a_loop_over_all_flips() -> None:
    a, b = values(10, missing=0.0)
    found = means(a, b)
    by_image = (b - a).mean(axis=1)
    assert found.p_value == pytest.approx(naive_p(by_image.tolist()))
    assert found.test is not None
    for difference in (0.1, 0.5, -0.3):
        assert found.test.p_value(difference) == pytest.approx(naive_p((by_image - difference).tolist()))


def test_drawn_flips_against_the_package() -> None:
    rng = np.random.default_rng(2)
    h = rng.normal(0.35, 1.0, 40)
    (test,) = sign_flip_tests([Contributions(h / 40, np.full(40, 1 / 40))])
    known = permutation_test((h,), np.mean, permutation_type="samples", n_resamples=20_000, rng=1)
    assert test.p_value() == pytest.approx(known.pvalue, abs=0.01)
    assert test.standard_error == pytest.approx(h.std(ddof=1) / math.sqrt(40))


def test_many_symmetric_differences_are_judged_as_by_student() -> None:
    h = np.random.default_rng(4).normal(0.12, 1.0, 400)
    (test,) = sign_flip_tests([Contributions(h / 400, np.full(400, 1 / 400))])
    student = ttest_1samp(h, 0.0)
    assert test.p_value() == pytest.approx(float(student.pvalue), abs=0.01)
    assert test.interval() == pytest.approx(tuple(student.confidence_interval()), abs=0.01)


@settings(deadline=None, max_examples=60)
@given(st.integers(10, 40), st.integers(0, 10**6), st.floats(-1.0, 1.0), st.booleans())
def test_p_is_small_exactly_where_the_interval_is_beside_0(
    images: int, seed: int, shift: float, whole: bool
) -> None:
    a, b = values(images, seed)
    b = b + 0.5 * shift
    if whole:
        a, b = np.round(a), np.round(b)
    found = means(a, b, seed)
    assert found.ci95 is not None
    assert found.p_value is not None
    low, high = found.ci95
    assert low <= found.difference <= high
    assert (found.p_value < 0.05) == (low > 0.0 or high < 0.0)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    held = 0
    for trial in range(300):
        hard = rng.normal(5.0, 3.0, (40, 1))
        a, b = hard + rng.normal(0.0, 1.0, (40, 5)), hard + rng.normal(0.5, 1.0, (40, 5))
        interval = means(a, b, trial).ci95
        assert interval is not None
        held += interval[0] <= 0.5 <= interval[1]
    assert binomtest(held, 300, 0.95).pvalue > 0.001


def test_pairing_takes_out_what_makes_images_hard() -> None:
    rng = np.random.default_rng(1)
    hard = rng.normal(50.0, 30.0, (60, 1))
    a, b = hard + rng.normal(0.0, 0.5, (60, 3)), hard + 0.4 + rng.normal(0.0, 0.5, (60, 3))
    together, apart = means(a, b).ci95, means(a, rng.permutation(b)).ci95
    assert together is not None
    assert apart is not None
    assert together[0] > 0.0
    assert apart[1] - apart[0] > 50 * (together[1] - together[0])


@settings(deadline=None, max_examples=20)
@given(st.integers(10, 20), st.integers(0, 10**6))
def test_swapping_the_runs_turns_the_sign(images: int, seed: int) -> None:
    a, b = values(images, seed)
    one, other = means(a, b), means(b, a)
    assert one.difference == pytest.approx(-other.difference)
    assert one.ci95 is not None
    assert other.ci95 is not None
    assert one.ci95 == pytest.approx((-other.ci95[1], -other.ci95[0]), abs=1e-4)
    assert one.p_value == pytest.approx(other.p_value)


@settings(deadline=None, max_examples=20)
@given(st.integers(10, 20), st.integers(0, 10**6), st.floats(-100, 100), st.floats(0.1, 10))
def test_shifting_and_scaling_both_runs(images: int, seed: int, shift: float, scale: float) -> None:
    a, b = values(images, seed)
    one, other = means(a, b), means(scale * a + shift, scale * b + shift)
    assert other.difference == pytest.approx(scale * one.difference, abs=1e-9)
    assert other.ci95 == pytest.approx(scale * np.array(one.ci95), abs=1e-3 * scale)
    assert other.p_value == pytest.approx(one.p_value, abs=1e-3)


def test_a_shift_of_one_run_shifts_the_difference() -> None:
    a, b = values(20, missing=0.0)
    one, other = means(a, b), means(a, b + 2.5)
    assert other.difference == pytest.approx(one.difference + 2.5)
    assert one.ci95 is not None
    assert other.ci95 == pytest.approx((one.ci95[0] + 2.5, one.ci95[1] + 2.5), abs=1e-4)


def test_images_of_one_patient_are_one() -> None:
    """Every image ten times says no more than once."""
    a, b = values(20, missing=0.0)
    once, often = means(a, b), means(np.repeat(a, 10, 0), np.repeat(b, 10, 0), units=np.repeat(range(20), 10))
    as_images = means(np.repeat(a, 10, 0), np.repeat(b, 10, 0))
    assert often.units == once.units == 20
    assert often.p_value == pytest.approx(once.p_value)
    assert often.ci95 == pytest.approx(once.ci95, abs=1e-4)
    assert as_images.ci95 is not None
    assert once.ci95 is not None
    assert as_images.ci95[1] - as_images.ci95[0] < 0.5 * (once.ci95[1] - once.ci95[0])


@pytest.mark.parametrize("images", [10, 40])
def test_the_same_run_twice_differs_by_nothing(images: int) -> None:
    a, _ = values(images)
    found = means(a, a.copy())
    assert (found.difference, found.ci95, found.p_value, found.p_holm) == (0.0, (0.0, 0.0), 1.0, 1.0)


def test_rounding_is_no_difference() -> None:
    a, _ = values(46)
    found = means(a, a + 8e-7)
    assert (found.difference, found.ci95, found.p_value) == (0.0, (0.0, 0.0), 1.0)
    assert means(a, a + 8e-3).p_value != 1.0


def test_the_same_seed_gives_the_same_numbers() -> None:
    a, b = values(30)
    assert means(a, b).ci95 == means(a, b).ci95
    assert means(a, b).ci95 != means(a, b, seed=1).ci95


@pytest.mark.parametrize("images", [1, 2, 9])
def test_of_too_few_nothing_is_said(images: int) -> None:
    a, b = values(images, missing=0.0)
    found = means(a, b + 100.0)
    assert found.difference > 90.0
    assert (found.ci95, found.p_value, found.p_holm, found.detectable()) == (None, None, None, None)
    assert found.too_few("images") == f"too few images: {images}, at least 10"


def test_images_without_a_value_do_not_count() -> None:
    a, b = values(30, missing=0.0)
    a[9:] = np.nan
    assert (means(a, b).units, means(a, b).p_value) == (9, None)


def test_what_a_set_could_have_shown_is_shown_in_four_of_five() -> None:
    rng = np.random.default_rng(6)
    h = rng.exponential(1.0, (1000, 30)) - rng.exponential(1.0, (1000, 30))
    least = float(np.mean([means(np.zeros((30, 1)), each[:, None]).detectable() for each in h[:40]]))
    shown = [(means(np.zeros((30, 1)), each[:, None] + least).p_value or 1.0) < 0.05 for each in h[:300]]
    assert 0.72 < np.mean(shown) < 0.88


def test_nothing_to_compare_is_nothing() -> None:
    assert paired_differences([], np.arange(4)) == ()
    unknown = np.full((4, 2), np.nan)
    known_nowhere = Mean(ERRORS).paired(two_runs(unknown, unknown))
    assert known_nowhere is not None
    assert paired_differences([PairedNumber("mean", known_nowhere)], np.arange(4)) == ()


def test_what_was_never_seen_may_still_happen() -> None:
    """No image differs in 30: up to about one in ten might."""
    zeros = np.zeros((30, 1))
    for measure, most in ((Mean(ERRORS), 1.0), (Total(ERRORS), 30.0)):
        paired = measure.paired(two_runs(zeros, zeros))
        assert paired is not None
        (rare,) = paired_differences([PairedNumber("rare", paired, counts=True)], np.arange(30))
        (same,) = paired_differences([PairedNumber("rare", paired, counts=True, same=True)], np.arange(30))
        assert rare.p_value == 1.0
        assert rare.ci95 is not None
        assert 0.05 * most < rare.ci95[1] < 0.15 * most
        assert -rare.ci95[0] == pytest.approx(rare.ci95[1])
        assert same.ci95 == (0.0, 0.0)


@pytest.mark.parametrize("b", [0.0, 1.0])
def test_what_is_in_neither_run_is_known_as_such(b: float) -> None:
    a = np.zeros((3, 1))
    for measure in (Total(ERRORS), Mean(ERRORS)):
        paired = measure.paired(two_runs(a, a + b))
        assert paired is not None
        assert paired.is_nothing is (b == 0.0)


def test_numbers_over_the_same_keypoints_share_their_count() -> None:
    runs = two_runs(*values(5))
    small = Terms(lambda table: table.error_px <= 4.0, ERRORS.known)
    one, other = Mean(ERRORS).paired(runs), Mean(small).paired(runs)
    assert one is not None
    assert other is not None
    assert one.columns[1] is other.columns[1]


def root_mean_square(sums: Floats) -> Floats:
    return np.sqrt(sums[..., 0] / sums[..., 1])


def test_a_root_is_tested_as_the_mean_below_it_is() -> None:
    """Under a swap of the runs only the scale of the contributions changes: false alarms stay rare."""
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(400):
        a, b = rng.exponential(1.0, (2, 12, 1)) ** 3
        ones = np.ones((12, 1))
        paired = Paired(((a, b), (ones, ones)), root_mean_square, root_mean_square, ones[:, 0])
        (found,) = paired_differences([PairedNumber("rms", paired)], np.arange(12))
        assert found.ci95 is not None
        assert found.ci95[0] <= found.difference + 1e-9
        assert found.difference - 1e-9 <= found.ci95[1]
        wrong += (found.p_value or 1.0) < 0.05
    assert binomtest(wrong, 400, 0.05, alternative="greater").pvalue > 0.001


@pytest.mark.parametrize("images", [10, 24, 100])
def test_swapped_at_random_neither_run_is_better(images: int) -> None:
    """Skewed errors that share what makes an image hard."""
    rng = np.random.default_rng(images)
    low = high = 0
    for trial in range(500):
        hard = np.exp(rng.normal(0.0, 0.9, (images, 1)))
        a, b = (
            hard * np.exp(rng.normal(0.0, 0.5, (images, 1))) * rng.exponential(4.0, (images, 5)) for _ in "ab"
        )
        interval = means(a, b, trial).ci95
        assert interval is not None
        low, high = low + (interval[1] < 0.0), high + (interval[0] > 0.0)
    for wrong in (low, high):
        assert binomtest(wrong, 500, 0.025, alternative="greater").pvalue > 0.001


def naive_holm(p_values: list[float]) -> list[float]:
    """Step by step: the smallest is multiplied by m, the next by m − 1, none falls below the one before."""
    left, highest = sorted(p_values), 0.0
    corrected: dict[float, float] = {}
    for rank, p in enumerate(left):
        highest = max(highest, min(1.0, p * (len(left) - rank)))
        corrected.setdefault(p, highest)
    return [corrected[p] for p in p_values]


@given(st.lists(st.floats(0.0, 1.0), max_size=12))
def test_holm_against_its_steps(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(naive_holm(p_values))


def test_holm_of_the_textbook() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
