"""Conformal limits by sorting, and their promised coverage in simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mahtdiag.calibration.conformal import conformal_coverage, conformal_limit, fit_conformal


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


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="coverage"):
        conformal_limit([1.0], 1.0)
    with pytest.raises(ValueError, match="images, keypoints"):
        fit_conformal(np.ones(3))
    with pytest.raises(ValueError, match="must be"):
        conformal_coverage(np.ones((2, 3)), fit_conformal(np.ones((2, 2))))
