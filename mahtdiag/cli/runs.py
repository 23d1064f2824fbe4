"""`mahtdiag runs`: the runs of a folder beside each other."""

from pathlib import Path
from typing import Annotated

import typer

from mahtdiag.cli import options
from mahtdiag.cli.output import write_result
from mahtdiag.config.option_keys import RESULT

Folder = Annotated[
    Path | None,
    typer.Argument(metavar="FOLDER", help="Folder that holds runs, also in folders of it (default: runs)."),
]
Sort = Annotated[
    str | None,
    options.in_panel(
        RESULT,
        "--sort",
        "A number of run.json or a column, best first (default: the mean error); date: newest first.",
        "METRIC",
    ),
]
Format = Annotated[options.OutputFormat, options.in_panel(RESULT, "--format", "json: all of it on stdout.")]


def runs_command(
    folder: Folder = None,
    sort: Sort = None,
    output_format: Format = options.OutputFormat.TABLE,
) -> None:
    """List the runs of a folder, best first, with numbers that compare and the other commands take.

    Exit status: 0 done, 2 no run is there.
    """
    from mahtdiag.reports.rendering import Result
    from mahtdiag.reports.tables.runs import runs_content, runs_parts
    from mahtdiag.workflows.runs.job import RunsRequest, rank_runs

    found = rank_runs(RunsRequest(folder, sort, Path.cwd()))
    result = Result(lambda columns: runs_parts(found, columns), lambda: runs_content(found))
    write_result(result, output_format)
