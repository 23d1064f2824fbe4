"""How much memory decoded images may take: each of them, and all that are decoded at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Thread, current_thread
from typing import Final

from mahtdiag.errors import DataError
from mahtdiag.schema.frames import Size

LARGEST_IMAGE_PIXELS: Final = 2**28
LARGEST_IMAGE_BYTES: Final = 2**29
# Whoever waits longer goes on: what holds the memory may be stuck.
_LONGEST_WAIT_SECONDS: Final = 60


def require_bounded(size: Size, pixel_bytes: int, name: str) -> None:
    """Raises DataError, one line, for more than 2**28 pixels or 512 MiB of them."""
    pixels = size.height * size.width
    said = f"{name}: {size.width}x{size.height} pixels (width x height)"
    if pixels > LARGEST_IMAGE_PIXELS:
        raise DataError(f"{said}, more than the {LARGEST_IMAGE_PIXELS} an image may have")
    if pixels * pixel_bytes > LARGEST_IMAGE_BYTES:
        most = LARGEST_IMAGE_BYTES // 2**20
        raise DataError(f"{said} of {pixel_bytes} bytes, more than the {most} MiB an image may have")


class Room:
    """Memory that threads share; each takes some once at a time."""

    def __init__(self, total_bytes: int) -> None:
        self._free_bytes = self._total_bytes = total_bytes
        self._taken: dict[Thread, int] = {}
        self._waiting: set[Thread] = set()
        self._changed = Condition()

    @contextmanager
    def taken(self, wanted_bytes: int) -> Iterator[None]:
        """So much of it, once that is free; all of it for more than there is."""
        thread, taken = current_thread(), min(wanted_bytes, self._total_bytes)
        with self._changed:
            self._waiting.add(thread)
            try:
                self._changed.wait_for(lambda: self._free_bytes >= taken, _LONGEST_WAIT_SECONDS)
            finally:
                self._waiting.discard(thread)
            self._free_bytes -= taken
            self._taken[thread] = taken
        try:
            yield
        finally:
            self.forget(thread)

    def is_waited_for_by(self, thread: Thread) -> bool:
        """Whether a thread has not got yet what it wants."""
        with self._changed:
            return thread in self._waiting

    def forget(self, thread: Thread) -> None:
        """Nobody waits any more for what a thread has taken: it is done, or left behind."""
        with self._changed:
            self._free_bytes += self._taken.pop(thread, 0)
            self._changed.notify_all()


ROOM: Final = Room(LARGEST_IMAGE_BYTES)
"""That of all images of this process: the largest is decoded alone."""
