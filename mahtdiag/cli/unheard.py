"""Standard error that nobody can read any more: what a command has to do goes on."""

import os
import sys
from contextlib import suppress
from typing import IO, Any


class Unheard:
    """A text stream whose writes never fail: once one has, all that follows goes nowhere.

    A full disk behind `2>` or a reader of `2>&1 |` that is gone says nothing about a run.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """The text, as far as anybody hears it."""
        try:
            return self._stream.write(text)
        except (OSError, ValueError):
            self._give_up()
            return len(text)

    def flush(self) -> None:
        """What is still held back."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._give_up()

    def _give_up(self) -> None:
        """Behind its number stands what takes everything: the interpreter flushes once more at its end."""
        with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def never_fail_to_tell() -> None:
    """From now on standard error of this process never fails."""
    sys.stderr = Unheard(sys.stderr)
