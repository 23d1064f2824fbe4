"""A network that says NaN where it finds no keypoint: its images stay, what it missed is counted."""

import json
import math

import numpy as np
import pytest

from .command import Desk, columns_of, document_of, failures_of

GATES = '[gates]\n"radial_error_px.mean" = "<= 1000"\n'


@pytest.fixture
def missed(desk: Desk) -> Desk:
    """With the run of a network that predicts everything in `full`, of one that does not in `run`."""
    assert desk.lookup("exact", "--out", "full").status == 0
    assert desk.lookup("absent").status == 0
    return desk


def test_the_numbers_are_those_of_what_is_predicted(missed: Desk) -> None:
    assert failures_of(missed.path / "run") == {}
    full, some = (columns_of(missed.path / name / "keypoints.parquet") for name in ("full", "run"))
    gone = np.array([x is None for x in some["pred_x"]])
    assert 0 < gone.sum() < len(gone) // 2
    assert some["missed"] == gone.tolist()
    assert all(
        some[name][k] is None for k in np.flatnonzero(gone) for name in ("error_px", "sigma_x", "pred_y")
    )
    errors = [error for error, lost in zip(full["error_px"], gone, strict=True) if not lost]
    metrics = document_of(missed.path / "run")["metrics"]
    assert metrics["radial_error_px"]["mean"] == pytest.approx(sum(errors) / len(errors))
    assert metrics["radial_error_px"]["missed"] == gone.sum()
    assert metrics["miss_rate"] == pytest.approx(gone.mean())
    for threshold, rate in metrics["sdr_px"].items():
        assert rate == pytest.approx(sum(e <= float(threshold) for e in errors) / len(gone))
    # A file with the same predictions is judged alike.
    done = missed.run("evaluate", "--predictions", "run/keypoints.parquet", "data/AP", "--out", "file")
    assert done.status == 0
    same = document_of(missed.path / "file")["metrics"]
    for name in ("miss_rate", "miss_rate_ci95", "radial_error_px", "sdr_px"):
        assert same[name] == metrics[name], name


def test_tables_summaries_and_the_page_say_what_is_left_out(missed: Desk) -> None:
    number = document_of(missed.path / "run")["metrics"]["radial_error_px"]["missed"]
    again = missed.lookup("absent", "--resume", "--markdown", "ci.md")
    assert again.status == 0
    assert f"mean, px, without {number} missed" in again.text
    assert "missed: labelled, not predicted" in again.text
    assert f"{number} labelled keypoints missed" in " ".join(again.text.split())
    assert max(map(len, again.text.splitlines())) <= 80
    markdown = (missed.path / "ci.md").read_text(encoding="utf-8")
    assert f"| mean radial error, px, without {number} missed |" in markdown
    assert missed.run("report", "run", "--out", "page.html").status == 0
    page = (missed.path / "page.html").read_text(encoding="utf-8")
    assert "missed keypoints" in page
    assert f"{number} in no error" in page


def test_gates_on_errors_fail_until_misses_are_limited(missed: Desk) -> None:
    (missed.path / "a.toml").write_text(GATES)
    done = missed.lookup("absent", "--resume", "--config", "a.toml")
    assert done.status == 1
    assert "a gate on miss_rate says how many" in " ".join(done.text.split())
    (missed.path / "b.toml").write_text(f'{GATES}"miss_rate" = "<= 0.5"\n')
    assert missed.lookup("absent", "--resume", "--config", "b.toml").status == 0
    (missed.path / "c.toml").write_text(f'{GATES}"miss_rate" = "<= 0.01"\n')
    assert missed.lookup("absent", "--resume", "--config", "c.toml").status == 1


def test_a_baseline_that_missed_less_is_not_kept(missed: Desk) -> None:
    text = '[gates.baseline]\nrun = "full"\n"radial_error_px.mean" = "+100"\n'
    (missed.path / "a.toml").write_text(text)
    done = missed.lookup("absent", "--resume", "--config", "a.toml")
    assert done.status == 1
    (gate,) = document_of(missed.path / "run")["gates"]
    assert gate["value"] is None
    assert gate["passed"] is False


def test_other_commands_take_such_a_run(missed: Desk) -> None:
    for command in (
        ("anatomy", "run"), ("calibration", "run"), ("compare", "full", "run"), ("compare", "run", "full"),
        ("export", "run", "--to", "coco", "out.json"), ("init", "run", "--out", "new.toml"),
    ):  # fmt: skip
        done = missed.run(*command)
        assert "internal error" not in done.err, command
        assert max(map(len, done.text.splitlines() or [""])) <= 80, command
        if command[0] in ("anatomy", "calibration", "compare"):
            found = json.loads(missed.run(*command, "--format", "json").text, parse_constant=float)
            assert not has_nan(found), command
    assert "errors are compared over" in " ".join(missed.run("compare", "full", "run").text.split())


def has_nan(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(has_nan, value.values()))
    if isinstance(value, list):
        return any(map(has_nan, value))
    return isinstance(value, float) and not math.isfinite(value)


def test_a_keypoint_that_is_never_predicted_is_named(desk: Desk) -> None:
    done = desk.lookup("never_the_first", "--overlays", "all")
    assert done.status == 0
    assert "L1 UL" in done.text
    metrics = document_of(desk.path / "run")["metrics"]
    assert metrics["miss_rate"] == pytest.approx(1 / 20)
    assert metrics["vertebrae"]["L1"]["miss_rate"] == pytest.approx(1 / 4)
    assert (
        len(list((desk.path / "run" / "overlays").iterdir()))
        == document_of(desk.path / "run")["images"]["total"]
    )
