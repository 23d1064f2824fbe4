"""Runs many inputs in a process of its own, within limits, and starts another where one hangs or dies."""

import contextlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final

from fuzz.mutations import Change, Folder, Link
from fuzz.targets import Target, sleap_in_this_process, target_of
from fuzz.watch import watched

# Of the processor, for one input that is a few kilobytes large.
MOST_SECONDS: Final = 5
MOST_GROWTH_MB: Final = 1024
# Of a clock: a process that is silent for so long hangs where Python cannot interrupt it.
_SILENT_SECONDS: Final = 200
# Its files are read by a process of their own; here, mostly not, which is faster.
APART: Final = "sleap"
ROOT: Final = Path(__file__).parents[1]


class TooSlowError(BaseException):
    """An input took longer than `MOST_SECONDS`. No handler of errors may swallow it."""


@dataclass(frozen=True)
class Fault:
    """What an input did that none may do: `fuzz TARGET --seed SEED --only NUMBER` does it again."""

    number: int
    kind: str
    detail: str


@dataclass
class Outcome:
    """How the inputs of a target ended."""

    target: str
    inputs: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    slowest_seconds: float = 0.0
    growth_mb: float = 0.0
    seconds: float = 0.0


def rng_of(target: str, seed: int, number: int) -> random.Random:
    """The chance of one input, whatever was run before it."""
    return random.Random(f"{target} {seed} {number}")


class InputFolder:
    """The valid files of a target in a folder, a few of them changed for one input at a time."""

    def __init__(self, target: Target, folder: Path) -> None:
        self.files = target.files
        self.folder = folder
        for name in self.files:
            self.put(name, self.files[name])

    @contextlib.contextmanager
    def changed(self, changes: Mapping[str, Change]) -> Iterator[Path]:
        """The folder with these changes, which are taken back."""
        try:
            for name, change in changes.items():
                self.put(name, change)
            yield self.folder
        finally:
            for name in changes:
                self.put(name, self.files.get(name))

    def put(self, name: str, content: Change) -> None:
        """Have this in the place of a file, nothing where it is None."""
        path = self.folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif os.path.lexists(path):
            path.unlink()
        if content is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Folder):
            path.mkdir()
        elif isinstance(content, Link):
            path.symlink_to(content)
        else:
            path.write_bytes(content)


def run_input(target: Target, inputs: InputFolder, seed: int, number: int) -> tuple[str, Fault | None, float]:
    """One input: how it ended, its fault, and the memory it took, MB."""
    rng = rng_of(target.name, seed, number)
    changes = target.changes(rng)
    before = _peak_mb(begin=True)
    with inputs.changed(changes) as folder:
        try:
            with _limited(), watched() as done:
                answer = target.read(folder, rng)
        except TooSlowError:
            return "fault", Fault(number, "hangs", f"more than {MOST_SECONDS} s of the processor"), 0.0
        except Exception as error:
            said = traceback.format_exc(limit=-4)
            return "fault", Fault(number, type(error).__name__, said), 0.0
    if done:
        return "fault", Fault(number, "leaves its folder", done[0]), 0.0
    growth = _peak_mb() - before - _size_mb(changes)
    if growth > MOST_GROWTH_MB:
        return "fault", Fault(number, "memory", f"{growth:.0f} MB"), growth
    return answer, None, growth


@dataclass
class Spent:
    """What was taken: processor time, and the most memory beyond what there was before."""

    seconds: float = 0.0
    mb: float = 0.0


@contextlib.contextmanager
def measured() -> Iterator[Spent]:
    """What the block takes, once it is left."""
    spent, before, began = Spent(), _peak_mb(begin=True), time.process_time()
    try:
        yield spent
    finally:
        spent.seconds, spent.mb = time.process_time() - began, _peak_mb() - before


def _size_mb(changes: Mapping[str, Change]) -> float:
    """What was given to read, which may be held once."""
    return sum(len(change) for change in changes.values() if isinstance(change, bytes)) / 2**20


def _peak_mb(*, begin: bool = False) -> float:
    """The most memory of this process, since its last `begin` where the system can tell."""
    try:
        if begin:
            Path("/proc/self/clear_refs").write_text("5")
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
    except (OSError, ValueError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    def stop(_: int, __: FrameType | None) -> None:
        raise TooSlowError

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def work(name: str, seed: int, first: int, end: int, *, as_users_do: bool = False) -> None:
    """Run inputs in this process; a line of JSON to standard output for each, before and after it."""
    target = target_of(name)
    out = os.fdopen(os.dup(1), "w", buffering=1)
    with tempfile.TemporaryDirectory() as place, tempfile.TemporaryFile() as said:
        # What libraries write to the terminal is no answer, whichever way they take.
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
        inputs = InputFolder(target, Path(place) / "set")
        written = 0
        with contextlib.nullcontext() if as_users_do else sleap_in_this_process():
            # The first look loads libraries.
            with contextlib.suppress(Exception):
                target.read(inputs.folder, rng_of(name, seed, -1))
            for number in range(first, end):
                out.write(json.dumps({"begins": number}) + "\n")
                began = time.process_time()
                answer, fault, grown = run_input(target, inputs, seed, number)
                took = time.process_time() - began
                sys.stderr.flush()
                if target.is_silent and fault is None and (size := os.fstat(said.fileno()).st_size) > written:
                    said.seek(written)
                    fault = Fault(number, "writes to the terminal", repr(said.read(300)))
                    written = size
                line: dict[str, Any] = {"answer": answer, "took": took, "mb": grown}
                line["fault"] = None if fault is None else [fault.number, fault.kind, fault.detail]
                out.write(json.dumps(line) + "\n")


def run_target(name: str, seed: int, inputs: int, first: int = 0) -> Outcome:
    """All inputs of a target; a process that hangs or dies is a fault of the input it was at."""
    outcome = Outcome(name)
    began = time.monotonic()
    end = first + inputs
    while first < end:
        ended = _run_process(outcome, seed, first, end)
        first = ended.following
        if ended.badly and name == APART:
            _again_as_users_do(outcome, seed, first - 1)
    outcome.seconds = time.monotonic() - began
    return outcome


def _again_as_users_do(outcome: Outcome, seed: int, number: int) -> None:
    """An input that ended the process counts as users see it: they have another process read such files."""
    again = Outcome(outcome.target)
    _run_process(again, seed, number, number + 1, "--as-users-do")
    if not again.faults:
        outcome.faults.pop()
        outcome.answers.update(again.answers)


@dataclass(frozen=True)
class _Ended:
    """Where a process ended: the number of the following input, and whether the last one ended it."""

    following: int
    badly: bool = False


def _run_process(outcome: Outcome, seed: int, first: int, end: int, *options: str) -> _Ended:
    """Inputs until the last, or until one ends the process."""
    command = [
        sys.executable,
        "-m",
        "fuzz",
        outcome.target,
        "--seed",
        str(seed),
        "--work",
        str(first),
        str(end),
        *options,
    ]
    found = os.pathsep.join((str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])))
    environment = {**os.environ, "PYTHONPATH": found, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, bufsize=0) as process:
        return _follow(process, outcome, first, end)


def _follow(process: "subprocess.Popen[bytes]", outcome: Outcome, first: int, end: int) -> _Ended:
    assert process.stdout is not None
    at = first - 1
    os.set_blocking(process.stdout.fileno(), False)
    waiting, heard = b"", time.monotonic()
    while True:
        chunk = process.stdout.read(65536)
        if chunk:
            heard = time.monotonic()
            *lines, waiting = (waiting + chunk).split(b"\n")
            for line in lines:
                at = _take(outcome, json.loads(line), at)
        elif chunk == b"" or process.poll() is not None:
            break
        elif time.monotonic() - heard > _SILENT_SECONDS:
            process.kill()
            outcome.faults.append(Fault(at, "hangs", f"no word for {_SILENT_SECONDS} s"))
            outcome.inputs += 1
            process.wait()
            return _Ended(at + 1, badly=True)
        else:
            time.sleep(0.02)
    if process.wait() != 0:
        outcome.faults.append(Fault(at, "dies", f"exit status {process.returncode}"))
        outcome.inputs += 1
        return _Ended(at + 1, badly=True)
    return _Ended(end)


def _take(outcome: Outcome, line: Mapping[str, Any], at: int) -> int:
    if "begins" in line:
        return int(line["begins"])
    outcome.inputs += 1
    outcome.answers[line["answer"]] += 1
    outcome.slowest_seconds = max(outcome.slowest_seconds, line["took"])
    outcome.growth_mb = max(outcome.growth_mb, line["mb"])
    if line["fault"] is not None:
        outcome.faults.append(Fault(*line["fault"]))
    return at
