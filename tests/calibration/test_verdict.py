"""Simulated models with a known fault get the right verdict, and a calibrated one is called calibrated."""

import numpy as np
import pytest

from mahtdiag.calibration.report import CalibrationReport, calibration_report
from mahtdiag.calibration.verdict import FAULTS, HeadUnits

from .simulate import Simulated, calibrated, faulty, true_sigma

NAMED = {
    "sigma x 0.5": "overconfident",
    "sigma x 2": "underconfident",
    "constant sigma": "constant_sigma",
    "bias of 1 sigma": "bias",
    "heavy tails": "heavy_tails",
    "anisotropy ignored": "anisotropy",
    "log variance read as log sigma": "log_variance",
    "log sigma read as log variance": "log_sigma",
    "clamped sigma": "clamped",
    "shuffled sigma": "uninformative",
    "axes correlated": "correlated_axes",
    "light tails": "light_tails",
}


def _judge(data: Simulated, units: HeadUnits | None = None) -> CalibrationReport:
    at_min, at_max = data.at_bounds or (None, None)
    return calibration_report(
        data.residual_px, data.sigma_px, at_min=at_min, at_max=at_max, head_units=units, intervals=False
    )


@pytest.mark.parametrize(("fault", "code"), NAMED.items())
def test_every_fault_is_named(fault: str, code: str) -> None:
    for seed in range(12):
        report = _judge(faulty(fault, np.random.default_rng(seed)))
        assert report.status == "faulty", seed
        assert report.faults[0].code == code, (seed, report.verdict)
        assert report.faults[0].sentence in report.verdict


def test_one_uneven_keypoint_is_named() -> None:
    for seed in range(12):
        faults = _judge(faulty("one keypoint overconfident", np.random.default_rng(seed))).faults
        uneven = [fault for fault in faults if fault.code == "uneven_keypoints"]
        assert len(uneven) == 1, seed
        assert "keypoint 3" in uneven[0].sentence
        assert uneven[0].value == pytest.approx(2.4, rel=0.25)


def test_the_factor_is_told() -> None:
    over = _judge(faulty("sigma x 0.5", np.random.default_rng(0)))
    assert over.faults[0].value == pytest.approx(2.0, rel=0.1)
    assert over.faults[0].value == over.sigma_scale
    assert f"by a factor of {over.sigma_scale:.2f}" in over.verdict
    under = _judge(faulty("sigma x 2", np.random.default_rng(0)))
    assert under.faults[0].value == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("images", [50, 200])
def test_calibrated_is_called_calibrated(images: int) -> None:
    called = [_judge(calibrated(np.random.default_rng(seed), images)).status for seed in range(150)]
    assert called.count("calibrated") >= 0.95 * len(called)


def test_calibrated_with_dependent_keypoints() -> None:
    """Errors shared by the keypoints of an image must not look like a bias."""
    called = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        sigma = true_sigma(rng, 50, 20)
        z = np.sqrt(0.5) * (rng.normal(size=(50, 1, 2)) + rng.normal(size=sigma.shape))
        called.append(_judge(Simulated(sigma * z, sigma)).status)
    assert called.count("calibrated") >= 95


def test_bias_is_not_taken_for_spread() -> None:
    report = _judge(faulty("bias of 1 sigma", np.random.default_rng(1)))
    assert report.sigma_scale is not None
    assert report.sigma_scale > 1.15
    assert [fault.code for fault in report.faults] == ["bias"]


def test_bias_of_one_keypoint_is_found() -> None:
    data = calibrated(np.random.default_rng(2))
    residual = data.residual_px.copy()
    residual[:, 5, 1] += 1.5 * data.sigma_px[:, 5, 1]
    report = _judge(Simulated(residual, data.sigma_px))
    assert report.faults[0].code == "bias"
    assert "keypoint 5" in report.faults[0].sentence
    assert "in y" in report.faults[0].sentence


def test_constant_sigma_that_is_also_too_small() -> None:
    data = faulty("constant sigma", np.random.default_rng(3))
    report = _judge(Simulated(data.residual_px, data.sigma_px / 3))
    assert [fault.code for fault in report.faults] == ["constant_sigma", "overconfident"]


@pytest.mark.parametrize(("unit", "px"), [("heatmap cells", 4.0), ("normalised coordinates", (128.0, 256.0))])
def test_a_wrong_unit_is_suspected(unit: str, px: float | tuple[float, float]) -> None:
    data = calibrated(np.random.default_rng(4))
    others = {"heatmap cells": np.array(4.0), "normalised coordinates": np.array([128.0, 256.0])}
    report = _judge(Simulated(data.residual_px, data.sigma_px / np.asarray(px)), HeadUnits(1.0, others))
    codes = [fault.code for fault in report.faults]
    assert "overconfident" in codes
    assert f"σ in {unit}" in report.verdict
    assert "would look like" not in _judge(Simulated(data.residual_px, data.sigma_px / 2)).verdict


def test_log_variance_is_judged_in_the_unit_of_the_head() -> None:
    rng = np.random.default_rng(5)
    in_head = true_sigma(rng, 60, 20)
    px = np.repeat(rng.uniform(4.0, 12.0, size=(60, 1, 1)), 2, axis=2)
    data = Simulated(px * in_head * rng.normal(size=in_head.shape), px * in_head**2)
    assert _judge(data, HeadUnits(px)).faults[0].code == "log_variance"
    assert _judge(data).faults[0].code != "log_variance"


def test_too_little_data_gets_no_verdict() -> None:
    data = calibrated(np.random.default_rng(6), images=12, keypoints=20)
    few = _judge(Simulated(data.residual_px[:, :1], data.sigma_px[:, :1]))
    assert (few.status, few.n_keypoints) == ("undefined", 12)
    assert "Too few keypoints" in few.verdict
    one = _judge(Simulated(data.residual_px[:1], data.sigma_px[:1]))
    assert "Too few images" in one.verdict
    assert one.mace is not None
    vague = _judge(Simulated(data.residual_px[:, :2], data.sigma_px[:, :2]))
    assert vague.status == "inconclusive"
    assert "too small to be sure" in vague.verdict


def test_all_zero_residuals() -> None:
    report = _judge(Simulated(np.zeros((30, 20, 2)), true_sigma(np.random.default_rng(7), 30, 20)))
    assert report.status == "undefined"
    assert "All residuals are 0" in report.verdict
    assert report.sigma_scale == 0.0


def test_equal_residuals_and_equal_sigma() -> None:
    ones = np.ones((60, 20, 2))
    assert [fault.code for fault in _judge(Simulated(ones, ones)).faults][:1] == ["constant_sigma"]


def test_verdict_ignores_the_order_of_images_and_the_unit() -> None:
    data = faulty("heavy tails", np.random.default_rng(8))
    order = np.random.default_rng(9).permutation(50)
    base = _judge(data)
    other = _judge(Simulated(7.0 * data.residual_px[order], 7.0 * data.sigma_px[order]))
    assert [f.code for f in base.faults] == [f.code for f in other.faults]


def test_every_code_is_explained() -> None:
    assert set(NAMED.values()) <= set(FAULTS)
    assert all(FAULTS.values())


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
        calibration_report(
            residual, px * sigma, at_min=low, at_max=high, head_units=HeadUnits(px), intervals=False
        )
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
    axes_only = calibration_report(sigma * mixed, sigma, intervals=False)
    full = calibration_report(sigma * mixed, sigma, covariance_px2=covariance, intervals=False)
    assert "correlated_axes" in {fault.code for fault in axes_only.faults}
    assert full.status == "calibrated"


def test_what_was_not_checked_is_said() -> None:
    data = calibrated(np.random.default_rng(20), images=40)
    none = np.zeros((40, 1, 1), dtype=np.bool_)
    full = calibration_report(data.residual_px, data.sigma_px, at_min=none, at_max=none, intervals=False)
    assert full.status == "calibrated"
    assert "Not checked" not in full.verdict
    assert full.verdict.endswith("no fault was found.")
    residual = data.residual_px.copy()
    residual[15:, :3] = np.nan
    part = calibration_report(residual, data.sigma_px, at_min=none, at_max=none, intervals=False)
    assert "Not checked: 3 of 20 keypoints by themselves (fewer than 20 images each)." in part.verdict
    few = _judge(Simulated(data.residual_px[:19], data.sigma_px[:19]))
    assert (
        "single keypoints by themselves (fewer than 20 images each); clamp bounds (not known)" in few.verdict
    )


def test_patients_are_what_is_counted() -> None:
    data = calibrated(np.random.default_rng(21), images=27)
    units = np.repeat(np.arange(9), 3)
    report = calibration_report(data.residual_px, data.sigma_px, units=units, intervals=False)
    assert report.status == "undefined"
    assert "Too few patients for a verdict: 540 keypoints in 27 images of 9 patients" in report.verdict
    assert (report.mace_by_chance, report.groups[0].enough) == (None, False)
    assert report.reasons["mace_by_chance"] == "fewer than 10 images or patients"
    with pytest.raises(ValueError, match=r"units \(26,\) must be \[27\]"):
        calibration_report(data.residual_px, data.sigma_px, units=units[1:], intervals=False)


def test_copies_of_images_are_no_evidence() -> None:
    """Every image three times, of one patient: as sure as with each once."""
    data = faulty("sigma x 2", np.random.default_rng(22), images=12)
    residual, sigma = (np.repeat(array, 3, axis=0) for array in (data.residual_px, data.sigma_px))
    once = calibration_report(data.residual_px, data.sigma_px)
    thrice = calibration_report(residual, sigma, units=np.repeat(np.arange(12), 3))
    assert thrice.ci95["core_scale"] == pytest.approx(once.ci95["core_scale"], rel=0.01)
    assert thrice.mace_by_chance == pytest.approx(once.mace_by_chance, rel=0.05)
