"""`figures`: the pictures of a run as files for a paper, each with its caption."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mahtdiag.config.settings import Settings
from mahtdiag.data.time_limit import image_timeout
from mahtdiag.errors import RunFolderError, UsageError
from mahtdiag.reports.figures.registry import (
    FIGURE_OF,
    FIGURES,
    DrawnFigure,
    FigureData,
    RunFigure,
    figure_file,
    figures_of,
)
from mahtdiag.runs.files import require_folder, require_own, require_there, write_named_folder
from mahtdiag.runs.reading import Run, open_run
from mahtdiag.schema.choices import FigureFormat, LeadingUnit
from mahtdiag.schema.safe_text import one_line
from mahtdiag.workflows.pictures import NO_PROGRESS, pictures_of
from mahtdiag.workflows.progress import Progress
from mahtdiag.workflows.report.screen import content_of

FOLDER: Final = "figures"
CAPTIONS: Final = "captions.md"
NAMES: Final = tuple(figure.name for figure in FIGURES)


@dataclass(frozen=True, slots=True)
class FiguresRequest:
    """What a user asked for: `run` None the latest, `out` None `RUN/figures`, `names` empty all figures."""

    settings: Settings
    run: Path | None
    out: Path | None
    format: FigureFormat
    names: tuple[str, ...]
    data: Path | None
    cwd: Path
    error_unit: LeadingUnit | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """What was written where, and why the others were not: reasons by the names of figures."""

    run: Run
    folder: Path
    format: FigureFormat
    written: tuple[str, ...]
    lacking: Mapping[str, str]
    notes: tuple[str, ...]


def draw_figures(request: FiguresRequest, progress: Progress) -> Figures:
    """Draw and write; raises MahtdiagError for a run without any result or an unknown name."""
    with image_timeout(request.settings.data.image_timeout):
        return _drawn(request, progress)


def _drawn(request: FiguresRequest, progress: Progress) -> Figures:
    wanted = tuple(_figure(name) for name in dict.fromkeys(request.names))
    run = open_run(request.run, request.cwd)
    if request.out is None:
        require_own(run.path, FOLDER)
    out = Path(run.named(run.path / FOLDER)) if request.out is None else request.out
    # Drawing takes a while, which nobody should wait for in vain.
    require_folder("--out", out, request.cwd)
    data = figure_data(
        run,
        request.error_unit or request.settings.evaluate.error_unit,
        data=request.data,
        settings=request.settings,
        progress=progress,
    )
    wanted = wanted or figures_of(data.table.skeleton)
    lacking = {figure.name: reason for figure in wanted if (reason := figure.lacks(data)) is not None}
    drawn = [figure for figure in wanted if figure.name not in lacking]
    if not drawn:
        raise RunFolderError(f"{run.label}: {_first(lacking)}")
    files: dict[str, bytes] = {}
    progress.start("figures", len(drawn))
    try:
        for figure in drawn:
            files[f"{figure.name}.{request.format}"] = figure_file(figure, data, request.format.value)
            progress.advance(1)
    finally:
        progress.stop()
    files[CAPTIONS] = "\n".join(_caption(figure, data) for figure in drawn).encode(
        "utf-8", "backslashreplace"
    )
    if request.out is None:
        require_there(run.path)
    write_named_folder("--out", out, files, request.cwd)
    complete = run.document.status == "complete"
    notes = () if complete else (f"{run.label} was interrupted: the images that it got to are drawn",)
    return Figures(run, request.cwd / out, request.format, tuple(f.name for f in drawn), lacking, notes)


def figure_of(run: Run, name: str, error_unit: LeadingUnit | None = None) -> DrawnFigure:
    """One figure of a run by its name (see `NAMES`), for Python.

    Raises UsageError for another name, and RunFolderError where the run has nothing to draw, saying why.
    """
    figure = _figure(name)
    try:
        return figure.drawn(figure_data(run, error_unit))
    except ValueError as error:
        raise RunFolderError(f"{run.label}: no figure {name}: {error}") from error


def figure_data(
    run: Run,
    error_unit: LeadingUnit | None = None,
    *,
    data: Path | None = None,
    settings: Settings | None = None,
    progress: Progress = NO_PROGRESS,
) -> FigureData:
    """What the figures of a run are drawn from; raises RunFolderError where no image was evaluated."""
    table = run.table()
    if not len(table):
        raise RunFolderError(
            f"{run.label}: no image was evaluated ({len(table.failures)} failed), there is nothing to draw; "
            "evaluate again"
        )
    if data is not None and not os.path.isdir(run.cwd / data):
        raise UsageError(f"--data {data}: no such folder; name the folder that holds the images")
    facing = None if settings is None else settings.anatomy.facing
    unit = error_unit or run.document.resolved.error_unit
    return content_of(run, table, (), facing, unit).figures(pictures_of(run, table, data, progress))


def _figure(name: str) -> RunFigure:
    if name not in FIGURE_OF:
        raise UsageError(f"no figure '{one_line(name)}'; there are {', '.join(NAMES)}")
    return FIGURE_OF[name]


def _first(lacking: Mapping[str, str]) -> str:
    name, reason = next(iter(lacking.items()))
    more = f", and {len(lacking) - 1} more" if len(lacking) > 1 else ""
    return f"no figure {name}: {reason}{more}"


def _caption(figure: RunFigure, data: FigureData) -> str:
    note = figure.note(data)
    return f"**{figure.name}** {figure.title} {figure.shows}{f' ({note})' if note else ''}.\n"
