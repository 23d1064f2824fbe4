"""Items made ahead: the same ones in the same order, errors in their place, an end once nobody takes them."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mahtdiag.engine.ahead import ahead
from mahtdiag.engine.inference import Runner
from tests.cli.command import Desk
from tests.cli.conftest import bench as bench
from tests.cli.conftest import clean_process as clean_process
from tests.cli.conftest import command as command
from tests.cli.conftest import desk as desk


@given(st.lists(st.integers()), st.integers(1, 5))
def test_the_same_items_in_the_same_order(items: list[int], waiting: int) -> None:
    assert list(ahead(iter(items), waiting)) == items


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(3)])
def test_an_error_comes_in_its_place(error: BaseException) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise error

    taken = ahead(items())
    assert next(taken) == 1
    with pytest.raises(type(error)) as raised:
        next(taken)
    assert raised.value is error


def test_the_next_one_is_made_meanwhile_and_no_more() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(10):
            made.append(number)
            yield number

    taken = ahead(items())
    assert next(taken) == 0
    end = time.monotonic() + 10
    while len(made) < 3 and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.1)
    # One waits to be taken, and one has been made and waits for its place.
    assert made == [0, 1, 2]
    taken.close()


def test_nothing_more_is_begun_once_nobody_takes_them() -> None:
    closed = threading.Event()
    made: list[int] = []

    def items() -> Iterator[int]:
        try:
            for number in range(1000):
                made.append(number)
                yield number
        finally:
            closed.set()

    taken = ahead(items())
    assert next(taken) == 0
    taken.close()
    assert closed.wait(10)
    assert len(made) <= 4


def test_torch_has_the_same_threads_and_modes() -> None:
    """What is set for the process holds in the thread, and what holds for the caller alone does not leak."""

    def items() -> Iterator[tuple[int, bool]]:
        with torch.inference_mode():
            yield torch.get_num_threads(), torch.is_inference_mode_enabled()

    assert list(ahead(items())) == [(torch.get_num_threads(), True)]
    assert not torch.is_inference_mode_enabled()


def test_a_run_with_the_network_in_another_thread_has_the_same_bits(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a device of its own."""
    assert desk.lookup("exact", "--batch-size", "2").status == 0
    (desk.path / "run").rename(desk.path / "before")
    threads: set[str] = set()
    read = Runner.read

    def seen(*arguments: Any, **named: Any) -> Any:
        threads.add(threading.current_thread().name)
        return read(*arguments, **named)

    monkeypatch.setattr(Runner, "read", seen)
    monkeypatch.setattr("mahtdiag.workflows.evaluate.network_source.SHARED_WITH_US", ())
    assert desk.lookup("exact", "--batch-size", "2").status == 0
    assert threads == {"ahead"}
    for table in ("images.parquet", "keypoints.parquet"):
        assert (desk.path / "run" / table).read_bytes() == (desk.path / "before" / table).read_bytes()


def test_an_error_of_the_network_in_another_thread_is_one_line(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mahtdiag.workflows.evaluate.network_source.SHARED_WITH_US", ())
    done = desk.lookup("raises", "--batch-size", "2")
    assert done.status == 2
    assert len(done.errors) == 1
    assert "the network failed on a batch [2, 1, 64, 64]" in done.errors[0]
