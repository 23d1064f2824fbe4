"""`mahtdiag compare`: two runs or more in, a verdict in tables or JSON out."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mahtdiag.cli import options
from mahtdiag.cli.ci import ci_results
from mahtdiag.cli.output import progress_shown, write_result
from mahtdiag.config.option_keys import DATA_SET, RESULT
from mahtdiag.errors import UsageError
from mahtdiag.schema.choices import DEFAULT_OVERLAYS, ImageChoice

if TYPE_CHECKING:
    from mahtdiag.reports.tables.comparison import ComparisonResult
    from mahtdiag.reports.tables.table import Part
    from mahtdiag.workflows.compare.job import ComparedRuns

JUDGING = "Verdict"

Runs = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN_A RUN_B [RUN_C …]",
        help="Run folders, the first of which the others are compared with; latest: the newest.",
    ),
]
Margins = Annotated[
    list[str] | None,
    options.in_panel(
        JUDGING,
        "--margin",
        "How much worse a number may be, 0.3 or 5%; what is named decides, and nothing else.",
        "METRIC=AMOUNT",
    ),
]
Strict = Annotated[
    bool, options.in_panel(JUDGING, "--strict", "Fail unless B is shown to be within the margins.")
]
Common = Annotated[
    bool,
    options.in_panel(
        DATA_SET, "--common", "Compare the images that both runs have; other data is then no error."
    ),
]
Overlays = Annotated[
    str | None,
    options.in_panel(
        RESULT,
        "--overlays",
        "Which images to draw: N that got worse and N that got better (default: worst:12).",
        "worst:N|all|none",
    ),
]
Out = Annotated[
    Path | None,
    options.in_panel(
        RESULT, "--out", "Draw the images that changed most into this folder, A beside B.", "DIR"
    ),
]
Format = Annotated[options.OutputFormat, options.in_panel(RESULT, "--format", "json: all numbers on stdout.")]


def compare_command(
    runs: Runs,
    margins: Margins = None,
    strict: Strict = False,
    common: Common = False,
    overlays: Overlays = None,
    out: Out = None,
    image_timeout: options.ImageTimeout = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    all_levels: options.AllLevels = False,
    output_format: Format = options.OutputFormat.TABLE,
    junit: options.Junit = None,
    markdown: options.Markdown = None,
    config: options.Config = None,
) -> None:
    """Say whether run B is better or worse than run A on the same images, by which numbers and where.

    Exit status: 0 done, 1 B is worse beyond a margin, 2 could not be compared, or of too few images.
    """
    from mahtdiag.config.project_file import read_settings

    cwd = Path.cwd()
    detail = options.detail_of(quiet, verbose, output_format)
    with ci_results("compare", junit, markdown, output_format) as ci:
        drawn = _overlays(overlays, out)
        settings = options.with_image_timeout(read_settings(config, cwd), image_timeout)

        from mahtdiag.runs.files import require_folder
        from mahtdiag.workflows.compare.job import CompareRequest, compare, of_comparison

        if out is not None:
            require_folder("--out", out, cwd)
        ci.begin_work()
        given = tuple(margins or ())
        compared = compare(CompareRequest(tuple(runs), settings, cwd, given, strict=strict, common=common))
        if out is not None:
            seconds = settings.data.image_timeout
            compared = _with_overlays(compared, drawn, cwd / out, seconds)
        if not ci.take_stdout:
            _print(compared, output_format, detail, all_levels)
        ci.report(lambda: of_comparison(compared))
        raise typer.Exit(int(compared.status))


def _with_overlays(
    compared: "ComparedRuns", choice: ImageChoice, folder: Path, image_seconds: float | None
) -> "ComparedRuns":
    from mahtdiag.workflows.compare.overlays import with_overlays

    return with_overlays(compared, choice, folder, progress_shown(), image_seconds)


def _print(
    compared: "ComparedRuns", output_format: options.OutputFormat, detail: options.Detail, all_levels: bool
) -> None:
    from mahtdiag.reports.json import comparison_content
    from mahtdiag.reports.rendering import Result
    from mahtdiag.reports.tables.comparison import comparison_parts, verdict_lines

    def parts(columns: int, result: "ComparisonResult") -> "Iterable[Part]":
        if detail is options.Detail.CLOSING:
            return verdict_lines(result)
        everything = detail is options.Detail.ALL
        return comparison_parts(result, columns, everything=everything, all_levels=all_levels)

    result = Result(
        lambda columns: (part for each in compared.pairs for part in parts(columns, each)),
        lambda: comparison_content(compared.pairs),
    )
    write_result(result, output_format)


def _overlays(given: str | None, out: Path | None) -> ImageChoice:
    if out is None and given not in (None, "none"):
        raise UsageError("--overlays needs --out DIR, the folder to draw into")
    return DEFAULT_OVERLAYS if given is None else options.image_choice("--overlays", given)
