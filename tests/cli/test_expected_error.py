"""`evaluate --expected-error`: what each heatmap expects is stored and told, and nothing of it without."""

import json
import math

import numpy as np
import pytest

from .command import Desk, columns_of, document_of

PLAIN = ("--overlays", "none")


def evaluate(desk: Desk, run: str, *arguments: str) -> str:
    done = desk.run("evaluate", "ap.pt", "data", *PLAIN, "--out", run, *arguments)
    assert done.status == 0, done.err
    return done.text


def expected_px(desk: Desk, run: str) -> np.ndarray:
    stored = columns_of(desk.path / run / "keypoints.parquet")["expected_error_px"]
    return np.array([math.nan if value is None else value for value in stored], dtype=np.float64)


def judged(desk: Desk, run: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(
        desk.run("calibration", run, "--no-pictures", "--format", "json").text
    )
    return found


def test_expected_errors_are_stored_and_judged(desk: Desk) -> None:
    text = evaluate(desk, "with", "--expected-error", "--decode", "soft-argmax", "--softargmax-beta", "20")
    content = document_of(desk.path / "with")
    assert content["settings"]["expected_error"] is True
    expected = expected_px(desk, "with")
    assert (expected > 0).all()
    assert content["metrics"]["expected_error_px"] == pytest.approx(expected.mean())
    by_image = columns_of(desk.path / "with" / "images.parquet")["expected_radial_error_px"]
    np.testing.assert_allclose(by_image, expected.reshape(-1, 20).mean(axis=1))
    assert "mean expected radial error of heatmaps, px" in text
    report = judged(desk, "with")["expected_error"]
    assert isinstance(report, dict)
    errors = np.array(columns_of(desk.path / "with" / "keypoints.parquet")["error_px"], dtype=np.float64)
    assert report["n_keypoints"] == np.isfinite(errors).sum()
    assert report["ratio"] == pytest.approx(np.nanmean(errors) / expected[np.isfinite(errors)].mean())
    assert "ERE: Spearman" in desk.run("calibration", "with", "--no-pictures").text


def test_nothing_of_it_without_the_option(desk: Desk) -> None:
    text = evaluate(desk, "without")
    content = document_of(desk.path / "without")
    assert "expected_error" not in content["settings"]
    assert content["metrics"]["expected_error_px"] is None
    assert np.isnan(expected_px(desk, "without")).all()
    assert "expected radial error" not in text
    assert judged(desk, "without")["expected_error"] is None
    assert "ERE" not in desk.run("calibration", "without", "--no-pictures").text


def test_it_changes_no_other_number_and_is_a_setting_of_the_run(desk: Desk) -> None:
    evaluate(desk, "without")
    (desk.path / "mahtdiag.toml").write_text("[evaluate]\nexpected_error = true\n", encoding="utf-8")
    evaluate(desk, "with")
    old, new = (columns_of(desk.path / run / "keypoints.parquet") for run in ("without", "with"))
    assert {name for name in old if old[name] != new[name]} == {"expected_error_px"}
    refused = desk.run("evaluate", "ap.pt", "data", *PLAIN, "--out", "without", "--resume")
    assert refused.status == 2
    assert "expected_error" in refused.err


def test_places_that_no_heatmap_gives_are_refused(desk: Desk) -> None:
    desk.lookup("exact", "--expected-error").refused(
        "--expected-error: the network gives the places itself, so no heatmap tells how far they may be off; "
        "leave it out, or decode its heatmaps with --decode"
    )


def test_passes_are_averaged(desk: Desk) -> None:
    evaluate(desk, "one", "--expected-error")
    done = desk.run("evaluate", "ap.pt,ap.pt", "data", *PLAIN, "--out", "two", "--expected-error")
    assert done.status == 0, done.err
    np.testing.assert_allclose(expected_px(desk, "two"), expected_px(desk, "one"))
