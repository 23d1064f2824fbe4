"""Overlays of the worst images, drawn after the run from its records."""

import hashlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from mahtdiag.anatomy.rules import RULES
from mahtdiag.data.images import decode_image
from mahtdiag.diagnosis.ambiguity import has_two_peaks
from mahtdiag.errors import DataError
from mahtdiag.reports.overlay.draw import draw_overlay
from mahtdiag.runs.folder import RunFolder
from mahtdiag.schema.choices import ImageChoice
from mahtdiag.schema.records import Floats, ImageRecord
from mahtdiag.workflows.pictures import MOST_WORKERS, in_order
from mahtdiag.workflows.progress import Progress

if TYPE_CHECKING:  # whoever only reads runs need not wait for torch
    from mahtdiag.workflows.evaluate.results import RunResults
    from mahtdiag.workflows.evaluate.setup import Setup

FOLDER = "overlays"
# A file name has at most 255 bytes, and needs some of them while it is written.
LONGEST_STEM_BYTES = 200


def worst_images(results: "RunResults", choice: ImageChoice) -> list[int]:
    """Rows of the evaluated images to draw, worst mean radial error first."""
    return worst_rows(results.table.radial_error_px, choice)


def worst_rows(error_px: Floats, choice: ImageChoice) -> list[int]:
    """Places of the largest of these errors, unknown ones last."""
    order: list[int] = np.argsort(-np.nan_to_num(error_px, nan=-1.0), kind="stable").tolist()
    return order[: choice.most]


def overlay_name(image: str) -> str:
    """File name of an image's overlay, inside the run folder; too long a name is cut."""
    return f"{FOLDER}/{picture_name(image)}"


def picture_name(image: str) -> str:
    """File name of an image's overlay, without a folder."""
    stem = PurePosixPath(image).stem
    if len(stem.encode()) > LONGEST_STEM_BYTES:
        kept = stem.encode()[:LONGEST_STEM_BYTES].decode(errors="ignore")
        stem = f"{kept}-{hashlib.sha256(stem.encode()).hexdigest()[:12]}"
    return f"{stem}.png"


def write_overlays(setup: "Setup", results: "RunResults", folder: RunFolder, progress: Progress) -> int:
    """Draw and write the chosen overlays, and say how many; one that exists is drawn again."""
    rows = worst_images(results, setup.overlays)
    if not rows or results.numbers is None:
        return 0
    paths = {sample.image: sample.path for sample in setup.dataset.samples}
    titles = {rule.code: rule.title for rule in RULES}
    table = results.table.judged_by(setup.limits, setup.rules)

    def overlay(row: int) -> tuple[str, bytes | Exception]:
        record = table.record(row)
        try:
            image = decode_image(Path(paths[record.image]).read_bytes(), record.image)
        except (OSError, DataError) as error:
            return record.image, error
        return record.image, draw_overlay(
            image, record, setup.spec.skeleton, rule_titles=titles, second_peaks=second_peaks_of(record)
        )

    drawn = 0
    progress.start("overlays", len(rows))
    with in_order(overlay, rows, min(setup.workers, MOST_WORKERS)) as overlays:
        for image, png in overlays:
            if isinstance(png, Exception):
                progress.note(f"{image}: no overlay, the image cannot be read any more ({png})")
                continue
            folder.write(overlay_name(image), png)
            drawn += 1
            progress.advance(1)
    progress.stop()
    return drawn


def second_peaks_of(record: ImageRecord) -> Floats | None:
    """Where ambiguous heatmaps peak again, `[K, 2]` in original pixels, NaN elsewhere; None if not known."""
    peaks = record.keypoints.peaks
    if peaks is None:
        return None
    return np.where(has_two_peaks(peaks)[:, None], peaks.second, np.nan)


def overlay_notes(drawn: int, missing: list[str], folder: Path | str) -> tuple[str, ...]:
    """How many overlays were drawn and where, and which could not be."""
    notes = []
    if drawn:
        notes.append(f"{drawn} overlay{'s' if drawn > 1 else ''} in {folder}")
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        notes.append(f"no overlay of {missing[0]}{more}: the image is gone or another one now")
    return tuple(notes)
