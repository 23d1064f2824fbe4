"""The small pictures of a report, made from the images of a run where they still are what they were."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mahtdiag.data.files import RecordedFiles
from mahtdiag.data.images import decode_reduced
from mahtdiag.errors import DataError
from mahtdiag.reports.html.gallery import Picture, picture_bytes, picture_height, small_picture
from mahtdiag.workflows.progress import Progress

GONE = "the file is gone"
CHANGED = "another image since the run"
UNREADABLE = "cannot be read any more"


@dataclass(frozen=True, slots=True)
class Wanted:
    """An image to show: its name in the run, and the digest of its content then (None: not compared)."""

    name: str
    sha256: str | None


def start_pictures(
    pool: ThreadPoolExecutor, wanted: Sequence[Wanted], data: Path | None
) -> list[Future[Picture | str]]:
    """Begin to make the pictures, unless `data` is None; each ends as a picture or why there is none."""
    if data is None:
        return []
    height, most_bytes = picture_height(len(wanted)), picture_bytes(len(wanted))
    files = RecordedFiles(data)
    return [pool.submit(_picture_of, image, files, height, most_bytes) for image in wanted]


def finished_pictures(started: Sequence[Future[Picture | str]], progress: Progress) -> list[Picture | str]:
    """Wait for the pictures that are not made yet; all of them, in their order."""
    waiting = [future for future in started if not future.done()]
    if waiting:
        progress.start("pictures", len(started), len(started) - len(waiting))
    try:
        for _ in as_completed(waiting):
            progress.advance(1)
    finally:
        progress.stop()
    return [future.result() for future in started]


def _picture_of(wanted: Wanted, files: RecordedFiles, height: int, most_bytes: int) -> Picture | str:
    name = PurePosixPath(wanted.name)
    # A run folder made elsewhere must not show files from outside the data folder.
    if name.is_absolute() or ".." in name.parts:
        return GONE
    try:
        content = files.path(wanted.name).read_bytes()
        if wanted.sha256 is not None and hashlib.sha256(content).hexdigest() != wanted.sha256:
            return CHANGED
        reduced = decode_reduced(content, wanted.name, height)
    except FileNotFoundError:
        return GONE
    except (OSError, ValueError, DataError):
        return UNREADABLE
    return small_picture(reduced.pixels, reduced.covers, height, most_bytes)
