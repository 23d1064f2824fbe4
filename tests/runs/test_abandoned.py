"""What killed processes leave half written is removed, what running ones write is not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mahtdiag.errors import UsageError
from mahtdiag.runs.files import TEMPORARY_PREFIX, remove_abandoned, write_named

pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes are asked by a signal")


def dead() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def left(folder: Path, process: object, name: str) -> Path:
    file = folder / f"{TEMPORARY_PREFIX}{process}-{name}"
    file.write_bytes(b"half")
    return file


def test_only_what_no_process_writes_is_removed(tmp_path: Path) -> None:
    ended = dead()
    gone = [left(tmp_path, ended, "a.csv"), left(tmp_path, ended, "[b].csv")]
    stays = [left(tmp_path, os.getpid(), "a.csv"), left(tmp_path, "x", "a.csv"), tmp_path / "a.csv"]
    stays[-1].write_bytes(b"whole")
    remove_abandoned(tmp_path)
    assert not any(file.exists() for file in gone)
    assert all(file.exists() for file in stays)
    remove_abandoned(tmp_path / "none")


def test_a_link_that_was_left_is_removed_and_what_it_leads_to_is_not(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/run.json").write_bytes(b"{}")
    link = tmp_path / f"{TEMPORARY_PREFIX}{dead()}-latest"
    link.symlink_to("run", target_is_directory=True)
    remove_abandoned(tmp_path, "latest")
    assert {path.name for path in tmp_path.rglob("*")} == {"run", "run.json"}


def test_a_file_that_somebody_has_written_meanwhile_stays(tmp_path: Path) -> None:
    write_named("--out", Path("a.toml"), b"first", tmp_path, fresh=True)
    with pytest.raises(UsageError, match=r"--out a.toml: somebody has written it meanwhile; name another"):
        write_named("--out", Path("a.toml"), b"second", tmp_path, fresh=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.toml"]
    assert (tmp_path / "a.toml").read_bytes() == b"first"
    write_named("--out", Path("a.toml"), b"third", tmp_path)
    assert (tmp_path / "a.toml").read_bytes() == b"third"


def test_where_files_have_one_name_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*names: object) -> None:
        raise PermissionError

    monkeypatch.setattr("os.link", refused)
    write_named("--out", Path("a.toml"), b"first", tmp_path, fresh=True)
    assert (tmp_path / "a.toml").read_bytes() == b"first"


def test_a_file_takes_away_what_was_left_of_itself_alone(tmp_path: Path) -> None:
    ended = dead()
    own, other = left(tmp_path, ended, "[b].csv"), left(tmp_path, ended, "c.csv")
    write_named("--csv", tmp_path / "[b].csv", b"whole")
    assert not own.exists()
    assert other.exists()
    assert (tmp_path / "[b].csv").read_bytes() == b"whole"
