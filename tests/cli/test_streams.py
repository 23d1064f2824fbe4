"""Standard output that goes nowhere, and standard error beside it, in processes of their own."""

import subprocess
import sys

import pytest

from .builders import INPUT_OPTIONS
from .command import Desk, document_of, environment, finish, start
from .test_evaluate import EXPECTED, masked

LOOKUP = (
    "evaluate", "lookup-ap.pt", "data", "--model", "nets:exact", "--trust", *INPUT_OPTIONS,
    "--overlays", "none", "--out", "run",
)  # fmt: skip


def test_the_command_in_a_process_of_its_own(desk: Desk) -> None:
    result = finish(start(desk.path, *LOOKUP, "--pixel-spacing", "0.45"))
    assert (result.status, result.errors) == (0, [])
    assert masked(result.text) == EXPECTED.read_text(encoding="utf-8")
    assert result.err.startswith("evaluating: 6/6, ")


def test_a_reader_that_has_read_enough(desk: Desk) -> None:
    """`mahtdiag evaluate … | head -1` has done its job."""
    process = start(desk.path, *LOOKUP)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    errors = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait() == 0
    assert [line for line in errors.splitlines() if not line.startswith("evaluating: ")] == []
    assert document_of(desk.path / "run")["status"] == "complete"


def test_a_disk_too_full_for_standard_output(desk: Desk) -> None:
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            [sys.executable, "-m", "mahtdiag", *LOOKUP, "--format", "json"],
            cwd=desk.path, env=environment(), stdout=full, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    assert result.returncode == 2
    assert result.stderr.decode().splitlines()[1:] == [
        "error: standard output: cannot be written (No space left on device); the result is kept in run"
    ]
    assert document_of(desk.path / "run")["status"] == "complete"


BY_THE_PARSER = ("--help", "evaluate --help", "", "--show-completion bash")


@pytest.mark.parametrize("typed", [*BY_THE_PARSER, "rules", "--version", "schema"])
def test_a_disk_too_full_for_what_nothing_keeps(typed: str) -> None:
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "mahtdiag", *typed.split()]
        # Else the shell that the tests run in is taken, whatever is asked.
        asked = environment() | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=asked, check=False)
    what = "what was asked for" if typed in BY_THE_PARSER else "standard output:"
    assert (result.returncode, result.stderr.decode()) == (
        2,
        f"error: {what} cannot be written (No space left on device); direct it elsewhere\n",
    )


def test_streams_that_the_caller_has_closed(desk: Desk) -> None:
    code = (
        "import os, sys; os.close(1); os.close(2); "
        f"os.execv(sys.executable, [sys.executable, '-m', 'mahtdiag', *{LOOKUP!r}])"
    )
    process = subprocess.run([sys.executable, "-c", code], cwd=desk.path, env=environment(), check=False)
    assert process.returncode == 0
    assert document_of(desk.path / "run")["status"] == "complete"
