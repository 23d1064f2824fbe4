"""`mahtdiag demo`: the commands that a user would type, on a sample that travels with the package."""

import shlex
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mahtdiag.cli.output import write_result, write_text
from mahtdiag.errors import ExitStatus, InterruptedRunError, MahtdiagError

if TYPE_CHECKING:
    from mahtdiag.reports.tables.table import Line
    from mahtdiag.workflows.demo.job import Step

FOLDER = Path("mahtdiag-demo")
Out = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="New folder for the sample and everything found on it.")
]


def demo_command(out: Out = FOLDER) -> None:
    """Show on a sample what is found: a healthy network, one that is not, and labels with planted mistakes.

    Prints every command that it runs, to be typed again in the folder.

    Exit status: 0 everything found, 2 could not be done (the folder is there already) or not found.
    """
    from mahtdiag.reports.tables.demo import demo_lines
    from mahtdiag.reports.tables.table import Line
    from mahtdiag.workflows.demo.findings import read_findings
    from mahtdiag.workflows.demo.job import DATA, STEPS, unpack

    cwd = Path.cwd()
    unpack(out, cwd)
    write_text(f"$ cd {shlex.quote(str(out))}\n", str(out))
    try:
        with chdir(cwd / out):
            for step in STEPS:
                _run(step, out)
            found = read_findings(cwd / out, out)
    except FileNotFoundError as error:
        if (cwd / out / DATA).is_dir():
            raise
        raise MahtdiagError(f"--out {out}: somebody has removed it meanwhile; start again") from error
    _say(Line(), *demo_lines(found), kept=out)


def _run(step: "Step", out: Path) -> None:
    """One command as if it were typed. Raises MahtdiagError where it ends in another way than it has to."""
    from mahtdiag.cli.commands import app
    from mahtdiag.reports.tables.table import Line, Style

    typed = shlex.join(step.typed)
    _say(Line(), Line(f"# {step.why}", Style.STRONG), kept=out)
    # Not by a renderer, which would break long lines: it is to be pasted.
    write_text(f"$ mahtdiag {typed}\n", str(out))
    try:
        status = app(step.typed, prog_name="mahtdiag", standalone_mode=False) or ExitStatus.OK
    except InterruptedRunError:
        raise KeyboardInterrupt from None
    except MahtdiagError as error:
        # What it advises is for the command that is typed.
        raise MahtdiagError(*(f"{out}: `mahtdiag {typed}`: {each}" for each in error.problems)) from error
    if status == ExitStatus.INTERRUPTED:
        raise KeyboardInterrupt
    if status != step.status:
        raise MahtdiagError(
            f"{out}: `mahtdiag {typed}` ended with status {status}, where the demo has {int(step.status)}"
        )


def _say(*lines: "Line", kept: Path) -> None:
    from mahtdiag.reports.rendering import TABLE, Result

    write_result(Result(lambda _: lines, dict), TABLE, str(kept))
