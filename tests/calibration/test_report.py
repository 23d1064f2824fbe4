"""The assembled report: agreement with its parts, invariances, bad input, groups, and plain JSON."""

import doctest
import json
from dataclasses import asdict
from types import ModuleType

import numpy as np
import pytest
import uncertainty_toolbox as uct
from hypothesis import given, settings
from hypothesis import strategies as st

from mahtdiag.calibration import conformal, scores
from mahtdiag.calibration.ranking import spearman
from mahtdiag.calibration.report import CalibrationReport, calibration_report
from mahtdiag.calibration.scores import (
    collect_points,
    crps_px,
    ence,
    mahalanobis_squared,
    nll,
    radial_error_px,
)
from mahtdiag.calibration.sums import adversarial_mace, numbers, sums_of

from .direct import (
    calibration_curve,
    check_score,
    ellipse_curve,
    interval_score,
    mace,
    miscalibration_area,
    radial_mace,
    rmsce,
)
from .simulate import FloatArray, Simulated, calibrated


def _with_gaps(seed: int, images: int = 30, keypoints: int = 8) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    sigma = np.exp(rng.normal(size=(images, keypoints, 2)))
    residual = 1.3 * sigma * rng.normal(size=sigma.shape) + 0.2
    residual[rng.random((images, keypoints)) < 0.1] = np.nan
    return residual, sigma


def _report(data: Simulated, intervals: bool = False) -> CalibrationReport:
    return calibration_report(data.residual_px, data.sigma_px, intervals=intervals)


@pytest.mark.parametrize("module", [scores, conformal])
def test_examples_in_docstrings(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_numbers_are_those_of_their_parts() -> None:
    residual, sigma = _with_gaps(0)
    report = calibration_report(residual, sigma, intervals=False)
    kept = ~np.isnan(residual).any(axis=2)
    r, s = residual[kept], sigma[kept]
    d_squared = mahalanobis_squared(r, s)
    assert report.n_keypoints == kept.sum()
    assert report.missing == (~kept).sum()
    expected = {
        "mace": mace(r, s),
        "rmsce": rmsce(r, s),
        "miscalibration_area": miscalibration_area(r, s),
        "sharpness_px": np.sqrt(np.mean(s**2)),
        "nll": nll(r, s).mean(),
        "crps_px": crps_px(r, s).mean(),
        "check": check_score(r, s).mean(),
        "interval": interval_score(r, s).mean(),
        "ence": ence(r, s),
        "sigma_scale": np.sqrt(np.mean((r / s) ** 2)),
        "bias_x": np.mean(r[:, 0] / s[:, 0]),
        "bias_y": np.mean(r[:, 1] / s[:, 1]),
        "spearman": spearman(np.hypot(*s.T), radial_error_px(r)),
    }
    for name, value in expected.items():
        assert getattr(report, name) == pytest.approx(value, abs=1e-9), name
    for level, item in report.coverage.items():
        assert item.observed == pytest.approx(float(calibration_curve(r, s, float(level))), abs=1e-12)
    for level, item in report.radial.coverage.items():
        assert item.observed == pytest.approx(float(ellipse_curve(d_squared, float(level))), abs=1e-12)
    assert report.radial.mace == pytest.approx(radial_mace(d_squared), abs=1e-12)
    assert report.radial.sigma_scale == pytest.approx(np.sqrt(np.mean(d_squared) / 2.0), rel=1e-12)


def test_published_example() -> None:
    """Three predictions, each on both axes: the numbers of an axis are those of the example."""
    residual, sigma = np.array([-0.5, -1.0, 1.0]), np.array([0.1, 0.5, 1.0])
    both = [np.repeat(values, 2).reshape(3, 1, 2) for values in (residual, sigma)]
    report = calibration_report(*both, intervals=False)
    assert report.mace == pytest.approx(0.373333, abs=5e-7)
    assert report.rmsce == pytest.approx(0.416576, abs=5e-7)
    assert report.miscalibration_area == pytest.approx(0.377104, abs=5e-7)
    assert report.sharpness_px == pytest.approx(0.648074, abs=5e-7)
    assert report.nll == pytest.approx(4.920361, abs=5e-7)
    assert report.crps_px == pytest.approx(0.590806, abs=5e-7)
    assert report.check == pytest.approx(0.298014, abs=5e-7)
    assert report.interval == pytest.approx(3.207557, abs=5e-7)


def test_agrees_with_uncertainty_toolbox() -> None:
    data = calibrated(np.random.default_rng(1))
    report = _report(data)
    r, s = data.residual_px.ravel(), 1.0 * data.sigma_px.ravel()
    args = (r, s, np.zeros_like(r))
    assert report.mace == pytest.approx(uct.mean_absolute_calibration_error(*args), abs=1e-9)
    assert report.rmsce == pytest.approx(uct.root_mean_squared_calibration_error(*args), abs=1e-9)
    assert report.miscalibration_area == pytest.approx(uct.miscalibration_area(*args), abs=1e-9)
    assert report.sharpness_px == pytest.approx(uct.sharpness(s), abs=1e-9)
    assert report.nll == pytest.approx(uct.nll_gaussian(*args), abs=1e-9)
    assert report.crps_px == pytest.approx(uct.crps_gaussian(*args), abs=1e-9)
    assert report.check == pytest.approx(uct.check_score(*args), abs=1e-9)
    assert report.interval == pytest.approx(uct.interval_score(*args), abs=1e-9)


def test_adversarial_groups_against_uncertainty_toolbox() -> None:
    residual, sigma = _with_gaps(2, images=60)
    points = collect_points(residual, sigma)
    share, worst, spread = adversarial_mace(sums_of(points).by_image.sum(), trials=40)
    r, s = points.residual_px.ravel(), points.sigma_px.ravel()
    # That package draws from NumPy's global generator.
    np.random.seed(0)  # noqa: NPY002
    theirs = uct.adversarial_group_calibration(r, s, np.zeros_like(r), "mean_abs", num_trials=40)
    np.testing.assert_allclose(share, theirs.group_size)
    error = np.hypot(spread, theirs.score_stderr) / np.sqrt(40)
    assert np.all(np.abs(worst - theirs.score_mean) <= 5 * error + 1e-12)
    # The largest subgroup is everything.
    assert worst[-1] == pytest.approx(mace(r, s), abs=1e-12)
    with pytest.raises(ValueError, match="fewer than 2"):
        adversarial_mace(np.zeros_like(sums_of(points).by_image.sum()))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100.0))
def test_order_and_unit_do_not_matter(seed: int, factor: float) -> None:
    residual, sigma = _with_gaps(seed, images=15)
    order = np.random.default_rng(seed).permutation(15)
    base = calibration_report(residual, sigma, intervals=False)
    other = calibration_report(factor * residual[order], factor * sigma[order], intervals=False)
    for name in ("mace", "rmsce", "miscalibration_area", "ence", "sigma_scale", "spearman", "ause", "bias_x"):
        assert getattr(other, name) == pytest.approx(getattr(base, name), abs=1e-9), name
    for name in ("sharpness_px", "crps_px", "check", "interval"):
        assert getattr(other, name) == pytest.approx(factor * getattr(base, name), rel=1e-9), name
    assert other.nll == pytest.approx((base.nll or 0.0) + np.log(factor), abs=1e-9)
    assert other.radial.mace == pytest.approx(base.radial.mace, abs=1e-9)


def test_many_blocks_give_the_same_sums() -> None:
    rng = np.random.default_rng(3)
    sigma = np.exp(rng.normal(size=(2500, 20, 2)))
    points = collect_points(sigma * rng.normal(size=sigma.shape), sigma)
    result = numbers(sums_of(points).by_image.sum())
    assert float(result.n) == 50_000
    assert float(result.mace) == pytest.approx(mace(points.residual_px, points.sigma_px), abs=1e-12)
    assert float(result.crps_px) == pytest.approx(
        crps_px(points.residual_px, points.sigma_px).mean(), rel=1e-12
    )


def test_full_covariance_serves_the_ellipses() -> None:
    rng = np.random.default_rng(4)
    root = np.array([[2.0, 0.0], [1.8, 0.6]])
    residual = rng.normal(size=(200, 10, 2)) @ root.T
    covariance = np.broadcast_to(root @ root.T, (200, 10, 2, 2))
    sigma = np.sqrt(np.stack([covariance[..., 0, 0], covariance[..., 1, 1]], axis=-1))
    with_it = calibration_report(residual, sigma, covariance_px2=covariance, intervals=False).radial
    without = calibration_report(residual, sigma, intervals=False).radial
    assert with_it.mace is not None
    assert without.mace is not None
    assert with_it.mace < 0.02 < without.mace
    assert with_it.coverage["0.95"].observed == pytest.approx(0.95, abs=0.02)


def test_intervals_hold_their_estimates() -> None:
    report = _report(calibrated(np.random.default_rng(5)), intervals=True)
    for name, interval in report.ci95.items():
        radial = name.removeprefix("radial_")
        value = getattr(report, name) if radial == name else getattr(report.radial, radial)
        assert radial == name or report.radial.ci95[radial] == interval
        if name == "tail_scale":
            assert interval is None  # of 150 images and more
            continue
        assert interval is not None, name
        assert value is not None, name
        assert interval[0] <= value <= interval[1], name
    for item in (*report.coverage.values(), *report.radial.coverage.values()):
        assert item.ci95 is not None
        assert item.ci95[0] <= item.observed <= item.ci95[1]
    assert report.curve is not None
    assert report.curve.low is not None
    assert report.curve.high is not None
    assert np.all((report.curve.low <= report.curve.observed) & (report.curve.observed <= report.curve.high))


def test_groups_are_the_numbers_of_their_keypoints() -> None:
    residual, sigma = _with_gaps(6)
    vertebra = np.array(["L1", "L1", "L2", "L2", "L3", "L3", "L3", ""])
    sex = np.array(["F", "M", ""] * 10)[:, np.newaxis]
    level = np.arange(240).reshape(30, 8) % 3
    report = calibration_report(
        residual, sigma, groups={"vertebra": vertebra, "sex": sex, "level": level}, intervals=False
    )
    kept = ~np.isnan(residual).any(axis=2)
    everywhere = {"vertebra": vertebra[np.newaxis], "sex": sex, "level": level.astype(str)}
    names = [(g.kind, g.name) for g in report.groups if g.kind != "axis"]
    assert set(names) == {("vertebra", f"L{i}") for i in (1, 2, 3)} | {("sex", "F"), ("sex", "M")} | {
        ("level", str(i)) for i in range(3)
    }
    for group in report.groups:
        if group.kind == "axis":
            axis = "xy".index(group.name)
            r, s = residual[kept][:, axis], sigma[kept][:, axis]
            biases = [group.bias_y, group.bias_x]
            assert biases[axis] is None
            assert biases[1 - axis] == pytest.approx(np.mean(r / s))
        else:
            inside = kept & (np.broadcast_to(everywhere[group.kind], kept.shape) == group.name)
            r, s = residual[inside], sigma[inside]
            assert group.n_keypoints == inside.sum()
            assert group.n_images == inside.any(axis=1).sum()
            assert group.bias_x == pytest.approx(np.mean(r[:, 0] / s[:, 0]))
        assert group.mace == pytest.approx(mace(r, s), abs=1e-12)
        assert group.sigma_scale == pytest.approx(np.sqrt(np.mean((r / s) ** 2)))
        assert group.nll == pytest.approx(nll(r, s).mean())
        assert group.coverage_90 == pytest.approx(float(calibration_curve(r, s, 0.9)))
    assert [g.mace for g in report.groups] == sorted((g.mace for g in report.groups), reverse=True)


def test_small_groups_come_last_and_say_so() -> None:
    residual, sigma = _with_gaps(7)
    label = np.where(np.arange(240).reshape(30, 8) < 10, "few", "many")
    last = calibration_report(residual, sigma, groups={"kind": label}, intervals=False).groups[-1]
    assert (last.name, last.enough) == ("few", False)
    assert last.n_keypoints <= 10


def test_unusable_sigma_is_counted_and_left_out() -> None:
    residual, sigma = _with_gaps(8)
    residual[0] = 1.0
    expected = calibration_report(residual[1:], sigma[1:], intervals=False)
    for bad in (0.0, -1.0, np.nan, np.inf, 1e-200, 1e200):
        sigma[0, :, 1] = bad
        report = calibration_report(residual, sigma, intervals=False)
        assert report.invalid_sigma == 8
        assert report.mace == expected.mace
        assert report.n_images == 29
    residual[1, 0] = np.inf
    assert calibration_report(residual, sigma, intervals=False).invalid_residual == 1


def test_unusable_covariance_is_counted() -> None:
    residual, sigma = np.ones((1, 4, 2)), np.ones((1, 4, 2))
    covariance = np.stack([np.eye(2), -np.eye(2), np.ones((2, 2)), np.full((2, 2), np.nan)])[np.newaxis]
    report = calibration_report(residual, sigma, covariance_px2=covariance, intervals=False)
    assert (report.n_keypoints, report.invalid_sigma) == (1, 3)


def test_missing_keypoint_with_unusable_sigma_is_missing() -> None:
    report = calibration_report(np.full((1, 1, 2), np.nan), np.zeros((1, 1, 2)))
    assert (report.missing, report.invalid_sigma, report.n_keypoints) == (1, 0, 0)
    assert report.mace is None
    assert report.reasons["mace"] == "no keypoint has both a label and a valid σ"
    assert report.status == "undefined"


def test_constant_sigma_ranks_nothing() -> None:
    data = calibrated(np.random.default_rng(9))
    report = calibration_report(data.residual_px, np.full_like(data.sigma_px, 2.0), large_error_px=3.0)
    for name in ("spearman", "ause", "auc_large_error", "quantile_bins"):
        assert getattr(report, name) is None
        assert "same everywhere" in report.reasons[name]
    assert report.ence is not None


def test_one_image_and_zero_residuals_stay_defined() -> None:
    report = calibration_report(np.zeros((1, 20, 2)), np.ones((1, 20, 2)))
    assert report.ci95 == {}
    assert report.coverage["0.9"].observed == 1.0
    assert report.coverage["0.9"].ci95 is None
    assert report.sigma_scale == 0.0
    _check_json(report)


def test_share_at_the_bounds() -> None:
    residual, sigma = np.ones((2, 2, 2)), np.array([[[1, 1], [2, 3]], [[5, 5], [5, 1]]], dtype=float)
    by_masks = calibration_report(
        residual, sigma, at_min=sigma == 1, at_max=[[True, False], [True, True]], intervals=False
    )
    assert (by_masks.at_min_share, by_masks.at_max_share) == (3 / 8, 6 / 8)
    unknown = calibration_report(residual, sigma, intervals=False)
    assert unknown.at_min_share is None
    assert "bounds" in unknown.reasons["at_min_share"]


def test_large_errors() -> None:
    residual, sigma = _with_gaps(10)
    limit = np.full((30, 1), 2.0)
    limit[3] = np.nan
    report = calibration_report(residual, sigma, large_error_px=limit, intervals=False)
    kept = ~np.isnan(residual).any(axis=2) & ~np.isnan(limit)
    large = radial_error_px(residual)[kept] > 2.0
    score = np.hypot(sigma[..., 0], sigma[..., 1])[kept]
    wins = (score[large][:, np.newaxis] > score[~large]).mean()
    assert report.auc_large_error == pytest.approx(wins)
    none = calibration_report(residual, sigma, large_error_px=1e9, intervals=False)
    assert none.auc_large_error is None
    assert "limit" in none.reasons["auc_large_error"]


def test_wrong_shapes() -> None:
    ones = np.ones((2, 3, 2))
    with pytest.raises(ValueError, match="must both be"):
        calibration_report(ones, np.ones((2, 3)))
    with pytest.raises(ValueError, match="covariance_px2"):
        calibration_report(ones, ones, covariance_px2=np.eye(2))
    with pytest.raises(ValueError, match="groups"):
        calibration_report(ones, ones, groups={"sex": ["F", "M"]})
    with pytest.raises(ValueError, match="at_min"):
        calibration_report(ones, ones, at_min=np.ones(7))


def _check_json(report: CalibrationReport) -> dict[str, object]:
    text = json.dumps(report.as_json(), allow_nan=False)
    return dict(json.loads(text))


def test_json_has_the_names_of_the_contract() -> None:
    residual, sigma = _with_gaps(11)
    report = calibration_report(residual, sigma, groups={"keypoint": np.arange(8)})
    plain = _check_json(report)
    names = (
        "n_keypoints n_images mace rmsce miscalibration_area sharpness_px nll crps_px check interval ence "
        "coverage radial sigma_scale spearman ause at_min_share at_max_share verdict groups"
    )
    assert set(names.split()) <= plain.keys()
    coverage = report.as_json()["coverage"]
    assert isinstance(coverage, dict)
    assert list(coverage) == ["0.5", "0.68", "0.9", "0.95"]
    level = coverage["0.9"]
    assert isinstance(level, dict)
    assert set(level) == {"observed", "ci95"}
    assert isinstance(plain["verdict"], str)
    groups = report.as_json()["groups"]
    assert isinstance(groups, list)
    assert groups[0] == asdict(report.groups[0])


def test_same_seed_same_report() -> None:
    data = calibrated(np.random.default_rng(12))
    assert _report(data, intervals=True).as_json() == _report(data, intervals=True).as_json()
