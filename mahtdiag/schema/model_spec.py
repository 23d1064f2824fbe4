"""What a network takes in and what it gives out: never guessed, always from metadata or an option."""

import math
from dataclasses import dataclass

from mahtdiag.errors import UsageError
from mahtdiag.schema.choices import (
    CoordinateConvention,
    DecodeMethod,
    UncertaintyFrame,
    UncertaintyKind,
    UncertaintySource,
)
from mahtdiag.schema.frames import Size
from mahtdiag.schema.preprocessing import Resize
from mahtdiag.schema.skeleton import Skeleton, View

LARGEST_SIGMA = 1000.0
"""σ of training targets in heatmap cells beyond which no peak is: whatever says more means something else."""


@dataclass(frozen=True, slots=True)
class Normalization:
    """Per channel (value/full scale − mean)/std; `name` is what users type."""

    name: str
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


UNIT = Normalization("unit")
# Channel statistics of ImageNet, as published with the torchvision model zoo.
IMAGENET = Normalization("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def parse_normalization(text: str) -> Normalization:
    """`unit`, `imagenet`, or `0.45/0.22`, three comma-separated values a side for three channels.

    Means and deviations are on the 0..1 scale. Raises UsageError for anything else.
    """
    named = {UNIT.name: UNIT, IMAGENET.name: IMAGENET}.get(text)
    if named is not None:
        return named
    try:
        mean, std = (tuple(float(part) for part in side.split(",")) for side in text.split("/"))
    except ValueError:
        mean, std = (), ()
    usable = len(mean) == len(std) and len(mean) in (1, 3) and all(map(math.isfinite, mean + std))
    if not usable or any(value <= 0 for value in std):
        raise UsageError(
            f"normalisation {text!r} is not known: use unit, imagenet, or MEAN/STD on the 0..1 scale, "
            "for example 0.45/0.22 or 0.4,0.4,0.4/0.2,0.2,0.2"
        )
    return Normalization(text, mean, std)


@dataclass(frozen=True, slots=True)
class ModelInput:
    """The tensor a network expects for one image."""

    size: Size
    channels: int
    resize: Resize = Resize.STRETCH
    normalization: Normalization = UNIT
    convention: CoordinateConvention = CoordinateConvention.HALF_PIXEL


@dataclass(frozen=True, slots=True)
class Decoding:
    """How heatmaps become coordinates. `heatmap_sigma` is the σ of the training targets in heatmap cells.

    It is NaN where there are no heatmaps. `own_coords`: a network that gives coordinates itself is judged by
    them, not by its heatmaps; `original_coords`: they are in original pixels.
    """

    heatmap_sigma: float
    method: DecodeMethod = DecodeMethod.DARK
    softargmax_beta: float = 1.0
    own_coords: bool = False
    original_coords: bool = False


SIGMA_BOUNDS = (0.1, 10.0)
"""Where the published uncertainty loss clamps σ, model-input pixels."""

MOST_PASSES = 1000


@dataclass(frozen=True, slots=True)
class McDropout:
    """σ from so many passes with active dropout: 2 to `MOST_PASSES`, ValueError for any other number."""

    passes: int

    def __post_init__(self) -> None:
        if not 2 <= self.passes <= MOST_PASSES:
            raise ValueError(f"mc-dropout needs 2 to {MOST_PASSES} passes")

    def __str__(self) -> str:
        return f"mc-dropout:{self.passes}"


@dataclass(frozen=True, slots=True)
class UncertaintySpec:
    """Where the σ of one forward pass comes from and how the head's output is to be read."""

    source: UncertaintySource = UncertaintySource.AUTO
    kind: UncertaintyKind | None = None
    frame: UncertaintyFrame = UncertaintyFrame.INPUT


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Everything needed to run a network and read its output; a heatmap for each keypoint of `skeleton`."""

    skeleton: Skeleton
    input: ModelInput
    decoding: Decoding
    uncertainty: UncertaintySpec

    @property
    def view(self) -> View:
        """The projection of the radiographs that it reads."""
        return self.skeleton.view
