"""How long one image may take to be read and decoded: whoever waits for it goes on then, without it."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from time import monotonic
from typing import Final, TypeVar

from mahtdiag.errors import DataError

Result = TypeVar("Result")

USUAL_SECONDS: Final = 300
"""Decoders of damaged files may go round in circles, and disks may never answer."""
_LOOK_SECONDS: Final = 1.0
_seconds: float = USUAL_SECONDS


class ImageTimeoutError(DataError):
    """An image that took too long; what is at it is left behind."""

    def __init__(self, name: str) -> None:
        self.reason = (
            f"not read within {_seconds:g} seconds: save it again, or allow more with --image-timeout"
        )
        super().__init__(f"{name}: {self.reason}")


@contextmanager
def image_timeout(seconds: float | None) -> Iterator[None]:
    """How long one image may take while the block runs, in all threads of this process; None: as before."""
    global _seconds
    before = _seconds
    _seconds = before if seconds is None else seconds
    try:
        yield
    finally:
        _seconds = before


class _Reading(threading.Thread):
    """At one image. The end of the process does not wait for it."""

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__(target=work, name="image", daemon=True)


def within_limit(work: Callable[[], Result], name: str) -> Result:
    """What `work` returns or raises, which reads or decodes the image that messages call `name`.

    It runs in a thread of its own, unless whoever calls is timed already. Its time begins once the memory for
    its pixels is free. Raises ImageTimeoutError, one line, for one that takes longer than it may.
    """
    if isinstance(threading.current_thread(), _Reading):
        return work()
    # Loads what decodes, which only those need who do so.
    from mahtdiag.data.images.room import ROOM

    future: Future[Result] = Future()

    def fulfil() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # raised where it is waited for
            future.set_exception(error)

    thread = _Reading(fulfil)
    thread.start()
    start = monotonic()
    while not wait([future], min(_LOOK_SECONDS, _seconds)).done:
        if ROOM.is_waited_for_by(thread):
            start = monotonic()
        elif monotonic() - start > _seconds:
            ROOM.forget(thread)
            raise ImageTimeoutError(name)
    return future.result()
