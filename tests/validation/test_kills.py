"""The study of killed runs finds the process that it means, and sees a run that is not what it should be."""

import sys
from pathlib import Path

import pytest

from validation.kills import EARLIER, TABLES, killed, run, whole

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")


@pytest.mark.slow
def test_a_run_that_is_killed_survives() -> None:
    found, files = run(count=1)
    measured = [str(cell) for cell in found.columns[1].cells]
    assert measured == ["1 of 1", "0", "1 of 1", "0"] or measured[1::2] == ["0", "0"]
    of_files = [str(cell) for cell in files.columns[1].cells]
    assert of_files[1::3] == of_files[2::3] == ["0"] * 4


def test_a_torn_file_is_seen() -> None:
    assert whole({"a": EARLIER, "b": b"new"}, {"a": b"new", "b": b"new"})
    assert not whole({"a": b"ne"}, {"a": b"new"})
    assert not whole({"c": b"new"}, {"a": b"new"})


def test_another_result_is_seen(tmp_path: Path) -> None:
    reference = tmp_path / "reference"
    reference.mkdir()
    for name in TABLES:
        (reference / name).write_bytes(b"another")
    found = killed(tmp_path / "run", 1, 1.0, 1, reference)
    assert found.resumed == 0
    assert not found.same
