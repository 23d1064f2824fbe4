"""A run too large for memory is read and judged in parts, and nothing that is said of it depends on that."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mahtdiag.diagnosis import run_table
from mahtdiag.runs import reading

from .command import Finished
from .test_stored_runs import COMMANDS, FIXTURES
from .transcripts import files_of, same, transcript


@pytest.mark.parametrize(
    "name",
    [
        "anatomy-a-json",
        "anatomy-b",
        "anatomy-la-json",
        "anatomy-earlier",
        "calibration-a-json",
        "calibration-b-json",
        "calibration-la",
        "calibration-earlier-json",
        "compare-a-b-json",
        "compare-b-a-margins",
        "compare-three",
        "report-a-settings",
        "evaluate-la-json",
    ],
)
def test_runs_in_parts_give_what_whole_ones_give(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., Finished]
) -> None:
    monkeypatch.setattr(reading, "IMAGES_HELD", 0)
    monkeypatch.setattr(run_table, "IMAGES_AT_ONCE", 3)
    folder = tmp_path / "desk"
    shutil.copytree(FIXTURES / "desk", folder)
    monkeypatch.chdir(folder)
    before, arguments = files_of(folder), COMMANDS[name]
    found = transcript(folder, before, arguments, command(*arguments))
    expected = (FIXTURES / "expected" / f"{name}.txt").read_text(encoding="utf-8")
    if not same(found, expected):
        assert found == expected
