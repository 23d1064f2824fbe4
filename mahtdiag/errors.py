"""Errors that a user can act on, and the exit statuses that scripts rely on."""

import re
from enum import IntEnum

# Problems of one kind that are told one by one.
MOST_ALIKE = 3
_DIGITS = re.compile(r"\d+")


class ExitStatus(IntEnum):
    """Exit status of every command."""

    OK = 0
    GATE_FAILED = 1
    NOT_DONE = 2
    INTERRUPTED = 130


class MahtdiagError(Exception):
    """What is wrong, where, and what to do about it, in one line per problem.

    A single input can have several problems; all of them are raised at once as `problems`.
    """

    def __init__(self, *problems: str) -> None:
        self.problems: tuple[str, ...] = problems
        super().__init__("\n".join(problems))


def without_numbers(sentence: str, *names: str) -> str:
    """What a sentence says whatever its numbers and these names are: the same for one mistake."""
    for name in names:
        sentence = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "", sentence)
    return _DIGITS.sub("0", sentence)


def once_each(problems: tuple[str, ...]) -> tuple[str, ...]:
    """The problems as they are told: of many that differ in numbers alone the first, and their count."""
    alike: dict[str, list[str]] = {}
    for problem in problems:
        alike.setdefault(without_numbers(problem), []).append(problem)
    return tuple(line for those in alike.values() for line in _told(those))


def _told(alike: list[str]) -> list[str]:
    return alike if len(alike) <= MOST_ALIKE else [f"{alike[0]}; likewise {len(alike) - 1:,} more"]


class UsageError(MahtdiagError):
    """An option, a combination of options or a configuration key that cannot be obeyed."""


class DataError(MahtdiagError):
    """An image, an annotation or a folder of them that cannot be used."""


class SetupRefusedError(MahtdiagError):
    """Network, images or labels that cannot be meant as they are read; `--accept` goes on knowingly."""


class CheckpointError(MahtdiagError):
    """A checkpoint that cannot be read or does not fit its network."""


class ModelOutputError(MahtdiagError):
    """A network that returned something other than what the contract accepts."""


class RunFolderError(MahtdiagError):
    """A run folder that cannot be written, read or resumed."""


class DeviceError(MahtdiagError):
    """A device or a precision that is not available on this machine."""


class InterruptedRunError(MahtdiagError):
    """The user stopped the job; the run folder that it names is readable and can be resumed."""
