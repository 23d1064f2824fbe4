"""`mahtdiag report`: a run in, one HTML page out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mahtdiag.cli import options
from mahtdiag.cli.output import progress_shown, write_result
from mahtdiag.schema.choices import DEFAULT_GALLERY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mahtdiag.reports.rendering import Json
    from mahtdiag.reports.tables.table import Line
    from mahtdiag.workflows.report.job import Report

RunFolder = Annotated[Path | None, typer.Argument(metavar="RUN", help="Run folder (default: the latest).")]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Where to write the page (default: RUN/report.html)."),
]
Images = Annotated[
    str,
    typer.Option(
        "--images",
        metavar="worst:N|all|none",
        help="Which images the gallery shows: those with the largest mean error, all, or none.",
    ),
]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Where the images are now, if they have moved since the run."),
]
Format = Annotated[
    options.OutputFormat,
    typer.Option("--format", help="json: on stdout what was written and what the gates say."),
]


def report_command(
    run: RunFolder = None,
    out: Out = None,
    images: Images = str(DEFAULT_GALLERY),
    data: Data = None,
    image_timeout: options.ImageTimeout = None,
    error_unit: options.ErrorUnit = None,
    output_format: Format = options.OutputFormat.TABLE,
    config: options.Config = None,
) -> None:
    """Write a finished run as one HTML page: verdict, numbers, pictures and a gallery of its images.

    The page is one file that opens from disk and loads nothing from anywhere.

    Exit status: 0 done, 1 a gate failed, 2 could not be done (for instance an unfinished run).
    """
    from mahtdiag.config.project_file import read_settings
    from mahtdiag.reports.rendering import Result
    from mahtdiag.workflows.report.job import ReportRequest, write_report

    chosen = options.image_choice("--images", images)
    cwd = Path.cwd()
    settings = options.with_image_timeout(read_settings(config, cwd), image_timeout)
    request = ReportRequest(settings, run, out, chosen, data, cwd, error_unit)
    report = write_report(request, progress_shown())
    result = Result(lambda _: _lines(report), lambda: _content(report))
    write_result(result, output_format, str(report.path))
    raise typer.Exit(int(report.status))


def _lines(report: "Report") -> "Iterable[Line]":
    from mahtdiag.reports.tables.table import Line

    failed = [gate for gate in report.gates if not gate.passed]
    shown = (
        f"{report.shown:,} of {len(report.run.table()):,} images shown" if report.shown else "no images shown"
    )
    lines = [f"report: {report.run.named(report.path)} ({report.bytes / 1e6:.1f} MB, {shown})"]
    if report.gates:
        lines.append(f"gates: {len(failed)} of {len(report.gates)} failed")
    lines += [f"note: {note}" for note in report.notes]
    return map(Line, lines)


def _content(report: "Report") -> "dict[str, Json]":
    return {
        "report": report.run.named(report.path),
        "run": report.run.label,
        "bytes": report.bytes,
        "images": {
            "evaluated": len(report.run.table()),
            "failed": len(report.run.table().failures),
            "shown": report.shown,
            "without_picture": report.without_picture,
        },
        "gates": [gate.as_json() for gate in report.gates],
        "notes": list(report.notes),
    }
