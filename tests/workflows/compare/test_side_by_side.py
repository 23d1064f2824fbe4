"""Work in threads: in order, a few tasks ahead, and over when its block is left."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mahtdiag.workflows.pictures import MOST_WORKERS, in_order, usual_workers


@given(st.lists(st.floats(0, 0.003), max_size=12), st.integers(1, 5))
def test_results_come_in_the_order_of_their_tasks(delays: list[float], workers: int) -> None:
    def work(task: tuple[int, float]) -> int:
        time.sleep(task[1])
        return task[0]

    with in_order(work, enumerate(delays), workers) as results:
        assert list(results) == list(range(len(delays)))


def test_threads_really_work_side_by_side() -> None:
    together = threading.Barrier(3, timeout=30)
    with in_order(lambda _: together.wait(), range(3), 3) as results:
        assert sorted(results) == [0, 1, 2]


@pytest.mark.parametrize("workers", [1, 3])
def test_only_a_few_tasks_are_begun_before_their_turn(workers: int) -> None:
    begun: list[int] = []

    def tasks() -> Iterator[int]:
        for task in range(50):
            begun.append(task)
            yield task

    with in_order(lambda task: task, tasks(), workers) as results:
        assert begun == []
        for number, _ in enumerate(results, start=1):
            assert len(begun) <= number + 2 * workers - 1
    assert begun == list(range(50))


def test_an_error_comes_at_its_place_and_ends_the_rest() -> None:
    done: list[int] = []

    def work(task: int) -> int:
        if task == 2:
            raise ValueError("the third")
        time.sleep(0.001)
        done.append(task)
        return task

    seen: list[int] = []

    def see() -> None:
        with in_order(work, range(1000), 2) as results:
            for result in results:
                seen.append(result)

    with pytest.raises(ValueError, match="the third"):
        see()
    assert seen == [0, 1]
    assert len(done) < 12


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_what_runs_ends_with_the_block_and_nothing_else_begins(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    begun, ended, leaving = [], [], threading.Event()
    shutdown = ThreadPoolExecutor.shutdown

    def noticed(pool: ThreadPoolExecutor, wait: bool = True, *, cancel_futures: bool = False) -> None:
        shutdown(pool, wait, cancel_futures=cancel_futures)
        leaving.set()

    def work(task: int) -> int:
        begun.append(task)
        if task:
            leaving.wait(timeout=30)
        ended.append(task)
        return task

    def leave() -> None:
        with in_order(work, range(1000), 3) as results:
            next(results)
            raise error

    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", noticed)
    with pytest.raises(error):
        leave()
    # One is done, three are at work, and two more were waiting.
    assert sorted(ended) == sorted(begun)
    assert len(begun) <= 4


def test_the_usual_number_of_workers_is_small() -> None:
    assert 1 <= usual_workers() <= MOST_WORKERS
