"""The records of an image: as a reader delivers it, as it was evaluated, and why it could not be."""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from mahtdiag.schema.frames import Size
from mahtdiag.schema.readings import PeakPlaces
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


class RuleGroup(StrEnum):
    """Groups of anatomical rules, in the order every table lists them."""

    ORDERING = "ordering"
    PARALLELISM = "parallelism"
    ASPECT_RATIO = "aspect ratio"
    SHAPE = "shape"
    LEVELS = "levels"
    POINTS = "points"


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule that fired in one image.

    `image` is the row of the image in the checked arrays; `severity` is 1 at the limit and grows with the
    excess; `keypoints` are the indices the rule blames.
    """

    code: str
    image: int
    vertebra: str
    value: float
    unit: str
    limit: float
    severity: float
    keypoints: tuple[int, ...]


Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ImageLosses:
    """The losses of one image, in the network frame. NaN where a part cannot be computed.

    `keypoint_share` is the share of the heatmap loss that comes from keypoint pixels (target > 0.5).
    """

    total: float
    heatmap: float
    coord: float
    anatomical: float
    order: float
    parallel: float
    ratio: float
    uncertainty: float
    keypoint_share: float


@dataclass(frozen=True, slots=True)
class KeypointResults:
    """Per-keypoint results of one image, original pixels throughout; K rows, NaN where undefined.

    Shapes: points and σ `[K, 2]`, covariance of the heatmap's spread `[K, 3]` (xx, xy, yy), the rest `[K]`.
    `at_min`, `at_max`: 1 where the head's σ sits on a clamp bound of the uncertainty loss, per axis `[K, 2]`.
    `flags` are bits of `HeatmapFlag`. σ² is the sum of its aleatoric (within a pass) and epistemic (between
    passes) part `[K, 2]`, which repeated passes tell apart; None after a single pass. `peaks` None where not
    known.
    """

    gt_px: Floats
    pred_px: Floats
    error_px: Floats
    error_mm: Floats
    sigma_px: Floats
    spread_px2: Floats
    peak: Floats
    at_min: NDArray[np.bool_]
    at_max: NDArray[np.bool_]
    flags: NDArray[np.int64]
    sigma_aleatoric_px: Floats | None = None
    sigma_epistemic_px: Floats | None = None
    peaks: PeakPlaces | None = None


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One evaluated image."""

    image: str
    image_sha256: str
    annotation_sha256: str
    width: int
    height: int
    pixel_spacing_mm: float | None
    sex: str | None
    age_years: int | None
    losses: ImageLosses
    keypoints: KeypointResults
    findings: tuple[Finding, ...]

    @property
    def radial_error_px(self) -> float:
        """Mean radial error over the annotated keypoints, NaN if there is none."""
        errors = self.keypoints.error_px[np.isfinite(self.keypoints.error_px)]
        return float(errors.mean()) if errors.size else float("nan")

    @property
    def max_error_px(self) -> float:
        """Largest radial error, NaN if no keypoint is annotated."""
        errors = self.keypoints.error_px[np.isfinite(self.keypoints.error_px)]
        return float(errors.max()) if errors.size else float("nan")

    @property
    def codes(self) -> tuple[str, ...]:
        """Codes of the rules that fired, each once, in order."""
        return tuple(sorted({finding.code for finding in self.findings}))
