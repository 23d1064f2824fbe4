"""The most memory that commands take by the number of images: runs of `benchmarks.simulated_run`.

    python -m benchmarks.memory [--images N …] [--command NAME …]

Peak resident memory of the whole command in a process of its own, with one thread. Growth is that from the
first number of images to the last, per keypoint: statistics that need all values should take 100 bytes.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.calibration_speed import THREADS
from benchmarks.figures import Figure, table
from benchmarks.simulated_run import K, write_run

IMAGES = (100, 10_000, 100_000)
MOST_TIMES, MOST_PER_KEYPOINT = 1.1, 100.0
ROOT = Path(__file__).parents[1]
COMMANDS: dict[str, tuple[str, ...]] = {
    "anatomy": ("anatomy", "a", "--no-pictures"),
    "calibration": ("calibration", "a", "--no-pictures"),
    "compare": ("compare", "a", "b"),
    "report": ("report", "a", "--images", "none", "--out", "report.html"),
}
_KILOBYTE = 1 if sys.platform == "darwin" else 1024
_CODE = """
import os, sys
pid = os.fork()
if pid == 0:
    os.execv(sys.executable, [sys.executable, "-m", "mahtdiag", *sys.argv[1:]])
_, status, used = os.wait4(pid, 0)
sys.stderr.write(f"\\n{os.waitstatus_to_exitcode(status)} {used.ru_maxrss}")
"""


def peak(arguments: Sequence[str], folder: Path) -> tuple[float, float]:
    """Most megabytes and seconds of a command in a folder."""
    environment = {**os.environ, **dict.fromkeys(THREADS, "1"), "PYTHONPATH": str(ROOT)}
    # A small process starts it: a child is not counted by what the one before it was.
    command = [sys.executable, "-c", _CODE, *arguments]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - started
    status, used = done.stderr.rpartition("\n")[2].split()
    if int(status) not in (0, 1):
        raise RuntimeError(done.stderr)
    return int(used) * _KILOBYTE / 1e6, seconds


def figures(name: str, images: Sequence[int], folder: Path) -> Iterator[Figure]:
    """What a command takes on the runs in `folder/N`, and how that grows."""
    found = []
    for count in images:
        megabytes, seconds = peak(COMMANDS[name], folder / str(count))
        found.append(megabytes)
        yield Figure(f"{name}, {count:,} images", f"{megabytes:,.0f} MB, {seconds:.1f} s")
    times, more = found[-1] / found[0], (found[-1] - found[0]) * 1e6
    yield Figure(f"{name}, last over first", f"{times:.1f} ×", f"≤ {MOST_TIMES} ×", times <= MOST_TIMES)
    each = more / (K * (images[-1] - images[0]))
    target = f"≤ {MOST_PER_KEYPOINT:g} bytes"
    yield Figure(f"{name}, growth per keypoint", f"{each:.0f} bytes", target, each <= MOST_PER_KEYPOINT)


def measure(images: Sequence[int], commands: Sequence[str]) -> Iterator[Table]:
    """A table for each command."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for count in images:
            write_run(folder / str(count) / "a", count)
            if "compare" in commands:
                write_run(folder / str(count) / "b", count, error_px=8.2, seed=2)
        for name in commands:
            yield table(f"Memory of {name}", list(figures(name, images, folder)))


def run() -> Iterator[Table]:
    """The tables of `python -m benchmarks`."""
    yield from measure(IMAGES, list(COMMANDS))


def main() -> None:
    """Prints the tables for other numbers of images or some of the commands."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=IMAGES)
    parser.add_argument("--command", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    arguments = parser.parse_args()
    for each in measure(arguments.images, arguments.command):
        Console().print(each)


if __name__ == "__main__":
    main()
