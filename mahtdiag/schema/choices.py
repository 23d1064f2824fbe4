"""What a user can choose between. Nothing heavy is imported: `--help` lists the choices and must be quick."""

from dataclasses import dataclass
from enum import IntFlag, StrEnum
from types import MappingProxyType
from typing import Final, Self

LOSS_WEIGHTS: Final = MappingProxyType({"heatmap": 1.0, "coord": 0.5, "anatomical": 0.1, "uncertainty": 0.1})
"""Weights of the parts of the training loss where none are chosen, for what trains and what shows them."""


class CoordinateConvention(StrEnum):
    """How a coordinate changes under a resize by the factor s.

    `half-pixel`: x' = (x + 0.5)·s − 0.5 (pixel centres at integers, what `cv2.resize` does);
    `scale`: x' = x·s (what many training scripts do).
    """

    HALF_PIXEL = "half-pixel"
    SCALE = "scale"


class DecodeMethod(StrEnum):
    """How a heatmap becomes a sub-pixel place; `expectation` is for maps that sum to one."""

    ARGMAX = "argmax"
    LOCAL = "local"
    DARK = "dark"
    SOFT_ARGMAX = "soft-argmax"
    EXPECTATION = "expectation"


AVERAGING: Final = (DecodeMethod.SOFT_ARGMAX, DecodeMethod.EXPECTATION)
"""Ways of decoding that average over the whole map."""


class FactorKind(StrEnum):
    """Which factors on σ are written: of the greatest likelihood, of the core of the errors, or 1."""

    LIKELIHOOD = "likelihood"
    CORE = "core"
    NONE = "none"


class HeatmapFlag(IntFlag):
    """What is unusual about a heatmap; bits, 0 where nothing is."""

    OK = 0
    NOT_FINITE = 1
    FLAT = 2
    NOT_POSITIVE = 4
    AT_BORDER = 8
    DIFFUSE = 16


class Precision(StrEnum):
    """Precision of the forward pass; the analysis is always float32 or better."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


class UncertaintyKind(StrEnum):
    """What the uncertainty head emits; `cov`: a covariance of x and y, as (xx, xy, yy) or as a matrix."""

    LOG_SIGMA = "log_sigma"
    SIGMA = "sigma"
    LOG_VAR = "log_var"
    VAR = "var"
    COV = "cov"


class UncertaintyFrame(StrEnum):
    """The unit of the head's σ: model-input pixels, heatmap cells, shares of the input, original pixels.

    `unit`: 1 is the width or height of the input; `signed-unit`: 2 is.
    """

    INPUT = "input"
    HEATMAP = "heatmap"
    UNIT = "unit"
    SIGNED_UNIT = "signed-unit"
    ORIGINAL = "original"


class UncertaintySource(StrEnum):
    """Where σ comes from: the head if there is one, the head, the heatmap's spread, or nowhere."""

    AUTO = "auto"
    HEAD = "head"
    HEATMAP = "heatmap"
    NONE = "none"


class LeadingUnit(StrEnum):
    """What tables show radial errors in first.

    Original pixels, millimetres, pixels of the network's input, or percent of the image's diagonal, of the
    mean width of its vertebrae, or of the height of its spine.
    """

    PX = "px"
    MM = "mm"
    INPUT_PX = "input-px"
    DIAGONAL = "diagonal"
    WIDTH = "width"
    HEIGHT = "height"


class FacingSide(StrEnum):
    """Side of the image that is anterior."""

    LEFT = "left"
    RIGHT = "right"


class OverlayStyle(StrEnum):
    """How an overlay looks: with a panel of numbers and findings, or the spine alone for a paper."""

    PANEL = "panel"
    PAPER = "paper"


class FigureFormat(StrEnum):
    """What `figures` writes."""

    PDF = "pdf"
    SVG = "svg"
    PNG = "png"


@dataclass(frozen=True, slots=True)
class ImageChoice:
    """Which images are drawn or shown: the `most` worst (None: all). `text` is what the user wrote."""

    text: str
    most: int | None

    @classmethod
    def parse(cls, text: object) -> Self:
        """`worst:N`, `all` or `none`; ValueError says what is expected."""
        if isinstance(text, cls):
            return text
        kind, _, number = str(text).partition(":")
        if kind == "worst" and number.isdecimal():
            return cls(str(text), int(number))
        if text not in ("all", "none"):
            raise ValueError("expected worst:N, all or none, for example worst:12")
        return cls(str(text), None if text == "all" else 0)

    def __str__(self) -> str:
        return self.text


NO_IMAGES = ImageChoice.parse("none")
DEFAULT_OVERLAYS = ImageChoice.parse("worst:12")
DEFAULT_GALLERY = ImageChoice.parse("worst:1000")
