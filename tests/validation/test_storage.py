"""The study of disks that fail sees what it should, and commands survive a few of its faults."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from validation.storage import INJECTED, JOBS, Job, Study, advised, files_of, prepared, torn
from validation.storage_faults import Commands, Fault

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what a file is called is found in /proc")
TRIED = {"export yolo": 3, "anatomy --csv": 2, "figures --out": 3, "evaluate": 45}
SEEN = {"torn", "status", "silent", "again"}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Commands, Path]]:
    """What forks commands, and a folder with two runs of three images."""
    commands, runs = prepared(tmp_path_factory.mktemp("storage"), ("c", "d"))
    yield commands, runs
    commands.close()


@pytest.mark.parametrize("job", [job for job in JOBS if job.name in TRIED], ids=lambda job: job.name)
def test_commands_survive(bench: tuple[Commands, Path], job: Job) -> None:
    study = Study(job, *bench)
    for fault in INJECTED:
        study.inject(fault, TRIED[job.name])
    assert study.tally.said == []
    assert study.tally.cases >= 10


def test_a_fault_is_where_it_should_be(bench: tuple[Commands, Path], tmp_path: Path) -> None:
    """The step says what is done, and nothing before it goes wrong."""
    typed = "init --template --out m.toml"
    steps = bench[0].run(typed, tmp_path).steps
    kinds = [step.split()[0] for step in steps]
    assert [kind for kind in kinds if kind not in ("unlink", "mkdir")] == [
        *("open", "write", "fsync", "link", "fsync")
    ]
    write = kinds.index("write") + 1
    (tmp_path / "m.toml").unlink()
    ended = bench[0].run(typed, tmp_path, Fault.BROKEN, write)
    assert (ended.status, ended.err) == (
        2,
        "error: --out m.toml: cannot be written (Input/output error); name another file\n",
    )
    assert ended.steps[:write] == [
        step.replace(_process(steps), _process(ended.steps)) for step in steps[:write]
    ]
    assert files_of(tmp_path) == {}


def _process(steps: list[str]) -> str:
    return next(step for step in steps if ".tmp-" in step).partition(".tmp-")[2].partition("-")[0]


def test_a_command_that_does_not_survive_is_seen(bench: tuple[Commands, Path]) -> None:
    """As if the file had to have other content."""
    job = next(job for job in JOBS if job.name == "anatomy --csv")
    study = Study(job, *bench)
    study.reference["out/table.csv"] = b"another"
    study.judge(study.undisturbed, "nowhere", Fault.FULL)
    assert {kind for kind, count in study.tally.faults.items() if count} == {
        "torn",
        "status",
        "silent",
        "again",
    }


def test_a_torn_file_is_seen() -> None:
    earlier, reference = {"a": b"old"}, {"a": b"new", "b/": b"", "run/images.parquet": b"PAR1"}
    assert torn({"a": b"old", "b/": b"", ".tmp-1-a": b"n", "run/.lock": b""}, earlier, reference) == []
    assert torn({"a": b"new", "run/run.json": b"{}"}, earlier, reference) == []
    halves = {"a": b"ne", "run/run.json": b"{", "run/images.parquet": b"PAR", "j.xml": b"<a>", "m.md": b"x"}
    assert torn(halves, earlier, reference) == list(halves)
    linked = {"runs/latest": b"run 1-a", "runs/run 1-a/images.parquet": b"PAR1"}
    whole = {name: content for name, content in linked.items() if name != "runs/latest"}
    assert torn(linked, {}, {**whole, "runs/latest": b"run 2-a"}) == []
    assert torn(linked | {"runs/latest": b"run 2"}, {}, whole) == ["runs/latest"]


def test_what_is_advised_is_told_from_what_is_named() -> None:
    assert advised(["error: --csv a; b: cannot be written; choose another with --out, --resume"]) == [
        *("--out", "--resume")
    ]
