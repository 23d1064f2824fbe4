"""Images and annotations that belong together, file by file."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from mahtdiag.data.buu_lspine import (
    FILE_NAME_DIGITS,
    Annotation,
    looks_like_annotation,
    parse_annotation,
    parse_file_name,
    read_annotation,
    rows_wanted,
    view_of_file_name,
)
from mahtdiag.data.folder import Entry, shown
from mahtdiag.data.pixel_spacing import spacing_of
from mahtdiag.errors import DataError
from mahtdiag.schema.samples import Failure, Patient, Sample
from mahtdiag.schema.skeleton import View


class PairReader:
    """Collects the samples and failures of one folder, one stem at a time.

    `prefix` leads from the data folder to this one. `strict`: the folder itself is known to hold the wanted
    view alone, so that a file named for the other view is a mistake rather than part of another set.
    `missing_allowed`: a coordinate that is no number is a missing keypoint rather than a failure.
    """

    def __init__(
        self,
        folder: Path,
        prefix: str,
        view: View,
        strict: bool,
        spacing_mm: Mapping[str, float],
        *,
        missing_allowed: bool = False,
    ) -> None:
        self.samples: list[Sample] = []
        self.failures: list[Failure] = []
        self.other_view = 0
        self.unrelated: list[str] = []
        self._folder = str(folder)
        self._prefix = prefix
        self._view = view
        self._strict = strict
        self._spacing_mm = spacing_mm
        self._missing_allowed = missing_allowed

    def read(self, stem: str, entry: Entry) -> None:
        """Take in the files of one stem."""
        named = view_of_file_name(stem)
        if not self._strict and named not in (None, self._view):
            self._other_view(stem, entry)
        elif not entry.images:
            self._annotations_alone(stem, entry.annotations)
        elif len(entry.images) > 1:
            both = " and ".join(map(shown, entry.images))
            self._fail(entry.images, f"several images of one name, {both}: keep one")
        elif not entry.annotations:
            self._fail(entry.images, f"no annotation: {self._prefix}{shown(stem)}.csv is missing")
        elif len(entry.annotations) > 1:
            both = " and ".join(map(shown, entry.annotations))
            self._fail(entry.images, f"several annotations of one name, {both}: keep one")
        else:
            self._pair(stem, entry.images[0], entry.annotations[0])

    def notes(self) -> tuple[str, ...]:
        """One line for each kind of file that was left out."""
        notes: list[str] = []
        if self.other_view:
            other = next(view for view in View if view is not self._view)
            files = "image" if self.other_view == 1 else "images"
            notes.append(f"{self.other_view} {files} of the {other} view left out, by file name")
        if self.unrelated:
            names = ", ".join(self.unrelated[:3]) + (", …" if len(self.unrelated) > 3 else "")
            files = "CSV file" if len(self.unrelated) == 1 else "CSV files"
            notes.append(
                f"{len(self.unrelated)} {files} left out, neither annotation nor named like an image: {names}"
            )
        return tuple(notes)

    def _pair(self, stem: str, image: str, annotation_name: str) -> None:
        name = self._prefix + shown(annotation_name)
        sha256: str | None = None
        try:
            content = read_annotation(Path(self._folder, annotation_name), name)
            sha256 = hashlib.sha256(content).hexdigest()
            annotation = parse_annotation(content, name, missing_allowed=self._missing_allowed)
            self._check_view(stem, annotation, name)
        except DataError as error:
            self._fail((image,), "; ".join(error.problems), sha256)
            return
        record_name = self._prefix + shown(image)
        self.samples.append(
            Sample(
                image=record_name,
                path=os.path.join(self._folder, image),
                view=annotation.view,
                keypoints_px=annotation.keypoints_px,
                annotation_sha256=annotation.sha256,
                listhesis=annotation.listhesis,
                patient=parse_file_name(stem) or Patient(),
                pixel_spacing_mm=spacing_of(record_name, self._spacing_mm) if self._spacing_mm else None,
            )
        )

    def _check_view(self, stem: str, annotation: Annotation, name: str) -> None:
        rows = annotation.view.endplates
        named = view_of_file_name(stem)
        if named is not None and annotation.view is not named:
            digit = FILE_NAME_DIGITS[named]
            raise DataError(
                f"{name}: the file name says {named} (…Y{digit}), its {rows} rows say {annotation.view}"
            )
        if annotation.view is not self._view:
            raise DataError(f"{name}: {rows} rows, {rows_wanted(self._view)}")

    def _other_view(self, stem: str, entry: Entry) -> None:
        """Leave out files named for the other view, unless their rows contradict the name."""
        if len(entry.images) == 1 and len(entry.annotations) == 1:
            name = self._prefix + shown(entry.annotations[0])
            try:
                content = read_annotation(Path(self._folder, entry.annotations[0]), name)
                annotation = parse_annotation(content, name)
            except DataError:
                annotation = None
            if annotation is not None and annotation.view is self._view:
                self._pair(stem, entry.images[0], entry.annotations[0])
                return
        self.other_view += len(entry.images)

    def _annotations_alone(self, stem: str, names: Sequence[str]) -> None:
        for annotation_name in names:
            name = self._prefix + shown(annotation_name)
            try:
                content = read_annotation(Path(self._folder, annotation_name), name)
            except DataError as error:
                self.failures.append(Failure(name, f"annotation without image; {error}"))
                continue
            if looks_like_annotation(content):
                reason = f"annotation without image: no {shown(stem)}.png, .jpg, .tif or .bmp beside it"
                sha256 = hashlib.sha256(content).hexdigest()
                self.failures.append(Failure(name, reason, annotation_sha256=sha256))
            else:
                self.unrelated.append(name)

    def _fail(self, images: Sequence[str], reason: str, annotation_sha256: str | None = None) -> None:
        self.failures.extend(
            Failure(self._prefix + shown(image), reason, annotation_sha256=annotation_sha256)
            for image in images
        )
