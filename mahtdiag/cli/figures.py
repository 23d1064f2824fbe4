"""`mahtdiag figures`: a run in, pictures for a paper out."""

from pathlib import Path
from typing import Annotated

import typer

from mahtdiag.cli import options
from mahtdiag.cli.output import progress_shown, tell, write_text
from mahtdiag.schema.choices import FigureFormat

RunFolder = Annotated[Path | None, typer.Argument(metavar="RUN", help="Run folder (default: the latest).")]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Where to write them (default: RUN/figures).")
]
Format = Annotated[
    FigureFormat, typer.Option("--format", help="pdf and svg keep text as text; png has 300 dots per inch.")
]
Names = Annotated[
    list[str] | None,
    typer.Option("--figure", metavar="NAME", help="Only this figure; may be given more than once."),
]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Where the images are now, if they have moved since the run."),
]


def figures_command(
    run: RunFolder = None,
    out: Out = None,
    output_format: Format = FigureFormat.PDF,
    figure: Names = None,
    data: Data = None,
    image_timeout: options.ImageTimeout = None,
    error_unit: options.ErrorUnit = None,
    config: options.Config = None,
) -> None:
    """Draw the figures of a run in the size of a paper's column (85 mm) or page (180 mm), with captions.

    Exit status: 0 done, 2 could not be done (for instance a run of which nothing can be drawn).
    """
    from mahtdiag.config.project_file import read_settings
    from mahtdiag.workflows.report.figures import FiguresRequest, draw_figures

    cwd = Path.cwd()
    names = tuple(figure or ())
    settings = options.with_image_timeout(read_settings(config, cwd), image_timeout)
    request = FiguresRequest(settings, run, out, output_format, names, data, cwd, error_unit)
    drawn = draw_figures(request, progress_shown())
    folder = drawn.run.named(drawn.folder)
    lines = [f"figures: {len(drawn.written)} as {drawn.format} in {folder}, with captions.md"]
    lines += [f"  {name}" for name in drawn.written]
    for reason in dict.fromkeys(drawn.lacking.values()):
        names_of = ", ".join(name for name, why in drawn.lacking.items() if why == reason)
        lines.append(f"not drawn: {names_of}: {reason}")
    for note in drawn.notes:
        tell(f"note: {note}")
    write_text("".join(f"{line}\n" for line in lines), folder)
