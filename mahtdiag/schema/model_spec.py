"""What a network takes in and what it gives out: never guessed, always from metadata or an option."""

from dataclasses import dataclass

from mahtdiag.schema.choices import (
    CoordinateConvention,
    DecodeMethod,
    UncertaintyFrame,
    UncertaintyKind,
    UncertaintySource,
)
from mahtdiag.schema.frames import HeatmapGrid, Size
from mahtdiag.schema.normalization import UNIT, Normalization
from mahtdiag.schema.preprocessing import ChannelOrder, Flip, Interpolation, Resize
from mahtdiag.schema.skeleton import Skeleton, View

SMALLEST_SIGMA, LARGEST_SIGMA = 1e-3, 1000.0
LARGEST_INPUT = 8192
MOST_PIXELS_SAID = 1 << 23
"""Of an image that a file alone asks for; options may ask for more."""
MOST_IN_BATCH_SAID = 1 << 25
"""σ of training targets in heatmap cells beyond which no peak is: whatever says more means something else."""


@dataclass(frozen=True, slots=True)
class ModelInput:
    """The tensor a network expects for one image.

    `full_scale`: the stored value that is white, None for the largest that 8 or 16 bits hold; `invert`:
    images are stored black for white.
    """

    size: Size
    channels: int
    resize: Resize = Resize.STRETCH
    normalization: Normalization = UNIT
    convention: CoordinateConvention = CoordinateConvention.HALF_PIXEL
    interpolation: Interpolation = Interpolation.AREA
    channel_order: ChannelOrder = ChannelOrder.RGB
    full_scale: int | None = None
    invert: bool = False
    flip: Flip = Flip.NONE


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
    """Everything needed to run a network and read its output; a heatmap for each keypoint of `skeleton`.

    `grid`: where heatmap cells lie in the input, None where they fill it by the convention.
    """

    skeleton: Skeleton
    input: ModelInput
    decoding: Decoding
    uncertainty: UncertaintySpec
    grid: HeatmapGrid | None = None

    @property
    def view(self) -> View:
        """The projection of the radiographs that it reads."""
        return self.skeleton.view
