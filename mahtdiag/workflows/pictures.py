"""Pictures of a command: drawn in threads, in order, after those of an earlier command are gone."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Final, TypeVar

import numpy as np

from mahtdiag.diagnosis.ambiguity import has_two_peaks
from mahtdiag.reports.overlay.image import is_signed
from mahtdiag.runs.files import reporting_write_errors
from mahtdiag.schema.choices import ImageChoice
from mahtdiag.schema.records import Floats, ImageRecord

Task = TypeVar("Task")
Result = TypeVar("Result")

# Python itself runs in one thread at a time, and each thread holds an image or two.
MOST_WORKERS: Final = 4

OVERLAYS: Final = "overlays"
"""The folder of overlays, in that of their command."""

# A file name has at most 255 bytes, and needs some of them while it is written.
_LONGEST_STEM_BYTES: Final = 200


def usual_workers() -> int:
    """As many threads as there are processors, within reason."""
    return min(MOST_WORKERS, os.cpu_count() or 1)


@contextmanager
def in_order(
    work: Callable[[Task], Result], tasks: Iterable[Task], workers: int
) -> Generator[Generator[Result]]:
    """Iterates over `work(task)` of every task, in their order; `workers` threads work one task ahead each.

    Memory is bounded by the tasks in flight. What is in flight when the block is left, for whatever reason,
    ends before anything else happens, and no further task begins. Raises what `work` raises, at its place.
    """
    with ThreadPoolExecutor(workers) as pool:
        try:
            yield _results(pool, work, tasks, 2 * workers)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _results(
    pool: ThreadPoolExecutor, work: Callable[[Task], Result], tasks: Iterable[Task], most: int
) -> Generator[Result]:
    flying: deque[Future[Result]] = deque()
    for task in tasks:
        flying.append(pool.submit(work, task))
        if len(flying) == most:
            yield flying.popleft().result()
    while flying:
        yield flying.popleft().result()


def remove_pictures(folder: Path, pattern: str, command: str) -> None:
    """Remove the pictures that a command drew and called so (`*.png`); other files stay.

    Raises RunFolderError where one cannot be removed.
    """
    with reporting_write_errors(folder):
        found = [path for path in folder.glob(pattern) if _drawn_by(command, path)]
        for path in found:
            path.unlink()
        # Folders inside that only they filled are of no use.
        for path in found:
            for emptied in path.relative_to(folder).parents[:-1]:
                with suppress(OSError):
                    (folder / emptied).rmdir()


def _drawn_by(command: str, path: Path) -> bool:
    """Whether it is a picture of this command; what cannot be read is taken for somebody else's."""
    if path.is_symlink() or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return is_signed(file, command)
    except OSError:
        return False


def worst_rows(error_px: Floats, choice: ImageChoice) -> list[int]:
    """Places of the largest of these errors, unknown ones last."""
    order: list[int] = np.argsort(-np.nan_to_num(error_px, nan=-1.0), kind="stable").tolist()
    return order[: choice.most]


def picture_name(image: str) -> str:
    """File name of an image's overlay, without a folder."""
    stem = PurePosixPath(image).stem
    if len(stem.encode()) > _LONGEST_STEM_BYTES:
        kept = stem.encode()[:_LONGEST_STEM_BYTES].decode(errors="ignore")
        stem = f"{kept}-{hashlib.sha256(stem.encode()).hexdigest()[:12]}"
    return f"{stem}.png"


def second_peaks_of(record: ImageRecord) -> Floats | None:
    """Where ambiguous heatmaps peak again, `[K, 2]` in original pixels, NaN elsewhere; None if not known."""
    peaks = record.keypoints.peaks
    if peaks is None:
        return None
    return np.where(has_two_peaks(peaks)[:, None], peaks.second, np.nan)


def overlay_notes(drawn: int, missing: list[str], folder: Path | str) -> tuple[str, ...]:
    """How many overlays were drawn and where, and which could not be."""
    notes = []
    if drawn:
        notes.append(f"{drawn} overlay{'s' if drawn > 1 else ''} in {folder}")
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        notes.append(f"no overlay of {missing[0]}{more}: the image is gone or another one now")
    return tuple(notes)
