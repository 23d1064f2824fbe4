"""What mends σ: factors against a minimiser, limits by sorting, nothing judged by what it helped to fit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from mahtdiag.calibration.recalibration import (
    Change,
    apply_sigma_scale,
    conformal_coverage,
    conformal_limit,
    conformal_scores,
    cross_fitted_coverage,
    cross_fitted_sigma,
    fit_conformal,
    fit_conformal_table,
    fit_sigma_scale,
    judge_conformal_table,
    nll_changes,
    recalibration_row,
)
from mahtdiag.calibration.scores import collect_points, nll

from .simulate import FloatArray, calibrated


def test_scale_minimises_the_likelihood() -> None:
    data = calibrated(np.random.default_rng(0))
    scale = fit_sigma_scale(data.residual_px, data.sigma_px / 3)
    best = minimize_scalar(
        lambda s: float(nll(data.residual_px, s * data.sigma_px / 3).mean()),
        bounds=(0.1, 10),
        method="bounded",
    )
    assert scale.common == pytest.approx(best.x, rel=1e-4)
    z = 3 * data.residual_px[:, 7] / data.sigma_px[:, 7]
    assert scale.by_keypoint[7] == pytest.approx(np.sqrt(np.mean(z**2)), rel=1e-12)
    assert scale.n == 1000
    assert scale.counts == (50,) * 20


def test_few_labels_take_the_common_factor() -> None:
    data = calibrated(np.random.default_rng(1))
    residual = data.residual_px.copy()
    residual[19:, 4] = np.nan
    scale = fit_sigma_scale(residual, data.sigma_px)
    assert scale.counts[4] == 19
    assert scale.by_keypoint[4] == scale.common
    assert scale.by_keypoint[3] != scale.common


def test_scaling_sigma_scales_the_factor_back() -> None:
    data = calibrated(np.random.default_rng(2))
    once = fit_sigma_scale(data.residual_px, data.sigma_px)
    twice = fit_sigma_scale(data.residual_px, apply_sigma_scale(data.sigma_px, once, "keypoint"))
    np.testing.assert_allclose(twice.by_keypoint, 1.0, rtol=1e-12)
    halved = fit_sigma_scale(data.residual_px, 0.5 * data.sigma_px)
    assert halved.common == pytest.approx(2 * once.common, rel=1e-12)


def test_no_image_helps_to_fit_its_own_factor() -> None:
    data = calibrated(np.random.default_rng(3), images=25)
    base = cross_fitted_sigma(data.residual_px, data.sigma_px)
    changed = data.residual_px.copy()
    changed[11] *= 100.0
    again = cross_fitted_sigma(changed, data.sigma_px)
    np.testing.assert_array_equal(again[11], base[11])
    same = np.array([np.array_equal(again[i], base[i]) for i in range(25)])
    # Its whole fold of five keeps its factor, all others change.
    assert same.sum() == 5


def test_cross_fitting_against_a_loop() -> None:
    data = calibrated(np.random.default_rng(4), images=13, keypoints=30)
    fold = np.random.default_rng(9).permutation(13) % 5
    expected = data.sigma_px.copy()
    for part in range(5):
        rest = fold != part
        z = data.residual_px[rest] / data.sigma_px[rest]
        expected[~rest] *= np.sqrt(np.mean(z**2))
    np.testing.assert_allclose(
        cross_fitted_sigma(data.residual_px, data.sigma_px, seed=9), expected, rtol=1e-12
    )


def test_factors_repair_a_wrong_scale() -> None:
    data = calibrated(np.random.default_rng(5), images=60)
    residual, sigma = data.residual_px, data.sigma_px / 2
    before = recalibration_row(None, residual, sigma)
    common = recalibration_row("global", residual, cross_fitted_sigma(residual, sigma))
    own = recalibration_row("keypoint", residual, cross_fitted_sigma(residual, sigma, scope="keypoint"))
    assert (before.scope, common.scope, own.scope) == (None, "global", "keypoint")
    assert before.sigma_scale == pytest.approx(2.0, rel=0.1)
    for row in (common, own):
        assert row.sigma_scale == pytest.approx(1.0, abs=0.03)
        assert row.mace < 0.3 * before.mace
        assert row.nll < before.nll


def test_images_without_labels_keep_their_place() -> None:
    data = calibrated(np.random.default_rng(6), images=10)
    residual = data.residual_px.copy()
    residual[3] = np.nan
    sigma = cross_fitted_sigma(residual, data.sigma_px)
    assert sigma.shape == data.sigma_px.shape
    assert np.all(sigma > 0)


def test_nothing_to_fit() -> None:
    ones = np.ones((1, 3, 2))
    with pytest.raises(ValueError, match="at least 2"):
        cross_fitted_sigma(ones, ones)
    with pytest.raises(ValueError, match="no factor to fit"):
        fit_sigma_scale(np.full((2, 3, 2), np.nan), np.ones((2, 3, 2)))
    with pytest.raises(ValueError, match="residuals are 0"):
        fit_sigma_scale(0 * ones, ones)
    scale = fit_sigma_scale(ones, ones)
    with pytest.raises(ValueError, match="must be"):
        apply_sigma_scale(np.ones((1, 4, 2)), scale, "keypoint")


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


@pytest.mark.parametrize("n", [19, 50, 200])
def test_coverage_holds_in_simulation(n: int) -> None:
    rng = np.random.default_rng(n)
    trials = 4000
    # Skewed scores: nothing about their distribution is assumed.
    scores = rng.exponential(size=(n, trials)) ** 2
    limits = fit_conformal(scores, 0.9).by_keypoint
    hits = (rng.exponential(size=(500, trials)) ** 2 <= limits).mean(axis=0)
    place = np.ceil(round((n + 1) * 0.9, 9))
    # Exactly place/(n+1) on average, never below the promise.
    assert hits.mean() == pytest.approx(place / (n + 1), abs=4 * hits.std() / np.sqrt(trials))
    assert hits.mean() >= 0.9 - 4 * hits.std() / np.sqrt(trials)


def test_too_few_scores_give_an_unbounded_region() -> None:
    radii = fit_conformal(np.array([[1.0, np.nan]] * 9), 0.9)
    assert radii.by_keypoint.tolist() == [1.0, np.inf]
    assert radii.unbounded == (1,)
    assert radii.counts == (9, 0)
    assert radii.n == 9
    assert conformal_limit(np.ones(8), 0.9) == np.inf


@given(st.lists(st.floats(0, 100), min_size=1, max_size=60), st.floats(0.05, 0.95))
def test_limit_is_an_order_statistic(scores: list[float], coverage: float) -> None:
    place = int(np.ceil((len(scores) + 1) * coverage - 1e-9))
    expected = np.inf if place > len(scores) else sorted(scores)[place - 1]
    assert conformal_limit(scores, coverage) == expected
    assert conformal_limit([2 * s for s in reversed(scores)], coverage) == 2 * expected


def test_rounding_does_not_move_the_place() -> None:
    # 30 · 0.7 exceeds 21 by rounding when computed in floating point.
    assert conformal_limit(np.arange(1.0, 30.0), 0.7) == 21.0
    assert conformal_limit(np.arange(1.0, 20.0), 0.9) == 18.0


def test_coverage_on_other_data() -> None:
    radii = fit_conformal(np.arange(1.0, 20.0)[:, np.newaxis] * [1.0, 10.0], 0.9)
    assert radii.by_keypoint.tolist() == [18.0, 180.0]
    own, pooled = conformal_coverage(np.array([[18.0, np.nan], [19.0, 100.0]]), radii)
    assert own == pytest.approx(2 / 3)
    assert pooled == pytest.approx(sum(v <= radii.pooled for v in (18.0, 19.0, 100.0)) / 3)
    assert conformal_coverage(np.full((2, 2), np.nan), radii) == (None, None)


def test_bad_scores() -> None:
    with pytest.raises(ValueError, match="coverage"):
        conformal_limit([1.0], 1.0)
    with pytest.raises(ValueError, match="images, keypoints"):
        fit_conformal(np.ones(3))
    with pytest.raises(ValueError, match="must be"):
        conformal_coverage(np.ones((2, 3)), fit_conformal(np.ones((2, 2))))
