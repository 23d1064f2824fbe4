"""The runs of a folder: which there are, their order, their numbers, and what is no run."""

import shutil
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

from mahtdiag.errors import RunFolderError, UsageError
from mahtdiag.reports.tables.runs import RunsResult, runs_content, runs_parts
from mahtdiag.reports.tables.table import Line, Table, printable
from mahtdiag.runs.folder import RunFolder
from mahtdiag.runs.reading import list_runs, open_run
from mahtdiag.workflows.runs.job import RunsRequest, rank_runs
from tests.runs.builders import header

DESK = Path(__file__).parents[2] / "fixtures" / "runs" / "desk"


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    shutil.copytree(DESK, tmp_path / "desk")
    return tmp_path / "desk"


def ranked(desk: Path, folder: str | None = None, sort: str | None = "radial_error_px.mean") -> RunsResult:
    return rank_runs(RunsRequest(None if folder is None else Path(folder), sort, desk))


def names(result: RunsResult) -> list[str]:
    return [run.run.rpartition("/")[2] for run in result.runs]


def test_best_first_among_runs_of_the_same_images(desk: Path) -> None:
    result = ranked(desk)
    assert names(result) == ["la", "b", "earlier", "a"]
    assert [run.latest for run in result.runs] == [True, False, False, False]
    of_ap = [run.numbers["radial_error_px.mean"].value for run in result.runs[1:]]
    assert of_ap == sorted(of_ap)
    assert result.runs[1].of == result.runs[2].of != result.runs[0].of
    # More is better: the other way round.
    by_rate = [run.numbers["sdr_px.4"].value for run in ranked(desk, sort="sdr_px.4").runs[1:]]
    assert by_rate == sorted(by_rate, reverse=True)
    assert ranked(desk, sort="metrics.sdr_px.4").sort == "sdr_px.4"
    started = [run.started for run in ranked(desk, sort="started").runs[1:]]
    assert started == sorted(started, reverse=True)


def test_without_a_number_to_sort_by_the_first_that_is_known_counts(desk: Path) -> None:
    # Each of the runs knows millimetres.
    assert ranked(desk, sort=None).sort == "radial_error_mm.mean"
    for run in sorted((desk / "runs").iterdir()):
        if run.name != "b":
            shutil.rmtree(run) if not run.is_symlink() and run.is_dir() else run.unlink()
    begun = header().model_copy(update={"started": open_run(Path("runs/b"), desk).document.started})
    RunFolder.create(desk / "runs" / "begun", begun)
    shutil.rmtree(desk / "runs" / "b")
    result = ranked(desk, sort=None)
    assert (result.sort, names(result)) == ("started", ["begun"])
    with pytest.raises(UsageError) as refused:
        ranked(desk, sort="radial_error_px.mean")
    assert str(refused.value) == (
        "--sort radial_error_px.mean: no run in runs has this number; they have no numbers; "
        "--sort started sorts by age"
    )


def test_a_number_of_the_product_that_no_run_has_is_no_misspelling(desk: Path) -> None:
    have = "radial_error_mm.mean, radial_error_px.mean, anatomy.images_with_violations, calibration.mace"
    with pytest.raises(UsageError) as refused:
        ranked(desk, sort="radial_error_input_px.mean")
    assert str(refused.value) == (
        "--sort radial_error_input_px.mean: no run in runs has this number; "
        f"they have {have}; --sort started sorts by age"
    )
    with pytest.raises(UsageError, match=r"has this number; did you mean radial_error_px\.mean\?$"):
        ranked(desk, sort="radial_error_px.maen")


def test_numbers_stay_whatever_the_order(desk: Path) -> None:
    by_error = {run.run: run.number for run in ranked(desk).runs}
    assert by_error == {run.run: run.number for run in ranked(desk, sort="started").runs}
    assert sorted(by_error.values()) == [1, 2, 3, 4]
    for label, number in by_error.items():
        assert open_run(Path(str(number)), desk).path == desk / label
        assert open_run(Path("runs") / str(number), desk).path == desk / label
    # A folder of that name is meant first.
    shutil.copytree(desk / "runs" / "b", desk / "1")
    assert open_run(Path("1"), desk).path == desk / "1"


def test_a_damaged_run_keeps_its_number_where_it_says_when_it_began(desk: Path) -> None:
    before = {run.run: run.number for run in ranked(desk).runs}
    document = desk / "runs" / "a" / "run.json"
    document.write_text(document.read_text(encoding="utf-8").replace('"mean": ', '"mean": 1', 1))
    result = ranked(desk)
    assert {run.run: run.number for run in result.runs} == {k: v for k, v in before.items() if k != "runs/a"}
    (other,) = result.others
    assert (other.path, other.problem.partition(";")[0]) == (
        "runs/a",
        "run.json: changed since the run was finished (checksum)",
    )
    with pytest.raises(RunFolderError, match="changed since"):
        open_run(Path(str(before["runs/a"])), desk)


def test_a_number_of_no_run(desk: Path) -> None:
    for wrong in ("0", "5", "99999999999999999999"):
        with pytest.raises(
            RunFolderError, match=rf"^{wrong}: no run has this number; .* lists 4, from 1 to 4$"
        ):
            open_run(Path(wrong), desk)
    shutil.rmtree(desk / "runs")
    with pytest.raises(RunFolderError, match="no such run folder"):
        open_run(Path("1"), desk)


def test_what_is_no_run_is_named(desk: Path) -> None:
    runs = desk / "runs"
    (runs / "notes").mkdir()
    (runs / ".hidden").mkdir()
    (runs / "of" / "others" / "deep").mkdir(parents=True)
    wrong = {
        "broken": b"{",
        "list": b"[]",
        "foreign": b'{"started": 3, "schema": 1}',
        "dated": b'{"started": "yesterday"}',
        "bytes": b"\xff\xfe\x00",
        "empty": b"",
    }
    for name, text in wrong.items():
        (runs / name).mkdir()
        (runs / name / "run.json").write_bytes(text)
    (runs / "folder" / "run.json").mkdir(parents=True)
    (runs / "loop").symlink_to(runs)
    (runs / "dangling").mkdir()
    (runs / "dangling" / "run.json").symlink_to("nowhere")
    shutil.copytree(runs / "b", runs / "of" / "others" / "edited")
    (runs / "of" / "others" / "edited" / "images.parquet").unlink()
    (runs / "a\nb").mkdir()
    result = ranked(desk)
    assert sorted(names(result)) == ["a", "b", "earlier", "la"]
    others = {other.path: other.problem for other in result.others}
    assert set(others) == {f"runs/{name}" for name in (
        "notes", "broken", "list", "foreign", "dated", "bytes", "empty", "folder", "dangling",
        "of/others/edited", "a\nb")}  # fmt: skip
    assert all(problem and "\n" not in problem for problem in others.values())
    lines = [part.text for part in runs_parts(result) if isinstance(part, Line)]
    assert len(lines) == 8 + 1 + 1
    assert all("\n" not in line for line in lines)
    assert len(runs_content(result)["not_listed"]) == 11  # type: ignore[arg-type]


def test_unfinished_runs_come_last(desk: Path) -> None:
    started = open_run(Path("runs/b"), desk).document.started + timedelta(days=1)
    beginning = open_run(Path("runs/b"), desk).document
    begun = header().model_copy(update={"started": started, "data": beginning.data})
    RunFolder.create(desk / "runs" / "begun", begun)
    result = ranked(desk)
    assert names(result) == ["b", "earlier", "a", "begun", "la"]
    assert [run.finished for run in result.runs] == [True, True, True, False, True]
    tables = [part for part in runs_parts(result) if isinstance(part, Table)]
    cells = [cell.text for part in tables for row in part.rows for cell in row.cells]
    assert "begun (unfinished, 0 of 13)" in cells


def test_what_cannot_be_listed(desk: Path) -> None:
    for folder, problem in (
        ("nothing", "nothing: no such folder"),
        ("runs/a", "runs/a: a run itself"),
        ("data", "data: no run in it"),
        ("now.toml", "now.toml: not a folder; name the one that holds the runs"),
    ):
        with pytest.raises(RunFolderError, match=problem):
            ranked(desk, folder)
    with pytest.raises(
        UsageError, match=r"--sort radial_error_px\.maen: .*; did you mean radial_error_px\.mean\?"
    ):
        ranked(desk, sort="radial_error_px.maen")
    with pytest.raises(UsageError, match=r"they have .*; --sort started sorts by age"):
        ranked(desk, sort="zzzzzz")


def test_tables_are_for_80_columns_and_name_what_comes_next(desk: Path) -> None:
    parts = [*runs_parts(ranked(desk))]
    assert isinstance(parts[-1], Line)
    number = {run.run: run.number for run in ranked(desk).runs}
    assert parts[-1].text == f"next: mahtdiag compare {number['runs/earlier']} {number['runs/b']}"
    shutil.move(desk / "runs", desk / "my runs")
    last = [*runs_parts(ranked(desk, "my runs"))][-1]
    assert isinstance(last, Line)
    assert last.text == "next: mahtdiag compare 'my runs/1' 'my runs/3'"
    assert open_run(Path("my runs/3"), desk).path == desk / "my runs" / "b"


def test_runs_of_two_spacings_are_not_offered_to_compare(desk: Path) -> None:
    result = ranked(desk)
    la, b, earlier, a = result.runs
    told = replace(result, runs=(la, replace(b, spacing_mm=0.2), earlier, replace(a, spacing_mm=0.2)))
    last = [*runs_parts(told)][-1]
    assert isinstance(last, Line)
    assert last.text == f"next: mahtdiag compare {a.number} {b.number}"
    told = replace(result, runs=(la, replace(b, spacing_mm=0.2), replace(earlier, spacing_mm=0.1), a))
    assert not any(isinstance(part, Line) and "next:" in part.text for part in runs_parts(told))


def test_every_column_that_is_shown_can_be_sorted_by(desk: Path) -> None:
    newest = [run.run for run in ranked(desk, sort="started").runs]
    assert [run.run for run in ranked(desk, sort="date").runs] == newest
    for heading, name in (
        ("mean px", "radial_error_px.mean"), ("mean mm", "radial_error_mm.mean"),
        ("MACE", "calibration.mace"),
        ("impossible %", "anatomy.images_with_violations"), ("#", "number"), ("gates failed", "gates"),
        ("run", "run"), ("checkpoint", "checkpoint"),
    ):  # fmt: skip
        assert ranked(desk, sort=heading).sort == name
    _, *of_ap = ranked(desk, sort="run").runs
    assert [run.run for run in of_ap] == sorted(run.run for run in of_ap)
    _, *of_ap = ranked(desk, sort="gates").runs
    failed = [len(run.gates_failed) for run in of_ap]
    assert failed == sorted(failed)
    assert len(set(failed)) > 1


@pytest.mark.parametrize("name", ["20261121T101500Z-mahtnet-ap", "x" * 120])
def test_names_of_runs_stay_in_their_line(desk: Path, name: str) -> None:
    """Without room the checkpoint is left out first, and then the name is shortened in the middle."""
    (desk / "runs" / "a").rename(desk / "runs" / name)
    for wide in (80, 200):
        printed = _printed_at(desk, wide)
        assert max(map(len, printed.splitlines())) <= wide
        begun = [line for line in printed.splitlines() if name[:6] in line]
        assert len(begun) == 1
        assert (name in begun[0]) is (len(name) < wide - 45)


def _printed_at(desk: Path, wide: int) -> str:
    console = Console(width=wide, no_color=True)
    with console.capture() as printed:
        console.print(printable(runs_parts(ranked(desk), wide)))
    return printed.get()


@pytest.mark.slow
def test_a_hundred_runs_in_seconds(desk: Path) -> None:
    for number in range(100):
        shutil.copytree(desk / "runs" / "a", desk / "many" / f"run-{number}")
    begun = time.perf_counter()
    assert len(ranked(desk, "many").runs) == 100
    listing = time.perf_counter() - begun
    assert len(list_runs(desk / "many")) == 100
    assert listing < 10.0
