"""A run is judged, drawn and recalibrated; what cannot be judged is said."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mahtdiag.calibration.report import calibration_report
from mahtdiag.config.gates import GateSettings, read_gates
from mahtdiag.diagnosis.gates import Gate
from mahtdiag.errors import ExitStatus, RunFolderError, UsageError
from mahtdiag.reports.rendering import Json
from mahtdiag.runs.results import StoredGate
from mahtdiag.schema.choices import FactorKind
from mahtdiag.workflows.calibration.job import Calibration, CalibrationRequest, calibrate, with_gates
from mahtdiag.workflows.calibration.recalibration import fitted_file
from mahtdiag.workflows.calibration.screen import content_of, result_of
from tests.workflows.sigma_runs import calibrated, write_run

KEYS = {
    "n_keypoints", "n_images", "mace", "rmsce", "miscalibration_area", "sharpness_px", "nll", "crps_px",
    "check", "interval", "ence", "coverage", "radial", "sigma_scale", "spearman", "ause", "at_min_share",
    "at_max_share", "verdict", "groups", "gates",
}  # fmt: skip
PICTURES = {"reliability", "sparsification", "z-histogram", "error-sigma", "keypoint-coverage"}


def part(content: Json, *keys: str) -> Json:
    """What lies below these keys."""
    for key in keys:
        assert isinstance(content, dict)
        content = content[key]
    return content


def judged(cwd: Path, run: str | None = None, *, pictures: bool = False) -> Calibration:
    path = None if run is None else Path(run)
    return calibrate(CalibrationRequest(path, None, None, pictures, cwd))


def test_numbers_are_those_of_the_report(tmp_path: Path) -> None:
    residual, sigma = calibrated(30)
    write_run(tmp_path / "run", residual, sigma)
    expected = calibration_report(residual, sigma)
    found = content_of(judged(tmp_path, "run"))
    for name in ("mace", "nll", "sigma_scale", "spearman", "ause", "ence", "sharpness_px"):
        assert found[name] == pytest.approx(getattr(expected, name), rel=1e-9)
    assert (found["n_keypoints"], found["n_images"]) == (600, 30)


def test_the_latest_run_is_the_default(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "old", *calibrated(12), cwd=tmp_path)
    write_run(tmp_path / "runs" / "new", *calibrated(14), cwd=tmp_path)
    assert judged(tmp_path).sigma.report.n_images == 14


def test_json_has_the_keys_of_the_contract_and_no_nan(tmp_path: Path) -> None:
    residual, sigma = calibrated(30)
    residual[0, 0] = np.nan
    sigma[1, 1] = np.nan
    sigma[2, 2], sigma[3, 3], sigma[4, 4] = 0.0, -1.0, np.inf
    write_run(tmp_path / "run", residual, sigma)
    found = content_of(judged(tmp_path, "run"))
    assert set(found) >= KEYS
    text = json.dumps(found, allow_nan=False)
    assert json.loads(text)["coverage"].keys() == {"0.5", "0.68", "0.9", "0.95"}
    for where in (("coverage",), ("radial", "coverage")):
        level = part(found, *where, "0.9")
        assert isinstance(level, dict)
        assert set(level) == {"observed", "ci95"}
    assert (found["missing"], found["invalid_sigma"]) == (1, 4)
    assert found["gates"] == []


def test_five_pictures_are_written_as_png_and_svg(tmp_path: Path) -> None:
    write_run(tmp_path / "run", *calibrated(12))
    calibration = judged(tmp_path, "run", pictures=True)
    files = {f"{name}.{kind}" for name in PICTURES for kind in ("png", "svg")}
    folder = tmp_path / "run" / "calibration"
    assert {path.name for path in calibration.pictures} == files == {p.name for p in folder.iterdir()}
    for path in calibration.pictures:
        start = path.read_bytes()[:100]
        assert start.startswith(b"\x89PNG") if path.suffix == ".png" else b"<?xml" in start
    assert result_of(calibration).closing == ("10 pictures: run/calibration",)


def test_a_place_without_room_for_pictures_costs_only_them(tmp_path: Path) -> None:
    (write_run(tmp_path / "run", *calibrated(12)) / "calibration").write_text("in the way")
    calibration = judged(tmp_path, "run", pictures=True)
    assert calibration.pictures == ()
    assert "pictures not written" in calibration.notes[0]
    assert calibration.sigma.report.n_images == 12


def test_a_run_without_sigma_says_what_to_do(tmp_path: Path) -> None:
    residual, sigma = calibrated(12)
    write_run(tmp_path / "run", residual, np.full_like(sigma, np.nan), settings={"uncertainty": "none"})
    with pytest.raises(RunFolderError, match=r"no σ.*evaluate again with --uncertainty heatmap"):
        judged(tmp_path, "run")


def test_nothing_evaluated(tmp_path: Path) -> None:
    residual, sigma = calibrated(1)
    write_run(tmp_path / "run", residual[:0], sigma[:0])
    with pytest.raises(RunFolderError, match="no image was evaluated"):
        judged(tmp_path, "run")


def test_one_image(tmp_path: Path) -> None:
    write_run(tmp_path / "run", *calibrated(1))
    calibration = judged(tmp_path, "run", pictures=True)
    found = content_of(calibration)
    assert "Too few images" in str(found["verdict"])
    assert calibration.no_recalibration == "1 usable image(s): cross-fitting needs at least 2"
    assert part(found, "coverage", "0.9", "ci95") is None
    assert len(calibration.pictures) == 10
    json.dumps(found, allow_nan=False)


def test_fewer_than_20_keypoints(tmp_path: Path) -> None:
    residual, sigma = calibrated(15)
    residual[:, 1:] = np.nan
    write_run(tmp_path / "run", residual, sigma)
    found = content_of(judged(tmp_path, "run", pictures=True))
    assert "Too few keypoints for a verdict: 15 keypoints" in str(found["verdict"])
    with pytest.raises(UsageError, match="15 keypoints are too few, at least 20"):
        calibrate(CalibrationRequest(Path("run"), Path("f.json"), None, False, tmp_path))
    assert not (tmp_path / "f.json").exists()


def test_factors_beyond_belief_are_not_written(tmp_path: Path) -> None:
    residual, sigma = calibrated(15)
    write_run(tmp_path / "run", residual, sigma)
    found = judged(tmp_path, "run")
    assert found.recalibrated is not None
    fitted = replace(found.recalibrated, scale=replace(found.recalibrated.scale, core=1e25))
    said = r"--fit f.json: σ would be multiplied by 1e\+25, a factor is 1e-24 to 1e\+24"
    with pytest.raises(UsageError, match=said):
        fitted_file(found.sigma, fitted, FactorKind.LIKELIHOOD, (), Path("f.json"))


def test_all_residuals_zero(tmp_path: Path) -> None:
    residual, sigma = calibrated(15)
    write_run(tmp_path / "run", np.zeros_like(residual), sigma)
    calibration = judged(tmp_path, "run", pictures=True)
    found = content_of(calibration)
    assert "All residuals are 0" in str(found["verdict"])
    assert (found["spearman"], found["ause"]) == (None, None)
    assert "all residuals are 0" in str(calibration.no_recalibration)
    assert len(calibration.pictures) == 10
    json.dumps(found, allow_nan=False)
    with pytest.raises(UsageError, match="all residuals are 0"):
        calibrate(CalibrationRequest(Path("run"), Path("f.json"), None, False, tmp_path))


def test_constant_sigma_has_no_ranking(tmp_path: Path) -> None:
    residual, sigma = calibrated(60)
    write_run(tmp_path / "run", residual, np.full_like(sigma, 8.0))
    found = content_of(judged(tmp_path, "run", pictures=True))
    assert "Constant σ" in str(found["verdict"])
    assert (found["spearman"], found["auc_large_error"], found["quantile_bins"]) == (None, None, None)
    assert "ranks nothing" in str(part(found, "reasons", "spearman"))


def test_no_labels_at_all(tmp_path: Path) -> None:
    residual, sigma = calibrated(3)
    write_run(tmp_path / "run", np.full_like(residual, np.nan), sigma)
    with pytest.raises(RunFolderError, match="its images have no labels, so σ cannot be judged"):
        judged(tmp_path, "run", pictures=True)


@pytest.mark.parametrize(("limit", "status"), [("<= 1", ExitStatus.OK), ("<= 0", ExitStatus.GATE_FAILED)])
def test_gates_on_calibration_decide_the_status(tmp_path: Path, limit: str, status: ExitStatus) -> None:
    """Those of the configuration; a gate that the run itself had failed is of no concern any more."""
    earlier = (StoredGate(metric="calibration.mace", limit=0.0, value=0.04, passed=False),)
    write_run(tmp_path / "run", *calibrated(12), gates=earlier)
    metric = "calibration.radial.coverage.0.9.observed"
    settings, problems = read_gates({"radial_error_px.mean": "<= 0", metric: limit})
    calibration = with_gates(judged(tmp_path, "run"), settings)
    assert (problems, calibration.status) == ((), status)
    found = content_of(calibration)
    value, interval = (part(found, "radial", "coverage", "0.9", name) for name in ("observed", "ci95"))
    expected = {"metric": metric, "comparison": "<=", "limit": float(limit[3:]), "value": value,
                "passed": status is ExitStatus.OK, "bound": "estimate", "view": None, "vertebra": None,
                "kind": "limit", "estimate": value, "ci95": interval, "baseline": None,
                "reason": None}  # fmt: skip
    assert found["gates"] == [expected]
    assert result_of(calibration).gates == calibration.gates


def test_a_gate_on_what_is_not_there_fails_and_names_the_nearest(tmp_path: Path) -> None:
    write_run(tmp_path / "run", *calibrated(12))
    calibration = with_gates(judged(tmp_path, "run"), GateSettings((Gate("calibration.maec", "<=", 1.0),)))
    assert calibration.status is ExitStatus.GATE_FAILED
    assert "did you mean calibration.mace?" in calibration.notes[-1]
    json.dumps(content_of(calibration), allow_nan=False)


def test_an_interrupted_run_is_judged_as_far_as_it_got(tmp_path: Path) -> None:
    write_run(tmp_path / "run", *calibrated(12), complete=False)
    calibration = judged(tmp_path, "run")
    assert calibration.sigma.report.n_images == 12
    assert "interrupted" in calibration.notes[0]
    with pytest.raises(UsageError, match="finish it with evaluate --resume first"):
        calibrate(CalibrationRequest(Path("run"), Path("f.json"), None, False, tmp_path))


def test_a_clamped_head_is_told_from_one_that_goes_beyond_the_bound(tmp_path: Path) -> None:
    residual, sigma = calibrated(60)
    bound = float(np.quantile(sigma, 0.85))
    at_max = sigma >= bound
    beyond = write_run(tmp_path / "beyond", residual, sigma, at_max=at_max)
    clamped = write_run(tmp_path / "clamped", residual, np.minimum(sigma, bound), at_max=at_max)
    reports = [judged(tmp_path, path.name).sigma.report for path in (beyond, clamped)]
    assert [report.at_max_share for report in reports] == [at_max.mean(), at_max.mean()]
    assert reports[0].status == "calibrated"
    assert [fault.code for fault in reports[1].faults][:1] == ["clamped"]
