"""AUC, failure rate and mean error vectors, against the formulas written out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mahtdiag.diagnosis.error_curve import error_curve
from mahtdiag.diagnosis.keypoint_bias import keypoint_bias

Floats = NDArray[np.float64]
NONE = np.zeros((3, 4), dtype=np.bool_)
UNITS = np.arange(3)


def errors(seed: int = 0) -> Floats:
    found = np.random.default_rng(seed).gamma(2.0, 3.0, (3, 4))
    found[0, 1] = np.nan
    return np.asarray(found)


@given(st.integers(0, 1000), st.floats(0.5, 30.0))
@settings(max_examples=40, deadline=None)
def test_the_area_is_the_integral_of_the_curve(seed: int, threshold: float) -> None:
    """By summing steps of a fine grid, keypoint by keypoint."""
    error = errors(seed)
    missed = NONE.copy()
    missed[0, 1] = True
    curve = error_curve(error, missed, threshold, UNITS)
    assert curve is not None
    grid = (np.arange(20_000) + 0.5) * threshold / 20_000
    known = [float(value) for value in error.ravel() if np.isfinite(value)]
    shares = np.array([sum(value <= x for value in known) / 12 for x in grid[::20]])
    assert curve.auc == pytest.approx(shares.mean(), abs=2e-3)
    failed = sum(value > threshold for value in known) + 1
    assert curve.failures == pytest.approx(failed / 12)
    assert (curve.judged, curve.missed) == (12, 1)
    np.testing.assert_allclose(curve.share(grid[::20]), shares)


def test_the_area_does_not_depend_on_the_unit() -> None:
    one, ten = (error_curve(k * errors(), NONE, k * 8.0, UNITS) for k in (1.0, 10.0))
    assert one is not None
    assert ten is not None
    assert ten.auc == pytest.approx(one.auc)
    assert ten.failures == pytest.approx(one.failures)


def test_the_ends() -> None:
    assert error_curve(np.full((3, 4), np.nan), NONE, 8.0, UNITS) is None
    perfect = error_curve(np.zeros((3, 4)), NONE, 8.0, UNITS)
    hopeless = error_curve(np.full((3, 4), 9.0), NONE, 8.0, UNITS)
    assert perfect is not None
    assert hopeless is not None
    assert (perfect.auc, perfect.failures) == (1.0, 0.0)
    assert (hopeless.auc, hopeless.failures) == (0.0, 1.0)


def test_mean_vectors_and_their_regions_hold_what_they_say() -> None:
    """Of 400 sets of ten patients with two images each, about 95 % of the ellipses hold the true vector."""
    rng = np.random.default_rng(1)
    truth, units, held = np.array([1.5, -0.5]), np.repeat(np.arange(10), 2), 0
    for _ in range(400):
        patient = rng.normal(size=(10, 1, 2))[units] * [1.0, 3.0]
        offset = truth + patient + rng.normal(size=(20, 1, 2))
        bias = keypoint_bias(offset - truth, units)
        held += not bias.clear[0]
        np.testing.assert_allclose(bias.mean[0], (offset - truth).mean(axis=(0, 1)))
    assert 0.92 <= held / 400 <= 0.975


def test_vectors_of_few_or_no_images() -> None:
    offset = np.ones((3, 2, 2))
    offset[:, 1] = np.nan
    bias = keypoint_bias(offset, np.arange(3))
    assert bias.units.tolist() == [3, 0]
    assert np.isnan(bias.axes).all()
    assert np.isnan(bias.mean[1]).all()
    assert not bias.clear.any()
    same = keypoint_bias(np.ones((9, 1, 2)), np.arange(9))
    assert same.clear.tolist() == [True]
    assert not keypoint_bias(np.zeros((9, 1, 2)), np.arange(9)).clear.any()
