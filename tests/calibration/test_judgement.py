"""What factors and regions are worth on images that they were not fitted on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mahtdiag.calibration import (
    HeadUnits,
    calibration_report,
    collect_points,
    conformal_scores,
    cross_fitted_coverage,
    fit_conformal_table,
    judge_conformal_table,
    nll_changes,
    recalibration_row,
)
from mahtdiag.calibration.judgement import Change

from .simulate import FloatArray, calibrated, true_sigma


def nll_change(residual: FloatArray, before: FloatArray, after: FloatArray) -> Change:
    """The change to one other σ."""
    (change,) = nll_changes(residual, before, after)
    return change


def naive_nll(residual: float, sigma: float) -> float:
    return float(0.5 * np.log(2 * np.pi) + np.log(sigma) + residual**2 / (2 * sigma**2))


def test_nll_change_by_hand() -> None:
    data = calibrated(np.random.default_rng(0), images=5, keypoints=3)
    residual, before, after = data.residual_px.copy(), data.sigma_px.copy(), 1.3 * data.sigma_px
    residual[0, 0] = np.nan
    before[1, 1] = 0.0
    expected = [
        naive_nll(residual[i, k, a], after[i, k, a]) - naive_nll(residual[i, k, a], before[i, k, a])
        for i in range(5) for k in range(3) for a in range(2)
        if (i, k) not in ((0, 0), (1, 1))
    ]  # fmt: skip
    assert nll_change(residual, before, after).value == pytest.approx(np.mean(expected), rel=1e-12)


def test_nll_change_knows_better_from_worse() -> None:
    data = calibrated(np.random.default_rng(1))
    residual, sigma = data.residual_px, data.sigma_px
    assert nll_change(residual, sigma / 2, sigma).is_drop
    assert nll_change(residual, sigma, sigma / 2).is_rise
    none = nll_change(residual, sigma, sigma)
    assert (none.value, none.is_drop, none.is_rise) == (0.0, False, False)


def test_several_changes_are_those_of_one_at_a_time() -> None:
    data = calibrated(np.random.default_rng(11))
    residual, sigma = data.residual_px, data.sigma_px
    both = nll_changes(residual, sigma, 0.5 * sigma, 1.1 * sigma)
    alone = [nll_change(residual, sigma, factor * sigma) for factor in (0.5, 1.1)]
    for one, other in zip(both, alone, strict=True):
        assert one.value == pytest.approx(other.value, rel=1e-12)
        assert one.ci95 == pytest.approx(other.ci95, rel=1e-9)


def test_one_image_gives_no_interval_and_so_no_claim() -> None:
    data = calibrated(np.random.default_rng(2), images=1)
    change = nll_change(data.residual_px, data.sigma_px / 4, data.sigma_px)
    assert change.ci95 is None
    assert not change.is_drop
    assert not Change(3.0, None).is_rise


def test_nothing_to_compare() -> None:
    nothing = np.full((2, 3, 2), np.nan)
    with pytest.raises(ValueError, match="nothing to compare"):
        nll_change(nothing, nothing, nothing)
    with pytest.raises(ValueError, match="nothing to judge"):
        recalibration_row(None, nothing, nothing)


def naive_cross_fitted(scores: np.ndarray[tuple[int, ...], np.dtype[np.float64]], coverage: float) -> float:
    """Leave one image out, so that the folds need not be known."""
    inside = []
    for i in range(len(scores)):
        rest = np.sort(np.delete(scores, i, axis=0), axis=None)
        limit = rest[int(np.ceil((rest.size + 1) * coverage)) - 1]
        inside += (scores[i] <= limit).tolist()
    return float(np.mean(inside))


def test_cross_fitted_coverage_by_hand() -> None:
    scores = np.random.default_rng(3).exponential(size=(12, 6))
    _, pooled = cross_fitted_coverage(scores, 0.8, folds=12)
    assert pooled == pytest.approx(naive_cross_fitted(scores, 0.8), rel=1e-12)


def test_cross_fitted_coverage_keeps_its_promise() -> None:
    held = [
        cross_fitted_coverage(np.random.default_rng(seed).exponential(size=(60, 4)), 0.9)
        for seed in range(40)
    ]
    by_keypoint, pooled = np.array(held, dtype=np.float64).mean(axis=0)
    assert pooled == pytest.approx(0.9, abs=0.01)
    assert 0.895 <= by_keypoint <= 0.93  # the finite sample costs at most 1 / (n + 1)


def test_cross_fitted_coverage_needs_two_images() -> None:
    scores = np.full((5, 3), np.nan)
    scores[2] = 1.0
    assert cross_fitted_coverage(scores, 0.9) == (None, None)


def test_an_image_without_scores_changes_nothing() -> None:
    scores = np.random.default_rng(4).exponential(size=(12, 6))
    more = np.concatenate([scores[:4], np.full((1, 6), np.nan), scores[4:]])
    assert cross_fitted_coverage(more, 0.9) == cross_fitted_coverage(scores, 0.9)


def test_scores_of_missing_keypoints_are_missing() -> None:
    data = calibrated(np.random.default_rng(5), images=4, keypoints=3)
    residual, sigma = data.residual_px.copy(), data.sigma_px.copy()
    residual[0, 1], sigma[2, 2] = np.nan, 0.0
    distance, error = conformal_scores(collect_points(residual, sigma))
    missing = np.zeros((4, 3), dtype=np.bool_)
    missing[0, 1] = missing[2, 2] = True
    np.testing.assert_array_equal(np.isnan(distance), missing)
    np.testing.assert_array_equal(np.isnan(error), missing)
    assert distance[1, 1] == pytest.approx(np.linalg.norm(residual[1, 1] / sigma[1, 1]))


@given(st.floats(0.1, 100.0))
@settings(max_examples=20, deadline=None)
def test_a_larger_image_scales_discs_and_leaves_ellipses(factor: float) -> None:
    data = calibrated(np.random.default_rng(6), images=20, keypoints=3)
    base = fit_conformal_table(*conformal_scores(collect_points(data.residual_px, data.sigma_px)))
    scores = conformal_scores(collect_points(factor * data.residual_px, factor * data.sigma_px))
    scaled = fit_conformal_table(*scores)
    for old, new in zip(base.ellipse, scaled.ellipse, strict=True):
        assert new.limits.pooled == pytest.approx(old.limits.pooled, rel=1e-9)
    for old, new in zip(base.disc_px, scaled.disc_px, strict=True):
        assert new.limits.pooled == pytest.approx(factor * old.limits.pooled, rel=1e-9)


def test_limits_are_kept_when_they_are_judged() -> None:
    one, other = (calibrated(np.random.default_rng(seed), images=80) for seed in (7, 8))
    fitted = fit_conformal_table(*conformal_scores(collect_points(one.residual_px, one.sigma_px)))
    scores = conformal_scores(collect_points(other.residual_px, other.sigma_px))
    judged = judge_conformal_table(*scores, fitted)
    assert [row.limits for row in judged.ellipse] == [row.limits for row in fitted.ellipse]
    held = judged.ellipse[1].held_pooled
    assert held == pytest.approx(np.mean(scores[0] <= fitted.ellipse[1].limits.pooled))
    assert held == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize("side", ["lower", "upper"])
def test_a_pile_on_the_bound_is_a_clamp_and_a_tail_beyond_it_is_none(side: str) -> None:
    rng = np.random.default_rng(9)
    in_head = true_sigma(rng, 60, 20)
    px = np.repeat(rng.uniform(4.0, 12.0, size=(60, 1, 1)), 2, axis=2)  # every image has its own scale
    bound = float(np.quantile(in_head, 0.15 if side == "lower" else 0.85))
    at_bound = in_head <= bound if side == "lower" else in_head >= bound
    clipped = np.maximum(in_head, bound) if side == "lower" else np.minimum(in_head, bound)
    residual = px * in_head * rng.normal(size=in_head.shape)
    none = np.zeros_like(at_bound)
    low, high = (at_bound, none) if side == "lower" else (none, at_bound)
    free, clamped = (
        calibration_report(residual, px * sigma, at_min=low, at_max=high, units=HeadUnits(px), resamples=0)
        for sigma in (in_head, clipped)
    )
    assert "clamped" not in {fault.code for fault in free.faults}
    assert clamped.faults[0].code == "clamped"
    said = "15 % of σ sit on the lower clamp bound, 0 %" if side == "lower" else "bound, 15 % on the upper"
    assert said in clamped.verdict


def test_a_covariance_that_tells_the_correlation_is_not_blamed_for_it() -> None:
    rng = np.random.default_rng(10)
    sigma = true_sigma(rng, 80, 20)
    z = rng.normal(size=sigma.shape)
    mixed = np.stack([z[..., 0], 0.7 * z[..., 0] + np.sqrt(0.51) * z[..., 1]], axis=-1)
    variance = sigma[..., 0] ** 2
    covariance = np.stack(
        [np.stack([variance, 0.7 * variance], -1), np.stack([0.7 * variance, variance], -1)], -2
    )
    axes_only = calibration_report(sigma * mixed, sigma, resamples=0)
    full = calibration_report(sigma * mixed, sigma, covariance_px2=covariance, resamples=0)
    assert "correlated_axes" in {fault.code for fault in axes_only.faults}
    assert full.status == "calibrated"
