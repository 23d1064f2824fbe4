"""Intervals of the calibration numbers against resampling whole sets, and over patients."""

import numpy as np
import pytest

from mahtdiag.calibration.report import calibration_report
from mahtdiag.calibration.scores import ence

from .simulate import calibrated


def test_widths_are_those_of_whole_sets_put_together_anew() -> None:
    """Every resample judged as a set of its own: what the closed forms stand for."""
    data = calibrated(np.random.default_rng(5), images=120, keypoints=10)
    report = calibration_report(data.residual_px, 0.7 * data.sigma_px)
    names = ("nll", "crps_px", "sigma_scale", "sharpness_px", "spearman", "ause", "mace", "bias_x")
    rng, drawn = np.random.default_rng(6), []
    for _ in range(200):
        pick = rng.integers(0, 120, size=120)
        other = calibration_report(data.residual_px[pick], 0.7 * data.sigma_px[pick], intervals=False)
        drawn.append([getattr(other, name) for name in names])
    for name, spread in zip(names, np.std(drawn, axis=0), strict=True):
        interval = report.ci95[name]
        assert interval is not None
        assert interval[1] - interval[0] == pytest.approx(4 * spread, rel=0.3), name
        assert interval[0] <= getattr(report, name) <= interval[1]
    # Its bins add up without regard to sign, so that their errors do not cancel.
    bounds = report.ci95["ence"]
    assert bounds is not None
    assert bounds[0] < ence(data.residual_px, 0.7 * data.sigma_px) < bounds[1]


def test_images_of_a_patient_are_one_unit() -> None:
    one = calibrated(np.random.default_rng(1), images=60, keypoints=10)
    residual, sigma = (np.repeat(values, 3, axis=0) for values in (one.residual_px, one.sigma_px))
    known = calibration_report(residual, sigma, units=np.repeat(np.arange(60), 3))
    alone, unknown = calibration_report(one.residual_px, one.sigma_px), calibration_report(residual, sigma)
    for name in ("nll", "crps_px", "sigma_scale", "sharpness_px", "bias_x", "mace"):
        expected, shorter = alone.ci95[name], unknown.ci95[name]
        assert known.ci95[name] == pytest.approx(expected, rel=1e-6), name
        assert expected is not None
        assert shorter is not None
        assert np.diff(shorter) < 0.75 * np.diff(expected), name


def test_few_images() -> None:
    data = calibrated(np.random.default_rng(2), images=9, keypoints=10)
    report = calibration_report(data.residual_px, data.sigma_px)
    own = ("core_scale", "tail_scale")
    assert not [name for name, each in report.ci95.items() if each is not None and name not in own]
    assert all(each.ci95 is not None for each in report.coverage.values())
    data = calibrated(np.random.default_rng(2), images=49, keypoints=10)
    report = calibration_report(data.residual_px, data.sigma_px)
    none = {name for name, interval in report.ci95.items() if interval is None}
    assert none - {"tail_scale"} == {"nll", "sharpness_px", "sigma_scale", "radial_sigma_scale", "ence"}


def test_images_without_a_usable_keypoint_have_no_say() -> None:
    data = calibrated(np.random.default_rng(3), images=60, keypoints=5)
    residual, sigma = (np.insert(v, [7, 30], np.nan, axis=0) for v in (data.residual_px, data.sigma_px))
    patients = np.arange(62) // 2
    kept = np.delete(patients, [7, 31])
    a = calibration_report(residual, sigma, units=patients)
    b = calibration_report(data.residual_px, data.sigma_px, units=kept)
    assert a.ci95 == b.ci95
