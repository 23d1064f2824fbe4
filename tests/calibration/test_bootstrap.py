"""Resampling of images against a loop, its coverage, and the intervals of the report."""

import numpy as np
import pytest

from mahtdiag.calibration.bootstrap import (
    find_intervals,
    percentile_interval,
    reflected_interval,
    resampled_sums,
)
from mahtdiag.calibration.ranking import rank, sparsification, spearman
from mahtdiag.calibration.scores import collect_points, ence, radial_error_px, radial_sigma_px
from mahtdiag.calibration.sums import sums_of

from .direct import mace, mean_interval
from .simulate import calibrated


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


def test_interval_of_a_mean_has_the_normal_width() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=400)
    interval = mean_interval(np.stack([values, np.ones(400)], axis=1), resamples=4000)
    assert interval is not None
    half = 1.96 * values.std() / 20
    assert interval[0] == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert interval[1] == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_interval_covers_when_keypoints_of_an_image_depend_on_each_other() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for trial in range(300):
        values = rng.normal(size=(40, 1)) + 0.3 * rng.normal(size=(40, 10))
        sums = np.stack([values.sum(axis=1), np.full(40, 10.0)], axis=1)
        interval = mean_interval(sums, resamples=400, seed=trial)
        assert interval is not None
        hits += interval[0] <= 0.0 <= interval[1]
    # 300 trials at 95 %: within four standard errors, and the slight shortfall of 40 images.
    assert 0.88 <= hits / 300 <= 0.99


def test_one_image_has_no_interval() -> None:
    one = calibrated(np.random.default_rng(0), images=1, keypoints=4)
    points = collect_points(one.residual_px, one.sigma_px)
    sigma, error = rank(radial_sigma_px(points.sigma_px)), rank(radial_error_px(points.residual_px))
    sums = sums_of(points).by_image
    assert find_intervals(points, sums, {}, sigma, error, resamples=10, seed=0) is None
    assert percentile_interval(np.array([np.nan, np.nan, 1.0])) is None
    assert reflected_interval(np.array([np.nan]), 1.0) is None


def test_reflected_interval() -> None:
    values = np.linspace(0.2, 0.4, 1001)
    low, high = reflected_interval(values, 0.25) or (np.nan, np.nan)
    assert low == pytest.approx(0.5 - 0.395, abs=1e-9)
    assert high == pytest.approx(0.5 - 0.205, abs=1e-9)
    assert reflected_interval(values, 0.1) == (0.0, 0.1)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="no images"):
        resampled_sums(np.empty((0, 2)), 10, seed=0)
    with pytest.raises(ValueError, match="resamples"):
        resampled_sums(np.ones((2, 2)), 0, seed=0)


def test_stand_ins_agree_with_recomputing_every_resample() -> None:
    """Spearman, AUSE, ENCE and MACE: the fast intervals against a bootstrap that starts from scratch."""
    data = calibrated(np.random.default_rng(5), images=60, keypoints=10)
    points = collect_points(data.residual_px, data.sigma_px)
    sigma, error = rank(radial_sigma_px(points.sigma_px)), rank(radial_error_px(points.residual_px))
    sparse = sparsification(sigma, error)
    assert sparse is not None
    estimate: dict[str, float | None] = {
        "spearman": spearman(sigma, error),
        "ause": sparse.ause,
        "ence": ence(data.residual_px, data.sigma_px),
    }
    fast = find_intervals(points, sums_of(points).by_image, estimate, sigma, error, resamples=2000, seed=0)
    assert fast is not None
    slow: dict[str, list[float]] = {"spearman": [], "ause": [], "ence": [], "mace": []}
    rng = np.random.default_rng(6)
    for _ in range(300):
        pick = rng.integers(0, 60, size=60)
        r, s = data.residual_px[pick], data.sigma_px[pick]
        e, u = radial_error_px(r).ravel(), radial_sigma_px(s).ravel()
        again = sparsification(u, e)
        assert again is not None
        slow["spearman"].append(spearman(u, e) or np.nan)
        slow["ause"].append(again.ause or np.nan)
        slow["ence"].append(ence(r, s))
        slow["mace"].append(mace(r, s))
    for name in ("spearman", "ause"):
        low, high = fast.by_name[name] or (np.nan, np.nan)
        width = 4 * float(np.std(slow[name]))
        assert high - low == pytest.approx(width, rel=0.25), name
        assert (low + high) / 2 == pytest.approx(estimate[name], abs=0.2 * width), name
    for name, number in (("ence", ence), ("mace", mace)):
        expected = reflected_interval(np.array(slow[name]), number(data.residual_px, data.sigma_px))
        assert fast.by_name[name] == pytest.approx(expected, abs=0.15 * float(np.ptp(slow[name]))), name
