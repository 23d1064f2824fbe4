"""What σ is judged by: groups, large errors, covariances, and the units that it could have."""

import math
from pathlib import Path

import numpy as np
import pytest
from pydantic import JsonValue

from mahtdiag.calibration.report import CalibrationReport
from mahtdiag.calibration.verdict import HeadUnits
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.subgroups import age_band
from mahtdiag.errors import RunFolderError
from mahtdiag.runs.document import CheckpointMember
from mahtdiag.runs.reading import Run, open_run
from mahtdiag.schema.skeleton import Skeleton, View
from mahtdiag.workflows.calibration.judged_sigma import (
    CalibrationChoices,
    JudgedSigma,
    groups_of,
    head_units,
    judge_sigma,
    large_errors,
    variance_shares,
)
from mahtdiag.workflows.calibration.screen import source_in_words
from tests.runs.builders import unseal
from tests.workflows.sigma_runs import HEIGHT, WIDTH, Floats, calibrated, write_run


def opened(path: Path) -> Run:
    return open_run(path, path.parent)


def judged(path: Path) -> JudgedSigma:
    return judge_sigma(opened(path))


def report_of(path: Path) -> CalibrationReport:
    return judged(path).report


def units_of(path: Path) -> HeadUnits:
    return head_units(opened(path))


def test_residuals_and_sigma_come_back(tmp_path: Path) -> None:
    residual, sigma = calibrated(4)
    residual[1, 3] = np.nan
    found = judged(write_run(tmp_path / "run", residual, sigma))
    np.testing.assert_allclose(found.residual_px, residual, atol=1e-9)
    np.testing.assert_array_equal(found.table.sigma_px, sigma)
    assert found.table.conditions.sigma_source == "head"
    assert found.table.covariance_px2 is None


def test_groups_name_vertebra_corner_keypoint_sex_and_age(tmp_path: Path) -> None:
    report = report_of(write_run(tmp_path / "run", *calibrated(40, View.LA), view=View.LA))
    names: dict[str, set[str]] = {}
    for group in report.groups:
        names.setdefault(group.kind, set()).add(group.name)
    assert names["vertebra"] == {"L1", "L2", "L3", "L4", "L5", "S1"}
    assert names["corner"] == {"UL", "UR", "LL", "LR"}
    assert names["keypoint"] == set(View.LA.skeleton.keypoint_names)
    assert names["axis"] == {"x", "y"}
    assert names["sex"] == {"F", "M"}
    assert names["age band"] == {"20 to 39", "40 to 59"}


@pytest.mark.parametrize(
    ("years", "band"),
    [(0, "0 to 19"), (19, "0 to 19"), (20, "20 to 39"), (79, "60 to 79"), (80, "80 and older"), (np.nan, "")],
)
def test_age_bands(years: float, band: str) -> None:
    assert age_band(years) == band


def test_a_large_error_is_a_tenth_of_the_width_or_4_mm(tmp_path: Path) -> None:
    residual, sigma = calibrated(3)
    residual[:] = 0.0
    residual[0, 4:8] = np.nan
    residual[1, 2] = np.nan
    by_width, words = large_errors(opened(write_run(tmp_path / "width", residual, sigma)).table(), 4.0)
    expected = np.full((3, 20), 20.0)
    expected[0, 4:8] = np.nan  # without a label the vertebra has no width
    np.testing.assert_allclose(by_width, expected)
    assert words == "10 % of vertebra width"
    assert judged(tmp_path / "width").large_error == words
    by_mm = write_run(tmp_path / "mm", residual, sigma, pixel_spacing_mm=0.2)
    limit_px, words = large_errors(opened(by_mm).table(), 4.0)
    np.testing.assert_allclose(limit_px, 20.0)
    assert words == "4 mm"


def test_units_of_a_head_in_input_pixels(tmp_path: Path) -> None:
    units = units_of(write_run(tmp_path / "run", *calibrated(2)))
    per_input = [WIDTH / 250, HEIGHT / 500]
    np.testing.assert_allclose(np.broadcast_to(units.px_per_unit, (2, 20, 2))[1, 7], per_input)
    assert units.others is not None
    per_cell = np.broadcast_to(units.others["heatmap cells"], (2, 20, 2))[0, 0]
    np.testing.assert_allclose(per_cell, [WIDTH / 125, HEIGHT / 125])
    whole = np.broadcast_to(units.others["units of the model input (0 to 1)"], (2, 20, 2))[0, 0]
    np.testing.assert_allclose(whole, [WIDTH, HEIGHT])


def test_units_of_a_head_in_cells(tmp_path: Path) -> None:
    settings = {"uncertainty_frame": "heatmap", "resize": "letterbox"}
    units = units_of(write_run(tmp_path / "run", *calibrated(2), settings={**settings}))
    # Letterbox keeps the aspect ratio: one factor, 4 px per input pixel; cells are half as wide as high.
    np.testing.assert_allclose(np.broadcast_to(units.px_per_unit, (2, 20, 2))[0, 0], [8.0, 16.0])
    assert units.others is not None
    np.testing.assert_allclose(np.broadcast_to(units.others["model-input pixels"], (2, 20, 2))[0, 0], 4.0)


@pytest.mark.parametrize("settings", [{"input_size": None}, {"heatmap_size": None}, {"resize": "melt"}])
def test_nothing_is_suspected_where_the_frame_is_unknown(
    tmp_path: Path, settings: dict[str, str | None]
) -> None:
    residual, sigma = calibrated(60)
    report = report_of(write_run(tmp_path / "run", residual, sigma**2, settings={**settings}))
    assert "log_variance" not in {fault.code for fault in report.faults}
    assert report.status == "faulty"


def head_that_means(unit_px: Floats, log_variance: bool, tmp_path: Path) -> str:
    """The verdict on a head whose right σ is read in input pixels, or as log σ, by mistake."""
    residual, sigma = calibrated(60)
    in_head = sigma / 4.0  # input pixels
    said = in_head**2 if log_variance else in_head * 4.0 / unit_px
    return report_of(write_run(tmp_path / "run", residual, said * 4.0)).verdict


def test_a_head_in_cells_is_told(tmp_path: Path) -> None:
    verdict = head_that_means(np.array([8.0, 16.0]), False, tmp_path)
    assert "σ in heatmap cells would look like" in verdict


def test_a_log_variance_is_told_in_the_unit_of_the_head(tmp_path: Path) -> None:
    assert "log variance, read as log σ" in head_that_means(np.ones(2), True, tmp_path)


def test_the_spread_of_a_heatmap_has_no_head_to_blame(tmp_path: Path) -> None:
    residual, sigma = calibrated(60)
    wrong = (sigma / 4.0) ** 2 * 4.0
    spread = np.stack([wrong[..., 0] ** 2, np.zeros(wrong.shape[:2]), wrong[..., 1] ** 2], axis=-1)
    run = write_run(tmp_path / "run", residual, wrong, spread_px2=spread, settings={"uncertainty": "heatmap"})
    found = judged(run)
    assert found.table.conditions.sigma_source == "heatmap"
    covariance = found.table.covariance_px2
    assert covariance is not None
    np.testing.assert_allclose(covariance[0, 0], np.diag(wrong[0, 0] ** 2))
    report = found.report
    assert report.status == "faulty"
    assert "head" not in report.verdict


def test_ellipses_of_a_recalibrated_heatmap_have_the_factors_too(tmp_path: Path) -> None:
    residual, sigma = calibrated(6)
    factors = np.linspace(0.5, 2.0, 20)
    spread = np.stack([sigma[..., 0] ** 2, 0.3 * sigma[..., 0] ** 2, sigma[..., 1] ** 2], axis=-1)
    by_keypoint = dict(zip(View.AP.skeleton.keypoint_names, factors.tolist(), strict=True))
    settings: dict[str, JsonValue] = {
        "uncertainty": "heatmap",
        "recalibration": {"sha256": "0" * 64, "common": 1.0, "by_keypoint": {**by_keypoint}},
    }
    corrected = sigma * factors[:, None]
    run = write_run(tmp_path / "run", residual, corrected, spread_px2=spread, settings=settings)
    covariance = opened(run).table().covariance_px2
    assert covariance is not None
    np.testing.assert_allclose(covariance[..., [0, 1], [0, 1]], corrected**2)
    np.testing.assert_allclose(covariance[..., 0, 1], 0.3 * corrected[..., 0] ** 2)


def test_a_recalibrated_head_has_no_unit_to_be_wrong_about(tmp_path: Path) -> None:
    residual, sigma = calibrated(60)
    settings: dict[str, JsonValue] = {"recalibration": {"sha256": "0" * 64}}
    plain, corrected = (
        units_of(write_run(tmp_path / name, residual, sigma * 4, settings=more))
        for name, more in (("plain", None), ("corrected", settings))
    )
    assert np.isfinite(plain.px_per_unit).all()
    assert np.isnan(corrected.px_per_unit).all()


def test_shares_by_a_loop_over_what_is_known() -> None:
    rng = np.random.default_rng(2)
    within, between = rng.lognormal(size=(2, 5, 4, 2))
    within[0, 0], between[1, 1, 0] = np.nan, np.inf
    within[2, 2] = between[2, 2] = 0.0
    shares = []
    for a, b in zip(within.ravel().tolist(), between.ravel().tolist(), strict=True):
        if math.isfinite(a) and math.isfinite(b) and a + b > 0:
            shares.append(b**2 / (a**2 + b**2))
    found = variance_shares(within, between)
    assert found is not None
    assert len(shares) == 35
    assert found.epistemic == pytest.approx(sum(shares) / 35)
    assert found.aleatoric == pytest.approx(1 - sum(shares) / 35)
    assert variance_shares(np.full((1, 2, 2), np.nan), np.ones((1, 2, 2))) is None


MEMBERS = tuple(CheckpointMember(path=f"{n}.pt", sha256="0" * 64, format="mahtdiag") for n in "abc")


@pytest.mark.parametrize(
    ("settings", "members", "source", "words"),
    [
        ({}, (), "head", "from the network's uncertainty head"),
        ({"uncertainty": "head"}, (), "head", "from the network's uncertainty head"),
        ({"uncertainty": "heatmap"}, (), "heatmap",
         "from the spread of the heatmaps, ellipses from their full covariance"),
        ({"uncertainty": "mc-dropout:20", "sigma_within": "none"}, (), "mc-dropout",
         "from the disagreement of 20 passes with dropout"),
        ({"uncertainty": "mc-dropout:20", "sigma_within": "head"}, MEMBERS, "mc-dropout",
         "from the disagreement of 20 passes with dropout of each of 3 networks, and from the network's "
         "uncertainty head"),
        ({"uncertainty": "auto", "sigma_within": "head"}, MEMBERS, "ensemble",
         "from the disagreement of 3 networks, and from the network's uncertainty head"),
        ({"uncertainty": "heatmap", "sigma_within": "heatmap"}, MEMBERS, "ensemble",
         "from the disagreement of 3 networks, and from the spread of the heatmaps"),
        ({"uncertainty": "head", "recalibration": {"sha256": "0" * 64}}, (), "head",
         "from the network's uncertainty head, recalibrated"),
    ],
)  # fmt: skip
def test_where_sigma_comes_from(
    tmp_path: Path,
    settings: dict[str, JsonValue],
    members: tuple[CheckpointMember, ...],
    source: str,
    words: str,
) -> None:
    document = open_run(write_run(tmp_path / "run", *calibrated(2), settings=settings), tmp_path).document
    checkpoint = document.checkpoint.model_copy(update={"members": members})
    document = document.model_copy(update={"checkpoint": checkpoint})
    assert document.sigma_source == source
    assert source_in_words(document) == words


def test_keypoints_are_named(tmp_path: Path) -> None:
    residual, sigma = calibrated(60)
    residual[:, 7, 1] += 2.0 * sigma[:, 7, 1]
    report = report_of(write_run(tmp_path / "run", residual, sigma))
    assert "keypoint L2 LR" in report.verdict
    assert "keypoint L2 LR" in report.faults[0].sentence


def test_the_last_keypoint_is_named(tmp_path: Path) -> None:
    residual, sigma = calibrated(60, View.LA)
    residual[:, 21] *= 3.0
    verdict = report_of(write_run(tmp_path / "run", residual, sigma, view=View.LA)).verdict
    assert "keypoint S1 UR needs" in verdict


def test_tables_of_different_images_are_refused(tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", *calibrated(3))
    other = write_run(tmp_path / "other", *calibrated(3), first_image=7)
    unseal(one)
    (other / "images.parquet").replace(one / "images.parquet")
    with pytest.raises(RunFolderError, match="list different images"):
        judged(one)


def test_a_whole_spine_has_widths_and_groups_of_every_vertebra() -> None:
    """17 bodies, no last endplate: 10 px wide at the top, 1 px wider from one vertebra to the next."""
    names = (*(f"T{i}" for i in range(1, 13)), *(f"L{i}" for i in range(1, 6)))
    spine = Skeleton("whole", View.AP, names)
    gt_px = np.zeros((2, 68, 2))
    gt_px[:, 1::2, 0] = np.repeat(np.arange(10.0, 27.0), 2)
    table = RunTable(
        spine,
        {
            "image": ("a", "b"), "gt_px": gt_px, "pixel_spacing_mm": np.full(2, np.nan),
            "sex": (None, None), "age_years": np.full(2, np.nan),
        },
    )  # fmt: skip
    limit_px, _ = large_errors(table, 4.0)
    np.testing.assert_allclose(limit_px, np.repeat(np.arange(1.0, 2.7, 0.1), 4)[None].repeat(2, axis=0))
    groups = groups_of(table)
    assert set(groups) == {"region", "vertebra", "corner", "keypoint"}
    assert np.asarray(groups["region"]).tolist() == ["thoracic"] * 48 + ["lumbar"] * 20
    assert np.asarray(groups["keypoint"])[-1] == "L5 LR"


def test_regions_are_told_apart_where_vertebrae_are() -> None:
    assert CalibrationChoices().tells_apart("region")
    assert not CalibrationChoices(groups=("corner",)).tells_apart("region")
    assert CalibrationChoices(groups=("corner",)).tells_apart("corner")
    # Settings are as before, so that runs of earlier versions can be resumed.
    assert "region" not in CalibrationChoices().groups
