"""`mahtdiag init`: a run in, a commented mahtdiag.toml with proposed gates out."""

import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mahtdiag.cli.output import tell, write_text
from mahtdiag.errors import UsageError
from mahtdiag.schema.safe_text import unrecorded

if TYPE_CHECKING:
    from mahtdiag.workflows.init.job import Initialised

MOST_PERCENT = 1000
RunFolder = Annotated[
    Path | None, typer.Argument(metavar="RUN", help="Run folder to start from (default: the latest).")
]
Out = Annotated[Path, typer.Option("--out", metavar="FILE", help="File to write.")]
Margin = Annotated[
    str, typer.Option("--margin", metavar="PERCENT", help="How much worse than the run is let through.")
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the file.")]
Template = Annotated[
    bool, typer.Option("--template", help="Without a run: every key as a comment, no gates.")
]


def init_command(
    run: RunFolder = None,
    out: Out = Path("mahtdiag.toml"),
    margin: Margin = "10%",
    force: Force = False,
    template: Template = False,
) -> None:
    """Write a commented mahtdiag.toml from a run, with gates at what it reached and a margin.

    Exit status: 0 done, 2 could not be done (no run yet, or the file exists).
    """
    share = _share(margin)
    if template and run is not None:
        raise UsageError("--template starts from no run; leave RUN or --template out")

    from mahtdiag.workflows.init.job import InitRequest, initialise

    done = initialise(InitRequest(run, out, share, force, template, Path.cwd()))
    for note in done.notes:
        tell(f"note: {note}")
    if done.run is None:
        said = f"{done.file}: written; set a checkpoint, the data and gates in it"
    else:
        gates = f"{done.gates} gate{'' if done.gates == 1 else 's'}"
        said = f"{done.file}: written from {done.run}, {gates}; {_next(done)}"
    write_text(f"{said}\n", str(done.file))


def _next(done: "Initialised") -> str:
    """What is to be typed, or to be said in the file, to have the run again."""
    if done.source.in_memory:
        return "its network was in memory: set a checkpoint in it, or use mahtdiag.evaluate in Python"
    more = " --trust" if done.needs_trust else ""
    if done.source.predictions is not None:
        more = f" --predictions {_typed(done.source.predictions)}"
    return f"now `mahtdiag evaluate{more}` is enough"


def _typed(path: str) -> str:
    """A recorded path as a shell takes it; one that is no text with its escapes."""
    plain = unrecorded(path) == path or "'" in path or os.path.lexists(path)
    return shlex.quote(path) if plain else f"$'{path}'"


def _share(text: str) -> float:
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*%\s*", text)
    if found is None or float(found[1]) > MOST_PERCENT:
        raise UsageError(f"--margin {text}: expected a percentage up to {MOST_PERCENT}%, for example 10%")
    return float(found[1]) / 100.0
