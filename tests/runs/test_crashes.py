"""Run folders whose process dies, is interrupted or finds the disk full at any moment."""

import errno
import gc
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mahtdiag.errors import RunFolderError, UsageError
from mahtdiag.runs import files
from mahtdiag.runs.folder import LOCK, RunFolder, sole_writer
from mahtdiag.runs.reading import open_run

from .builders import (
    EACH_BATCH,
    EVALUATED,
    FAILED,
    FILES,
    OPEN_FAILURES,
    START,
    append_missing,
    batches,
    files_of,
    finished,
    names_in,
    names_of,
    resume_and_finish,
    tables_of,
)


class Killed(BaseException):
    """Stands for a signal: nothing in the product catches it."""


def _stop_at_rename(
    monkeypatch: pytest.MonkeyPatch, number: int, stop: type[BaseException], *, after: bool
) -> None:
    """Raises `stop` at the `number`th rename, just before or just after it happened."""
    rename: Callable[[Path, Path], None] = os.replace
    calls = 0

    def stopping(source: Path, target: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == number and not after:
            raise stop
        rename(source, target)
        if calls == number:
            raise stop

    monkeypatch.setattr(os, "replace", stopping)


def _kill_at_rename(monkeypatch: pytest.MonkeyPatch, number: int, *, after: bool) -> None:
    """The process dies at its `number`th rename, and does not tidy up behind itself either."""
    _stop_at_rename(monkeypatch, number, Killed, after=after)
    monkeypatch.setattr(Path, "unlink", lambda self, missing_ok=False: None)


def _whole_run(path: Path) -> None:
    folder = RunFolder.create(path, START, OPEN_FAILURES, limits=EACH_BATCH)
    append_missing(folder, batches())
    folder.finish(finished(START, EVALUATED, FAILED), path.parent)


# Renames of a whole run: early failures, run.json, 5 parts of two tables, 2 merged tables, run.json, latest.
RENAMES = 2 + 2 * 5 + 2 + 1 + 1


def test_the_number_of_renames_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        _kill_at_rename(patch, RENAMES, after=True)
        with pytest.raises(Killed):
            _whole_run(tmp_path / "x")
    with monkeypatch.context() as patch:
        _kill_at_rename(patch, RENAMES + 1, after=True)
        _whole_run(tmp_path / "y")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, RENAMES + 1))
def test_killed_at_any_rename_the_folder_is_readable_and_resumable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, after: bool, expected: tuple[bytes, bytes]
) -> None:
    path = tmp_path / "x"
    with monkeypatch.context() as patch:
        _kill_at_rename(patch, number, after=after)
        with pytest.raises(Killed):
            _whole_run(path)
    if not (path / "run.json").exists():
        with pytest.raises(RunFolderError, match="leave out --resume to start it"):
            RunFolder.resume(path, START, OPEN_FAILURES)
        _whole_run(path)
    else:
        run = open_run(path, tmp_path)
        whole = min(5, max(0, (number - 2 - (not after)) // 2))
        assert names_in(run) == names_of(batches()[:whole])
        assert set(run.table().image) == {x.image for rs, _ in batches()[:whole] for x in rs}
        if run.document.status == "interrupted":
            resume_and_finish(path)
        else:
            assert RunFolder.resume(path, START, OPEN_FAILURES).complete
    assert tables_of(path) == expected
    assert files_of(path) == FILES


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(3, RENAMES + 1))
def test_interrupted_at_any_rename_the_run_can_still_be_closed_and_resumed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    expected: tuple[bytes, bytes],
    number: int,
    after: bool,
) -> None:
    path = tmp_path / "x"
    with monkeypatch.context() as patch:
        _stop_at_rename(patch, number, KeyboardInterrupt, after=after)
        folder = RunFolder.create(path, START, OPEN_FAILURES, limits=EACH_BATCH)
        try:
            append_missing(folder, batches())
            folder.finish(finished(START, EVALUATED, FAILED), tmp_path)
        except KeyboardInterrupt:
            folder.interrupt(START)
    assert not any(".tmp-" in name for name in files_of(path))
    run = open_run(path, tmp_path)
    assert pq.read_table(path / "images.parquet").column("image").to_pylist() == names_in(run)
    if run.document.status == "interrupted":
        resume_and_finish(path)
    assert tables_of(path) == expected


def test_killed_before_run_json_the_folder_can_be_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        _kill_at_rename(patch, 2, after=False)
        with pytest.raises(Killed):
            RunFolder.create(tmp_path / "x", START, OPEN_FAILURES)
    assert any(name.startswith(".tmp-") for name in files_of(tmp_path / "x"))
    _whole_run(tmp_path / "x")
    assert files_of(tmp_path / "x") == FILES


def _fill_disk_at_write(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """From the `number`th atomic write on, what is written no longer fits."""
    sync: Callable[[int], None] = os.fsync
    calls = 0

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls >= number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    monkeypatch.setattr(files, "_sync_folder", lambda folder: None)
    monkeypatch.setattr(os, "fsync", full)


@pytest.mark.parametrize("number", range(1, RENAMES))
def test_a_full_disk_is_said_and_the_run_can_be_finished_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, expected: tuple[bytes, bytes]
) -> None:
    path = tmp_path / "x"
    with monkeypatch.context() as patch:
        _fill_disk_at_write(patch, number)
        with pytest.raises(RunFolderError) as caught:
            _whole_run(path)
    started = number > 2
    action = "finish with --resume" if started else "start again"
    assert str(caught.value) == f"{path}: no space left on the device; free some and {action}"
    assert path.exists() == started
    if started:
        assert not any(".tmp-" in name for name in files_of(path))
        resume_and_finish(path)
    else:
        _whole_run(path)
    assert tables_of(path) == expected


def test_what_waited_when_the_disk_was_full_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder.create(tmp_path / "x", START, OPEN_FAILURES, limits=EACH_BATCH)
    with monkeypatch.context() as patch:
        _fill_disk_at_write(patch, 2)
        with pytest.raises(RunFolderError, match="no space left"):
            folder.append(0, *batches()[0])
    assert folder.finished_batches() == set()
    folder.interrupt(START)
    assert folder.finished_batches() == {0}


def test_a_full_device_while_a_table_is_streamed_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: tuple[bytes, bytes]
) -> None:
    folder = RunFolder.create(tmp_path / "x", START, OPEN_FAILURES, limits=EACH_BATCH)
    append_missing(folder, batches())
    opened: Callable[..., object] = Path.open
    monkeypatch.setattr(
        Path, "open", lambda self, mode="r": opened(Path("/dev/full"), mode.replace("x", "w"))
    )
    with pytest.raises(
        RunFolderError, match="no space left on the device; free some and finish with --resume"
    ):
        folder.tables()
    gc.collect()
    monkeypatch.undo()
    assert "images.parquet" not in files_of(tmp_path / "x")
    assert resume_and_finish(tmp_path / "x") == expected


def test_a_folder_that_is_removed_while_it_is_written_is_not_half_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes after makes its folders again, and would be taken for the whole."""
    write = Path.write_bytes

    def removing(place: Path, content: bytes) -> int:
        written = write(place, content)
        if place.name == "first":
            shutil.rmtree(tmp_path / "out")
        return written

    monkeypatch.setattr(Path, "write_bytes", removing)
    with pytest.raises(UsageError, match=r"--out new: cannot be written \(No such file or directory\)"):
        files.write_named_folder(
            "--out", Path("new"), {"in/first": b"1", "in/second": b"2"}, tmp_path / "out"
        )
    assert files_of(tmp_path) == []


def test_a_folder_that_is_removed_before_it_is_locked_can_be_used_again(tmp_path: Path) -> None:
    """The lock makes its folder again."""
    with sole_writer(tmp_path / "x"):
        pass
    assert files_of(tmp_path / "x") == [LOCK]
    _whole_run(tmp_path / "x")


def test_what_a_whole_run_could_not_remove_goes_when_it_is_resumed(tmp_path: Path) -> None:
    """A disk that has become read-only at the very end."""
    _whole_run(tmp_path / "x")
    (tmp_path / "x" / LOCK).touch()
    assert RunFolder.resume(tmp_path / "x", START, OPEN_FAILURES).complete
    assert files_of(tmp_path / "x") == FILES


def test_a_picture_makes_no_folder_of_a_run_again(tmp_path: Path) -> None:
    """What somebody has removed meanwhile would then be in the way of the next run."""
    with pytest.raises(RunFolderError, match=r"No such file or directory"):
        files.write_file(tmp_path / "run", "overlays/a.png", b"", parents=False)
    assert files_of(tmp_path) == []
