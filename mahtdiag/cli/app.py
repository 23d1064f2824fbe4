"""The front door: every command, and the exit status it ends with."""

import os
import signal
import sys
from typing import Annotated, NoReturn

import typer

from mahtdiag import __version__
from mahtdiag.cli.evaluate import evaluate_command
from mahtdiag.cli.schema import schema_command
from mahtdiag.errors import ExitStatus, InterruptedRunError, MahtdiagError

DEBUG = "MAHTDIAG_DEBUG"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Evaluate and diagnose networks that find vertebral landmarks on lumbar spine radiographs.",
)
app.command("evaluate")(evaluate_command)
app.command("schema")(schema_command)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"mahtdiag {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Evaluate and diagnose networks that find vertebral landmarks on lumbar spine radiographs."""


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> None:
    """Run the command line; every error is one line on stderr and an exit status."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app()
    except InterruptedRunError as stopped:
        _say(f"interrupted; {stopped} is readable and can be finished with --out {stopped} --resume")
        sys.exit(ExitStatus.INTERRUPTED)
    except KeyboardInterrupt:
        _say("interrupted")
        sys.exit(ExitStatus.INTERRUPTED)
    except MahtdiagError as error:
        for problem in error.problems:
            _say(f"error: {problem}")
        sys.exit(ExitStatus.NOT_DONE)
    except Exception as error:  # a defect of ours: still one line and a status that scripts can read
        if os.environ.get(DEBUG):
            raise
        _say(f"internal error: {type(error).__name__}: {error}; set {DEBUG}=1 to see where, and report it")
        sys.exit(ExitStatus.NOT_DONE)


def _say(line: str) -> None:
    """One line on stderr, whatever a file name holds."""
    text = " ".join(line.splitlines())
    encoding = sys.stderr.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=sys.stderr)  # noqa: T201
