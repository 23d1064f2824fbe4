"""What code of a user does to the process that runs it: undone where it can be, and told."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, NoReturn

END: Final = os._exit
_forks: list[int] = []


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

    Where it makes a copy of the process, the copy ends with the code, whatever comes of it.
    """
    pid, place, forks, conduct = os.getpid(), _here(), len(_forks), Conduct()

    def end(status: int) -> NoReturn:
        if os.getpid() != pid:
            END(status)
        raise LeftError(f"os._exit({status}) was called")

    os._exit = end
    try:
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
