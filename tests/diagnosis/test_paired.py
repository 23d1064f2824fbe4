"""Paired differences against loops and published tests; what must not change them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest, kstest, norm, wilcoxon

from mahtdiag.calibration.bootstrap import image_weights
from mahtdiag.diagnosis.metrics.measures import Mean, Paired, Terms, Total, TwoRuns
from mahtdiag.diagnosis.paired import (
    Difference,
    Method,
    PairedNumber,
    holm,
    paired_differences,
    signed_rank_p,
)
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.schema.skeleton import AP

Floats = NDArray[np.float64]
RESAMPLES = 400


def means(a: Floats, b: Floats, resamples: int = RESAMPLES, seed: int = 0) -> Difference:
    """The difference of the means of values `[N, K]`."""
    paired = Mean(ERRORS).paired(two_runs(a, b))
    assert paired is not None
    (found,) = paired_differences([PairedNumber("mean", paired)], resamples=resamples, seed=seed)
    return found


def two_runs(a: Floats, b: Floats) -> TwoRuns:
    """Runs with these errors and nothing else."""
    names = tuple(str(image) for image in range(len(a)))
    return TwoRuns(*(RunTable(AP, {"image": names, "error_px": errors}) for errors in (a, b)))


ERRORS = Terms(lambda table: table.error_px, lambda table: np.isfinite(table.error_px))


def numbers_of(a: Floats, b: Floats, divisor: float = 1.0, *, reflected: bool = False) -> list[PairedNumber]:
    """A number per column `[N, C]`, its sum over a divisor, which an image alone does not have."""

    def number(sums: Floats) -> Floats:
        return np.asarray(sums[..., 0] / divisor)

    return [
        PairedNumber(
            str(i), Paired(((a[:, i : i + 1], b[:, i : i + 1]),), number, number, alone=False), reflected
        )
        for i in range(a.shape[1])
    ]


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


def naive_difference(a: Floats, b: Floats, times: list[int]) -> float:
    """The difference of the means of what both runs know, each image counted so often."""
    total_a = total_b = count = 0.0
    for image, often in enumerate(times):
        for x, y in zip(a[image], b[image], strict=True):
            if not (math.isnan(x) or math.isnan(y)):
                total_a, total_b, count = total_a + often * x, total_b + often * y, count + often
    return total_b / count - total_a / count


def test_the_bootstrap_against_a_loop_over_resamples() -> None:
    a, b = values(17)
    found = means(a, b)
    drawn = []
    rng = np.random.default_rng(0)
    for _ in range(RESAMPLES):
        picked = rng.integers(17, size=17)
        drawn.append(naive_difference(a, b, [int((picked == image).sum()) for image in range(17)]))
    assert found.difference == pytest.approx(naive_difference(a, b, [1] * 17))
    assert found.ci95 == pytest.approx(np.quantile(drawn, [0.025, 0.975]))
    assert found.b - found.a == pytest.approx(found.difference)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    held = 0
    for trial in range(300):
        hard = rng.normal(5.0, 3.0, (40, 1))
        a, b = hard + rng.normal(0.0, 1.0, (40, 5)), hard + rng.normal(0.5, 1.0, (40, 5))
        interval = means(a, b, 400, trial).ci95
        assert interval is not None
        held += interval[0] <= 0.5 <= interval[1]
    # Percentile intervals are a little too short for so few images.
    assert binomtest(held, 300, 0.94).pvalue > 0.001


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
@given(st.integers(2, 12), st.integers(0, 10**6))
def test_swapping_the_runs_turns_the_sign(images: int, seed: int) -> None:
    a, b = values(images, seed)
    one, other = means(a, b, 100), means(b, a, 100)
    assert one.difference == pytest.approx(-other.difference)
    assert one.ci95 is not None
    assert other.ci95 is not None
    assert one.ci95 == pytest.approx((-other.ci95[1], -other.ci95[0]))
    assert one.p_value == pytest.approx(other.p_value)


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 12), st.integers(0, 10**6), st.floats(-100, 100), st.floats(0.1, 10))
def test_shifting_and_scaling_both_runs(images: int, seed: int, shift: float, scale: float) -> None:
    a, b = values(images, seed)
    one, other = means(a, b, 100), means(scale * a + shift, scale * b + shift, 100)
    assert other.difference == pytest.approx(scale * one.difference, abs=1e-9)
    assert other.ci95 == pytest.approx(scale * np.array(one.ci95), abs=1e-9)
    assert other.p_value == pytest.approx(one.p_value, abs=1e-9)


def test_a_shift_of_one_run_shifts_the_difference() -> None:
    a, b = values(20, missing=0.0)
    one, other = means(a, b), means(a, b + 2.5)
    assert other.difference == pytest.approx(one.difference + 2.5)
    assert one.ci95 is not None
    assert other.ci95 == pytest.approx((one.ci95[0] + 2.5, one.ci95[1] + 2.5))


def test_the_order_of_the_images_changes_chance_alone() -> None:
    a, b = values(50)
    order = np.random.default_rng(5).permutation(50)
    one, other = means(a, b, 4000), means(a[order], b[order], 4000)
    assert other.difference == pytest.approx(one.difference)
    assert other.p_value == pytest.approx(one.p_value)
    assert one.ci95 is not None
    assert other.ci95 == pytest.approx(one.ci95, abs=0.1 * (one.ci95[1] - one.ci95[0]))


@pytest.mark.parametrize("images", [2, 3, 40])
def test_the_same_run_twice_differs_by_nothing(images: int) -> None:
    a, _ = values(images)
    found = means(a, a.copy())
    assert (found.difference, found.ci95, found.p_value, found.p_holm) == (0.0, (0.0, 0.0), 1.0, 1.0)


def test_the_same_seed_gives_the_same_numbers() -> None:
    a, b = values(30)
    assert means(a, b) == means(a, b)
    assert means(a, b).ci95 != means(a, b, seed=1).ci95


def test_a_single_image_has_no_interval() -> None:
    found = means(np.array([[1.0, 2.0]]), np.array([[2.0, 4.0]]))
    assert (found.difference, found.ci95, found.p_value) == (1.5, None, 1.0)


def test_nothing_to_compare_is_nothing() -> None:
    assert paired_differences([]) == ()
    unknown = np.full((4, 2), np.nan)
    known_nowhere = Mean(ERRORS).paired(two_runs(unknown, unknown))
    assert known_nowhere is not None
    assert paired_differences([PairedNumber("mean", known_nowhere)]) == ()


def test_sums_over_all_images_need_no_count() -> None:
    paired = Total(ERRORS).paired(two_runs(np.array([[1.0], [0.0], [2.0]]), np.array([[0.0], [0.0], [5.0]])))
    assert paired is not None
    (found,) = paired_differences([PairedNumber("findings", paired)], resamples=50)
    assert (found.a, found.b, found.difference) == (3.0, 5.0, 2.0)


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


def test_whole_numbers_and_others_are_summed_alike() -> None:
    """Columns go through two products; together they are what one in double precision gives."""
    rng = np.random.default_rng(0)
    tables = [
        np.concatenate(
            [rng.integers(0, 50, (90, 5)), rng.random((90, 3)), rng.integers(-2, 2, (90, 1))], axis=1
        )
        for _ in "ab"
    ]
    for table in tables:
        table[:, [1, 6]] = table[:, [6, 1]]
    found = paired_differences(numbers_of(tables[0], tables[1]), resamples=200, seed=4)
    drawn = np.concatenate([weights @ (tables[1] - tables[0]) for weights in image_weights(90, 200, 4)])
    for i, difference in enumerate(found):
        low, high = np.quantile(drawn[:, i], [0.025, 0.975])
        assert difference.ci95 == pytest.approx((low, high))
        assert difference.method is Method.BOOTSTRAP
        z = abs(difference.difference) / ((high - low) / (2.0 * norm.ppf(0.975)))
        assert difference.p_value == pytest.approx(2.0 * norm.sf(z))


def test_p_values_of_intervals_are_uniform_where_there_is_no_difference() -> None:
    rng = np.random.default_rng(8)
    p_values = []
    for trial in range(300):
        a, b = rng.normal(size=(2, 60, 1))
        (found,) = paired_differences(numbers_of(a, b, 60.0), resamples=300, seed=trial)
        p_values.append(found.p_value)
    assert kstest(p_values, "uniform").pvalue > 0.001


def test_numbers_too_large_for_single_precision_keep_every_digit() -> None:
    large = 2.0**24 * np.ones((3, 1))
    (found,) = paired_differences(numbers_of(large, large + 1.0), resamples=50)
    assert (found.difference, found.ci95) == (3.0, (3.0, 3.0))
    assert found.p_value == 0.0


def test_intervals_of_what_noise_pushes_up_are_reflected() -> None:
    a, b = np.random.default_rng(2).random((2, 12, 1)) ** 3
    plain, pushed = (
        paired_differences(numbers_of(a, b, reflected=reflected), resamples=300)[0]
        for reflected in (False, True)
    )
    assert plain.ci95 is not None
    turned = [2.0 * plain.difference - bound for bound in reversed(plain.ci95)]
    assert pushed.ci95 == pytest.approx(turned)


def naive_signed_rank(differences: list[float]) -> float:
    """Two-sided p-value over all ways to choose the signs, zeros left out, tied ranks averaged."""
    kept = [d for d in differences if d != 0.0 and not math.isnan(d)]
    sizes = [abs(d) for d in kept]
    ranks = [sum(s < size for s in sizes) + (sum(s == size for s in sizes) + 1) / 2 for size in sizes]
    seen = sum(rank for rank, d in zip(ranks, kept, strict=True) if d > 0)
    total = sum(ranks)
    extreme = 0
    for signs in range(2 ** len(kept)):
        positive = sum(rank for i, rank in enumerate(ranks) if signs >> i & 1)
        extreme += abs(positive - total / 2) >= abs(seen - total / 2) - 1e-9
    return float(extreme / 2 ** len(kept))


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_signed_ranks_against_all_ways_to_choose_the_signs(count: int) -> None:
    differences = np.random.default_rng(count).normal(0.6, 1.0, count)
    with_gaps = np.concatenate([differences, [0.0, np.nan, 0.0]])
    assert signed_rank_p(with_gaps) == pytest.approx(naive_signed_rank(with_gaps.tolist()))


def test_signed_ranks_of_many_images_against_the_package() -> None:
    differences = np.round(np.random.default_rng(0).normal(0.1, 1.0, 400), 1)
    kept = differences[differences != 0.0]
    assert signed_rank_p(differences) == pytest.approx(float(wilcoxon(kept, correction=False).pvalue))


def test_signed_ranks_of_yes_and_no_are_a_sign_test() -> None:
    """Share of images with a violation: +1 and −1 tie, and the normal approximation is that of McNemar."""
    differences = np.array([1.0] * 30 + [-1.0] * 12 + [0.0] * 100)
    z = (30 - 12) / math.sqrt(42)
    assert signed_rank_p(differences) == pytest.approx(2.0 * norm.sf(z))


@pytest.mark.parametrize("differences", [[], [0.0], [np.nan, 0.0, np.nan], [2.5]])
def test_too_little_for_a_test_shows_nothing(differences: list[float]) -> None:
    assert signed_rank_p(np.array(differences)) == 1.0


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
