"""Hostile checkpoints through the real commands, each in a process of its own, within limits.

    python -m fuzz.hostile_commands [NAME …]

Every file is given to `evaluate` and `inspect`, without `--trust`. The exit status is 1
where one of them ends in anything but its answer or one short line for each problem, takes more than 5
seconds of the processor beyond what the command takes for a good checkpoint, or more than 1 GiB beyond that
and the size of the file.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from rich.console import Console

from fuzz.answers import LONGEST_LINE
from fuzz.hostile_files import HOSTILE

ROOT: Final = Path(__file__).parents[1]
MOST_SECONDS: Final = 5.0
MOST_MB: Final = 1024.0
# Of a clock, on a machine that has other work.
_LONGEST_SECONDS: Final = 120
# `inspect` tells what it knows before it says why a network cannot be run.
_PROBLEMS: Final = ("error: ", "cannot be run: ")
_CHECKPOINT: Final = ROOT / "sample_data" / "mahtnet-ap.pt"
_DATA: Final = ROOT / "sample_data" / "AP"
COMMANDS: Final = ("evaluate", "inspect")


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit status, what it wrote, its processor time and its largest memory."""

    status: int
    said: str
    seconds: float
    mb: float


def run(arguments: Sequence[str], place: Path) -> Ended:
    """The command, in a process of its own that is measured."""
    command = [sys.executable, "-m", "mahtdiag", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    with tempfile.TemporaryFile() as said:
        begun = subprocess.Popen(
            ["timeout", str(_LONGEST_SECONDS), *command], cwd=place, env=environment, stdout=said, stderr=said
        )
        _, status, used = os.wait4(begun.pid, 0)
        begun.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read().decode(errors="replace")
    return Ended(begun.returncode, text, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def arguments_of(command: str, file: Path) -> list[str]:
    """How the command is asked for a checkpoint."""
    if command == "evaluate":
        return [command, str(file), str(_DATA), "--view", "AP", "--overlays", "none"]
    return [command, str(file)]


@cache
def usual(command: str) -> Ended:
    """What the command takes for a good checkpoint."""
    with tempfile.TemporaryDirectory() as place:
        return run(arguments_of(command, _CHECKPOINT), Path(place))


def faults_of(name: str, place: Path, commands: Sequence[str] = COMMANDS) -> Iterator[str]:
    """What a hostile file makes commands do that they may not."""
    file = place / name.replace("/", "-")
    file.write_bytes(HOSTILE[name]())
    for command in commands:
        before, ended = usual(command), run(arguments_of(command, file), place)
        for fault in faults_between(before, ended, file.stat().st_size / 1e6):
            yield f"{command}: {fault}"
    file.unlink()


def faults_between(before: Ended, ended: Ended, size_mb: float) -> Iterator[str]:
    """What is wrong with how a command ended that ended so for a good checkpoint."""
    if ended.status not in (0, 2):
        yield f"exit status {ended.status}: {ended.said[-300:]!r}"
    if "Traceback" in ended.said or "defect" in ended.said:
        yield f"an inner error: {ended.said[-300:]!r}"
    if ended.status == 2:
        lines = [line for line in ended.said.splitlines() if line.startswith(_PROBLEMS)]
        if not lines or any(len(line) > LONGEST_LINE + 100 for line in lines):
            yield f"not one short line: {ended.said[:300]!r}"
    if ended.seconds > before.seconds + MOST_SECONDS:
        yield f"{ended.seconds:.1f} s, usual {before.seconds:.1f} s"
    if ended.mb > before.mb + MOST_MB + size_mb:
        yield f"{ended.mb:.0f} MB, usual {before.mb:.0f} MB"


def main(names: Sequence[str]) -> int:
    """All of them, or those of these names; the exit status."""
    found, console = 0, Console()
    for name in names or tuple(HOSTILE):
        with tempfile.TemporaryDirectory() as place:
            for fault in faults_of(name, Path(place)):
                found += 1
                console.print(f"{name}: {fault}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"{len(names or HOSTILE)} files, {found} faults", highlight=False)
    return int(found > 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
