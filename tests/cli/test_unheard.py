"""Standard error that cannot be written to: the command goes on, and its status is that of its work."""

import subprocess
import sys
from pathlib import Path

import pytest

from mahtdiag.cli.unheard import Unheard

FULL = Path("/dev/full")


class Broken:
    """A stream of which every write fails."""

    encoding = "utf-8"

    def write(self, _: str) -> int:
        raise OSError(28, "No space left on device")

    def flush(self) -> None:
        raise BrokenPipeError

    def fileno(self) -> int:
        raise ValueError


def test_nothing_that_is_written_fails() -> None:
    stream = Unheard(Broken())  # type: ignore[arg-type]
    assert stream.write("text") == 4
    stream.flush()
    assert stream.encoding == "utf-8"


@pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")
@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["evaluate", "no.pt", "nothing"], 2), (["explain", "A201"], 0), (["nonsense"], 2), (["anatomy"], 2)],
)
def test_the_status_is_that_of_the_work(tmp_path: Path, arguments: list[str], status: int) -> None:
    command = [sys.executable, "-m", "mahtdiag", *arguments]
    with FULL.open("wb") as full:
        done = subprocess.run(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=full, check=False)
    assert done.returncode == status
    # A reader that is gone before anything is said.
    with subprocess.Popen(["true"], stdin=subprocess.PIPE) as reader:
        reader.wait()
        gone = subprocess.run(
            command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=reader.stdin, check=False
        )
    assert gone.returncode == status
