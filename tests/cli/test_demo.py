"""`mahtdiag demo`: what it ends with, from a package without the repository around it."""

import csv
import json
import re
import shlex
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mahtdiag.cli.demo import demo_command
from mahtdiag.errors import MahtdiagError
from mahtdiag.reports.text import number, pixels
from mahtdiag.workflows.demo.findings import read_findings
from mahtdiag.workflows.demo.job import STEPS, Step, unpack

from .builders import ROOT
from .command import Desk, Finished, finish, start

RUN_NAME = re.compile(r"\d{8}T\d{6}Z")
MISTAKES = {"0004-M-031Y0.jpg", "0011-M-052Y0.jpg", "0016-F-069Y0.jpg", "0023-F-061Y0.jpg"}
ONE_LEVEL_OFF = "0011-M-052Y0.jpg"
AUDIT = ("anatomy", "3", "--no-pictures", "--format", "json")


@dataclass(frozen=True)
class Shown:
    """The folder of a demo and what it printed."""

    folder: Path
    result: Finished

    @property
    def lines(self) -> list[str]:
        return self.result.text.splitlines()

    @property
    def documents(self) -> list[dict[str, Any]]:
        """Of the runs, in the order in which they were started."""
        found = [json.loads(file.read_text("utf-8")) for file in (self.folder / "runs").glob("*Z-*/run.json")]
        return sorted(found, key=lambda document: str(document["started"]))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package alone, as a wheel installs it."""
    site = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "mahtdiag", site / "mahtdiag", ignore=shutil.ignore_patterns("__pycache__"))
    return site


@pytest.fixture(scope="module")
def shown(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """The demo, once, in a folder of nobody's."""
    desk = tmp_path_factory.mktemp("desk")
    result = finish(start(desk, "demo", "--out", "try/it", PYTHONPATH=str(installed)))
    assert list(desk.iterdir()) == [desk / "try"]
    return Shown(desk / "try" / "it", result)


def test_a_folder_that_is_removed_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    unpacked: list[Path] = []

    def gone(step: Step, out: Path) -> None:
        unpacked.append(Path.cwd())
        shutil.rmtree(tmp_path / out)
        Path.cwd()

    monkeypatch.setattr("mahtdiag.cli.demo._run", gone)
    with pytest.raises(MahtdiagError) as caught:
        demo_command(Path("try"))
    assert caught.value.problems == ("--out try: somebody has removed it meanwhile; start again",)
    assert unpacked == [tmp_path / "try"]


def error_mm(document: dict[str, Any]) -> str:
    found = document["metrics"]["radial_error_mm"]
    low, high = found["ci95"]
    return f"{pixels(found['mean'])} mm ({number(low)} to {number(high)})"


def advised(document: dict[str, Any]) -> tuple[str, str, str]:
    """The check that is first said to be wrong, what it found, and what it advises."""
    wrong = [entry for entry in document["setup"] if entry["status"] == "wrong"]
    entry = next(entry for entry in wrong if entry["check"] != "results")
    return entry["check"], entry["evidence"], entry["advice"]


@pytest.mark.slow
def test_it_ends_in_ten_lines_whose_numbers_are_those_of_the_runs(shown: Shown, installed: Path) -> None:
    assert (shown.result.status, shown.result.errors) == (0, [])
    healthy, short, _ = shown.documents
    failed = [gate["metric"] for gate in short["gates"] if not gate["passed"]]
    assert all(gate["passed"] for gate in healthy["gates"])
    check, evidence, advice = advised(short)
    compared = ("compare", "1", "2", "--margin", "radial_error_mm.mean=0.2", "--format", "json")
    comparison = json.loads(finish(start(shown.folder, *compared, PYTHONPATH=str(installed))).text)
    (judged,) = comparison["judged"]
    anatomy = json.loads(finish(start(shown.folder, *AUDIT, PYTHONPATH=str(installed))).text)
    named = {entry["image"] for entry in anatomy["labels_suspicious"]["images"]}
    named |= {entry["image"] for entry in anatomy["images"] if entry["label_codes"]}
    assert named >= MISTAKES
    low, high = judged["worsening_ci95"]
    assert comparison["verdict"] == "worse"
    assert shown.lines[-10:] == [
        "What was found",
        f"healthy.pt: mean error {error_mm(healthy)}, all 6 gates passed",
        f"short.pt: mean error {error_mm(short)}, {len(failed)} of 6 gates failed:",
        f"  {', '.join(failed[:3])} and {len(failed) - 3} more",
        f"  likeliest cause: {evidence.split(':')[0]} ({check}); {advice.split(',')[0]}",
        f"short.pt is worse by {pixels(judged['worsening'])} mm ({number(low)} to {number(high)}), "
        f"further off in {comparison['worse']['images']} of 28 images",
        f"labels: 4 of 4 planted mistakes found ({len(named - MISTAKES)} of 24 right labels named as well):",
        f"  {', '.join(sorted(MISTAKES))}",
        "open try/it/network.html (the network)",
        "open try/it/labels.html (the labels)",
    ]


@pytest.mark.slow
def test_the_page_on_the_demo_shows_this_end(shown: Shown) -> None:
    page = (ROOT / "docs" / "demo.md").read_text(encoding="utf-8")
    end = "\n".join(shown.lines[-10:]).replace("try/it/", "mahtdiag-demo/")
    assert f"```text\n{end}\n```\n" in page


@pytest.mark.slow
def test_the_healthy_network_is_and_the_other_is_told_to_train_longer(shown: Shown) -> None:
    healthy, short, audit = shown.documents
    assert {entry["status"] for entry in healthy["setup"]} == {"fine"}
    check, evidence, advice = advised(short)
    assert (check, evidence.split(":")[0], advice.split(",")[0]) == (
        "network.heatmaps", "heatmaps are diffuse", "train longer",
    )  # fmt: skip
    assert healthy["metrics"]["radial_error_mm"]["mean"] < 1.5
    assert short["metrics"]["radial_error_mm"]["mean"] > 5.0
    assert [document["checkpoint"]["path"] for document in (healthy, short, audit)] == [
        "healthy.pt", "short.pt", "healthy.pt",
    ]  # fmt: skip


@pytest.mark.slow
def test_rules_find_the_mistakes_but_for_the_one_that_the_network_finds(shown: Shown) -> None:
    with (shown.folder / "planted.csv").open(encoding="utf-8", newline="") as file:
        assert {row["image"] for row in csv.DictReader(file)} == MISTAKES
    with (shown.folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 28
    assert {row["image"] for row in rows if row["status"] == "suspicious"} == MISTAKES - {ONE_LEVEL_OFF}
    page = (shown.folder / "labels.html").read_text(encoding="utf-8")
    assert f"1 image marked one level off as a whole (+1: too low): {ONE_LEVEL_OFF}" in page
    assert "Results are not plausible" in (shown.folder / "network.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_what_is_printed_can_be_typed(
    shown: Shown, command: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In another folder it does the same again, and in the first as well: runs keep their numbers."""
    typed = [line.removeprefix("$ mahtdiag ") for line in shown.lines if line.startswith("$ mahtdiag ")]
    assert shown.lines[0] == "$ cd try/it"
    assert [tuple(shlex.split(line)) for line in typed] == [step.typed for step in STEPS]
    again = tmp_path / "again"
    shutil.copytree(shown.folder, again)
    monkeypatch.chdir(again)
    printed = RUN_NAME.sub("TIME", shown.result.text)
    for step, line in zip(STEPS, typed, strict=True):
        result = command(*shlex.split(line))
        assert (result.status, result.errors) == (step.status, [])
        assert f"# {step.why}\n$ mahtdiag {line}\n{RUN_NAME.sub('TIME', result.text)}\n" in printed


@pytest.mark.slow
def test_a_promise_that_is_not_kept_is_said(shown: Shown, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    shutil.copytree(shown.folder, folder)
    assert read_findings(folder, Path("it")).pages == ("it/network.html", "it/labels.html")
    (folder / "network.html").unlink()
    planted = folder / "planted.csv"
    planted.write_text(f"{planted.read_text('utf-8')}0001-F-050Y0.jpg,nothing\n", "utf-8")
    with pytest.raises(MahtdiagError) as broken:
        read_findings(folder, Path("it"))
    assert broken.value.problems == (
        "it: the demo has not found what it should: the mistake in 0001-F-050Y0.jpg is not seen; "
        "network.html is missing",
    )


def test_a_command_that_ends_otherwise_ends_the_demo(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = (Step.of("All rules", "rules", status=STEPS[1].status), *STEPS)
    monkeypatch.setattr("mahtdiag.workflows.demo.job.STEPS", steps)
    result = desk.run("demo")
    assert (result.status, result.text.splitlines()[:3]) == (
        2, ["$ cd mahtdiag-demo", "", "# All rules"],
    )  # fmt: skip
    assert result.err == "error: mahtdiag-demo: `mahtdiag rules` ended with status 0, where the demo has 1\n"
    assert Path.cwd() == desk.path
    desk.run("demo").refused(
        "--out mahtdiag-demo: is there already, and is left as it is; "
        "type: mahtdiag demo --out mahtdiag-demo-2"
    )


def test_a_folder_that_cannot_be_made(desk: Desk) -> None:
    (desk.path / "file").write_text("")
    result = desk.run("demo", "--out", "file/demo")
    assert (result.status, result.text) == (2, "")
    (line,) = result.err.splitlines()
    assert line.startswith("error: --out file/demo: ")
    assert line.endswith("; name another folder")


def test_ctrl_c(desk: Desk) -> None:
    process = start(desk.path, "demo", "--out", "try")
    assert process.stdout is not None
    while b"$ mahtdiag evaluate short.pt" not in (line := process.stdout.readline()):
        assert line, "it ended before that"
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert (result.status, result.lasting) == (130, ["interrupted"])


def test_the_folder_is_that_of_nobody_else(desk: Desk) -> None:
    """A demo that is there is not written over."""
    unpack(Path("mine"), desk.path)
    before = {file: file.read_bytes() for file in (desk.path / "mine").rglob("*") if file.is_file()}
    desk.run("demo", "--out", "mine").refused(
        "--out mine: is there already, and is left as it is; type: mahtdiag demo --out mine-2"
    )
    assert {file: file.read_bytes() for file in before} == before
