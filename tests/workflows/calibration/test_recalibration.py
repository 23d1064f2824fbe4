"""Factors are fitted on one run, kept in a file, and judged on another that they have not seen."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from mahtdiag.errors import UsageError
from mahtdiag.runs.factors import read_recalibration
from mahtdiag.schema.choices import FactorKind
from mahtdiag.schema.skeleton import View
from mahtdiag.workflows.calibration.job import Calibration, CalibrationRequest, calibrate
from mahtdiag.workflows.calibration.screen import content_of, result_of
from tests.workflows.sigma_runs import calibrated, sha256_of, write_run

FILE = Path("factors.json")


def fit(cwd: Path, run: str = "fitted") -> Calibration:
    return calibrate(CalibrationRequest(Path(run), FILE, None, False, cwd))


def judge(cwd: Path, run: str = "other") -> Calibration:
    return calibrate(CalibrationRequest(Path(run), None, FILE, False, cwd))


def overconfident(cwd: Path, factor: float = 2.0) -> None:
    """Two runs on different images whose σ is too small by this factor."""
    residual, sigma = calibrated(40)
    write_run(cwd / "fitted", residual, sigma / factor)
    residual, sigma = calibrated(40, seed=1)
    write_run(cwd / "other", residual, sigma / factor, first_image=100)


def test_the_file_holds_what_was_fitted(tmp_path: Path) -> None:
    overconfident(tmp_path)
    calibration = fit(tmp_path)
    assert calibration.fitted == FILE
    found = read_recalibration(tmp_path / FILE)
    residual, sigma = calibrated(40)
    z = residual / (sigma / 2.0)
    assert found.sigma_scale.common == pytest.approx(math.sqrt(np.mean(z**2)), rel=1e-9)
    own = found.sigma_scale.by_keypoint["L2 UR"]
    assert own == pytest.approx(math.sqrt(np.mean(z[:, 5] ** 2)), rel=1e-9)
    assert (found.n_images, found.n_keypoints) == (40, 800)
    assert found.view is View.AP
    assert found.checkpoint.sha256 == sha256_of("network")
    assert found.data.sha256 == sha256_of("0 40")
    assert len(found.image_sha256) == 40
    assert found.reading["uncertainty"] == "head"


def test_conformal_radii_are_order_statistics(tmp_path: Path) -> None:
    overconfident(tmp_path)
    fit(tmp_path)
    found = read_recalibration(tmp_path / FILE)
    residual, sigma = calibrated(40)
    distance = np.linalg.norm(residual / (sigma / 2.0), axis=-1)
    error = np.linalg.norm(residual, axis=-1)
    assert [limits.coverage for limits in found.conformal_d] == [0.68, 0.9, 0.95]
    # 40 images of 20 keypoints each, and one more image at infinity.
    assert found.conformal_d[1].pooled == pytest.approx(
        np.sort(distance, axis=None)[math.ceil(41 * 0.9 * 20 - 1e-9) - 1]
    )
    assert found.conformal_d[1].whole_image == pytest.approx(
        np.sort(distance.max(axis=1))[math.ceil(41 * 0.9) - 1]
    )
    assert found.conformal_d[1].units == 40
    assert found.conformal_px[1].by_keypoint["L1 LR"] == pytest.approx(
        np.sort(error[:, 3])[math.ceil(41 * 0.9) - 1]
    )


def test_too_few_images_for_a_region_leave_it_open(tmp_path: Path) -> None:
    write_run(tmp_path / "fitted", *calibrated(12))
    calibration = fit(tmp_path)
    found = read_recalibration(tmp_path / FILE)
    assert set(found.conformal_d[2].by_keypoint.values()) == {None}
    assert (found.conformal_d[2].pooled, found.conformal_d[2].whole_image) == (None, None)
    assert found.conformal_d[1].pooled is not None
    json.dumps(content_of(calibration), allow_nan=False)


def test_factors_mend_another_run(tmp_path: Path) -> None:
    overconfident(tmp_path)
    fit(tmp_path)
    calibration = judge(tmp_path)
    assert calibration.applied is not None
    before, common, own, core, student = calibration.applied.rows
    assert before.sigma_scale == pytest.approx(2.0, rel=0.1)
    assert common.sigma_scale == pytest.approx(1.0, rel=0.1)
    assert common.mace < 0.3 * before.mace
    assert max(own.nll, core.nll, student.nll) < before.nll
    assert calibration.applied.changes["global"].is_drop
    held = calibration.applied.conformal.ellipse[1].held.pooled
    assert held == pytest.approx(0.9, abs=0.04)
    shown = result_of(calibration).applied
    assert shown is not None
    assert shown.where == "Fitted on 800 keypoints in 40 images of data, judged on this run."
    found = content_of(calibration)
    assert found["applied"] is not None
    json.dumps(found, allow_nan=False)


def test_applied_factors_are_those_of_the_file(tmp_path: Path) -> None:
    """The same numbers as multiplying σ by hand, one factor per keypoint."""
    overconfident(tmp_path)
    fit(tmp_path)
    factors = read_recalibration(tmp_path / FILE).sigma_scale.by_keypoint
    applied = judge(tmp_path).applied
    residual, sigma = calibrated(40, seed=1)
    z = residual / (sigma / 2.0 * np.array(list(factors.values()))[:, None])
    assert applied is not None
    assert applied.rows[2].sigma_scale == pytest.approx(math.sqrt(np.mean(z**2)), rel=1e-9)


def test_the_run_that_was_fitted_on_is_refused(tmp_path: Path) -> None:
    overconfident(tmp_path)
    fit(tmp_path)
    with pytest.raises(UsageError, match=r"fitted on 40 of its 40 images \(0000-F-020Y0.jpg\)") as raised:
        judge(tmp_path, "fitted")
    assert len(raised.value.problems) == 1


def test_one_image_in_common_is_refused(tmp_path: Path) -> None:
    overconfident(tmp_path)
    fit(tmp_path)
    write_run(tmp_path / "shared", *calibrated(10), first_image=39)
    with pytest.raises(UsageError, match="fitted on 1 of its 10 images"):
        judge(tmp_path, "shared")


def test_the_same_data_is_refused_whatever_its_images(tmp_path: Path) -> None:
    overconfident(tmp_path)
    fit(tmp_path)
    content = json.loads((tmp_path / FILE).read_text())
    content["data"]["sha256"] = sha256_of("100 40")
    (tmp_path / FILE).write_text(json.dumps(content))
    with pytest.raises(UsageError, match="fitted on the same data"):
        judge(tmp_path)


def test_another_checkpoint_view_or_setting_is_refused(tmp_path: Path) -> None:
    overconfident(tmp_path)
    fit(tmp_path)
    write_run(tmp_path / "checkpoint", *calibrated(10), first_image=100, checkpoint="another")
    write_run(tmp_path / "view", *calibrated(10, View.LA), first_image=100, view=View.LA)
    write_run(tmp_path / "setting", *calibrated(10), first_image=100, settings={"decode": "argmax"})
    with pytest.raises(UsageError, match=r"another checkpoint \(network.pt"):
        judge(tmp_path, "checkpoint")
    with pytest.raises(UsageError, match=r"fitted for the AP view, .*view is LA"):
        judge(tmp_path, "view")
    with pytest.raises(UsageError, match=r"other settings \(decode dark there, argmax here\)"):
        judge(tmp_path, "setting")


def test_naming_the_head_or_leaving_it_to_auto_is_the_same(tmp_path: Path) -> None:
    overconfident(tmp_path)
    fit(tmp_path)
    write_run(tmp_path / "named", *calibrated(10), first_image=100, settings={"uncertainty": "head"})
    assert judge(tmp_path, "named").applied is not None


def test_fit_and_apply_at_once_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--fit and --apply exclude each other"):
        calibrate(CalibrationRequest(None, FILE, FILE, False, tmp_path))


def test_fitting_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    overconfident(tmp_path)
    fit(tmp_path)
    first = (tmp_path / FILE).read_bytes()
    fit(tmp_path)
    assert (tmp_path / FILE).read_bytes() == first


def test_nothing_else_is_overwritten(tmp_path: Path) -> None:
    overconfident(tmp_path)
    (tmp_path / FILE).write_text("{}")
    with pytest.raises(UsageError, match="exists and is not a recalibration file"):
        fit(tmp_path)
    assert (tmp_path / FILE).read_text() == "{}"


def heavy_tailed(cwd: Path, name: str = "fitted", seed: int = 0) -> None:
    """A run whose σ fits the bulk of the errors; one in twenty is ten times as large."""
    residual, sigma = calibrated(40, seed=seed)
    large = np.random.default_rng(seed).random(residual.shape[:2]) < 0.05
    residual[large] *= 10.0
    write_run(cwd / name, residual, sigma, first_image=100 * seed)


def test_factors_that_make_it_worse_are_not_written_unasked(tmp_path: Path) -> None:
    heavy_tailed(tmp_path)
    with pytest.raises(UsageError, match=r"make σ worse on images .*MACE 0\.0\d+ to 0\.\d+.*--factors core"):
        fit(tmp_path)
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize("kind", FactorKind)
def test_factors_are_written_as_asked_for(tmp_path: Path, kind: FactorKind) -> None:
    heavy_tailed(tmp_path)
    calibration = calibrate(CalibrationRequest(Path("fitted"), FILE, None, False, tmp_path, factors=kind))
    found = read_recalibration(tmp_path / FILE)
    scale = found.sigma_scale
    assert found.factors is kind
    assert scale.core == pytest.approx(1.05, abs=0.1)
    expected = {FactorKind.CORE: scale.core, FactorKind.NONE: 1.0}
    if kind is FactorKind.LIKELIHOOD:
        assert scale.common > 2.0
        assert found.worsens
        assert any("make σ worse" in note and found.worsens[0] in note for note in calibration.notes)
    else:
        assert {scale.common, *scale.by_keypoint.values()} == {expected[kind]}
        assert not any("make σ worse" in note for note in calibration.notes)
    assert found.student_t is not None
    assert found.student_t.degrees_of_freedom < 5.0
    assert found.student_t.nll < found.student_t.gaussian_nll


def test_a_student_t_of_a_file_is_judged_on_another_run(tmp_path: Path) -> None:
    heavy_tailed(tmp_path)
    heavy_tailed(tmp_path, "other", seed=1)
    calibrate(CalibrationRequest(Path("fitted"), FILE, None, False, tmp_path, factors=FactorKind.NONE))
    applied = judge(tmp_path).applied
    assert applied is not None
    assert applied.rows[-1].scope == "student_t"
    assert applied.rows[-1].nll < applied.rows[0].nll
    assert applied.changes["student_t"].is_drop


def test_a_file_of_an_earlier_version_is_judged(tmp_path: Path) -> None:
    overconfident(tmp_path)
    fit(tmp_path)
    content = json.loads((tmp_path / FILE).read_text())
    for name in ("factors", "worsens", "student_t"):
        del content[name]
    del content["sigma_scale"]["core"]
    for limits in (*content["conformal_d"], *content["conformal_px"]):
        del limits["whole_image"], limits["units"]
    (tmp_path / FILE).write_text(json.dumps(content))
    calibration = judge(tmp_path)
    assert calibration.applied is not None
    assert [row.scope for row in calibration.applied.rows] == [None, "global", "keypoint", "core"]
    assert calibration.applied.conformal.ellipse[0].held.whole_image is None
    json.dumps(content_of(calibration), allow_nan=False)


def test_factors_belong_to_fit(tmp_path: Path) -> None:
    overconfident(tmp_path)
    with pytest.raises(UsageError, match="--factors says what --fit writes"):
        calibrate(CalibrationRequest(Path("fitted"), None, None, False, tmp_path, factors=FactorKind.CORE))
