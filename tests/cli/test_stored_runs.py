"""Run folders written by earlier versions are read, compared and reported as when they were written.

`tests/fixtures/runs` says what they hold and how the expected texts are recorded.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from .command import Finished
from .transcripts import files_of, same, transcript

FIXTURES = Path(__file__).parents[1] / "fixtures" / "runs"
RECORD = "RECORD_STORED_RUNS"
CI = ("--junit", "ci.xml", "--markdown", "ci.md")
JSON = ("--format", "json")
PLAIN = "--no-pictures"
RESUMED = (
    "evaluate", "first-la.pt", "data", "--view", "LA", "--model", "nets:peaks", "--trust", "--out", "runs/la",
    "--uncertainty", "heatmap", "--decode", "soft-argmax", "--softargmax-beta", "25", "--input-size", "64x64",
    "--channels", "1", "--normalize", "unit", "--heatmap-sigma", "1.5", "--overlays", "none", "--resume",
)  # fmt: skip

COMMANDS = {
    "anatomy-a": ("anatomy", "runs/a", "--csv", "ranking.csv", *CI),
    "anatomy-a-json": ("anatomy", "runs/a", *JSON, PLAIN),
    "anatomy-a-select": ("anatomy", "runs/a", "--select", "A2,A4", "--ignore", "A201", PLAIN),
    "anatomy-a-limits": ("anatomy", "runs/a", "--config", "now.toml", PLAIN, *CI),
    "anatomy-b": ("anatomy", "runs/b", "--overlays", "worst:2", "--csv", "ranking.csv", *CI),
    "anatomy-b-json": ("anatomy", "runs/b", *JSON, PLAIN),
    "anatomy-la": ("anatomy", PLAIN, "--csv", "ranking.csv", *CI),
    "anatomy-la-json": ("anatomy", "runs/la", *JSON, PLAIN),
    "anatomy-earlier": ("anatomy", "runs/earlier", PLAIN, "--csv", "ranking.csv"),
    "anatomy-earlier-json": ("anatomy", "runs/earlier", *JSON, PLAIN),
    "anatomy-labels": ("anatomy", "--labels", "data", "--view", "LA", "--csv", "ranking.csv", *CI),
    "anatomy-labels-json": ("anatomy", "--labels", "data", "--view", "AP", *JSON),
    "calibration-a": ("calibration", "runs/a", "--fit", "factors.json", "--factors", "core", *CI),
    "calibration-a-refused": ("calibration", "runs/a", "--fit", "factors.json", PLAIN),
    "calibration-a-json": ("calibration", "runs/a", *JSON, PLAIN),
    "calibration-a-settings": ("calibration", "runs/a", "--config", "now.toml", PLAIN, *CI),
    "calibration-b": ("calibration", "runs/b", PLAIN, *CI),
    "calibration-b-json": ("calibration", "runs/b", *JSON, PLAIN),
    "calibration-la": ("calibration", PLAIN, "--fit", "factors.json", "--factors", "likelihood", *CI),
    "calibration-la-json": ("calibration", "runs/la", *JSON, PLAIN),
    "calibration-earlier": ("calibration", "runs/earlier", PLAIN),
    "calibration-earlier-json": ("calibration", "runs/earlier", *JSON, PLAIN),
    "compare-a-b": ("compare", "runs/a", "runs/b", *CI),
    "compare-a-b-json": ("compare", "runs/a", "runs/b", *JSON),
    "compare-a-b-strict": ("compare", "runs/a", "runs/b", "--strict", *CI),
    "compare-b-a": ("compare", "runs/b", "runs/a", "--out", "drawn", "--overlays", "worst:2", *CI),
    "compare-b-a-margins": (
        "compare", "runs/b", "runs/a", "--strict", "--margin", "radial_error_px.mean=9", "--margin",
        "sdr_mm.4=20 %", "--margin", "anatomy.by_code.A501.images=4", "--margin",
        "vertebrae.L5.radial_error_px.mean=0.5", "--margin", "calibration.mace=0.02",
        "--margin", "by_corner.UL=0.1", *CI,
    ),
    "compare-b-a-settings": ("compare", "runs/b", "runs/a", "--config", "now.toml", *JSON),
    "compare-three": ("compare", "runs/earlier", "runs/a", "runs/b", *CI),
    "compare-three-json": ("compare", "runs/a", "runs/earlier", "runs/b", *JSON),
    "compare-earlier-losses": ("compare", "runs/earlier", "runs/a", "--margin", "losses.coord=1e-3"),
    "compare-views": ("compare", "runs/a", "latest"),
    "report-a": ("report", "runs/a"),
    "report-a-settings": ("report", "runs/a", "--config", "now.toml", "--images", "worst:3", *JSON),
    "report-b": ("report", "runs/b", "--out", "b.html"),
    "report-la": ("report",),
    "report-earlier": ("report", "runs/earlier", "--images", "none"),
    "init-a": ("init", "runs/a"),
    "init-b": ("init", "runs/b", "--margin", "25%"),
    "init-la": ("init",),
    "init-earlier": ("init", "runs/earlier"),
    "evaluate-la": (*RESUMED, *CI),
    "evaluate-la-json": (*RESUMED, *JSON),
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_whole_output_and_status(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., Finished]
) -> None:
    folder = tmp_path / "desk"
    shutil.copytree(FIXTURES / "desk", folder)
    monkeypatch.chdir(folder)
    before, arguments = files_of(folder), COMMANDS[name]
    found = transcript(folder, before, arguments, command(*arguments))
    path = FIXTURES / "expected" / f"{name}.txt"
    if RECORD in os.environ:
        path.write_text(found, encoding="utf-8")
    expected = path.read_text(encoding="utf-8")
    if not same(found, expected):
        assert found == expected


def test_every_expected_text_has_its_command() -> None:
    assert {path.stem for path in (FIXTURES / "expected").iterdir()} == COMMANDS.keys()
