"""How long one image may take: who waits goes on, whoever calls and however many images are stuck."""

import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from mahtdiag.data.images import room
from mahtdiag.data.time_limit import USUAL_SECONDS, ImageTimeoutError, image_timeout, within_limit
from mahtdiag.errors import DataError


def test_what_it_returns_and_raises_comes_through() -> None:
    assert within_limit(lambda: 7, "a.png") == 7
    for error in (DataError("a.png: damaged"), TimeoutError("the disk's own"), KeyboardInterrupt()):

        def fail(error: BaseException = error) -> None:
            raise error

        with pytest.raises(type(error)) as raised:
            within_limit(fail, "a.png")
        assert raised.value is error
        assert not isinstance(raised.value, ImageTimeoutError)


def test_who_waits_goes_on() -> None:
    free = threading.Event()
    with image_timeout(0.2):
        start = time.monotonic()
        with pytest.raises(ImageTimeoutError) as raised:
            within_limit(lambda: free.wait(60), "a.png")
        assert 0.2 <= time.monotonic() - start < 10
    words = "not read within 0.2 seconds: save it again, or allow more with --image-timeout"
    assert (raised.value.problems, raised.value.reason) == ((f"a.png: {words}",), words)
    free.set()


def test_more_stuck_than_threads_and_what_comes_too_late() -> None:
    """Each is left behind by itself, and the others are what they would be without them."""
    free, late = threading.Event(), threading.Event()

    def work(number: int) -> int:
        if number % 3 == 0:
            free.wait(60)
            late.set()
        return number**2

    def found(number: int) -> int | str:
        try:
            return within_limit(lambda: work(number), f"{number}.png")
        except ImageTimeoutError as error:
            return error.problems[0].split(":")[0]

    with image_timeout(0.3), ThreadPoolExecutor(2) as pool:
        results = list(pool.map(found, range(9)))
    expected = [f"{n}.png" if n % 3 == 0 else n**2 for n in range(9)]
    assert results == expected
    free.set()
    assert late.wait(20)
    assert results == expected


def test_what_is_timed_is_timed_once() -> None:
    """What is called within has no thread and no time of its own."""

    def inner() -> tuple[threading.Thread, threading.Thread]:
        outer = threading.current_thread()
        return outer, within_limit(threading.current_thread, "a.png")

    first, second = within_limit(inner, "a.png")
    assert first is second
    assert first is not threading.current_thread()
    assert first.daemon


def test_the_limit_is_that_of_the_block() -> None:
    free = threading.Event()

    def reason() -> str:
        with pytest.raises(ImageTimeoutError) as raised:
            within_limit(lambda: free.wait(60), "a.png")
        return raised.value.reason

    with image_timeout(0.1):
        with image_timeout(None):
            assert "within 0.1 seconds" in reason()
        with image_timeout(0.25):
            assert "within 0.25 seconds" in reason()
        assert "within 0.1 seconds" in reason()
        with pytest.raises(ValueError, match="x"), image_timeout(5):
            raise ValueError("x")
        assert "within 0.1 seconds" in reason()
    assert USUAL_SECONDS == 300
    assert ImageTimeoutError("a.png").reason.startswith("not read within 300 seconds: ")
    free.set()


def test_waiting_for_memory_is_no_time_of_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = room.Room(100)
    monkeypatch.setattr(room, "ROOM", memory)

    def decode() -> str:
        with memory.taken(80):
            return "decoded"

    with image_timeout(0.2), memory.taken(80), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(within_limit, decode, "a.png")
        time.sleep(0.8)
        assert not waiting.done()
        memory.forget(threading.current_thread())
        assert waiting.result(20) == "decoded"


def test_memory_of_what_is_left_behind_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    memory, free, done = room.Room(100), threading.Event(), threading.Event()
    monkeypatch.setattr(room, "ROOM", memory)

    def stuck() -> None:
        with memory.taken(100):
            free.wait(60)
        done.set()

    with image_timeout(0.1), pytest.raises(ImageTimeoutError):
        within_limit(stuck, "a.png")
    start = time.monotonic()
    with memory.taken(100):
        assert time.monotonic() - start < 10
        # What ends late gives back nothing that is not its own.
        free.set()
        assert done.wait(20)
        assert not memory.is_waited_for_by(threading.current_thread())
        others = threading.Thread(target=lambda: memory.taken(1).__enter__(), daemon=True)
        others.start()
        others.join(0.2)
        assert memory.is_waited_for_by(others)


def test_nothing_is_kept_of_images_that_are_done(tmp_path: Path) -> None:
    before = threading.active_count()
    arrays = [within_limit(lambda: np.zeros(1000), "a.png") for _ in range(200)]
    del arrays
    gc.collect()
    assert threading.active_count() <= before + 1
