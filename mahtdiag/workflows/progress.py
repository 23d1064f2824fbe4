"""How a job and whoever started it talk: progress, notes, and whether an interruption loses something."""

from typing import Protocol

_can_be_kept = False


class Progress(Protocol):
    """Is told about progress and notes; the front door decides what a person sees of it."""

    def start(self, task: str, total: int, done: int = 0) -> None:
        """A task of `total` steps begins, `done` of them already behind it."""

    def advance(self, steps: int) -> None:
        """So many steps of the current task are done."""

    def stop(self) -> None:
        """The current task has ended, well or not."""

    def note(self, text: str) -> None:
        """One line worth reading."""


class NoProgress:
    """Nobody waits: says nothing."""

    def start(self, task: str, total: int, done: int = 0) -> None:
        """Nothing."""

    def advance(self, steps: int) -> None:
        """Nothing."""

    def stop(self) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""


def keep_work(keep: bool) -> None:
    """Say whether Ctrl-C and SIGTERM are a KeyboardInterrupt from now on, or end the process at once.

    Modules may swallow what is raised while they are imported, or abort the process. Only a job that keeps
    what it has done, or tells a pipeline how it ended, needs it raised, and no sooner than it has something
    to keep.
    """
    global _can_be_kept
    _can_be_kept = keep


def work_is_kept() -> bool:
    """Whether the job under way wants to be told of an interruption."""
    return _can_be_kept
