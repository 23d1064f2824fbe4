"""Errors that a user can act on, and the exit statuses that scripts rely on."""

from enum import IntEnum


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
