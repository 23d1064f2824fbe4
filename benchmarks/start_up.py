"""How long a person waits for `mahtdiag --help`, in a process of its own each time."""

import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median

from rich.table import Table

from benchmarks.figures import Figure, at_most, table

RUNS = 7
HELP = ("-m", "mahtdiag", "--help")


def help_seconds() -> float:
    """Wall time from starting the interpreter to its end."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *HELP], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def imported_by_help() -> frozenset[str]:
    """Every module that `--help` imports."""
    finished = subprocess.run(
        [sys.executable, "-X", "importtime", *HELP], check=True, capture_output=True, text=True
    )
    return frozenset(line.rpartition("|")[2].strip() for line in finished.stderr.splitlines())


def run() -> Iterator[Table]:
    """One table."""
    help_seconds()
    seconds = median(help_seconds() for _ in range(RUNS))
    modules = imported_by_help()
    imported = "torch" in modules
    yield table(
        "Start-up",
        [
            at_most(f"mahtdiag --help, median of {RUNS}", seconds, 0.3, "s"),
            Figure("torch imported", "yes" if imported else "no", "no", not imported),
            Figure("modules imported", str(len(modules))),
        ],
    )
