"""What came of a command, in this process or in another one."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from .builders import INPUT_OPTIONS, ROOT

PROGRESS = re.compile(r"[\w ]+: \d+/\d+, ")

# What tells the command that it runs in a pipeline.
PIPELINE = ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY")


@dataclass(frozen=True, slots=True)
class Finished:
    """Exit status and both streams."""

    status: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.out.decode()

    @property
    def lasting(self) -> list[str]:
        """The lines on standard error that are not progress."""
        return [line for line in self.err.splitlines() if PROGRESS.match(line) is None]

    @property
    def errors(self) -> list[str]:
        """The lines on standard error that are neither progress nor notes."""
        return [line for line in self.lasting if not line.startswith("note: ")]

    def refused(self, *problems: str) -> None:
        """Status 2, nothing on standard output, and on standard error these lines alone."""
        assert (self.status, self.text) == (2, "")
        assert self.err.splitlines() == [f"error: {problem}" for problem in problems]


@dataclass(frozen=True, slots=True)
class Desk:
    """The current folder of a test, and the command."""

    path: Path
    run: Callable[..., Finished]

    def lookup(self, network: str, *arguments: str, data: str = "data", view: str = "ap") -> Finished:
        """`evaluate` with a network of `nets.py`, without overlays."""
        return self.run(
            "evaluate", f"lookup-{view}.pt", data, "--model", f"nets:{network}", "--trust", *INPUT_OPTIONS,
            "--out", "run", "--overlays", "none", *arguments,
        )  # fmt: skip


def typed_in_table(name: str) -> dict[str, str]:
    """What is to be typed for each form in a table of `docs/checkpoints.md`."""
    text = (ROOT / "docs" / "checkpoints.md").read_text(encoding="utf-8")
    table = text.partition(f"<!-- {name} -->")[2].partition(f"<!-- /{name} -->")[0]
    rows = [line.strip("|").split(" | ") for line in table.strip().splitlines()[2:]]
    return {row[0].strip(" `"): row[-1].strip(" `") for row in rows}


def document_of(run: Path) -> dict[str, Any]:
    """The content of `run.json`."""
    content: dict[str, Any] = json.loads((run / "run.json").read_text(encoding="utf-8"))
    return content


def columns_of(table: Path) -> dict[str, list[Any]]:
    """The columns of a Parquet file."""
    with table.open("rb") as content:
        columns: dict[str, list[Any]] = pq.read_table(content).to_pydict()
    return columns


def failures_of(run: Path) -> dict[str, str]:
    """Failures by name with their reason, the same in `run.json` and `images.parquet`."""
    stored = {entry["image"]: entry["reason"] for entry in document_of(run)["failures"]}
    columns = columns_of(run / "images.parquet")
    rows = zip(columns["image"], columns["status"], columns["reason"], strict=True)
    assert {image: reason for image, status, reason in rows if status == "failed"} == stored
    return stored


def environment(**more: str) -> dict[str, str]:
    """For the command in a process of its own, from any folder, outside any pipeline."""
    kept = {name: value for name, value in os.environ.items() if name not in PIPELINE}
    return {**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "80", **more}


def start(folder: Path, *arguments: str, **more: str) -> "subprocess.Popen[bytes]":
    """The command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "mahtdiag", *arguments],
        cwd=folder,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finish(process: "subprocess.Popen[bytes]") -> Finished:
    """Wait for it."""
    out, err = process.communicate(timeout=120)
    return Finished(process.returncode, out, err.decode())
