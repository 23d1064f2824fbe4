"""`mahtdiag anatomy`: is it anatomically possible, in tables or JSON."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mahtdiag.cli import options
from mahtdiag.cli.ci import ci_results
from mahtdiag.cli.output import progress_shown, write_result
from mahtdiag.config.option_keys import RESULT
from mahtdiag.errors import UsageError

if TYPE_CHECKING:
    from mahtdiag.config.settings import Settings
    from mahtdiag.diagnosis.anatomy import AnatomyReport
    from mahtdiag.reports.ci.record import CiRecord

RunArgument = Annotated[Path | None, typer.Argument(metavar="RUN", help="Run folder (default: the latest).")]
RunView = Annotated[
    options.ViewChoice, typer.Option("--view", help="View that is expected; another one is an error.")
]
Labels = Annotated[
    Path | None,
    typer.Option("--labels", metavar="DATA", help="Judge the annotations of a folder; needs no model."),
]
Against = Annotated[
    Path | None,
    typer.Option(
        "--against", metavar="DATA", help="With --labels: the training set; which images are in it already?"
    ),
]
Labels2 = Annotated[
    Path | None,
    typer.Option(
        "--labels2", metavar="DATA", help="A second labelling of the same images: how far do readers differ?"
    ),
]
Copies = Annotated[
    bool,
    typer.Option("--copies/--no-copies", help="With --labels: look for images that are in the set twice."),
]
StrictCopies = Annotated[
    bool, typer.Option("--strict-copies", help="Fail (exit status 1) where an image is a copy of another.")
]
Select = Annotated[
    list[str] | None,
    typer.Option("--select", metavar="CODES", help="Rules to check, codes or prefixes: A1,A302."),
]
Ignore = Annotated[
    list[str] | None, typer.Option("--ignore", metavar="CODES", help="Rules to leave out, codes or prefixes.")
]
Explain = Annotated[
    str | None,
    typer.Option("--explain", metavar="CODE", help="Say what a rule means and where its limit comes from."),
]
Csv = Annotated[
    Path | None,
    options.in_panel(RESULT, "--csv", "Also write the ranking as CSV, for the annotation tool.", "FILE"),
]
Pictures = Annotated[
    bool,
    options.in_panel(
        RESULT,
        "--pictures/--no-pictures",
        "Draw Bland–Altman plots (PNG and SVG) and overlays into RUN/anatomy.",
    ),
]
Out = Annotated[
    Path | None,
    options.in_panel(RESULT, "--out", "With --labels: draw overlays of the worst into this folder.", "DIR"),
]
Report = Annotated[
    Path | None,
    options.in_panel(RESULT, "--report", "With --labels: also write the judgement as one HTML page.", "FILE"),
]
Format = Annotated[options.OutputFormat, options.in_panel(RESULT, "--format", "json: every image on stdout.")]


LabelLevels = Annotated[
    str | None,
    typer.Option(
        "--levels", metavar="T1-L5", help="With --labels: vertebrae that are judged (default: lumbar)."
    ),
]


def anatomy_command(
    run: RunArgument = None,
    view: RunView = options.ViewChoice.AUTO,
    levels: LabelLevels = None,
    labels: Labels = None,
    against: Against = None,
    labels2: Labels2 = None,
    copies: Copies = True,
    strict_copies: StrictCopies = False,
    select: Select = None,
    ignore: Ignore = None,
    facing: options.Facing = None,
    data_format: options.DataFormat = None,
    image_timeout: options.ImageTimeout = None,
    explain: Explain = None,
    csv: Csv = None,
    pictures: Pictures = True,
    overlays: options.Overlays = None,
    overlay_style: options.OverlayStyle = None,
    out: Out = None,
    report: Report = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    all_levels: options.AllLevels = False,
    output_format: Format = options.OutputFormat.TABLE,
    junit: options.Junit = None,
    markdown: options.Markdown = None,
    config: options.Config = None,
) -> None:
    """Say whether a run's predictions, or a set's annotations, are anatomically possible.

    Exit status: 0 done, 1 a gate failed or --strict-copies found one, 2 could not be done (or
    annotations could not be read).
    """
    from mahtdiag.config.project_file import read_settings
    from mahtdiag.schema.skeleton import View

    cwd = Path.cwd()
    if explain is not None:
        _explain(explain, read_settings(config, cwd), output_format)
        return
    detail = options.detail_of(quiet, verbose, output_format)
    with ci_results("anatomy", junit, markdown, output_format) as ci:
        settings = options.with_image_timeout(read_settings(config, cwd), image_timeout)

        from mahtdiag.workflows.anatomy.job import AnatomyRequest, judge_anatomy
        from mahtdiag.workflows.anatomy.screen import of_anatomy

        ci.begin_work()
        request = AnatomyRequest(
            settings=settings,
            run=run,
            labels=labels,
            view=None if view is options.ViewChoice.AUTO else View(view),
            levels=_levels(levels),
            select=_codes("--select", select),
            ignore=_codes("--ignore", ignore),
            pictures=pictures,
            cwd=cwd,
            overlays=None if overlays is None else options.image_choice("--overlays", overlays),
            overlay_style=overlay_style,
            out=out,
            against=against,
            labels2=labels2,
            copies=copies,
            strict_copies=strict_copies,
            facing=facing,
            data_format=data_format,
        )
        if report is not None and labels is None:
            raise UsageError("--report goes with --labels; `mahtdiag report` writes the page of a run")
        _require_places(csv, report, out)
        anatomy = judge_anatomy(request, progress_shown())
        if report is not None:
            from mahtdiag.data.time_limit import image_timeout as allowed
            from mahtdiag.workflows.report.labels import write_label_report

            with allowed(settings.data.image_timeout):
                write_label_report(anatomy.report, report, cwd, progress_shown())
        record = cache(lambda: of_anatomy(anatomy))
        printed = None if ci.take_stdout else output_format
        _write(anatomy.report, record, csv, printed, detail, all_levels)
        ci.report(record)
        raise typer.Exit(int(anatomy.status))


def _require_places(csv: Path | None, report: Path | None, out: Path | None) -> None:
    """What cannot be written is said before the work, not after it."""
    from mahtdiag.runs.files import require_file, require_folder

    for option, path in (("--csv", csv), ("--report", report)):
        if path is not None:
            require_file(option, path)
    if out is not None:
        require_folder("--out", out)


def _write(
    report: "AnatomyReport",
    record: "Callable[[], CiRecord]",
    csv: Path | None,
    printed: options.OutputFormat | None,
    detail: options.Detail,
    all_levels: bool,
) -> None:
    """The table for the annotation tool, and what is printed."""
    from mahtdiag.reports.json import anatomy_content
    from mahtdiag.reports.rendering import CSV, Result, file_content
    from mahtdiag.reports.tables.anatomy import anatomy_parts
    from mahtdiag.reports.tables.closing import with_closing
    from mahtdiag.runs.files import write_named

    if csv is not None:
        write_named("--csv", csv, file_content(CSV, report))
    if printed is not None:
        everything, quiet = detail is options.Detail.ALL, detail is options.Detail.CLOSING
        result = Result(
            lambda columns: with_closing(
                anatomy_parts(report, columns, everything=everything, all_levels=all_levels),
                record(),
                quiet=quiet,
            ),
            lambda: anatomy_content(report),
        )
        write_result(result, printed)


def _codes(option: str, given: list[str] | None) -> tuple[str, ...] | None:
    """`--select A1,A302 --select A4` as one list; None where the option was not given."""
    if not given:
        return None
    codes = tuple(code.strip() for text in given for code in text.split(",") if code.strip())
    if not codes:
        raise UsageError(f"{option} {','.join(given)!r}: names no rule")
    return codes


def _levels(text: str | None) -> str | None:
    """`--levels` as it is given; UsageError where it is none."""
    from mahtdiag.schema.skeleton import known_levels

    try:
        return None if text is None else known_levels(text)
    except ValueError as error:
        raise UsageError(f"--levels {text}: {error}") from None


def _explain(code: str, settings: "Settings", output_format: options.OutputFormat) -> None:
    from mahtdiag.anatomy.rules import get_rule
    from mahtdiag.reports.rendering import Result
    from mahtdiag.reports.tables.anatomy import rule_content, rule_parts
    from mahtdiag.schema.skeleton import View

    rule, limits = get_rule(code), {view: settings.anatomy.limits_of(view) for view in View}
    result = Result(lambda _: rule_parts(rule, limits), lambda: rule_content(rule, limits))
    write_result(result, output_format)
