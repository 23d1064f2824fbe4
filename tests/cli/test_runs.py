"""`mahtdiag runs`, and its numbers in other commands."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mahtdiag.reports.text import pixels

from .command import Finished

FIXTURES = Path(__file__).parents[1] / "fixtures" / "runs"


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., Finished]
) -> Callable[..., Finished]:
    shutil.copytree(FIXTURES / "desk", tmp_path / "desk")
    monkeypatch.chdir(tmp_path / "desk")
    return command


def test_the_table(run: Callable[..., Finished]) -> None:
    done = run("runs")
    assert (done.status, done.err) == (0, "")
    lines = done.text.splitlines()
    assert all(len(line) <= 80 for line in lines)
    rows = [line.split() for line in lines if line[:2].strip().isdecimal()]
    assert [row[1] for row in rows] == ["la", "b", "earlier", "a"]
    for row in rows:
        document = json.loads(Path("runs", row[1], "run.json").read_text(encoding="utf-8"))
        assert pixels(document["metrics"]["radial_error_mm"]["mean"]) in row
    assert "mean mm" in done.text
    assert "by radial_error_mm.mean" in done.text
    assert "3/8" in done.text
    assert lines[-1] == "next: mahtdiag compare 1 3"


def test_compare_takes_its_numbers(run: Callable[..., Finished]) -> None:
    numbered = run("compare", "1", "3", "--format", "json")
    named = run("compare", "runs/earlier", "runs/b", "--format", "json")
    assert numbered.status == named.status
    assert numbered.text == named.text
    assert (
        run("anatomy", "runs/4", "--no-pictures").status == run("anatomy", "latest", "--no-pictures").status
    )
    run("compare", "1", "7").refused("7: no run has this number; `mahtdiag runs` lists 4, from 1 to 4")


def test_json_and_sorting(run: Callable[..., Finished]) -> None:
    done = run("runs", "--sort", "vertebrae.L5.radial_error_px.mean", "--format", "json")
    content = json.loads(done.text)
    assert (content["folder"], content["sort"]) == ("runs", "vertebrae.L5.radial_error_px.mean")
    for entry in content["runs"]:
        document = json.loads((Path(entry["run"]) / "run.json").read_text(encoding="utf-8"))
        # An early version did not write it.
        l5 = document["metrics"].get("vertebrae", {}).get("L5", {}).get("radial_error_px", {})
        found = entry["numbers"].get("vertebrae.L5.radial_error_px.mean", {})
        assert found.get("value") == l5.get("mean")
        assert (found == {}) is (entry["run"] == "runs/earlier")
        assert entry["gates"]["total"] == len(document["gates"])
        assert entry["checkpoint"]["sha256"] == document["checkpoint"]["sha256"]
    run("runs", "--sort", "nothing.like.it").refused(
        "--sort nothing.like.it: no run in runs has this number; they have radial_error_mm.mean, "
        "radial_error_px.mean, anatomy.images_with_violations, calibration.mace; --sort started sorts by age"
    )
    run("runs", "data").refused(
        "data: no run in it (data/AP: no run: it has no run.json; data/LA: no run: it has no run.json); "
        "`mahtdiag evaluate` makes one"
    )
