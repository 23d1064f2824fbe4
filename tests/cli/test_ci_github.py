"""In GitHub Actions: the step summary and annotations; elsewhere nothing of the kind."""

import json
from pathlib import Path

import pytest

from mahtdiag.cli.ci import MOST_SUMMARY_BYTES

from .command import Desk, environment, finish, start
from .test_ci_files import GATES, HOSTILE, SHOWN, empty_images, hostile

TITLE = "::error title=mahtdiag evaluate%3A "


@pytest.fixture
def summary(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A step of a workflow, with a summary that has not been begun."""
    path = desk.path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    return path


def annotations(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("::")]


def test_failed_gates_and_images(desk: Desk, summary: Path) -> None:
    hostile(desk.path / "data/AP")
    (desk.path / "mahtdiag.toml").write_text('[gates]\n"radial_error_px.mean" = "<= 4.0"\n')
    done = desk.lookup("exact", "--markdown", "ci.md")
    assert done.status == 2
    gate, image = annotations(done.err)
    shown = SHOWN.replace("%", "%25")
    assert gate.startswith(
        f"{TITLE}radial_error_px.mean <= 4::radial_error_px.mean: 9.69, limit <= 4%0A"
        f"largest mean radial error: AP/{shown} 15.19 px, AP/0005-M-061Y0.png 12.69 px, "
    )
    assert image == f"{TITLE}image failed::AP/0002-M-084Y0.png: the file is empty (0 bytes)"
    assert annotations(done.text) == []
    assert summary.read_bytes() == (desk.path / "ci.md").read_bytes()


def test_file_names_are_no_commands(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runner obeys lines that begin with `::`, and `##[` anywhere in one."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    folder = desk.path / "data/AP"
    for image, name in zip(sorted(folder.glob("*.png")), ("::stop-commands::a", "##[error]b"), strict=False):
        image.rename(folder / f"{name}.png")
        image.with_suffix(".csv").rename(folder / f"{name}.csv")
        (folder / f"{name}.png").write_bytes(b"")
    done = desk.run("anatomy", "--labels", "data/AP")
    shown = [line.split()[0] for line in done.text.splitlines() if "file is empty" in line]
    assert shown == [r"\x23#[error]b.png", r"\x3a:stop-commands::a.png"]
    assert "##[" not in done.text
    monkeypatch.delenv("GITHUB_ACTIONS")
    assert "\n::stop-commands::a.png " in desk.run("anatomy", "--labels", "data/AP").text


def test_json_stays_json(desk: Desk, summary: Path) -> None:
    (desk.path / "mahtdiag.toml").write_text(GATES)
    done = desk.lookup("exact", "--format", "json")
    assert done.status == 1
    assert done.out == (desk.path / "run/run.json").read_bytes()
    assert len(annotations(done.err)) == 8
    assert desk.run("anatomy", "run", "--format", "json").status == 1
    done = desk.run("calibration", "run", "--format", "json")
    assert json.loads(done.text)["gates"][0]["passed"] is False
    headings = [line for line in summary.read_text(encoding="utf-8").splitlines() if line.startswith("## ")]
    assert headings == [
        "## ❌ mahtdiag evaluate: 8 of 10 gates failed",
        "## ❌ mahtdiag anatomy: 1 of 1 gate failed",
        "## ❌ mahtdiag calibration: 1 of 1 gate failed",
    ]


def test_what_passes_is_not_annotated(desk: Desk, summary: Path) -> None:
    done = desk.lookup("exact")
    assert (done.status, annotations(done.err)) == (0, [])
    assert summary.read_text(encoding="utf-8").startswith("## ✅ mahtdiag evaluate: done, no gate is set\n")


def test_what_could_not_be_done(desk: Desk, summary: Path) -> None:
    done = desk.run("evaluate", "none.pt", "data")
    problem = done.err.splitlines()[-1].removeprefix("error: ")
    assert annotations(done.err) == [f"::error title=mahtdiag evaluate could not be done::{problem}"]
    assert f"\n- `{problem}`\n" in summary.read_text(encoding="utf-8")


def test_no_more_than_a_step_shows(desk: Desk, summary: Path) -> None:
    (desk.path / "mahtdiag.toml").write_text(GATES)
    done = empty_images(desk)
    found = annotations(done.err)
    assert done.status == 2
    assert len(found) == 10
    assert found[-1].endswith("more errors")


def test_a_summary_that_another_command_has_begun(desk: Desk, summary: Path) -> None:
    summary.write_text("before, without a newline", encoding="utf-8")
    assert desk.lookup("exact").status == 0
    assert summary.read_text(encoding="utf-8").startswith("before, without a newline\n\n## ✅ mahtdiag")


def test_a_summary_named_by_the_option_is_added_to_once(desk: Desk, summary: Path) -> None:
    summary.write_text("before\n", encoding="utf-8")
    assert desk.lookup("exact", "--markdown", "summary.md").status == 0
    text = summary.read_text(encoding="utf-8")
    assert text.startswith("before\n\n\n## ✅ mahtdiag")
    assert text.count("## ✅ mahtdiag") == 1


def test_a_summary_that_cannot_be_written_costs_a_note(
    desk: Desk, summary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary.mkdir()
    done = desk.lookup("exact")
    assert done.status == 0
    assert "note: GITHUB_STEP_SUMMARY not written (Is a directory)" in done.err.splitlines()
    full = desk.path / "full.md"
    full.write_bytes(b"x" * (MOST_SUMMARY_BYTES - 100))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(full))
    done = desk.run("anatomy", "run", "--no-pictures")
    assert done.status == 0
    assert done.err.splitlines() == ["note: GITHUB_STEP_SUMMARY not written (it would be larger than 1 MiB)"]
    assert full.stat().st_size == MOST_SUMMARY_BYTES - 100


def test_nothing_outside_a_pipeline(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    (desk.path / "mahtdiag.toml").write_text(GATES)
    before = {path.name for path in desk.path.iterdir()}
    for value in (None, "false", ""):
        if value is not None:
            monkeypatch.setenv("GITHUB_ACTIONS", value)
            monkeypatch.setenv("GITHUB_STEP_SUMMARY", "")
        done = desk.lookup("exact", "--resume") if (desk.path / "run").exists() else desk.lookup("exact")
        assert done.status == 1
        assert (annotations(done.err), annotations(done.text)) == ([], [])
    assert {path.name for path in desk.path.iterdir()} - before == {"run", "runs"}


def test_a_name_cannot_speak_to_the_runner(desk: Desk) -> None:
    """In a process of its own, where both streams are pipes as they are on a runner."""
    folder = desk.path / "data/AP"
    for extension in (".png", ".csv"):
        (worst,) = folder.glob(f"0006-*{extension}")
        worst.rename(folder / f"x\n::error::y%0A{extension}")
    (desk.path / "mahtdiag.toml").write_text('[gates]\n"anatomy.images_with_violations" = "<= 0"\n')
    (bad,) = folder.glob("x*.csv")
    rows = bad.read_text().splitlines()
    rows[4:6] = reversed(rows[4:6])
    bad.write_text("\n".join(rows))
    process = start(desk.path, "anatomy", "--labels", "data/AP", GITHUB_ACTIONS="true")
    done = finish(process)
    assert done.status == 1
    assert annotations(done.text) == []
    (line,) = annotations(done.err)
    assert line.endswith("largest severity of violations: x\\x0a::error::y%250A.png 1.68 (A103)")


def test_the_environment_of_the_tests_has_no_pipeline() -> None:
    assert not {"GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"} & set(environment())
    assert HOSTILE != SHOWN
