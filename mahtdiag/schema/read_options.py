"""What a user says about a set beyond its place."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from mahtdiag.schema.dicom_window import FIRST_WINDOW, DicomWindow
from mahtdiag.schema.preprocessing import Exif

NO_LABELS: Final = "images"
"""The name of the reader that reads images alone, which `--no-labels` asks for."""


class SpacingSource(StrEnum):
    """The spacing of a DICOM that counts: PixelSpacing alone, or ImagerPixelSpacing where that is all."""

    PATIENT = "patient"
    IMAGER = "imager"


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How a set is to be read.

    `format`: the name of its reader, if not by its content; `format_if_unclear`: that of the reader where its
    content settles none. `patient`: a pattern that finds patients in the names of images (see `keyed`).
    `complete_only`: an image that lacks a keypoint cannot be used.
    `keypoints`: what names in its files mean (`[data.keypoints]`), from their name to ours.
    `missing_value`: a coordinate that stands for "not labelled" in tables. `images_optional`: an annotated
    image that is not there is a sample without a path, since nothing looks at its pixels. `exif`: whether
    labels are places on the images as viewers turn them.
    """

    format: str | None = None
    patient: str | None = None
    complete_only: bool = False
    keypoints: Mapping[str, str] = field(default_factory=dict)
    missing_value: float | None = None
    spacing_from: SpacingSource = SpacingSource.PATIENT
    dicom_window: DicomWindow = FIRST_WINDOW
    images_optional: bool = False
    format_if_unclear: str | None = None
    exif: Exif = Exif.IGNORE

    def of_another_set(self) -> "ReadOptions":
        """For a set beside the one that they are of, whose format its content says first."""
        return replace(self, format=None, format_if_unclear=self.format)
