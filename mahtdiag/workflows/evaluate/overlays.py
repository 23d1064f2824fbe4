"""Overlays of the worst images, drawn after the run from its records."""

from collections.abc import Mapping
from pathlib import Path

from mahtdiag.data.images import decode_image
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.errors import DataError
from mahtdiag.runs.files import write_file
from mahtdiag.runs.folder import RunFolder
from mahtdiag.schema.choices import ImageChoice
from mahtdiag.workflows.pictures import (
    MOST_WORKERS,
    OVERLAYS,
    in_order,
    overlay_of,
    picture_name,
    worst_rows,
)
from mahtdiag.workflows.progress import Progress


def write_overlays(
    table: RunTable,
    folder: RunFolder,
    progress: Progress,
    *,
    choice: ImageChoice,
    paths: Mapping[str, str],
    workers: int,
) -> int:
    """Draw and write the chosen overlays, and say how many; one that exists is drawn again.

    `paths`: where the images lie, by name.
    """
    rows = worst_rows(table.radial_error_px, choice)
    if not rows:
        return 0

    def overlay(row: int) -> tuple[str, bytes | Exception]:
        record = table.record(row)
        try:
            image = decode_image(Path(paths[record.image]).read_bytes(), record.image)
        except (OSError, DataError) as error:
            return record.image, error
        return record.image, overlay_of(image, record, table.skeleton)

    drawn = 0
    progress.start("overlays", len(rows))
    with in_order(overlay, rows, min(workers, MOST_WORKERS)) as overlays:
        for image, png in overlays:
            if isinstance(png, Exception):
                progress.note(f"{image}: no overlay, the image cannot be read any more ({png})")
                continue
            write_file(folder.path, f"{OVERLAYS}/{picture_name(image)}", png)
            drawn += 1
            progress.advance(1)
    progress.stop()
    return drawn
