"""Writing a run folder: created once, appended to batch by batch, resumable after any crash.

folder = RunFolder.create(path, header, failures_at_open)  # or RunFolder.resume(...)
folder.append(batch, records, failures)  # each that is not in folder.finished_batches()
run = folder.tables()  # what the summary is computed from
folder.finish(document, cwd)  # or, when interrupted, folder.interrupt(document)
"""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.errors import RunFolderError
from mahtdiag.runs.differences import differences
from mahtdiag.runs.document import RunDocument
from mahtdiag.runs.files import (
    file_sha256,
    remove_temporary_files,
    replacing,
    reporting_write_errors,
    require_own,
)
from mahtdiag.runs.reading import (
    DOCUMENT,
    IMAGES,
    KEYPOINTS,
    PARTS,
    Run,
    publish_latest,
    read_document,
    require_unchanged,
)
from mahtdiag.runs.tables import BatchRange, PartFiles, consecutive_ranges, images_rows, keypoints_rows
from mahtdiag.schema.records import Failure, ImageRecord

LOCK: Final = ".lock"


@dataclass(frozen=True, slots=True)
class FlushLimits:
    """Batches are written once so many images wait, or once the oldest has waited so long."""

    images: int = 256
    seconds: float = 10.0


class RunFolder:
    """The only writer of a run folder; made by `create` or `resume`.

    A batch is the unit of progress: after a crash it is wholly there or absent. Batches are consecutive
    ranges of the images sorted by name; they may be appended in any order. At most `FlushLimits.images`
    records and those of one batch are held in memory.
    """

    def __init__(
        self, path: Path, header: RunDocument, *, limits: FlushLimits, clock: Callable[[], float]
    ) -> None:
        self.path = path
        self._document = header
        self._limits = limits
        self._clock = clock
        self._parts = PartFiles(path / PARTS, header.skeleton)
        self._finished: frozenset[int] = frozenset()
        self._waiting: dict[int, tuple[Sequence[ImageRecord], Sequence[Failure]]] = {}
        self._waiting_since = 0.0
        self._merged_rows: tuple[int, int] | None = None

    @classmethod
    def create(
        cls,
        path: Path,
        header: RunDocument,
        failures: Sequence[Failure] = (),
        *,
        limits: FlushLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> "RunFolder":
        """Starts a run in a new or empty folder and writes its `run.json` as interrupted.

        `failures` are the images that are known to fail before any batch is made.

        Raises:
            RunFolderError: the folder holds something, cannot be made or cannot be written to.
        """
        _require_free(path, header)
        folder = cls(path, header.with_status("interrupted"), limits=limits or FlushLimits(), clock=clock)
        with reporting_write_errors(path, after_no_space="start again"):
            made = not path.exists()
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                path.mkdir(exist_ok=not made)
            except FileExistsError:
                raise RunFolderError(
                    f"{path}: another run has just begun there; choose another --out"
                ) from None
            try:
                folder._start(failures)
            except OSError:
                if made:
                    _remove_unstarted(folder)
                raise
        return folder

    @classmethod
    def resume(
        cls,
        path: Path,
        header: RunDocument,
        failures: Sequence[Failure] = (),
        *,
        limits: FlushLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> "RunFolder":
        """Continues an interrupted run; a complete one is returned as it is, with `complete` true.

        `document` is then the stored one: the time of the start and the seconds so far are known from it.

        Raises:
            RunFolderError: nothing to resume, a damaged `run.json`, settings that differ (all are listed), a
                complete run that was edited, or a folder that cannot be written to.
        """
        with reporting_write_errors(path):
            if not path.exists():
                raise RunFolderError(f"{path}: no such run folder to resume; leave out --resume to start it")
            if path.is_dir() and not (path / DOCUMENT).exists():
                raise RunFolderError(f"{path}: has no {DOCUMENT} to resume; leave out --resume to start it")
        stored = read_document(path)
        changed = differences(stored, header)
        if changed:
            raise RunFolderError(
                f"{path}: cannot be resumed with other settings; give the old ones or choose another --out",
                *(f"{path}: {change}" for change in changed),
            )
        require_unchanged(path, stored)
        folder = cls(path, stored, limits=limits or FlushLimits(), clock=clock)
        with reporting_write_errors(path):
            if folder.complete:
                folder._clean()
                with suppress(OSError):
                    (path / LOCK).unlink(missing_ok=True)
            else:
                folder._continue(failures)
        return folder

    @classmethod
    def join(cls, path: Path, header: RunDocument) -> "RunFolder":
        """A run that another process has opened and will finish, for `append` and `flush` alone."""
        return cls(path, header, limits=FlushLimits(), clock=time.monotonic)

    def rejoin(self) -> None:
        """Writes what waits, and counts what other processes have appended; raises as `flush` does."""
        self.flush()
        self._finished = frozenset(batch for part in self._parts.ranges() for batch in part.batches)
        self._merged_rows = None

    @property
    def document(self) -> RunDocument:
        """The document as last written."""
        return self._document

    @property
    def complete(self) -> bool:
        """Whether the run is finished."""
        return self._document.status == "complete"

    def finished_batches(self) -> frozenset[int]:
        """Batches that need not be evaluated again; those that wait to be written are not among them."""
        return self._finished

    def append(self, batch: int, records: Sequence[ImageRecord], failures: Sequence[Failure] = ()) -> None:
        """Adds the images of one batch and writes all that wait once the limits are reached.

        Raises:
            RunFolderError: the folder cannot be written to; what waited can be written by a later call.
            ValueError: the batch is there already, or the run is complete.
        """
        if self.complete or batch in self._finished or batch in self._waiting:
            raise ValueError(f"batch {batch} is in {self.path} already")
        if not self._waiting:
            self._waiting_since = self._clock()
        self._waiting[batch] = (tuple(records), tuple(failures))
        self._merged_rows = None
        images = sum(len(evaluated) + len(failed) for evaluated, failed in self._waiting.values())
        if images >= self._limits.images or self._clock() - self._waiting_since >= self._limits.seconds:
            self.flush()

    def flush(self) -> None:
        """Writes all that waits.

        Raises:
            RunFolderError: the folder cannot be written to.
        """
        with reporting_write_errors(self.path):
            for part in consecutive_ranges(self._waiting):
                self._write_part(part)

    def tables(self) -> Run:
        """Writes what waits, merges all parts into the two tables and returns them for reading.

        The tables are the same, byte for byte, however the run was cut into batches, parts and sessions.

        Raises:
            RunFolderError: a part is damaged, or the folder cannot be written to.
        """
        self.flush()
        if not self.complete and self._merged_rows is None:
            with reporting_write_errors(self.path):
                self._merged_rows = self._parts.merge(self.path / IMAGES, self.path / KEYPOINTS)
        return Run(self.path, self._document, merged=True)

    def note(self, notes: Sequence[str]) -> None:
        """Adds notes to the document, where it has them not yet.

        Raises:
            RunFolderError: the folder cannot be written to.
        """
        new = tuple(note for note in notes if note not in self._document.notes)
        if new:
            with reporting_write_errors(self.path):
                self._write_document(
                    self._document.model_copy(update={"notes": (*self._document.notes, *new)})
                )

    def finish(self, document: RunDocument, cwd: Path | None) -> tuple[str, ...]:
        """Completes the run and makes it the latest of `cwd`, unless that is None.

        Returns notes on what was not possible.

        A run that is complete already keeps its document, but for gates that are others now.

        Raises:
            RunFolderError: a part is damaged, or the folder cannot be written to; it stays resumable.
            ValueError: the document's counts are not those of the tables, or it holds a NaN.
        """
        if not self.complete:
            final = document.with_status("complete")
            self.tables()
            counts = (final.images.total, final.images.evaluated * final.skeleton.keypoints)
            if counts != self._merged_rows:
                raise ValueError(
                    f"run.json has {counts} images and keypoints, the tables {self._merged_rows}"
                )
            with reporting_write_errors(self.path):
                tables = (file_sha256(self.path / name) for name in (IMAGES, KEYPOINTS))
                self._write_document(final.sealed(*tables))
        elif document.gates != self._document.gates:
            judged_now = {"gates": document.gates, "notes": document.notes}
            with reporting_write_errors(self.path):
                self._write_document(self._document.model_copy(update=judged_now).sealed_again())
        notes = (*self._clean(), None if cwd is None else publish_latest(self.path, cwd))
        return tuple(note for note in notes if note)

    def interrupt(self, document: RunDocument) -> None:
        """Writes all that is known and leaves the folder readable and resumable; a complete run stays so.

        Raises:
            RunFolderError: the folder cannot be written to; what was written before stays readable.
        """
        if self.complete:
            return
        self.tables()
        with reporting_write_errors(self.path):
            self._write_document(document.with_status("interrupted"))

    def _start(self, failures: Sequence[Failure]) -> None:
        # run.json comes last: where there is one, the rest is there too.
        self._prepare_parts(failures)
        self._write_document(self._document)

    def _continue(self, failures: Sequence[Failure]) -> None:
        for merged in (IMAGES, KEYPOINTS):
            (self.path / merged).unlink(missing_ok=True)
        remove_temporary_files(self.path)
        self._prepare_parts(failures)
        self._finished = frozenset(batch for part in self._parts.ranges() for batch in part.batches)

    def _prepare_parts(self, failures: Sequence[Failure]) -> None:
        self._parts.prepare(images_rows(RunTable.of_records((), failures, self._document.skeleton)))

    def _write_part(self, part: BatchRange) -> None:
        records = [record for batch in part.batches for record in self._waiting[batch][0]]
        failures = [failure for batch in part.batches for failure in self._waiting[batch][1]]
        document = self._document
        table = RunTable.of_records(records, failures, document.skeleton, document.conditions)
        self._parts.write(part, images_rows(table), keypoints_rows(table))
        # An interruption before the next line writes the same part again under the same name.
        self._waiting = {b: content for b, content in self._waiting.items() if b not in part.batches}
        self._finished |= frozenset(part.batches)

    def _write_document(self, document: RunDocument) -> None:
        text = document.to_json()
        with replacing(self.path / DOCUMENT) as file:
            file.write(text.encode())
        self._document = document

    def _clean(self) -> tuple[str, ...]:
        remove_temporary_files(self.path)
        try:
            require_own(self.path, PARTS)
            shutil.rmtree(self._parts.root)
        except FileNotFoundError:
            pass
        except RunFolderError as error:
            return error.problems
        except OSError as error:
            return (f"{self.path / PARTS} not removed ({error.strerror or error}); it may be deleted",)
        return ()


def _require_free(path: Path, header: RunDocument) -> None:
    with reporting_write_errors(path):
        if not path.exists():
            return
        if not path.is_dir():
            raise RunFolderError(f"{path}: a file, not a folder; choose another --out")
        if (path / DOCUMENT).exists():
            raise RunFolderError(f"{path}: holds a run; continue it with --resume or choose another --out")
        parts = PartFiles(path / PARTS, header.skeleton)
        # A lock alone is what is made again where the folder was removed while a run began.
        entries = (entry for entry in path.rglob("*") if entry != path / LOCK)
        if any(not parts.is_unstarted(entry) for entry in entries):
            raise RunFolderError(f"{path}: exists and is not empty; choose another --out")


def _remove_unstarted(folder: RunFolder) -> None:
    folder._clean()
    with suppress(OSError):
        folder.path.rmdir()


@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Holds a run folder for this process alone; the system lets go of it however the process ends.

    The file that carries the lock stays in an interrupted run, where the next writer takes it.

    Raises:
        RunFolderError: another process is writing the run, or the folder cannot be written to.
    """
    require_own(path, LOCK)
    lock = FileLock(path / LOCK)
    with reporting_write_errors(path):
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise RunFolderError(
                f"{path}: another process is writing this run; let it finish, or choose another --out"
            ) from None
    try:
        yield
    finally:
        if _is_complete(path):
            with suppress(OSError):
                (path / LOCK).unlink(missing_ok=True)
        lock.release()


def has_work_left(path: Path) -> bool:
    """Whether there is a run that a writer could go on with: readable, and not complete."""
    return (path / DOCUMENT).is_file() and not _is_complete(path)


def _is_complete(path: Path) -> bool:
    try:
        return read_document(path).status == "complete"
    except RunFolderError:
        return False
