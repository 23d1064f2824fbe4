"""Overlays of the worst images, drawn after the run from its records."""

import hashlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from mahtdiag.anatomy.findings import check_anatomy
from mahtdiag.anatomy.rules import RULES, Limits, Rule
from mahtdiag.data.images import decode_image
from mahtdiag.diagnosis.ambiguity import has_two_peaks
from mahtdiag.errors import DataError
from mahtdiag.reports.overlay.draw import draw_overlay
from mahtdiag.runs.folder import RunFolder
from mahtdiag.runs.reading import ImageColumns, KeypointColumns
from mahtdiag.schema.choices import ImageChoice
from mahtdiag.schema.records import Floats, ImageLosses, ImageRecord, KeypointResults
from mahtdiag.workflows.pictures.in_order import MOST_WORKERS, in_order
from mahtdiag.workflows.progress import Progress

if TYPE_CHECKING:  # whoever only reads runs need not wait for torch
    from mahtdiag.workflows.evaluate.results import RunResults
    from mahtdiag.workflows.evaluate.setup import Setup

FOLDER = "overlays"
# A file name has at most 255 bytes, and needs some of them while it is written.
LONGEST_STEM_BYTES = 200


def worst_images(results: "RunResults", choice: ImageChoice) -> list[int]:
    """Rows of the evaluated images to draw, worst mean radial error first."""
    return worst_rows(results.images.radial_error_px[results.images.ok], choice)


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
    if not rows or results.summary is None:
        return 0
    paths = {sample.image: sample.path for sample in setup.dataset.samples}
    titles = {rule.code: rule.title for rule in RULES}

    def overlay(row: int) -> tuple[str, bytes | Exception]:
        record = record_of(results.images, results.keypoints, row, setup.limits, setup.rules)
        try:
            image = decode_image(Path(paths[record.image]).read_bytes(), record.image)
        except (OSError, DataError) as error:
            return record.image, error
        return record.image, draw_overlay(
            image, record, setup.spec.view.skeleton, rule_titles=titles, second_peaks=second_peaks_of(record)
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


def record_of(
    images: ImageColumns,
    keypoints: KeypointColumns,
    row: int,
    limits: Limits,
    rules: tuple[Rule, ...] = RULES,
) -> ImageRecord:
    """The record of one evaluated image, read back from the tables."""
    i = int(np.flatnonzero(images.ok)[row])
    size = np.array([[images.width[i], images.height[i]]])
    spacing, age = float(images.pixel_spacing_mm[i]), float(images.age_years[i])
    return ImageRecord(
        image=images.image[i],
        image_sha256=images.image_sha256[i] or "",
        annotation_sha256=images.annotation_sha256[i] or "",
        width=int(images.width[i]),
        height=int(images.height[i]),
        pixel_spacing_mm=None if np.isnan(spacing) else spacing,
        sex=images.sex[i],
        age_years=None if np.isnan(age) else int(age),
        losses=ImageLosses(
            total=float(images.loss_total[i]),
            heatmap=float(images.loss_heatmap[i]),
            coord=float(images.loss_coord[i]),
            anatomical=float(images.loss_anatomical[i]),
            order=float(images.loss_order[i]),
            parallel=float(images.loss_parallel[i]),
            ratio=float(images.loss_ratio[i]),
            uncertainty=float(images.loss_uncertainty[i]),
            keypoint_share=float(images.loss_heatmap_keypoint_share[i]),
        ),
        keypoints=KeypointResults(
            gt_px=keypoints.gt_px[row],
            pred_px=keypoints.pred_px[row],
            error_px=keypoints.error_px[row],
            error_mm=keypoints.error_mm[row],
            sigma_px=keypoints.sigma_px[row],
            sigma_aleatoric_px=keypoints.sigma_aleatoric_px[row],
            sigma_epistemic_px=keypoints.sigma_epistemic_px[row],
            spread_px2=keypoints.spread_px2[row],
            peak=keypoints.peak[row],
            at_min=keypoints.at_min[row],
            at_max=keypoints.at_max[row],
            flags=keypoints.flags[row],
            peaks=keypoints.peaks.of_image(row, lambda places: places),
        ),
        findings=check_anatomy(
            keypoints.pred_px[row][None],
            keypoints.view.skeleton,
            image_size_px=size,
            limits=limits,
            rules=rules,
        ).of_image(0),
    )


def overlay_notes(drawn: int, missing: list[str], folder: Path | str) -> tuple[str, ...]:
    """How many overlays were drawn and where, and which could not be."""
    notes = []
    if drawn:
        notes.append(f"{drawn} overlay{'s' if drawn > 1 else ''} in {folder}")
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        notes.append(f"no overlay of {missing[0]}{more}: the image is gone or another one now")
    return tuple(notes)
