"""Where a command may write: what is in the way is said in one line, before any work is done."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workflows.report_runs import write_report_run

from .command import Desk

PIPE, FILE = "pipe", "file"
NO_FILE = f"{PIPE}: a pipe or a device; name a regular file"
NO_FOLDER = "a file stands where a folder is needed; name another folder"
LABELS = ("anatomy", "--labels", "data", "--no-copies")


@pytest.fixture
def desk_with_pipe(desk: Desk) -> Iterator[Desk]:
    """A run, a file, and a pipe that is open at both ends, so that nothing waits for ever."""
    write_report_run(desk.path)
    (desk.path / FILE).write_text("mine", encoding="utf-8")
    os.mkfifo(desk.path / PIPE)
    ends = os.open(desk.path / PIPE, os.O_RDWR | os.O_NONBLOCK)
    yield desk
    with pytest.raises(BlockingIOError):
        os.read(ends, 1)
    os.close(ends)
    assert (desk.path / FILE).read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("report", "--out", PIPE), f"--out {NO_FILE}"),
        (("export", PIPE, "--to", "csv", "--force"), f"--to csv {NO_FILE}"),
        (("init", "--out", PIPE, "--force"), f"--out {NO_FILE}"),
        ((*LABELS, "--report", PIPE), f"--report {NO_FILE}"),
        ((*LABELS, "--csv", PIPE), f"--csv {NO_FILE}"),
        (("anatomy", "--csv", PIPE), f"--csv {NO_FILE}"),
        (("anatomy", "--junit", PIPE), f"--junit {NO_FILE}"),
        (("compare", "runs/a", "runs/a", "--markdown", PIPE), f"--markdown {NO_FILE}"),
        (("figures", "--out", PIPE), f"--out {PIPE}: {NO_FOLDER}"),
        (("figures", "--out", FILE), f"--out {FILE}: {NO_FOLDER}"),
        (("compare", "runs/a", "runs/a", "--out", FILE), f"--out {FILE}: {NO_FOLDER}"),
        ((*LABELS, "--out", FILE), f"--out {FILE}: {NO_FOLDER}"),
    ],
)
def test_something_else_is_in_the_way(desk_with_pipe: Desk, arguments: tuple[str, ...], problem: str) -> None:
    done = desk_with_pipe.run(*arguments)
    assert (done.status, done.text, done.errors) == (2, "", [f"error: {problem}"])
    assert done.err.count("\n") == 1, "no picture was drawn and no image judged before"


def test_a_file_in_the_place_of_the_folder_of_figures(desk_with_pipe: Desk) -> None:
    Path("runs/a/figures").write_text("", encoding="utf-8")
    desk_with_pipe.run("figures").refused(f"--out runs/a/figures: {NO_FOLDER}")
