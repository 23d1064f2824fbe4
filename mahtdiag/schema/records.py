"""The records of an image: as a reader delivers it, as a network reads it, as it was evaluated, or why not.

What a forward pass gives is reduced to a few hundred numbers per image; no heatmap is kept.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from mahtdiag.schema.choices import UncertaintyKind
from mahtdiag.schema.dicom_window import FIRST_WINDOW, DicomWindow
from mahtdiag.schema.frames import PixelSpacing, Size
from mahtdiag.schema.setup import ImagePixels
from mahtdiag.schema.skeleton import Skeleton

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ModelOutputs:
    """Named outputs of one batch.

    `heatmaps` `[B, K, h, w]`, None where there are coordinates alone; `coords` `[B, K, 2]` in model-input
    pixels or None; `uncertainty` `[B, K]` or `[B, K, 2]`, covariances `[B, K, 3]` (xx, xy, yy) or
    `[B, K, 2, 2]`, as the head emits it, with what its name says it is, or None; `scores` `[B, K]` or None.
    `unread`: what else was returned, by name and form. `parts`: what coordinates are yet to be read from.
    """

    heatmaps: "Tensor | None"
    coords: "Tensor | None" = None
    uncertainty: "Tensor | None" = None
    uncertainty_kind: UncertaintyKind | None = None
    unread: tuple[str, ...] = ()
    scores: "Tensor | None" = None
    parts: "Mapping[str, Tensor]" = field(default_factory=dict)

    @property
    def keypoints(self) -> int:
        """How many there are; 0 where nothing tells."""
        known = (self.heatmaps, self.coords, self.parts.get("simcc_x"))
        return next((values.shape[1] for values in known if values is not None), 0)

    @property
    def maps(self) -> "Tensor":
        """The heatmaps. Raises ValueError where there are none."""
        if self.heatmaps is None:
            raise ValueError("the network returned coordinates alone")
        return self.heatmaps

    @property
    def grid(self) -> Size | None:
        """Height and width of the heatmaps, in cells; None without any."""
        return None if self.heatmaps is None else Size(*self.heatmaps.shape[-2:])


Predictor = Callable[["Tensor"], ModelOutputs]


@dataclass(frozen=True, slots=True)
class PeakPlaces:
    """Where else a heatmap says that a keypoint may be; the frame is that of whoever holds it.

    `second_share` `[..., K]`: the second peak (the highest local maximum more than 3 σ from the first) over
    the first, 0 where there is none, NaN where that is not known or not sought. Places `[..., K, 2]`:
    `second` is its own, NaN where there is none; `argmax` and `local` are what these ways of decoding give.
    """

    second_share: Floats
    second: Floats
    argmax: Floats
    local: Floats

    def of_image(self, i: int, moved: Callable[[Floats], Floats]) -> "PeakPlaces":
        """Those of one image, its places mapped to another frame."""
        return PeakPlaces(
            self.second_share[i], moved(self.second[i]), moved(self.argmax[i]), moved(self.local[i])
        )


@dataclass(frozen=True, slots=True)
class BatchReading:
    """Numbers of B images with K keypoints, before they are mapped to original pixels.

    `points` `[B, K, 2]` and `spread` `[B, K, 3]` (xx, xy, yy) in heatmap cells, `peak` `[B, K]`, `flags`
    `[B, K]`, `finite` `[B, K]` (heatmap and outputs are numbers; or they are NaN as a whole, by which a
    network says that it finds no such keypoint, and so is the place), heatmap losses `[B]` (`loss_focal`:
    with the weight that was asked for), the network's own coordinates and σ `[B, K, 2]` in model-input pixels
    or None. `heatmap_size` is (height, width).
    `between` `[B, K, 2]`: standard deviation of the places between repeated passes, in model-input pixels;
    None after a single pass. `peaks` in heatmap cells; None after repeated passes, which have no one heatmap.
    `averaged` `[B, K, 3]`: spread of the whole map, as `spread`, where the decoder averages it; else None.
    `expected_error` `[B, K]`: expected radial error of heatmaps, original pixels; None where not asked for.
    `covariance` `[B, K, 3]` (xx, xy, yy): that of a head that emits it, model-input pixels; else None.
    Without heatmaps `heatmap_size` is None, `points`, `spread`, losses and share are NaN, and `peak` holds
    the network's scores, NaN where it has none.
    """

    heatmap_size: tuple[int, int] | None
    points: Floats
    spread: Floats
    peak: Floats
    flags: NDArray[np.int64]
    finite: NDArray[np.bool_]
    loss_mse: Floats
    loss_focal: Floats
    keypoint_share: Floats
    coords: Floats | None
    sigma: Floats | None
    between: Floats | None = None
    peaks: PeakPlaces | None = None
    averaged: Floats | None = None
    expected_error: Floats | None = None
    covariance: Floats | None = None


LISTHESIS_NAMES = (
    "normal",
    "left laterolisthesis",
    "right laterolisthesis",
    "anterolisthesis",
    "retrolisthesis",
)
ANTEROLISTHESIS, RETROLISTHESIS = 3, 4


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
    `listhesis` is one code per annotated endplate (see `LISTHESIS_NAMES`). `subgroups`: what a subgroup file
    says of it, `column=value`. `labelled_size` is the size of the image by its annotation, if it says one.
    `dicom_window`: how its pixels are read, if it is a DICOM. `upright`: they are turned by their orientation
    tag first, and places are those on the turned image.
    `path` is empty where the image is not there and need not be.
    """

    image: str
    path: str
    skeleton: Skeleton
    keypoints_px: NDArray[np.float64]
    annotation_sha256: str
    listhesis: tuple[int, ...] = ()
    patient: Patient = field(default_factory=Patient)
    spacing: PixelSpacing | None = None
    subgroups: tuple[str, ...] = ()
    labelled_size: Size | None = None
    dicom_window: DicomWindow = FIRST_WINDOW
    upright: bool = False


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """A decoded radiograph, ready for the network: float32 `[C, H, W]`; `original` is its own size."""

    original: Size
    tensor: NDArray[np.float32]
    image_sha256: str
    pixels: ImagePixels | None = None


class SeenImage(Protocol):
    """What a record says of an image's file; all None where the file is not there and need not be."""

    @property
    def original(self) -> Size | None:
        """Its size."""

    @property
    def image_sha256(self) -> str | None:
        """Digest of the file."""

    @property
    def pixels(self) -> ImagePixels | None:
        """What its pixels are like."""


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
    known. `listhesis` is the code of each keypoint's endplate in its annotation, see `LISTHESIS_NAMES`.
    `averaged_px2` `[K, 3]`: covariance of the whole map that soft-argmax averages, else None. `gt2_px`: a
    second labelling, None where there is none.
    `expected_error_px` `[K]`: expected radial error of the heatmap; None where it was not asked for.
    `head_covariance_px2` `[K, 3]`: that of a head that emits it, before any factors; else None.
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
    listhesis: Floats | None = None
    averaged_px2: Floats | None = None
    gt2_px: Floats | None = None
    expected_error_px: Floats | None = None
    head_covariance_px2: Floats | None = None


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One evaluated image; `findings` in its prediction, and the codes of those in its label.

    `pixel_spacing_mm` is that of both directions, None where they differ.
    Digest and size of an image that is not there are None where nothing tells them.
    """

    image: str
    image_sha256: str | None
    annotation_sha256: str
    width: int | None
    height: int | None
    pixel_spacing_mm: float | None
    sex: str | None
    age_years: int | None
    losses: ImageLosses
    keypoints: KeypointResults
    findings: tuple[Finding, ...]
    pixels: ImagePixels | None = None
    patient: str | None = None
    label_codes: tuple[str, ...] = ()
    pixel_spacing_x_mm: float | None = None
    pixel_spacing_y_mm: float | None = None
    subgroups: tuple[str, ...] = ()

    @property
    def size(self) -> Size:
        """Its size. Raises ValueError where nothing tells it."""
        if self.width is None or self.height is None:
            raise ValueError(f"{self.image}: the size of an image that is not there is not known")
        return Size(self.height, self.width)

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
    def expected_error_px(self) -> float:
        """Mean expected radial error over all keypoints that have one, NaN if none has."""
        expected = self.keypoints.expected_error_px
        known = np.zeros(0) if expected is None else expected[np.isfinite(expected)]
        return float(known.mean()) if known.size else float("nan")

    @property
    def codes(self) -> tuple[str, ...]:
        """Codes of the rules that fired, each once, in order."""
        return tuple(sorted({finding.code for finding in self.findings}))
