"""How an image becomes the input of a network, as a user says it. Nothing heavy is imported."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final, Self


class ResizeMode(StrEnum):
    """Whether an image fills the network's input or keeps its aspect ratio."""

    STRETCH = "stretch"
    LETTERBOX = "letterbox"


class Anchor(StrEnum):
    """Where a letterboxed image lies in the network's input."""

    CENTRE = "centre"
    TOP_LEFT = "top-left"


class Bars(StrEnum):
    """What is beside a letterboxed image: one grey value, its border pixels, or what normalises to 0."""

    GREY = "grey"
    EDGE = "edge"
    MEAN = "mean"


MOST_PAD: Final = 10.0
_EXPECTED: Final = (
    "expected stretch, letterbox or letterbox:centre|top-left,pad=1.25,fill=114 (pad 1 to 10; fill 0 to 255, "
    "edge or mean)"
)


@dataclass(frozen=True, slots=True)
class Resize:
    """How an image is brought to the network's input size.

    A letterboxed image keeps its aspect ratio, on `bars`: of `grey` (0 to 255, before normalisation),
    continuing its border, or of what normalisation turns into 0. `pad`: by what factor the box that fills the
    input is larger than the image, as the padding of boxes in top-down pose estimation.
    """

    STRETCH: ClassVar["Resize"]
    LETTERBOX: ClassVar["Resize"]

    mode: ResizeMode = ResizeMode.STRETCH
    anchor: Anchor = Anchor.CENTRE
    pad: float = 1.0
    bars: Bars = Bars.GREY
    grey: float = 0.0

    @classmethod
    def parse(cls, text: object) -> Self:
        """`stretch`, `letterbox`, or with commas `letterbox:top-left,pad=1.25,fill=114`; ValueError."""
        if isinstance(text, cls):
            return text
        name, colon, rest = str(text).partition(":")
        if name not in tuple(ResizeMode) or (colon and (name == ResizeMode.STRETCH or not rest)):
            raise ValueError(_EXPECTED)
        found: dict[str, str] = {}
        for part in rest.split(",") if rest else ():
            key, equals, value = part.strip().partition("=")
            key, value = (key, value) if equals else ("anchor", key)
            if key in found:
                raise ValueError(f"{part.strip()}: said twice; {_EXPECTED}")
            found[key] = value
        if found.keys() - {"anchor", "pad", "fill"}:
            raise ValueError(_EXPECTED)
        fill = found.get("fill", "0")
        bars = Bars(fill) if fill in (Bars.EDGE, Bars.MEAN) else Bars.GREY
        pad, grey = _number(found.get("pad", "1")), 0.0 if bars is not Bars.GREY else _number(fill)
        anchor = found.get("anchor", Anchor.CENTRE).replace("center", "centre")
        if anchor not in tuple(Anchor) or not (1.0 <= pad <= MOST_PAD and 0.0 <= grey <= 255.0):
            raise ValueError(_EXPECTED)
        return cls(ResizeMode(name), Anchor(anchor), pad, bars, grey)

    def __str__(self) -> str:
        parts = [] if self.anchor is Anchor.CENTRE else [str(self.anchor)]
        parts += [] if self.pad == 1.0 else [f"pad={self.pad:.12g}"]
        fill = f"{self.grey:.12g}" if self.bars is Bars.GREY else str(self.bars)
        parts += [] if fill == "0" else [f"fill={fill}"]
        return f"{self.mode}:{','.join(parts)}" if parts else str(self.mode)


Resize.STRETCH = Resize()
Resize.LETTERBOX = Resize(ResizeMode.LETTERBOX)


def _number(text: str) -> float:
    """NaN for what is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


class Interpolation(StrEnum):
    """How grey values between pixels come about.

    `area`: each axis that shrinks is averaged over the area of its pixels, and each that grows is linear;
    `linear`, `cubic`: from the nearest pixels alone, as OpenCV's `INTER_LINEAR` and `INTER_CUBIC`;
    `pil-bilinear`, `pil-bicubic`: over as many pixels as become one, as in Pillow, and in torchvision with
    `antialias`.
    """

    AREA = "area"
    LINEAR = "linear"
    CUBIC = "cubic"
    PIL_BILINEAR = "pil-bilinear"
    PIL_BICUBIC = "pil-bicubic"


class ChannelOrder(StrEnum):
    """The order of a network's three channels: red first, or blue first as OpenCV reads files."""

    RGB = "rgb"
    BGR = "bgr"


class Flip(StrEnum):
    """Whether a network was trained on mirrored images, and what its corners are called by.

    `image-side`: its left corners are the left ones of the mirrored image; `body-side`: each corner has the
    name that it has in the image as it is.
    """

    NONE = "none"
    IMAGE_SIDE = "image-side"
    BODY_SIDE = "body-side"


class Exif(StrEnum):
    """Whether images are turned by their orientation tags, as viewers do, before anything else."""

    IGNORE = "ignore"
    APPLY = "apply"


LARGEST_STRIDE: Final = 1024.0


@dataclass(frozen=True, slots=True)
class Stride:
    """Input pixels from one heatmap cell to the next, by axis; `FILL`: cells fill the input evenly.

    `ENDS`: the first and the last cell lie on the first and the last pixel, as in unbiased data processing
    (UDP) and under `align_corners`.
    """

    FILL: ClassVar["Stride"]
    ENDS: ClassVar["Stride"]

    y: float
    x: float

    @classmethod
    def parse(cls, text: object) -> Self:
        """`8`, `8x4` (along height, along width), `fill` or `ends`; ValueError says what is expected."""
        if isinstance(text, cls):
            return text
        if text == "fill":
            return cls(0.0, 0.0)
        if text == "ends":
            return cls(-1.0, -1.0)
        sides = [_number(side) for side in str(text).lower().split("x")]
        if len(sides) > 2 or not all(0.0 < side <= LARGEST_STRIDE for side in sides):
            raise ValueError(
                "expected input pixels from cell to cell, such as 8 or 8x4 (height x width), fill or ends"
            )
        return cls(sides[0], sides[-1])

    def __str__(self) -> str:
        if self == Stride.ENDS:
            return "ends"
        return "fill" if self == Stride.FILL else f"{self.y:.12g}x{self.x:.12g}"


Stride.FILL = Stride(0.0, 0.0)
Stride.ENDS = Stride(-1.0, -1.0)


class OriginKind(StrEnum):
    """Where the first heatmap cell lies: on the first input pixel, amid those it stands for, or as given.

    `middle`: half a step from 0, which is `centre` where the first pixel reaches from 0 to 1.
    """

    CORNER = "corner"
    CENTRE = "centre"
    MIDDLE = "middle"
    GIVEN = "given"


@dataclass(frozen=True, slots=True)
class HeatmapOrigin:
    """Where the centre of the first heatmap cell lies, in input pixels."""

    kind: OriginKind = OriginKind.GIVEN
    x: float = math.nan
    y: float = math.nan

    @classmethod
    def parse(cls, text: object) -> Self:
        """`corner`, `centre`, `middle`, `X` for both axes or `X,Y`; ValueError says what is expected."""
        if isinstance(text, cls):
            return text
        if text in (OriginKind.CORNER, OriginKind.CENTRE, OriginKind.MIDDLE):
            return cls(OriginKind(str(text)))
        sides = [_number(side) for side in str(text).split(",")]
        if len(sides) > 2 or not all(abs(side) <= LARGEST_STRIDE for side in sides):
            raise ValueError("expected corner, centre, middle, or input pixels X or X,Y, such as 3.5 or 0,0")
        return cls(OriginKind.GIVEN, sides[0], sides[-1])

    def __str__(self) -> str:
        return str(self.kind) if self.kind is not OriginKind.GIVEN else f"{self.x:.12g},{self.y:.12g}"
