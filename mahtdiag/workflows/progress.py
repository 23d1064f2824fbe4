"""How a job tells whoever started it what is going on, without knowing what a terminal is."""

from typing import Protocol


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
