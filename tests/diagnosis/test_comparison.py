"""What a comparison shows: better, worse, within a margin, or nothing; and what decides."""

from dataclasses import replace

import numpy as np
import pytest

from mahtdiag.diagnosis.comparison import (
    PRIMARY,
    Comparison,
    JudgedMetric,
    Outcome,
    Verdict,
    compare_runs,
    compared_names,
)
from mahtdiag.diagnosis.gates import Margin
from mahtdiag.diagnosis.metrics.losses import LOSS_NAMES
from mahtdiag.diagnosis.metrics.metric import Better
from mahtdiag.schema.skeleton import AP, View

from .compared import run_of, two_runs

MEAN = "radial_error_px.mean"


def compared(worse: float = 1.0, *margins: Margin, images: int = 60) -> Comparison:
    """B off so many times as far as A; by default the primary numbers decide."""
    a, b = two_runs(images, worse=worse, odd=False)
    chosen = margins or tuple(Margin(name, 0.0, relative=False) for name in PRIMARY)
    return compare_runs(a, b, compared_names(AP), chosen)


def outcome(comparison: Comparison, name: str = MEAN) -> JudgedMetric:
    return next(judged for judged in comparison.judged if judged.name == name)


@pytest.mark.parametrize(
    ("worse", "verdict", "of_mean"),
    [
        (1.5, Verdict.WORSE, Outcome.WORSE),
        (0.3, Verdict.BETTER, Outcome.BETTER),
        (1.0, Verdict.SAME, Outcome.OPEN),
    ],
)
def test_without_a_margin_what_is_shown_decides(worse: float, verdict: Verdict, of_mean: Outcome) -> None:
    found = compared(worse, Margin(MEAN, 0.0, relative=False))
    assert (found.verdict, outcome(found).outcome) == (verdict, of_mean)


def interval_of(comparison: Comparison, name: str = MEAN) -> tuple[float, float]:
    interval = outcome(comparison, name).worsening_ci95
    assert interval is not None
    return interval


def test_a_margin_is_kept_once_the_whole_interval_is_inside() -> None:
    low, high = interval_of(compared(1.5, Margin(MEAN, 0.0, relative=False)))
    assert 0.0 < low < high
    for amount, expected, verdict in (
        (low - 1e-6, Outcome.WORSE, Verdict.WORSE),
        (low + 1e-6, Outcome.OPEN, Verdict.SAME),
        (high - 1e-6, Outcome.OPEN, Verdict.SAME),
        (high, Outcome.WITHIN, Verdict.SAME),
    ):
        found = compared(1.5, Margin(MEAN, amount, relative=False))
        assert (outcome(found).outcome, found.verdict) == (expected, verdict)
        assert found.non_inferior is (expected is Outcome.WITHIN)


def test_a_relative_margin_is_a_share_of_the_first_run() -> None:
    found = compared(1.5, Margin(MEAN, 0.05, relative=True))
    a = next(metric.difference.a for metric in found.metrics if metric.name == MEAN)
    assert outcome(found).margin == pytest.approx(0.05 * a)


def test_where_more_is_better_the_worsening_is_a_loss() -> None:
    name = "sdr_px.4"
    found = compared(1.5, Margin(name, 0.0, relative=False))
    difference = next(metric.difference for metric in found.metrics if metric.name == name)
    judged = outcome(found, name)
    assert judged.worsening == -difference.difference
    assert judged.outcome is Outcome.WORSE
    assert difference.ci95 is not None
    assert judged.worsening_ci95 == (-difference.ci95[1], -difference.ci95[0])


def test_one_number_that_is_worse_outweighs_those_that_are_better() -> None:
    found = compared(0.3, Margin(MEAN, 0.0, relative=False), Margin("losses.total", 0.0, relative=False))
    worse = replace(found.judged[1], outcome=Outcome.WORSE)
    assert found.verdict is Verdict.BETTER
    assert replace(found, judged=(found.judged[0], worse)).verdict is Verdict.WORSE


def test_an_image_that_only_b_failed_on_makes_it_worse() -> None:
    found = replace(compared(0.3), lost=("0007.png",))
    assert (found.verdict, found.non_inferior) == (Verdict.WORSE, False)


def test_a_number_that_a_run_lacks_is_missing_and_shows_nothing() -> None:
    a, b = two_runs(10)
    b.sigma_px[:] = np.nan
    margins = [
        Margin(name, 100.0, relative=False) for name in (MEAN, "calibration.mace", "radial_error_px.max")
    ]
    found = compare_runs(a, b, compared_names(AP), margins)
    assert [judged.outcome for judged in found.judged] == [Outcome.WITHIN, Outcome.MISSING, Outcome.MISSING]
    assert (found.verdict, found.non_inferior) == (Verdict.SAME, False)
    assert found.judged[1].margin is None


def test_a_number_that_is_neither_better_nor_worse_decides_nothing() -> None:
    found = compared(1.5, Margin("calibration.sigma_scale", 0.0, relative=False))
    assert outcome(found, "calibration.sigma_scale").outcome is Outcome.MISSING
    metric = next(metric for metric in found.metrics if metric.name == "calibration.sigma_scale")
    assert (metric.better, metric.verdict) == (Better.NEITHER, None)


def test_a_single_image_shows_nothing() -> None:
    a, b = two_runs(1, worse=9.0, odd=False)
    found = compare_runs(a, b, compared_names(AP), [Margin(MEAN, 99.0, relative=False)])
    assert outcome(found).outcome is Outcome.TOO_FEW
    assert (found.verdict, found.non_inferior) == (Verdict.TOO_FEW, False)
    assert {metric.difference.ci95 for metric in found.metrics} == {None}
    for metric in found.metrics:
        assert metric.verdict in (Verdict.SAME if metric.difference.same else Verdict.TOO_FEW, None)


def test_explored_numbers_need_a_corrected_p_and_an_interval_without_zero() -> None:
    found = compared(1.4, images=80)
    seen = set()
    for metric in found.metrics:
        difference = metric.difference
        assert difference.ci95 is not None
        low, high = difference.ci95
        shown = (difference.p_holm or 0.0) < 0.05 and not low <= 0.0 <= high
        up = metric.better is Better.LOWER
        expected = Verdict.SAME if not shown else Verdict.WORSE if (low > 0.0) is up else Verdict.BETTER
        assert metric.verdict is (None if metric.better is Better.NEITHER else expected), metric.name
        seen.add(metric.verdict)
    assert seen >= {Verdict.WORSE, Verdict.SAME, None}


def test_p_values_are_corrected_for_all_numbers_together() -> None:
    found = compared()
    smallest = min(metric.difference.p_value or 0.0 for metric in found.metrics)
    corrected = min(metric.difference.p_holm or 0.0 for metric in found.metrics)
    assert corrected == pytest.approx(min(1.0, smallest * len(found.metrics)))


def test_chance_alone_rarely_makes_a_run_better_or_worse() -> None:
    """Explored numbers, all together: 5 % of comparisons may be wrong somewhere."""
    wrong = 0
    names = [name for name in compared_names(AP) if name.startswith(("by_", "losses"))]
    for seed in range(40):
        a, b = two_runs(30, seed=seed, odd=False)
        swap = np.random.default_rng(seed).random(30) < 0.5
        for x, y in ((a.error_px, b.error_px), *((a.loss(name), b.loss(name)) for name in LOSS_NAMES)):
            x[swap], y[swap] = y[swap].copy(), x[swap].copy()
        found = compare_runs(a, b, names, ())
        wrong += any(metric.verdict is not Verdict.SAME for metric in found.metrics)
    assert wrong <= 6


def test_numbers_come_in_the_order_of_their_names() -> None:
    names = compared_names(AP)
    found = [metric.name for metric in compared().metrics]
    assert found == sorted(found, key=names.index)


def test_the_change_of_every_image() -> None:
    a, b = two_runs(8)
    b.error_px[3] = np.nan
    b.error_px[4, :6] = np.nan
    found = compare_runs(a, b, (MEAN,), ())
    assert found.images == 8
    assert np.isnan(found.errors.change[3])
    known = np.isfinite(a.error_px[4]) & np.isfinite(b.error_px[4])
    assert found.errors.a[4] == pytest.approx(float(a.error_px[4][known].mean()))
    assert found.errors.change[4] == pytest.approx(float((b.error_px[4] - a.error_px[4])[known].mean()))


def test_a_spine_that_is_right_has_nothing_to_compare_but_zeros() -> None:
    a, _ = two_runs(12)
    exact = run_of(a.gt_px, a.gt_px, View.AP)
    found = compare_runs(exact, exact, compared_names(AP), [Margin(MEAN, 0.0, relative=True)])
    assert outcome(found).outcome is Outcome.WITHIN
    assert outcome(found).margin == 0.0
