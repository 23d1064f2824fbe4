"""An annotated radiograph as every reader delivers it, and the record of one that could not be used."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mahtdiag.schema.frames import Size
from mahtdiag.schema.skeleton import Skeleton

LISTHESIS_NAMES = (
    "normal",
    "left laterolisthesis",
    "right laterolisthesis",
    "anterolisthesis",
    "retrolisthesis",
)


@dataclass(frozen=True, slots=True)
class Patient:
    """What the file name or header tells of the patient; any of it may be unknown."""

    identifier: str | None = None
    sex: str | None = None
    age_years: int | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One annotated radiograph.

    `image` is its path relative to the data folder with forward slashes: the name used in every record.
    `keypoints_px` is `[K, 2]` (x, y) in original-image pixels, NaN where a keypoint is not annotated.
    `listhesis` is one code per annotated endplate (see `LISTHESIS_NAMES`).
    """

    image: str
    path: str
    skeleton: Skeleton
    keypoints_px: NDArray[np.float64]
    annotation_sha256: str
    listhesis: tuple[int, ...] = ()
    patient: Patient = field(default_factory=Patient)
    pixel_spacing_mm: float | None = None


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """A decoded radiograph, ready for the network: float32 `[C, H, W]`; `original` is its own size."""

    original: Size
    tensor: NDArray[np.float32]
    image_sha256: str


@dataclass(frozen=True, slots=True)
class Failure:
    """An image that could not be evaluated, and why, with what is known of its content."""

    image: str
    reason: str
    image_sha256: str | None = None
    annotation_sha256: str | None = None
