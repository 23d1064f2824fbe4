"""What code of a user does to the process that runs it: undone where it can be, and told."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TextIO

END: Final = os._exit
_forks: list[int] = []
_theirs: list[tuple[Any, Any]] = []
"""The type and the device that their code has told torch to make tensors of, the latest last."""


class LeftError(SystemExit):
    """Code that would have ended the process at once, past everything that writes results."""


@dataclass(slots=True)
class Conduct:
    """What code has done: made a copy of the process, gone to another folder."""

    forked: bool = False
    went_to: str | None = None


def _note_fork() -> None:
    _forks.append(os.getpid())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_parent=_note_fork)


@contextmanager
def watched() -> Iterator[Conduct]:
    """Run code of a user: it does not end the process at once (LeftError), and the working folder comes back.

    So do standard streams that it closes or replaces, and what torch makes tensors of. Where it makes a copy
    of the process, the copy ends with the code, whatever comes of it.
    """
    pid, place, forks, conduct = os.getpid(), _here(), len(_forks), Conduct()

    def end(status: int) -> NoReturn:
        if os.getpid() != pid:
            END(status)
        raise LeftError(f"os._exit({status}) was called")

    os._exit = end
    try:
        with _streams_kept(), _defaults_apart():
            yield conduct
    finally:
        if os.getpid() != pid:
            END(0)
        os._exit = END
        conduct.forked = len(_forks) > forks
        if place is not None and (now := _here()) != place:
            with suppress(OSError):
                os.chdir(place)
                conduct.went_to = now


def _here() -> str | None:
    """The working folder; None where it has been removed."""
    try:
        return os.getcwd()
    except OSError:
        return None


@contextmanager
def _streams_kept() -> Iterator[None]:
    streams, places = (sys.stdout, sys.stderr), (_copy_of(1), _copy_of(2))
    try:
        yield
    finally:
        # First: a stream of theirs that nobody holds any more closes what it writes to.
        sys.stdout, sys.stderr = streams
        for number, place in enumerate(places, 1):
            if place is not None:
                with suppress(OSError):
                    os.dup2(place, number)
                    os.close(place)
        sys.stdout, sys.stderr = (open_stream(stream, n) for n, stream in enumerate(streams, 1))


def _copy_of(descriptor: int) -> int | None:
    try:
        return os.dup(descriptor)
    except OSError:
        return None


def open_stream(stream: TextIO, descriptor: int) -> TextIO:
    """The stream, or where it has been closed another one that writes to the same place."""
    with suppress(ValueError):  # what has been detached cannot even be asked
        if stream is None or not stream.closed:
            return stream
    return open(descriptor, "w", errors="backslashreplace", closefd=False)


@contextmanager
def _defaults_apart() -> Iterator[None]:
    """What torch makes tensors of: as they have said it while their code runs, afterwards as it was."""
    ours = _defaults()
    _make_default(*(_theirs[-1] if _theirs else ours))
    try:
        yield
    finally:
        _theirs[:] = [] if _defaults() == ours else [_defaults()]
        _make_default(*ours)


def _defaults() -> tuple[Any, Any]:
    import torch

    return torch.get_default_dtype(), torch.get_default_device()


def _make_default(dtype: Any, device: Any) -> None:
    import torch

    if torch.get_default_dtype() != dtype:
        torch.set_default_dtype(dtype)
    if torch.get_default_device() != device:
        # For the CPU none is set: that one costs time with every call.
        torch.set_default_device(None if device == torch.device("cpu") else device)
