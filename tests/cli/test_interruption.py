"""Ctrl-C and worse, at many moments: the run folder stays readable, and --resume completes it."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mahtdiag.runs.reading import open_run

from . import networks
from .builders import INPUT_OPTIONS
from .command import Desk, Finished, columns_of, document_of, finish, start

SLOW = ("--model", "nets:slow", "--trust", *INPUT_OPTIONS, "--batch-size", "1", "--overlays", "none")
PAUSE = "0.3"
READABLE = "interrupted; run is readable and can be finished with --out run --resume"
PATIENCE_SECONDS = 60.0


def wait_until(happened: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    """Until then, but not for ever, and not once the process has ended."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert process.poll() is None, "it ended before that"
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def interrupted_at(desk: Desk, mark: str, number: int = signal.SIGINT) -> Finished:
    """A slow run in a process of its own, sent a signal when it has left a mark."""
    marks = desk.path / "marks"
    marks.mkdir()
    more = {networks.PAUSE: PAUSE, networks.MARKS: str(marks)}
    process = start(desk.path, "evaluate", "lookup-ap.pt", "data", *SLOW, "--out", "run", **more)
    wait_until((marks / mark).exists, process)
    process.send_signal(number)
    return finish(process)


def tables_of(run: Path) -> tuple[bytes, bytes]:
    return (run / "images.parquet").read_bytes(), (run / "keypoints.parquet").read_bytes()


def numbers_of(run: Path) -> dict[str, Any]:
    """`run.json` less what tells when and on what it was made."""
    document = document_of(run)
    return {key: value for key, value in document.items() if key not in ("started", "seconds", "environment")}


def resumed_as_if_nothing_had_been(desk: Desk, *options: str) -> Finished:
    """Resume `run`, and compare it with an uninterrupted one."""
    result = desk.run("evaluate", "lookup-ap.pt", "data", *SLOW, *options, "--out", "run", "--resume")
    assert (result.status, result.errors) == (0, [])
    assert desk.run("evaluate", "lookup-ap.pt", "data", *SLOW, *options, "--out", "whole").status == 0
    assert tables_of(desk.path / "run") == tables_of(desk.path / "whole")
    assert numbers_of(desk.path / "run") == numbers_of(desk.path / "whole")
    left = {path.name for path in (desk.path / "run").iterdir()} - {"overlays"}
    assert left == {"run.json", "images.parquet", "keypoints.parquet"}
    return result


@pytest.mark.parametrize(
    ("mark", "number", "done"),
    [("image-1", signal.SIGINT, 1), ("image-5", signal.SIGINT, 5), ("image-3", signal.SIGTERM, 3)],
)
def test_interrupted_between_images(desk: Desk, mark: str, number: int, done: int) -> None:
    result = interrupted_at(desk, mark, number)
    assert (result.status, result.text, result.errors) == (130, "", [READABLE])
    run = open_run(Path("run"), desk.path)
    assert run.document.status == "interrupted"
    assert run.document.images.total == 6
    assert run.document.images.evaluated == len(run.table()) == done
    assert not (desk.path / "runs/latest").exists()
    result = resumed_as_if_nothing_had_been(desk)
    assert (desk.path / "runs/latest").exists()
    if done == 5:
        assert "evaluating: 6/6" in result.err


def test_killed(desk: Desk) -> None:
    result = interrupted_at(desk, "image-3", signal.SIGKILL)
    assert result.status == -signal.SIGKILL
    assert open_run(Path("run"), desk.path).document.status == "interrupted"
    resumed_as_if_nothing_had_been(desk)


def test_interrupted_before_there_is_a_run(desk: Desk) -> None:
    """The first forward pass, on a black image, tells the heatmaps' size."""
    result = interrupted_at(desk, "first-0")
    assert (result.status, result.text, result.err) == (130, "", "interrupted\n")
    assert not (desk.path / "run").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_while_the_setup_is_looked_at(desk: Desk, number: int) -> None:
    """The first images pass the network before there is a run folder, and no half of one is left."""
    result = interrupted_at(desk, "first-3", number)
    assert (result.status, result.text, result.err) == (130, "", "interrupted\n")
    assert not (desk.path / "run").exists()
    assert not (desk.path / "runs").exists()


def test_interrupted_while_a_run_is_resumed(desk: Desk) -> None:
    """What the run holds is kept, whether it is the closer look or the evaluation that was interrupted."""
    assert interrupted_at(desk, "image-4").status == 130
    marks = desk.path / "later"
    marks.mkdir()
    more = {networks.PAUSE: PAUSE, networks.MARKS: str(marks)}
    process = start(desk.path, "evaluate", "lookup-ap.pt", "data", *SLOW, "--out", "run", "--resume", **more)
    wait_until((marks / "image-1").exists, process)
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert (result.status, result.text) == (130, "")
    run = open_run(Path("run"), desk.path)
    assert (run.document.status, len(run.table())) == ("interrupted", 4)
    resumed_as_if_nothing_had_been(desk)


def test_no_import_swallows_an_interruption(desk: Desk) -> None:
    """As compiled modules do that make a cause of their own of whatever is raised, or abort."""
    (desk.path / "slow.py").write_text(
        "import pathlib, time\npathlib.Path('importing').touch()\n"
        "try:\n    time.sleep(0.5)\nexcept BaseException:\n    pathlib.Path('swallowed').touch()\n",
        encoding="utf-8",
    )
    model = ("--model", "slow:make", "--trust", *INPUT_OPTIONS)
    process = start(desk.path, "evaluate", "lookup-ap.pt", "data", *model, "--out", "run")
    wait_until((desk.path / "importing").exists, process)
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert (result.status, result.text, result.err) == (130, "", "interrupted\n")
    assert not (desk.path / "swallowed").exists()


def test_interrupted_while_importing(desk: Desk) -> None:
    (desk.path / "torch.py").write_text(
        "import pathlib, time\npathlib.Path('importing').touch()\ntime.sleep(60)\n", encoding="utf-8"
    )
    process = start(desk.path, "evaluate", "lookup-ap.pt", "data", *SLOW, "--out", "run")
    wait_until((desk.path / "importing").exists, process)
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert (result.status, result.text, result.err) == (130, "", "interrupted\n")
    assert not (desk.path / "run").exists()


def test_interrupted_while_drawing(desk: Desk) -> None:
    """All images are evaluated then: the tables are there, the overlays are drawn again."""
    options = ("--model", "nets:slow_pictures", "--overlays", "all")
    process = start(
        desk.path,
        "evaluate",
        "lookup-ap.pt",
        "data",
        *SLOW,
        *options,
        "--out",
        "run",
        **{networks.PAUSE: "1"},
    )
    wait_until(lambda: any(desk.path.glob("run/overlays/0*.png")), process)
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert (result.status, result.text, result.errors) == (130, "", [READABLE])
    assert open_run(Path("run"), desk.path).document.images.evaluated == 6
    assert len(list((desk.path / "run/overlays").glob("*.png"))) < 6
    result = resumed_as_if_nothing_had_been(desk, *options)
    for folder in ("run", "whole"):
        assert len(list((desk.path / folder / "overlays").glob("*.png"))) == 6
    assert result.text.splitlines()[-1] == "run folder: run, 6 overlays in run/overlays"


@pytest.mark.parametrize("network", ["loses", "turns"])
def test_an_interruption_is_not_lost(desk: Desk, network: str) -> None:
    """Where it falls into a finaliser, or a library makes another error of it."""
    process = start(
        desk.path, "evaluate", "lookup-ap.pt", "data", *SLOW, "--model", f"nets:{network}", "--out", "run"
    )
    result = finish(process)
    assert (result.status, result.text) == (130, "")
    assert result.errors == [READABLE if network == "loses" else "interrupted"]
    assert open_run(Path("run"), desk.path).document.status == "interrupted"


def test_the_second_interruption_ends_it_at_once(desk: Desk) -> None:
    """Whatever a library does with the first."""
    more = {networks.MARKS: str(desk.path)}
    process = start(
        desk.path,
        "evaluate",
        "lookup-ap.pt",
        "data",
        *SLOW,
        "--model",
        "nets:swallows",
        "--out",
        "run",
        **more,
    )
    wait_until((desk.path / "swallowed").exists, process)
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert (result.status, result.text, result.errors) == (130, "", ["interrupted"])
    assert open_run(Path("run"), desk.path).document.status == "interrupted"


def test_who_is_told_to_ignore_ctrl_c_ignores_it(desk: Desk) -> None:
    """As a shell tells a command that a script puts into the background."""
    marks = desk.path / "marks"
    marks.mkdir()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        more = {networks.PAUSE: "0.1", networks.MARKS: str(marks)}
        process = start(desk.path, "evaluate", "lookup-ap.pt", "data", *SLOW, "--out", "run", **more)
        wait_until((marks / "image-2").exists, process)
        process.send_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert finish(process).status == 0
    assert document_of(desk.path / "run")["images"]["evaluated"] == 6


class Stopper:
    """Raises at one call of a function of the operating system, and counts them."""

    def __init__(self, function: Callable[..., object], at: int, error: BaseException) -> None:
        self.function, self.at, self.error = function, at, error
        self.calls = 0

    def __call__(self, *arguments: object, **named: object) -> object:
        """The function itself, but for one call."""
        self.calls += 1
        if self.calls == self.at:
            raise self.error
        return self.function(*arguments, **named)


# What a run calls to write, and which of its calls are tried: all of them, or every third to save time.
STEPS = {
    "before a file is synced": ("fsync", 3),
    "before it gets its name": ("replace", 1),
    "before a file is removed": ("unlink", 3),
    "before a folder is removed": ("rmdir", 1),
}


def make_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write two images at a time, so that a few images make several parts; overlays cost no time."""

    def short_limits(self: object, images: int = 2, seconds: float = 60.0) -> None:
        object.__setattr__(self, "images", images)
        object.__setattr__(self, "seconds", seconds)

    monkeypatch.setattr("mahtdiag.runs.folder.FlushLimits.__init__", short_limits)
    monkeypatch.setattr("mahtdiag.reports.overlay.draw.draw_overlay", lambda *_, **__: b"an overlay")


def one_more(desk: Desk, name: str) -> Finished:
    """A fresh run of one image a batch, written batch by batch."""
    return desk.run("evaluate", "lookup-ap.pt", "data", *SLOW, "--overlays", "worst:1", "--out", name)


@pytest.mark.parametrize("step", STEPS)
def test_interrupted_at_every_step_of_writing(desk: Desk, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """What is there can be read, and finished to the same bytes."""
    make_small_steps(monkeypatch)
    function, stride = STEPS[step]
    original = getattr(os, function)
    counter = Stopper(original, 0, KeyboardInterrupt())
    with monkeypatch.context() as patch:
        patch.setattr(os, function, counter)
        assert one_more(desk, "whole").status == 0
    assert counter.calls >= 1
    for call in range(1, counter.calls + 1, stride):
        name = f"run-{call}"
        with monkeypatch.context() as patch:
            patch.setattr(os, function, Stopper(original, call, KeyboardInterrupt()))
            result = one_more(desk, name)
        assert (result.status, result.text) == (130, ""), call
        assert result.errors[-1].startswith("interrupted"), call
        started = (desk.path / name / "run.json").exists()
        if started:
            open_run(Path(name), desk.path).table()
        options = ("--overlays", "worst:1", "--out", name, *(("--resume",) if started else ()))
        result = desk.run("evaluate", "lookup-ap.pt", "data", *SLOW, *options)
        assert (result.status, result.errors) == (0, []), call
        assert tables_of(desk.path / name) == tables_of(desk.path / "whole"), call
        assert numbers_of(desk.path / name) == numbers_of(desk.path / "whole"), call


def test_no_space_left_at_every_step_of_writing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line and status 2; with space again, the same bytes as without the trouble."""
    make_small_steps(monkeypatch)
    original = os.fsync
    counter = Stopper(original, 0, KeyboardInterrupt())
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", counter)
        assert one_more(desk, "whole").status == 0
    for call in range(1, counter.calls + 1):
        name = f"run-{call}"
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", Stopper(original, call, OSError(28, "No space left on device")))
            result = one_more(desk, name)
        if result.status == 0:
            # Folders that cannot be synced, and the name of the latest run, are worth a note at most.
            assert tables_of(desk.path / name) == tables_of(desk.path / "whole"), call
            continue
        assert (result.status, result.text) == (2, ""), call
        started = (desk.path / name / "run.json").exists()
        advice = "finish with --resume" if started else "start again"
        (error,) = result.errors
        where, _, problem = error.removeprefix("error: ").partition(": ")
        assert problem == f"no space left on the device; free some and {advice}", call
        assert where == name or where.startswith(f"{name}/overlays/"), call
        again = ("--resume",) if started else ()
        result = desk.run(
            "evaluate", "lookup-ap.pt", "data", *SLOW, "--overlays", "worst:1", "--out", name, *again
        )
        assert (result.status, result.errors) == (0, []), call
        assert tables_of(desk.path / name) == tables_of(desk.path / "whole"), call


def test_a_damaged_part_is_evaluated_again(desk: Desk) -> None:
    """A disk that lost what it had promised to keep."""
    assert interrupted_at(desk, "image-4").status == 130
    (part, *_) = sorted((desk.path / "run/parts/keypoints").glob("*.parquet"))
    part.write_bytes(part.read_bytes()[:100])
    resumed_as_if_nothing_had_been(desk)
    assert columns_of(desk.path / "run/images.parquet")["status"] == ["ok"] * 6


def test_a_run_has_one_writer_at_a_time(desk: Desk) -> None:
    """While one process resumes a run, another one may not; once it is gone, however it went, it may."""
    interrupted_at(desk, "image-1")
    marks = desk.path / "later"
    marks.mkdir()
    more = {networks.PAUSE: PAUSE, networks.MARKS: str(marks)}
    resume = ("evaluate", "lookup-ap.pt", "data", *SLOW, "--out", "run", "--resume")
    process = start(desk.path, *resume, **more)
    wait_until((marks / "image-1").exists, process)
    desk.run(*resume).refused(
        "run: another process is writing this run; let it finish, or choose another --out"
    )
    process.kill()
    finish(process)
    resumed_as_if_nothing_had_been(desk)
