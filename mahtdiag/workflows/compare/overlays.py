"""The images that changed most between two runs, each drawn twice side by side."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mahtdiag.anatomy.rules import RULES
from mahtdiag.data.files import RecordedFiles
from mahtdiag.data.images import Image, decode_image
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.errors import DataError, RunFolderError
from mahtdiag.reports.overlay.draw import Half, draw_overlay, draw_side_by_side
from mahtdiag.reports.overlay.image import signed
from mahtdiag.runs.files import write_file
from mahtdiag.runs.reading import Run
from mahtdiag.schema.choices import ImageChoice
from mahtdiag.schema.records import ImageRecord
from mahtdiag.workflows.compare.job import Compared, ComparedPair
from mahtdiag.workflows.pictures import (
    in_order,
    overlay_notes,
    picture_name,
    remove_pictures,
    second_peaks_of,
    usual_workers,
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

    @staticmethod
    def of(run: Run, judged_as: Run) -> "_Side":
        """A run, its findings by the rules and limits of another."""
        by = judged_as.document.conditions
        table = run.table().judged_by(by.limits, by.rules)
        rows = {name: row for row, name in enumerate(table.image)}
        return _Side(run.label, table, rows, RecordedFiles(run.cwd / run.document.data.path))

    def record(self, name: str) -> ImageRecord:
        """The record of an image."""
        return self.table.record(self.rows[name])


def with_overlays(compared: Compared, choice: ImageChoice, folder: Path, progress: Progress) -> Compared:
    """The same, with what was drawn told in the notes; every run but the first gets a folder if several.

    Pictures of an earlier comparison in `folder` are removed.
    """
    try:
        for pictures in PICTURES:
            remove_pictures(folder, pictures, COMMAND)
    except RunFolderError as error:
        return _noted(compared, f"no overlays: {error.problems[0]}")
    several = len(compared.pairs) > 1
    pairs = []
    for number, pair in enumerate(compared.pairs, start=2):
        notes = draw_changed(pair, choice, folder / f"run-{number}" if several else folder, progress)
        # All columns of many runs together would be much; those of the first are needed again.
        pairs.append(replace(pair, b=pair.b.closed(), notes=(*pair.notes, *notes)))
    return replace(compared, pairs=tuple(pairs))


def _noted(compared: Compared, note: str) -> Compared:
    pairs = (replace(pair, notes=(*pair.notes, note)) for pair in compared.pairs)
    return replace(compared, pairs=tuple(pairs))


def draw_changed(
    pair: ComparedPair, choice: ImageChoice, folder: Path, progress: Progress
) -> tuple[str, ...]:
    """Draw the images that got worse and those that got better, and say in notes how many, or why not.

    `choice`: how many of either. Pictures go to `folder/worse` and `folder/better`.
    """
    chosen = [rows[: choice.most] for rows in pair.changed()]
    total = sum(map(len, chosen))
    if not total:
        return ()
    sides = _Side.of(pair.a, pair.a), _Side.of(pair.b, pair.a)
    missing: list[str] = []
    progress.start("overlays", total)
    try:
        for name, rows in zip((WORSE, BETTER), chosen, strict=True):
            missing += _draw(pair, rows, sides, folder / name, progress)
    except RunFolderError as error:
        return (f"no overlays: {error.problems[0]}",)
    finally:
        progress.stop()
    return overlay_notes(total - len(missing), missing, pair.a.named(folder))


def _draw(
    pair: ComparedPair,
    rows: Sequence[int],
    sides: tuple[_Side, _Side],
    folder: Path,
    progress: Progress,
) -> list[str]:
    """Draw these images; returns the names of those that are gone."""
    missing = []
    with in_order(lambda row: _drawn(pair, row, sides), rows, usual_workers()) as pictures:
        for place, (row, png) in enumerate(zip(rows, pictures, strict=True), start=1):
            name = pair.names_a[row]
            progress.advance(1)
            if png is None:
                missing.append(name)
                continue
            # The number keeps the order, and apart what is called the same in two folders.
            write_file(folder, f"{place:02d}-{picture_name(name)}", signed(png, COMMAND))
    return missing


def _drawn(pair: ComparedPair, row: int, sides: tuple[_Side, _Side]) -> bytes | None:
    """One image as both runs saw it; None where it is gone."""
    names = pair.names_a[row], pair.names_b[row]
    records = [side.record(name) for side, name in zip(sides, names, strict=True)]
    places = [side.files.path(name) for side, name in zip(sides, names, strict=True)]
    image = _image(names[0], places, records[0])
    if image is None:
        return None
    titles = {rule.code: rule.title for rule in RULES}
    halves = []
    for letter, side, record in zip("AB", sides, records, strict=True):
        peaks = second_peaks_of(record)
        png = draw_overlay(image, record, pair.a.view.skeleton, rule_titles=titles, second_peaks=peaks)
        halves.append(Half(png, letter, side.label, record.radial_error_px))
    return draw_side_by_side(halves[0], halves[1])


def _image(name: str, places: Sequence[Path], record: ImageRecord) -> Image | None:
    """The pixels of the image that was evaluated, from the first place that still holds it."""
    for path in places:
        try:
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() == record.image_sha256:
                return decode_image(content, name)
        except (OSError, DataError):
            continue
    return None
