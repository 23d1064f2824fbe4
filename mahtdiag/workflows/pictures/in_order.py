"""Work on many things at once, in threads, with results in order."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, TypeVar

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
