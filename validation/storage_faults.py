"""A file system that fails: what a command asks of it below a folder is counted, and one request goes wrong.

    python -m validation.storage_faults

waits for commands, a line of JSON each (`Command`), and answers each with its exit status. Everything slow is
imported once; each command runs in a process that is forked for it, so that nothing of one reaches the next.
"""

import atexit
import builtins
import errno
import gc
import io
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Any, Final

COMMANDS: Final = ("evaluate", "anatomy", "calibration", "compare", "report", "export", "init")
WARM: Final = (
    "mahtdiag.cli.commands",
    *(f"mahtdiag.cli.{name}" for name in (*COMMANDS, "figures")),
    *(f"mahtdiag.workflows.{name}.job" for name in COMMANDS),
    "mahtdiag.reports.figures.registry",
    "torch._dynamo",
    "torch._refs",
)

ROOT: Final = Path(__file__).parent.parent


class Fault(StrEnum):
    """What goes wrong at a step: for good, once, or by what somebody else does meanwhile."""

    FULL = "full"
    BROKEN = "broken"
    READ_ONLY = "read-only"
    REMOVED = "removed"
    REMOUNTED = "remounted"


ERRORS: Final = {Fault.FULL: errno.ENOSPC, Fault.BROKEN: errno.EIO, Fault.READ_ONLY: errno.EROFS}
_END = os._exit
TAKES_NO_SPACE: Final = ("unlink", "rmdir")


@dataclass(frozen=True, slots=True)
class Command:
    """A command in its folder, below which is counted; `at` 0: nothing goes wrong. Paths are absolute.

    `removed`: the folder that is gone, or the file system that is read-only, from that step on. `log`: gets a
    line for each step.
    """

    arguments: tuple[str, ...]
    folder: str
    out: str
    err: str
    log: str
    fault: Fault = Fault.FULL
    at: int = 0
    removed: str = ""


class FaultyDisk:
    """Stands before the functions of the operating system that write."""

    def __init__(self, job: Command) -> None:
        self._job, self.fault = job, job.fault
        self._steps = 0
        self._acting = False
        self._log = open(job.log, "w", buffering=1, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
        self._raw_open: Callable[..., Any] = io.open
        self._os_open: Callable[..., int] = os.open

    def install(self) -> None:
        """From now on, for this process; nothing is put back."""
        for name in ("mkdir", "unlink", "remove", "rmdir", "truncate", "fsync"):
            setattr(os, name, self._before(name, getattr(os, name), 0))
        for name in ("replace", "rename", "symlink", "link"):
            setattr(os, name, self._before(name, getattr(os, name), 1))
        os.open = self._open_descriptor
        builtins.open = io.open = self._open

    def step(self, kind: str, place: object, dir_fd: int | None = None) -> bool:
        """Counts, and raises where it goes wrong; whether a write is the first that no longer fits."""
        if self._acting or not self._counts(place, dir_fd):
            return False
        self._steps += 1
        self._log.write(f"{kind} {place}\n")
        job = self._job
        if not job.at or self._steps < job.at:
            return False
        if job.fault in (Fault.REMOVED, Fault.REMOUNTED):
            self._act(job)
            return False
        if job.fault is Fault.BROKEN and self._steps > job.at:
            return False
        if job.fault is Fault.FULL and kind in TAKES_NO_SPACE:
            return False
        if kind == "write" and self._steps == job.at:
            return True
        raise OSError(ERRORS[job.fault], os.strerror(ERRORS[job.fault]), str(place))

    def _act(self, job: Command) -> None:
        self._acting = True
        if job.fault is Fault.REMOUNTED:
            # Refused as long as a file is open: then it is done at the next step.
            subprocess.run(["mount", "-o", "remount,ro", job.removed], stderr=subprocess.DEVNULL, check=False)
        elif self._steps == job.at:
            shutil.rmtree(job.removed)
        self._acting = False

    def _counts(self, place: object, dir_fd: int | None) -> bool:
        try:
            if isinstance(place, int):
                place = os.readlink(f"/proc/self/fd/{place}")
            path = os.fsdecode(os.fspath(place))  # type: ignore[call-overload]
            path = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}") if dir_fd else "", path)
            return Path(os.path.abspath(path)).is_relative_to(self._job.folder)
        except OSError:
            return False

    def _before(self, name: str, function: Callable[..., Any], place: int) -> Callable[..., Any]:
        def faulty(*arguments: Any, **named: Any) -> Any:
            self.step(name, arguments[place], named.get("dir_fd"))
            return function(*arguments, **named)

        return faulty

    def _open_descriptor(self, path: Any, flags: int, *more: Any, **named: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            self.step("open", path, named.get("dir_fd"))
        return self._os_open(path, flags, *more, **named)

    def _open(self, file: Any, mode: str = "r", buffering: int = -1, *more: Any, **named: Any) -> Any:
        if isinstance(file, int) or not set(mode) & set("wxa+") or not self._counts(file, None):
            return self._raw_open(file, mode, buffering, *more, **named)
        self.step("open", file)
        buffered = io.BufferedWriter(_FaultyFile(self, file, mode.replace("b", "").replace("t", "")))
        return buffered if "b" in mode else io.TextIOWrapper(buffered, *more, **named)


class _FaultyFile(io.FileIO):
    def __init__(self, disk: FaultyDisk, file: Any, mode: str) -> None:
        super().__init__(file, mode)
        self._disk, self._failed = disk, False

    def write(self, content: Any) -> int:
        """Half of what no longer fits is written, as a disk does."""
        if self._failed or self._disk.step("write", self.name):
            if not self._failed and len(content) > 1:
                self._failed = True
                return super().write(memoryview(content).cast("B")[: len(content) // 2])
            fault = ERRORS[self._disk.fault]
            raise OSError(fault, os.strerror(fault))
        return super().write(content)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, what it said on both streams, and its steps."""

    status: int
    out: str
    err: str
    steps: list[str]

    @property
    def errors(self) -> list[str]:
        """The lines that say what is wrong."""
        return [line for line in self.err.splitlines() if line.startswith("error: ")]

    @property
    def traceback(self) -> bool:
        """Whether it says what no user should read."""
        return any(word in self.err for word in ("Traceback", "internal error", "Exception ignored"))


class Commands:
    """Runs commands, each in a process of its own, that this module forks when it is run."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
        start = [sys.executable, "-m", "validation.storage_faults"]
        self._server = subprocess.Popen(
            start, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        )

    def close(self) -> None:
        """End the process behind it."""
        self._server.communicate()

    def run(
        self, typed: str, folder: Path, fault: Fault = Fault.FULL, at: int = 0, removed: str = ""
    ) -> Ended:
        """A command, something of which may go wrong."""
        out, err, log = (self.scratch / name for name in ("out", "err", "log"))
        words = tuple(typed.split())
        command = Command(words, str(folder), str(out), str(err), str(log), fault, at, removed)
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(f"{json.dumps(asdict(command))}\n")
        self._server.stdin.flush()
        status = int(self._server.stdout.readline())
        said, told, steps = (path.read_text(encoding="utf-8") for path in (out, err, log))
        return Ended(status, said, told, steps.splitlines())


def run(job: Command) -> None:
    """The command in this process, which it ends."""
    for number, place in ((1, job.out), (2, job.err)):
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(job.folder)
    sys.argv = ["mahtdiag", *job.arguments]
    FaultyDisk(job).install()

    from mahtdiag.cli.app import main
    from mahtdiag.runs.folder import FlushLimits

    # Two images make a part of a run, where it is usually hundreds.
    FlushLimits.__init__.__defaults__ = (2, 60.0)
    try:
        main()
    except SystemExit as left:
        # All that an interpreter does at its end but for taking apart what was imported, which takes long.
        gc.collect()
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        _END(left.code if isinstance(left.code, int) else 1)


def serve() -> None:
    """A process for each command."""
    answers = os.dup(1)
    for name in WARM:
        import_module(name)
    gc.freeze()
    for line in sys.stdin:
        process = os.fork()
        if not process:
            said = json.loads(line)
            said |= {"arguments": tuple(said["arguments"]), "fault": Fault(said["fault"])}
            run(Command(**said))
        _, ended = os.waitpid(process, 0)
        os.write(answers, f"{os.waitstatus_to_exitcode(ended)}\n".encode())


if __name__ == "__main__":
    serve()
