"""Resampling of images."""

import numpy as np
import pytest

from mahtdiag.calibration.bootstrap import resampled_sums


def test_every_resample_is_a_sum_over_as_many_images() -> None:
    images = 30
    one_hot = np.eye(images)
    drawn = resampled_sums(one_hot, 500, seed=0)
    np.testing.assert_array_equal(drawn.sum(axis=1), np.full(500, images))
    assert np.all(drawn == np.round(drawn))
    # A multinomial weight has mean 1 and variance 1 − 1/n.
    assert drawn.mean() == pytest.approx(1.0)
    assert drawn.var() == pytest.approx(1 - 1 / images, abs=0.05)


def test_same_seed_same_draws() -> None:
    sums = np.arange(12.0).reshape(6, 2)
    np.testing.assert_array_equal(resampled_sums(sums, 20, seed=3), resampled_sums(sums, 20, seed=3))
    assert not np.array_equal(resampled_sums(sums, 20, seed=3), resampled_sums(sums, 20, seed=4))


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="no images"):
        resampled_sums(np.empty((0, 2)), 10, seed=0)
    with pytest.raises(ValueError, match="resamples"):
        resampled_sums(np.ones((2, 2)), 0, seed=0)
