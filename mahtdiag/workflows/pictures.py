"""Pictures of a command: drawn in threads, in order, after those of an earlier command are gone."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

from mahtdiag.reports.overlay.image import is_signed
from mahtdiag.runs.files import reporting_write_errors

Task = TypeVar("Task")
Result = TypeVar("Result")

# Python itself runs in one thread at a time, and each thread holds an image or two.
MOST_WORKERS: Final = 4


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
