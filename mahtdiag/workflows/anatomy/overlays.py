"""Overlays of judged images: what is anatomically wrong in predictions, or in labels alone."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mahtdiag.data.files import RecordedFiles
from mahtdiag.diagnosis.anatomy import AnatomyVerdict, JudgedImage
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.errors import UsageError
from mahtdiag.runs.reading import Run
from mahtdiag.schema.choices import ImageChoice, OverlayStyle
from mahtdiag.schema.records import ImageLosses, ImageRecord, KeypointResults, Sample
from mahtdiag.schema.skeleton import Skeleton
from mahtdiag.workflows.pictures import (
    GONE,
    data_folder,
    draw_into,
    image_of,
    overlay_notes,
    overlay_of,
    picture_names,
    remove_pictures,
)
from mahtdiag.workflows.progress import Progress

Floats = NDArray[np.float64]
COMMAND = "anatomy"


@dataclass(frozen=True, slots=True)
class Subject:
    """One judged image to draw: its record, where its file lies, and whether it is turned by its tag.

    `sha256` None is not compared.
    """

    record: ImageRecord
    path: Path | None
    sha256: str | None
    upright: bool


def worst_judged(verdict: AnatomyVerdict, choice: ImageChoice) -> Sequence[JudgedImage]:
    """The images to draw, most suspicious first: all, or the worst of those with a finding."""
    if choice.most is None:
        return verdict.images
    return verdict.images[: min(choice.most, verdict.violating)]


def subjects_of_run(run: Run, table: RunTable, images: Sequence[JudgedImage]) -> list[Subject]:
    """Records of a run's judged images with their findings; files are found by name in its data folder."""
    files = RecordedFiles(data_folder(run))
    rows = {name: row for row, name in enumerate(table.image)}
    subjects, upright = [], run.document.resolved.upright
    for judged in images:
        row = rows[judged.image]
        record = replace(table.record(row), label_codes=table.label_codes[row])
        subjects.append(Subject(record, files.path(judged.image), record.image_sha256 or None, upright))
    return subjects


def subjects_of_labels(
    samples: Sequence[Sample], size_px: Floats, images: Sequence[JudgedImage]
) -> list[Subject]:
    """Records of judged labels alone: nothing was predicted. `size_px` `[N, 2]`: (width, height)."""
    rows = {sample.image: row for row, sample in enumerate(samples)}
    return [
        Subject(
            _label_record(samples[row], size_px[row], judged),
            Path(samples[row].path),
            None,
            samples[row].upright,
        )
        for judged in images
        for row in (rows[judged.image],)
    ]


def require_apart(samples: Sequence[Sample], out: Path, cwd: Path) -> None:
    """Raises UsageError where overlays, called like their images, would lie among these or replace them."""
    folders = {Path(sample.path).parent for sample in samples}
    if (cwd / out).resolve() in {folder.resolve() for folder in folders}:
        raise UsageError(f"--out {out}: the images themselves are there; name another folder")


def _label_record(sample: Sample, size_px: Floats, judged: JudgedImage) -> ImageRecord:
    points = sample.keypoints_px
    unknown, missing = np.full_like(points, np.nan), np.full(len(points), np.nan)
    return ImageRecord(
        image=sample.image,
        image_sha256="",
        annotation_sha256=sample.annotation_sha256,
        width=int(size_px[0]),
        height=int(size_px[1]),
        pixel_spacing_mm=None if sample.spacing is None else sample.spacing.either_mm,
        sex=sample.patient.sex,
        age_years=sample.patient.age_years,
        losses=ImageLosses(*[float("nan")] * 9),
        keypoints=KeypointResults(
            gt_px=points,
            pred_px=unknown,
            error_px=missing,
            error_mm=missing,
            sigma_px=unknown,
            spread_px2=np.full((len(points), 3), np.nan),
            peak=missing,
            at_min=np.zeros(points.shape, dtype=np.bool_),
            at_max=np.zeros(points.shape, dtype=np.bool_),
            flags=np.zeros(len(points), dtype=np.int64),
        ),
        findings=judged.findings,
    )


def draw_judged(
    subjects: Sequence[Subject],
    skeleton: Skeleton,
    folder: Path,
    cwd: Path,
    progress: Progress,
    *,
    labels_judged: bool,
    style: OverlayStyle = OverlayStyle.PANEL,
) -> tuple[str, ...]:
    """Draw the overlays into a folder, and say in notes how many, or which images are gone.

    Those of an earlier judgement are removed, unless all images are gone and none could be drawn again.
    Raises RunFolderError where the folder cannot be written to.
    """
    there = [subject for subject in subjects if subject.path is not None and os.path.isfile(subject.path)]
    drawable = {subject.record.image for subject in there}
    problems = [(subject.record.image, GONE) for subject in subjects if subject.record.image not in drawable]
    if problems and not there:
        return overlay_notes(0, problems, folder)
    overlay = partial(_overlay, skeleton=skeleton, labels_judged=labels_judged, style=style)
    names = picture_names(subject.record.image for subject in subjects)
    tasks = [(names[subject.record.image], subject) for subject in there]
    progress.start("overlays", len(there))
    try:
        remove_pictures(folder, "*.png", COMMAND)
        undrawn = draw_into(folder, COMMAND, overlay, tasks, progress)
    finally:
        progress.stop()
    problems += [(subject.record.image, reason) for subject, reason in undrawn]
    drawn = len(there) - len(undrawn)
    return overlay_notes(drawn, problems, folder.relative_to(cwd) if folder.is_relative_to(cwd) else folder)


def _overlay(
    subject: Subject, *, skeleton: Skeleton, labels_judged: bool, style: OverlayStyle
) -> bytes | None:
    """The picture of one image; None where it is gone or another one now."""
    record = subject.record
    image = image_of([subject.path], record.image, subject.sha256, upright=subject.upright)
    if image is None:
        return None
    return overlay_of(image, record, skeleton, labels_judged=labels_judged, style=style)
