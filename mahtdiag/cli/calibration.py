"""`mahtdiag calibration`: a run in, tables or JSON and pictures out."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mahtdiag.cli import options
from mahtdiag.cli.ci import ci_results
from mahtdiag.cli.output import tell, write_result
from mahtdiag.config.option_keys import RESULT
from mahtdiag.schema.choices import FactorKind

if TYPE_CHECKING:
    from mahtdiag.reports.ci.record import CiRecord
    from mahtdiag.workflows.calibration.job import Calibration

RunFolder = Annotated[
    Path | None, typer.Argument(metavar="RUN", help="Run folder to judge (default: the latest).")
]
Fit = Annotated[
    Path | None,
    options.in_panel(
        "Recalibration", "--fit", "Write σ factors and conformal regions, fitted on this run.", "FILE"
    ),
]
Apply = Annotated[
    Path | None,
    options.in_panel(
        "Recalibration",
        "--apply",
        "Judge the factors of a file; refused on the images they were fitted on.",
        "FILE",
    ),
]
Factors = Annotated[
    FactorKind | None,
    options.in_panel(
        "Recalibration",
        "--factors",
        "Which factors --fit writes (default: likelihood, refused where they make σ worse).",
    ),
]
Pictures = Annotated[
    bool, options.in_panel(RESULT, "--pictures/--no-pictures", "Draw into RUN/calibration, PNG and SVG.")
]
Format = Annotated[options.OutputFormat, options.in_panel(RESULT, "--format", "json: all numbers on stdout.")]


def calibration_command(
    run: RunFolder = None,
    fit: Fit = None,
    apply: Apply = None,
    factors: Factors = None,
    pictures: Pictures = True,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    output_format: Format = options.OutputFormat.TABLE,
    junit: options.Junit = None,
    markdown: options.Markdown = None,
    config: options.Config = None,
) -> None:
    """Say whether a run's σ means what it claims, where it does not, and what to do about it.

    Exit status: 0 done, 1 a gate failed, 2 could not be done (for instance a run without σ).
    """
    from mahtdiag.config.project_file import read_settings

    cwd = Path.cwd()
    detail = options.detail_of(quiet, verbose, output_format)
    with ci_results("calibration", junit, markdown, output_format) as ci:
        settings = read_settings(config, cwd)

        from mahtdiag.workflows.calibration.job import CalibrationRequest, calibrate, with_gates
        from mahtdiag.workflows.calibration.screen import of_calibration

        ci.begin_work()
        request = CalibrationRequest(run, fit, apply, pictures, cwd, settings.calibration, factors)
        calibration = with_gates(calibrate(request), settings.gates)
        for note in calibration.notes:
            tell(f"note: {note}")
        record = cache(lambda: of_calibration(calibration))
        if not ci.take_stdout:
            _print(calibration, record, output_format, detail)
        ci.report(record)
        raise typer.Exit(int(calibration.status))


def _print(
    calibration: "Calibration",
    record: "Callable[[], CiRecord]",
    output_format: options.OutputFormat,
    detail: options.Detail,
) -> None:
    from mahtdiag.reports.rendering import Result
    from mahtdiag.reports.tables.calibration import calibration_parts
    from mahtdiag.reports.tables.closing import with_closing
    from mahtdiag.workflows.calibration.screen import content_of, result_of

    everything, quiet = detail is options.Detail.ALL, detail is options.Detail.CLOSING
    result = Result(
        lambda _: with_closing(
            calibration_parts(result_of(calibration), everything=everything), record(), quiet=quiet
        ),
        lambda: content_of(calibration),
    )
    write_result(result, output_format)
