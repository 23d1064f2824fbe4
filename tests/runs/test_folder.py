"""The run folder: where it may be, what it holds, in which order, and how much memory it takes."""

import errno
import gc
import os
import weakref
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mahtdiag.errors import RunFolderError
from mahtdiag.runs.files import write_file
from mahtdiag.runs.folder import FlushLimits, RunFolder
from mahtdiag.runs.reading import open_run, read_document
from mahtdiag.schema.records import Failure
from mahtdiag.schema.skeleton import View

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
    header,
    names_in,
    names_of,
    record,
    tables_of,
    uninterrupted,
)


def test_a_complete_run_holds_the_files_of_the_contract_and_nothing_else(tmp_path: Path) -> None:
    uninterrupted(tmp_path / "runs" / "x")
    assert files_of(tmp_path / "runs" / "x") == FILES
    assert read_document(tmp_path / "runs" / "x").status == "complete"
    images = pq.read_table(tmp_path / "runs" / "x" / "images.parquet").to_pylist()
    assert [row["image"] for row in images] == names_of(batches())
    keypoints = pq.read_table(tmp_path / "runs" / "x" / "keypoints.parquet").to_pylist()
    evaluated = [row["image"] for row in images if row["status"] == "ok"]
    assert [(r["image"], r["index"]) for r in keypoints] == [(n, k) for n in evaluated for k in range(20)]


@pytest.mark.parametrize("view", list(View))
@pytest.mark.parametrize("limits", [EACH_BATCH, FlushLimits(images=5), FlushLimits()])
def test_tables_do_not_depend_on_flushes_or_on_the_order_of_batches(
    tmp_path: Path, view: View, limits: FlushLimits
) -> None:
    expected = uninterrupted(tmp_path / "a", view)
    start = header(EVALUATED + FAILED, view)
    folder = RunFolder.create(tmp_path / "b", start, OPEN_FAILURES, limits=limits)
    for number in (3, 0, 4, 2, 1):
        folder.append(number, *batches(view)[number])
    folder.finish(finished(start, EVALUATED, FAILED), tmp_path)
    assert tables_of(tmp_path / "b") == expected


def test_a_second_writer_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x"
    folder = RunFolder.create(path, START, limits=EACH_BATCH)
    folder.append(0, *batches()[0])
    other = RunFolder.resume(path, START, limits=FlushLimits(images=3))
    other.append(1, *batches()[1])
    folder.append(1, *batches()[1])
    other.append(2, *batches()[2])
    with pytest.raises(RunFolderError, match=r"holds batches of 00000001-00000001\.parquet too; remove it"):
        folder.tables()


def test_tables_can_be_read_before_the_end_and_grow(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "x", START)
    assert names_in(folder.tables()) == []
    folder.append(0, *batches()[0])
    assert len(folder.tables().table().image) == 2
    folder.append(1, *batches()[1])
    assert len(names_in(folder.tables())) == 4


def test_only_a_flush_of_records_is_held_in_memory(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "x", START, limits=FlushLimits(images=4))
    alive: list[weakref.ref[object]] = []
    for number in range(30):
        made = record(f"{number:04d}.jpg")
        alive.append(weakref.ref(made.keypoints.gt_px))
        folder.append(number, [made])
        del made
        gc.collect()
        assert sum(reference() is not None for reference in alive) < 4
    assert len(list((tmp_path / "x/parts/images").glob("*.parquet"))) == 7


def test_batches_are_written_after_some_time_even_if_few(tmp_path: Path) -> None:
    now = 0.0
    folder = RunFolder.create(tmp_path / "x", START, clock=lambda: now)
    folder.append(0, *batches()[0])
    now = 9.9
    folder.append(1, *batches()[1])
    assert folder.finished_batches() == set()
    now = 10.0
    folder.append(2, *batches()[2])
    assert folder.finished_batches() == {0, 1, 2}


def test_a_batch_is_added_once(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "x", START)
    folder.append(0, *batches()[0])
    with pytest.raises(ValueError, match=r"batch 0 is in .* already"):
        folder.append(0, *batches()[0])
    folder.flush()
    with pytest.raises(ValueError, match=r"batch 0 is in .* already"):
        folder.append(0, *batches()[0])


def test_batches_that_are_not_ranges_of_the_sorted_list_are_refused(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "x", START, limits=EACH_BATCH)
    folder.append(0, *batches()[1])
    folder.append(1, *batches()[0])
    with pytest.raises(RunFolderError, match="out of the order of the image names"):
        folder.tables()


def test_a_document_that_contradicts_the_tables_is_refused(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "x", START, OPEN_FAILURES)
    append_missing(folder, batches())
    with pytest.raises(
        ValueError, match=r"run\.json has \(13, 140\) images and keypoints, the tables \(13, 160\)"
    ):
        folder.finish(finished(START, EVALUATED - 1, FAILED + 1), tmp_path)
    assert read_document(tmp_path / "x").status == "interrupted"
    with pytest.raises(ValueError, match="finite number"):
        folder.finish(
            finished(START, EVALUATED, FAILED).model_copy(update={"calibration": {"mace": float("nan")}}),
            tmp_path,
        )
    assert read_document(tmp_path / "x").status == "interrupted"


def test_of_two_runs_that_begin_at_once_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    make = Path.mkdir

    def overtaken(self: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        if self == path and not path.exists():
            os.mkdir(path)
        make(self, mode, parents, exist_ok)

    monkeypatch.setattr(Path, "mkdir", overtaken)
    with pytest.raises(RunFolderError, match="another run has just begun there; choose another --out"):
        RunFolder.create(path, START)
    assert not list(path.iterdir())


def test_a_run_starts_only_in_a_free_place(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    RunFolder.create(tmp_path / "empty", START)
    with pytest.raises(
        RunFolderError, match="holds a run; continue it with --resume or choose another --out"
    ):
        RunFolder.create(tmp_path / "empty", START)
    for name in ("notes.txt", "parts/notes.txt"):
        place = tmp_path / name.replace("/", "-")
        (place / name).parent.mkdir(parents=True)
        (place / name).write_text("mine")
        with pytest.raises(RunFolderError, match="not empty; choose another --out"):
            RunFolder.create(place, START)
        assert files_of(place) == [name]
    with pytest.raises(RunFolderError, match="a file, not a folder"):
        RunFolder.create(tmp_path / "notes.txt" / "notes.txt", START)
    RunFolder.create(tmp_path / "deep" / "er" / "run", START)


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="file/run: a file stands where a folder is needed"):
        RunFolder.create(tmp_path / "file" / "run", START)
    with pytest.raises(RunFolderError, match=r"cannot be written \(File name too long\)"):
        RunFolder.create(tmp_path / ("x" * 300), START)
    with pytest.raises(RunFolderError, match="File name too long"):
        RunFolder.resume(tmp_path / ("x" * 300), START)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EPERM])
def test_a_read_only_place_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refusing(self: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        raise OSError(code, os.strerror(code), str(self))

    monkeypatch.setattr(Path, "mkdir", refusing)
    with pytest.raises(RunFolderError, match="not writable; choose another place with --out"):
        RunFolder.create(tmp_path / "x", START)


def test_further_files_are_written_whole(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "x", START)
    target = write_file(folder.path, "overlays/0001 é.png", b"\x89PNG")
    assert target == tmp_path / "x" / "overlays" / "0001 é.png"
    assert target.read_bytes() == b"\x89PNG"
    with pytest.raises(RunFolderError, match="a file stands where a folder is needed"):
        write_file(folder.path, "run.json/x.png", b"")


def test_failures_come_back_with_all_that_is_known(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "x", START, OPEN_FAILURES)
    append_missing(folder, batches())
    assert folder.tables().table().failures == tuple(
        sorted((*OPEN_FAILURES, *(f for _, fs in batches() for f in fs)), key=lambda f: f.image)
    )


def test_an_image_without_a_batch_may_fail_twice(tmp_path: Path) -> None:
    twice = (Failure("a.jpg", "no annotation"), Failure("a.jpg", "0 bytes"))
    folder = RunFolder.create(tmp_path / "x", START, twice)
    assert [f.reason for f in folder.tables().table().failures] == ["no annotation", "0 bytes"]


def test_leftover_parts_are_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder.create(tmp_path / "x", START, OPEN_FAILURES)
    append_missing(folder, batches())
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", _refuse)
        notes = folder.finish(finished(START, EVALUATED, FAILED), tmp_path)
    assert [note.removeprefix(str(tmp_path)) for note in notes] == [
        "/x/parts not removed (Permission denied); it may be deleted"
    ]
    assert len(names_in(open_run(tmp_path / "x", tmp_path))) == EVALUATED + FAILED


def _refuse(path: Path) -> None:
    raise PermissionError(errno.EACCES, "Permission denied", str(path))
