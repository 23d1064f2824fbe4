"""Renderers: each found by its name, and one more is one more choice of every command."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from mahtdiag.reports.rendering import FORMATS, PIPELINE, Renderer, Result, file_content, json_bytes, named
from mahtdiag.reports.tables.table import Line, table
from tests.reports.ci.ci_records import RESULT

SOMETHING = Result(
    lambda columns: (Line(f"{columns} columns"), table("A title", ("a", "b"), (("x", "1"),))),
    lambda: {"a": 1.5, "file": "ü\udcff", "nothing": None},
)
MORE = """
import sys
from dataclasses import dataclass
from mahtdiag.reports import rendering

@dataclass(frozen=True)
class Count:
    name: str = "count"

    def render(self, result):
        return f"{len(list(result.parts(80)))} parts, {len(result.content())} values\\n"

rendering.FORMATS += (Count(),)
from mahtdiag.cli.commands import app

for arguments in {calls!r}:
    try:
        app(arguments, prog_name="mahtdiag", standalone_mode=False)
    except SystemExit:
        pass
"""


DESK = Path(__file__).parents[1] / "fixtures" / "runs" / "desk"


def run(*calls: list[str], cwd: Path | None = None) -> str:
    """What a process prints whose registry holds one more renderer."""
    script = MORE.replace("{calls!r}", repr(calls))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=cwd
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_renderer_that_is_registered_is_a_choice_of_every_command() -> None:
    commands = ("evaluate", "anatomy", "calibration", "compare", "report")
    text = run(*([command, "--help"] for command in commands))
    assert text.count("table|json|count") == len(commands)


def test_a_renderer_that_is_registered_writes_results() -> None:
    text = run(["anatomy", "--explain", "A201", "--format", "count"])
    assert text.endswith(" parts, 6 values\n")


def test_it_writes_the_result_of_every_command(tmp_path: Path) -> None:
    desk = tmp_path / "desk"
    shutil.copytree(DESK, desk)
    resumed = (
        "evaluate first-la.pt data --view LA --model nets:peaks --trust --out runs/la --uncertainty heatmap "
        "--decode soft-argmax --softargmax-beta 25 --input-size 64x64 --channels 1 --normalize unit "
        "--heatmap-sigma 1.5 --overlays none --resume"
    )
    calls = [
        ["anatomy", "runs/a", "--no-pictures"],
        ["calibration", "runs/a", "--no-pictures"],
        ["compare", "runs/a", "runs/b"],
        ["report", "runs/a"],
        resumed.split(),
    ]
    lines = run(*([*call, "--format", "count"] for call in calls), cwd=desk).splitlines()
    assert len(lines) == len(calls)
    for line in lines:
        parts, values = (int(part.split()[0]) for part in line.split(", "))
        assert parts > 0
        assert values > 0


@dataclass(frozen=True)
class Upper:
    """A renderer that is no part of the product."""

    name: str = "upper"

    def render(self, result: Result) -> str:
        return " ".join(part.text.upper() for part in result.parts(99) if isinstance(part, Line))


def test_a_renderer_takes_the_tables_or_the_values() -> None:
    renderers: tuple[Renderer[Result], ...] = (*FORMATS, Upper())
    assert named(renderers, "upper").render(SOMETHING) == "99 COLUMNS"
    assert file_content(Upper(), SOMETHING) == b"99 COLUMNS"
    printed = named(renderers, "table").render(SOMETHING)
    assert isinstance(printed, str)
    assert printed.splitlines()[1].strip() == "A title"
    assert json.loads(json_bytes(SOMETHING)) == {"a": 1.5, "file": "ü\\xff", "nothing": None}
    assert json_bytes(SOMETHING) == named(renderers, "json").render(SOMETHING)
    assert "ü\\\\xff" in json_bytes(SOMETHING).decode()


@pytest.mark.parametrize("renderer", PIPELINE, ids=lambda renderer: str(renderer.name))
def test_every_renderer_of_a_pipeline_names_the_command(renderer: Renderer[object]) -> None:
    assert b"mahtdiag evaluate" in file_content(renderer, RESULT)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'xml' is not one of 'table', 'json'"):
        named(FORMATS, "xml")


def test_nan_is_no_json() -> None:
    with pytest.raises(ValueError, match="JSON"):
        json_bytes(Result(lambda _: (), lambda: {"a": float("nan")}))
