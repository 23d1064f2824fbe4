"""Conformal regions: limits by sorting, and promises that hold for what comes next."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mahtdiag.calibration.conformal import (
    Held,
    conformal_held,
    conformal_limit,
    conformal_scores,
    cross_fitted_held,
    fit_conformal,
    fit_conformal_table,
    judge_conformal_table,
    units_needed,
)
from mahtdiag.calibration.scores import collect_points

from .simulate import calibrated


def naive_cross_fitted(scores: np.ndarray[tuple[int, ...], np.dtype[np.float64]], coverage: float) -> float:
    """Leave one image out, so that the folds need not be known."""
    inside = []
    for i in range(len(scores)):
        rest = np.sort(np.delete(scores, i, axis=0), axis=None)
        # 11 images of 6 scores each, and one more image at infinity.
        limit = rest[int(np.ceil(6 * 12 * coverage - 1e-9)) - 1]
        inside += (scores[i] <= limit).tolist()
    return float(np.mean(inside))


def test_cross_fitted_coverage_by_hand() -> None:
    scores = np.random.default_rng(3).exponential(size=(12, 6))
    held = cross_fitted_held(scores, 0.8, folds=12)
    assert held.pooled == pytest.approx(naive_cross_fitted(scores, 0.8), rel=1e-12)


def test_cross_fitted_coverage_keeps_its_promise() -> None:
    held = [
        cross_fitted_held(np.random.default_rng(seed).exponential(size=(60, 4)), 0.9) for seed in range(40)
    ]
    for name in ("by_keypoint", "pooled", "whole_image"):
        mean = np.mean([getattr(each, name) for each in held])
        assert 0.885 <= mean <= 0.93, name  # the finite sample costs at most 1 / (n + 1)


def test_cross_fitted_coverage_needs_two_images() -> None:
    scores = np.full((5, 3), np.nan)
    scores[2] = 1.0
    assert cross_fitted_held(scores, 0.9) == Held(None, None, None)


def test_an_image_without_scores_changes_nothing() -> None:
    scores = np.random.default_rng(4).exponential(size=(12, 6))
    more = np.concatenate([scores[:4], np.full((1, 6), np.nan), scores[4:]])
    assert cross_fitted_held(more, 0.9) == cross_fitted_held(scores, 0.9)


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
    held = judged.ellipse[1].held.pooled
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
    assert radii.units == 9
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
    held = conformal_held(np.array([[18.0, np.nan], [19.0, 100.0]]), radii)
    assert held.by_keypoint == pytest.approx((1.0 + 0.5) / 2)  # the first image, then half of the second
    assert held.pooled == pytest.approx((1.0 + np.mean([v <= radii.pooled for v in (19.0, 100.0)])) / 2)
    assert conformal_held(np.full((2, 2), np.nan), radii) == Held(None, None, None)


def test_bad_scores() -> None:
    with pytest.raises(ValueError, match="coverage"):
        conformal_limit([1.0], 1.0)
    with pytest.raises(ValueError, match="images, keypoints"):
        fit_conformal(np.ones(3))
    with pytest.raises(ValueError, match="must be"):
        conformal_held(np.ones((2, 3)), fit_conformal(np.ones((2, 2))))


def naive_limit(scores: list[list[float]], coverage: float) -> float:
    """The smallest score that the promised share of U + 1 units keeps, by trying all; a list per unit."""
    for limit in sorted({score for unit in scores for score in unit}):
        inside = sum(sum(score <= limit for score in unit) / len(unit) for unit in scores)
        if inside >= coverage * (len(scores) + 1) - 1e-9:
            return limit
    return float("inf")


@given(
    st.lists(st.lists(st.floats(0, 9), min_size=1, max_size=5), min_size=1, max_size=25),
    st.floats(0.05, 0.95),
)
@settings(max_examples=80, deadline=None)
def test_limit_of_units_by_trying_all(scores: list[list[float]], coverage: float) -> None:
    units = np.concatenate([[unit] * len(of) for unit, of in enumerate(scores)])
    flat = np.concatenate(scores)
    expected = naive_limit(scores, coverage)
    assert conformal_limit(flat, coverage, units) == expected
    order = np.random.default_rng(0).permutation(len(flat))
    assert conformal_limit(3.0 * flat[order], coverage, 7 - units[order]) == 3.0 * expected


def test_one_score_per_unit_is_the_order_statistic() -> None:
    scores = np.random.default_rng(0).exponential(size=47)
    for coverage in (0.5, 0.68, 0.9, 0.95):
        assert conformal_limit(scores, coverage, np.arange(47)) == conformal_limit(scores, coverage)


@pytest.mark.parametrize("coverage", [0.5, 0.68, 0.9, 0.95])
def test_so_many_units_are_needed(coverage: float) -> None:
    needed = units_needed(coverage)
    for units, finite in ((needed, True), (needed - 1, False)):
        scores = np.ones((units, 4))
        assert bool(np.isfinite(fit_conformal(scores, coverage).pooled)) is finite
        assert bool(np.isfinite(fit_conformal(scores, coverage).whole_image)) is finite


def test_images_of_a_patient_count_once() -> None:
    scores = np.random.default_rng(1).exponential(size=(40, 3))
    twice = fit_conformal(np.repeat(scores, 2, axis=0), 0.9, np.repeat(np.arange(40), 2))
    once = fit_conformal(scores, 0.9)
    assert (twice.pooled, twice.whole_image, twice.units) == (once.pooled, once.whole_image, 40)
    np.testing.assert_array_equal(twice.by_keypoint, once.by_keypoint)


def test_a_whole_image_is_its_largest_score() -> None:
    scores = np.random.default_rng(2).exponential(size=(30, 5))
    scores[3, 2] = np.nan
    scores[7] = np.nan
    radii = fit_conformal(scores, 0.9)
    assert radii.whole_image == conformal_limit(np.nanmax(np.delete(scores, 7, axis=0), axis=1), 0.9)
    assert radii.units == 29


def test_limits_of_keypoints_are_those_of_their_scores_alone() -> None:
    """Images of a patient, and keypoints that most patients lack."""
    rng = np.random.default_rng(5)
    scores = rng.exponential(size=(60, 4))
    scores[rng.random(scores.shape) < [0.1, 0.5, 0.9, 1.0]] = np.nan
    patients = rng.integers(100, 130, 60)
    found = fit_conformal(scores, 0.8, patients)
    alone = [conformal_limit(column, 0.8, patients) for column in scores.T]
    np.testing.assert_array_equal(found.by_keypoint, alone)
    assert np.isfinite(alone[0])
    assert np.isinf(alone[3])
