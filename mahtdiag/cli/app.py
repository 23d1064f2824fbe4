"""The front door: runs a command, and turns whatever ends it into one line and an exit status."""

import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn, Protocol, runtime_checkable

from mahtdiag.cli.unforeseen import DEBUG, in_one_line
from mahtdiag.errors import ExitStatus, InterruptedRunError, MahtdiagError, once_each
from mahtdiag.workflows.progress import keep_work, work_is_kept

THREADS_THAT_WAIT = ("GOMP_SPINCOUNT", "1000")
SIGNALS = (signal.SIGINT, signal.SIGTERM)
SECONDS_UNTIL_AGAIN = 0.01
_END = os._exit
SHOW_CURSOR = b"\x1b[?25h"


@runtime_checkable
class _BadUsage(Protocol):
    """What the command line parser raises; its class has moved between versions."""

    ctx: object

    def format_message(self) -> str:
        """What is wrong, in a sentence."""


class _Interruption:
    """Ctrl-C and SIGTERM: a KeyboardInterrupt for a job that keeps what it has, else the end at once.

    It is remembered, in case a library makes another error of it; a second one always ends the process.
    """

    def __init__(self) -> None:
        self.seen = False
        keep_work(False)
        for number in SIGNALS:
            # A command started in the background of a script is to go on when the script is interrupted.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._interrupt)
        sys.unraisablehook = self._unraisable

    def _interrupt(self, *_: object) -> None:
        if self.seen or not work_is_kept():
            self._end_at_once()
        self._raise()

    def _raise(self, *_: object) -> NoReturn:
        self.seen = True
        raise KeyboardInterrupt

    def _unraisable(self, lost: "sys.UnraisableHookArgs") -> None:
        """An interruption that fell where it cannot be passed on, such as a finaliser, comes again."""
        if lost.exc_type is not KeyboardInterrupt:
            sys.__unraisablehook__(lost)
        elif hasattr(signal, "setitimer"):
            signal.signal(signal.SIGALRM, self._raise)
            signal.setitimer(signal.ITIMER_REAL, SECONDS_UNTIL_AGAIN)

    def _end_at_once(self) -> NoReturn:
        """Whatever is being imported or written: files are written whole or not at all."""
        with suppress(OSError):
            # A progress bar hides the cursor.
            os.write(2, (SHOW_CURSOR if os.isatty(2) else b"") + b"interrupted\n")
        _END(ExitStatus.INTERRUPTED)

    def leave(self, status: int) -> NoReturn:
        """End the process.

        After an interruption the usual way out would wait for what threads are doing, and give another status
        where a library was interrupted in code that it had made itself.
        """
        if self.seen:
            _END(status)
        sys.exit(status)


def let_threads_sleep() -> None:
    """Before PyTorch is imported: its threads turn in circles a thousand times while they wait, then sleep.

    By default they do so for milliseconds, and take the cores that images are decoded on.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault(*THREADS_THAT_WAIT)


def main() -> NoReturn:
    """Run the command line; every error is one line on stderr and an exit status."""
    interruption = _Interruption()
    let_threads_sleep()
    # A stream that the caller has closed is None, and nobody reads what is written there.
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        # Names and numbers are printed on every terminal, as escapes where it has no sign for them.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    from mahtdiag.cli.libraries import tell_safely
    from mahtdiag.cli.unheard import never_fail_to_tell

    never_fail_to_tell()
    tell_safely()
    interruption.leave(_status_of_command(interruption))


def _status_of_command(interruption: _Interruption) -> int:
    try:
        # Nothing is imported before the signals are cared for.
        from mahtdiag.cli.commands import app

        status = int(app(prog_name="mahtdiag", standalone_mode=False) or ExitStatus.OK)
        # The parser turns KeyboardInterrupt into a status.
        return _interrupted() if status == ExitStatus.INTERRUPTED else status
    except InterruptedRunError as stopped:
        return _interrupted(f"; {stopped} is readable and can be finished with --out {stopped} --resume")
    except KeyboardInterrupt:
        return _interrupted()
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        return _interrupted() if interruption.seen else _explain(error)


def _interrupted(more: str = "") -> ExitStatus:
    return _fail(f"interrupted{more}", status=ExitStatus.INTERRUPTED)


def _explain(error: Exception) -> ExitStatus:
    if isinstance(error, MahtdiagError):
        return _fail(*(f"error: {problem}" for problem in once_each(error.problems)))
    if isinstance(error, _BadUsage):
        said = error.format_message().replace("Value error, ", "").removesuffix(".")
        command = getattr(error.ctx, "command_path", "mahtdiag")
        return _fail(f"error: {said[:1].lower()}{said[1:]} (see {command} --help)")
    if not _folder_is_there():
        return _fail("error: the current folder has been removed; change to another one and start again")
    # Still one line and a status that scripts can read.
    said = in_one_line(error)
    report_it = f"; set {DEBUG}=1 to see where, and report it"
    return _fail(said if said.startswith("error: ") else said + report_it)


def _folder_is_there() -> bool:
    try:
        return bool(os.getcwd())
    except OSError:
        return False


def _fail(*lines: str, status: ExitStatus = ExitStatus.NOT_DONE) -> ExitStatus:
    """Each of the lines as one line on stderr, whatever a file name holds."""
    from mahtdiag.cli.output import tell

    for line in lines:
        tell(line)
    return status
