"""One writer at a time for a run folder."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from mahtdiag.errors import RunFolderError
from mahtdiag.runs.files import reporting_write_errors
from mahtdiag.runs.reading import DOCUMENT, read_document

LOCK: Final = ".lock"


@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Holds a run folder for this process alone; the system lets go of it however the process ends.

    The file that carries the lock stays in an interrupted run, where the next writer takes it.

    Raises:
        RunFolderError: another process is writing the run, or the folder cannot be written to.
    """
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
