"""The images that changed most between two runs, each drawn twice side by side."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mahtdiag.data.files import RecordedFiles
from mahtdiag.data.time_limit import image_timeout
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.reports.overlay.draw import Half, draw_side_by_side
from mahtdiag.reports.tables.comparison import ComparisonResult
from mahtdiag.reports.text import pixels
from mahtdiag.runs.reading import Run
from mahtdiag.schema.choices import ImageChoice
from mahtdiag.schema.records import ImageRecord
from mahtdiag.workflows.compare.job import ComparedRuns
from mahtdiag.workflows.pictures import (
    data_folder,
    draw_into,
    image_of,
    overlay_notes,
    overlay_of,
    picture_names,
    remove_pictures,
)
from mahtdiag.workflows.progress import Progress

WORSE, BETTER = "worse", "better"
COMMAND = "compare"
# What `draw_changed` calls its pictures, of one pair and of several.
PICTURES = tuple(f"{run}{name}/[0-9][0-9]*-*.png" for run in ("", "run-[0-9]*/") for name in (WORSE, BETTER))


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two runs, with all its columns."""

    label: str
    table: RunTable
    rows: dict[str, int]
    files: RecordedFiles
    upright: bool

    @staticmethod
    def of(run: Run, judged_as: Run) -> "_Side":
        """A run, its findings by the rules and limits of another."""
        by = judged_as.document.conditions
        table = run.table().judged_by(by.limits, by.rules)
        rows = {name: row for row, name in enumerate(table.image)}
        return _Side(
            run.label,
            table,
            rows,
            RecordedFiles(data_folder(run)),
            run.document.resolved.upright,
        )

    def record(self, name: str) -> ImageRecord:
        """The record of an image."""
        return self.table.record(self.rows[name])


def with_overlays(
    compared: ComparedRuns,
    choice: ImageChoice,
    folder: Path,
    progress: Progress,
    image_seconds: float | None = None,
) -> ComparedRuns:
    """The same, with what was drawn told in the notes; every run but the first gets a folder if several.

    Pictures of an earlier comparison in `folder` are removed. `image_seconds`: see `image_timeout`. Raises
    RunFolderError where pictures cannot be written.
    """
    for pictures in PICTURES:
        remove_pictures(folder, pictures, COMMAND)
    several = len(compared.pairs) > 1
    first, *others = compared.runs
    pairs = []
    for number, (run, pair) in enumerate(zip(others, compared.pairs, strict=True), start=2):
        into = folder / f"run-{number}" if several else folder
        with image_timeout(image_seconds):
            notes = draw_changed((first, run), pair, choice, into, progress)
        pairs.append(replace(pair, notes=(*pair.notes, *notes)))
    # All columns of many runs together would be much.
    return ComparedRuns((first, *(run.closed() for run in others)), tuple(pairs))


def draw_changed(
    runs: tuple[Run, Run], pair: ComparisonResult, choice: ImageChoice, folder: Path, progress: Progress
) -> tuple[str, ...]:
    """Draw the images that got worse and those that got better, and say in notes how many.

    `choice`: how many of either. Pictures go to `folder/worse` and `folder/better`. Raises RunFolderError
    where they cannot be written.
    """
    chosen = [rows[: choice.most] for rows in pair.comparison.errors.changed()]
    total = sum(map(len, chosen))
    if not total:
        return ()
    sides = _Side.of(runs[0], runs[0]), _Side.of(runs[1], runs[0])
    missing: list[tuple[str, str]] = []
    progress.start("overlays", total)
    try:
        for name, rows in zip((WORSE, BETTER), chosen, strict=True):
            # The number keeps the order, and apart what is called the same in two folders.
            names = picture_names(pair.names_a[row] for row in rows)
            tasks = [(f"{n:02d}-{names[pair.names_a[row]]}", row) for n, row in enumerate(rows, start=1)]
            undrawn = draw_into(folder / name, COMMAND, partial(_drawn, pair, sides), tasks, progress)
            missing += [(pair.names_a[row], reason) for row, reason in undrawn]
    finally:
        progress.stop()
    return overlay_notes(total - len(missing), missing, runs[0].named(folder))


def _drawn(pair: ComparisonResult, sides: tuple[_Side, _Side], row: int) -> bytes | None:
    """One image as both runs saw it; None where it is gone."""
    names = pair.names_a[row], pair.names_b[row]
    records = [side.record(name) for side, name in zip(sides, names, strict=True)]
    places = [side.files.path(name) for side, name in zip(sides, names, strict=True)]
    image = image_of(places, names[0], records[0].image_sha256, upright=sides[0].upright)
    if image is None:
        return None
    halves = []
    found = pair.comparison.errors
    for letter, side, record, error in zip("AB", sides, records, (found.a, found.b), strict=True):
        png = overlay_of(image, record, side.table.skeleton)
        halves.append(Half(png, letter, side.label, f"{pixels(error[row])} {found.unit.words}"))
    return draw_side_by_side(halves[0], halves[1])
