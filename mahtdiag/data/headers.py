"""What headers of DICOM images say, put to the images of a set: spacing, patient, a check of the view."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from mahtdiag.data.files import IMAGE_EXTENSIONS, Dataset, counted, is_image
from mahtdiag.data.images.dicom import EXTENSIONS, DicomFacts, dicom_facts
from mahtdiag.data.time_limit import within_limit
from mahtdiag.errors import DataError
from mahtdiag.schema.dicom_window import FIRST_WINDOW, DicomWindow
from mahtdiag.schema.records import Failure, Patient, Sample
from mahtdiag.schema.skeleton import View

_TAKEN, _LEFT, _NONE = "taken", "left", "none"
_OTHER_IMAGES: Final = tuple(sorted(IMAGE_EXTENSIONS - EXTENSIONS))


def with_headers(
    dataset: Dataset, *, from_imager: bool = False, window: DicomWindow = FIRST_WINDOW
) -> Dataset:
    """The set with what the headers of its DICOM images say; other images are as they were.

    A spacing by the set itself stays; else it is PixelSpacing, or with `from_imager` that of the detector,
    ImagerPixelSpacing. So do patient, sex and age where the set says any of them. An image whose
    ViewPosition or PatientOrientation is of the other view, or whose header cannot be read, is a failure.
    `window`: how the pixels of DICOM images are to be read.
    """
    samples: list[Sample] = []
    failures = list(dataset.failures)
    spacings: Counter[str] = Counter()
    for sample in dataset.samples:
        if not _is_dicom(sample.path):
            samples.append(sample)
            continue
        try:
            read = partial(dicom_facts, Path(sample.path), sample.image)
            facts = within_limit(read, sample.image)
            _require_view(facts, sample.skeleton.view)
        except DataError as error:
            reason = "; ".join(problem.removeprefix(f"{sample.image}: ") for problem in error.problems)
            failures.append(Failure(sample.image, reason, annotation_sha256=sample.annotation_sha256))
            continue
        told = _told(sample, facts, from_imager, spacings)
        samples.append(replace(told, dicom_window=window))
    failures.sort(key=lambda failure: failure.image)
    notes = (*dataset.notes, *_notes(spacings))
    return replace(dataset, samples=tuple(samples), failures=tuple(failures), notes=notes)


def _is_dicom(path: str) -> bool:
    if path.endswith(_OTHER_IMAGES):
        return False
    extension = os.path.splitext(path)[1].lower()
    return extension not in _OTHER_IMAGES and is_image(path, extension)


def _require_view(facts: DicomFacts, view: View) -> None:
    if facts.view not in (None, view):
        raise DataError(f"{facts.view_by} in its header is that of a view {facts.view}, not {view}")


def _told(sample: Sample, facts: DicomFacts, from_imager: bool, spacings: Counter[str]) -> Sample:
    spacing = sample.spacing or facts.spacing
    if spacing is None and facts.imager_spacing is not None:
        spacings[_TAKEN if from_imager else _LEFT] += 1
        spacing = facts.imager_spacing if from_imager else None
    elif spacing is None:
        spacings[_NONE] += 1
    own, header = sample.patient, facts.patient
    patient = Patient(
        own.identifier or header.identifier,
        own.sex or header.sex,
        header.age_years if own.age_years is None else own.age_years,
    )
    return replace(sample, spacing=spacing, patient=patient)


def _notes(spacings: Counter[str]) -> Iterator[str]:
    if spacings[_TAKEN]:
        yield (
            f"spacing of {counted(spacings[_TAKEN], 'DICOM image')} is that of the detector"
            " (ImagerPixelSpacing): millimetres are larger than in the patient by the magnification"
        )
    if spacings[_LEFT]:
        yield (
            f"{counted(spacings[_LEFT], 'DICOM image')} with the detector's spacing alone: no millimetres;"
            " --spacing-from imager takes it"
        )
    if spacings[_NONE]:
        yield f"{counted(spacings[_NONE], 'DICOM image')} without spacing: no millimetres"
