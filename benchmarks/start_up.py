"""How long a person waits for a command that looks something up, in a process of its own each time.

Processor seconds of the whole command, start-up included, with one thread, the least of several: those of a
clock say how busy the machine is. Beside them how often they hold what it takes to import NumPy and PyArrow,
measured in turn with them. The runs are those of `benchmarks.compare_speed`: 1,000 images of 22 keypoints.
"""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.table import Table

from benchmarks.calibration_speed import THREADS
from benchmarks.compare_speed import write_run
from benchmarks.figures import Figure, table

RUNS = 5
IMAGES = 1000
ROOT = Path(__file__).parents[1]
BASE = ("-c", "import numpy, pyarrow")
PRODUCT = ("-m", "mahtdiag")
COMMANDS: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("import mahtdiag", ("-c", "import mahtdiag"), 0.2),
    ("mahtdiag --version", (*PRODUCT, "--version"), 0.2),
    ("mahtdiag --help", (*PRODUCT, "--help"), 0.2),
    ("mahtdiag anatomy --no-pictures", (*PRODUCT, "anatomy", "a", "--no-pictures"), 1.0),
    ("mahtdiag calibration --no-pictures", (*PRODUCT, "calibration", "a", "--no-pictures"), 1.5),
    ("mahtdiag compare", (*PRODUCT, "compare", "a", "b"), 2.0),
)
"""What is measured, and at most how many seconds it should take."""

SLOW = ("torch", "matplotlib", "cv2", "scipy.stats")


def processor_seconds(arguments: tuple[str, ...], folder: Path) -> float:
    """User and system time of Python with these arguments."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = _python(arguments, folder)
    if done.returncode > 1:
        raise RuntimeError(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def imported_by(arguments: tuple[str, ...], folder: Path) -> frozenset[str]:
    """Every module that a command imports."""
    listed = _python(("-X", "importtime", *arguments), folder).stderr
    return frozenset(line.rpartition("|")[2].strip() for line in listed.splitlines())


def _python(arguments: tuple[str, ...], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **dict.fromkeys(THREADS, "1"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8", check=False
    )


def figures(folder: Path) -> Iterator[Figure]:
    """What the commands take on the runs in a folder."""
    asked = {"import numpy, pyarrow": BASE} | {name: arguments for name, arguments, _ in COMMANDS}
    # In turn, so that all of them meet the machine as it is.
    rounds = [{name: processor_seconds(of, folder) for name, of in asked.items()} for _ in range(RUNS)]
    least = {name: min(taken[name] for taken in rounds) for name in asked}
    base = least.pop("import numpy, pyarrow")
    yield Figure("import numpy, pyarrow", f"{base:.2f} s")
    for name, _, limit in COMMANDS:
        seconds = least[name]
        told = f"{seconds:.2f} s, {seconds / base:.1f} ×"
        yield Figure(name, told, f"≤ {limit:g} s", seconds <= limit)
    imported = frozenset[str]().union(*(imported_by(arguments, folder) for _, arguments, _ in COMMANDS))
    slow = ", ".join(sorted(imported & set(SLOW))) or "none"
    yield Figure(f"imported of {', '.join(SLOW)}", slow, "none", slow == "none")


def run() -> Iterator[Table]:
    """One table."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, error_px, seed in (("a", 5.0, 1), ("b", 5.1, 2)):
            write_run(folder / name, IMAGES, error_px, seed)
        yield table(
            f"Start-up: processor time, least of {RUNS}, runs of {IMAGES:,} images", list(figures(folder))
        )
