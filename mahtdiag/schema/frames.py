"""One object per image that maps between original pixels, model-input pixels and heatmap cells."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mahtdiag.schema.choices import CoordinateConvention
from mahtdiag.schema.preprocessing import Anchor, Resize, ResizeMode

__all__ = ["CoordinateConvention", "FrameMap", "NetworkFrames", "Placement", "Points", "Resize", "Size"]

Points = NDArray[np.float64]


def lengths_mm(steps_px: Points, spacing_mm: Points) -> NDArray[np.float64]:
    """Lengths of steps `[N, ..., 2]` (x, y) in images of spacings `[N, 2]`: √((Δx·s_x)² + (Δy·s_y)²), mm.

    One spacing for both directions gives the length in pixels times it, to the last digit. NaN where any is.
    """
    shape = (len(spacing_mm), *(1,) * (steps_px.ndim - 2))
    x_mm, y_mm = spacing_mm[:, 0].reshape(shape), spacing_mm[:, 1].reshape(shape)
    lengths = np.linalg.norm(steps_px, axis=-1) * x_mm
    both = np.hypot(steps_px[..., 0] * x_mm, steps_px[..., 1] * y_mm)
    return np.asarray(np.where(x_mm == y_mm, lengths, both))


@dataclass(frozen=True, slots=True)
class PixelSpacing:
    """Millimetres per pixel along x and y, which differ where a detector's pixels are no squares."""

    x_mm: float
    y_mm: float

    @classmethod
    def square(cls, mm: float | None) -> "PixelSpacing | None":
        """The same in both directions, None where it is not known."""
        return None if mm is None else cls(mm, mm)

    @property
    def either_mm(self) -> float | None:
        """The one spacing of both directions, None where they differ."""
        return self.x_mm if self.x_mm == self.y_mm else None


@dataclass(frozen=True, slots=True)
class Size:
    """Height and width in pixels or cells."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"

    @property
    def xy(self) -> Points:
        """(width, height), to combine with (x, y) points."""
        return np.array([self.width, self.height], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the resized image lies inside the network input: its size and its top-left corner, in pixels."""

    resized: Size
    left: int
    top: int

    @property
    def offset(self) -> Points:
        """(left, top), to combine with (x, y) points."""
        return np.array([self.left, self.top], dtype=np.float64)

    @staticmethod
    def of(original: Size, network_input: Size, resize: Resize) -> "Placement":
        """Stretch fills the input; letterbox keeps the aspect ratio and leaves bars; see `Resize`."""
        if resize.mode is ResizeMode.STRETCH:
            return Placement(network_input, 0, 0)
        height, width = original.height * resize.pad, original.width * resize.pad
        factor = min(network_input.height / height, network_input.width / width)
        resized = Size(max(1, round(original.height * factor)), max(1, round(original.width * factor)))
        if resize.anchor is Anchor.TOP_LEFT:
            return Placement(resized, 0, 0)
        return Placement(
            resized,
            (network_input.width - resized.width) // 2,
            (network_input.height - resized.height) // 2,
        )


def _resize(points: Points, factor: Points, convention: CoordinateConvention) -> Points:
    if convention is CoordinateConvention.SCALE:
        return points * factor
    return (points + 0.5) * factor - 0.5


@dataclass(frozen=True, slots=True)
class HeatmapGrid:
    """Where heatmap cells lie in the network's input: at `origin` + cell·`step`, (x, y) in input pixels."""

    step: tuple[float, float]
    origin: tuple[float, float]

    def of_input(self, points: Points) -> Points:
        """Model-input pixels as heatmap cells."""
        cells: Points = (points - np.array(self.origin)) / np.array(self.step)
        return cells

    def to_input(self, cells: Points) -> Points:
        """Heatmap cells as model-input pixels."""
        points: Points = cells * np.array(self.step) + np.array(self.origin)
        return points


@dataclass(frozen=True, slots=True)
class FrameMap:
    """Maps points and lengths between the three frames of one image.

    Points are `[..., 2]` arrays (x, y), y down; missing points (NaN) stay missing. Frames: original-image
    pixels, model-input pixels, heatmap cells. Lengths (σ, errors) are scaled by the same factors per axis.
    `grid`: where cells lie, None where they fill the input by the convention; `mirrored`: the network is
    shown the image mirrored left for right.
    """

    original: Size
    network_input: Size
    heatmap: Size
    resize: Resize = Resize.STRETCH
    convention: CoordinateConvention = CoordinateConvention.HALF_PIXEL
    grid: HeatmapGrid | None = None
    mirrored: bool = False

    @property
    def xy_sign(self) -> float:
        """By what a covariance of x and y changes between original pixels and the others."""
        return -1.0 if self.mirrored else 1.0

    @property
    def placement(self) -> Placement:
        """Where the image lies in the network input."""
        return Placement.of(self.original, self.network_input, self.resize)

    @property
    def input_per_original(self) -> Points:
        """Model-input pixels per original pixel, (x, y)."""
        return self.placement.resized.xy / self.original.xy

    @property
    def cells_per_input(self) -> Points:
        """Heatmap cells per model-input pixel, (x, y)."""
        if self.grid is not None:
            return 1.0 / np.array(self.grid.step)
        return self.heatmap.xy / self.network_input.xy

    @property
    def original_per_cell(self) -> Points:
        """Original pixels per heatmap cell, (x, y)."""
        return 1.0 / (self.input_per_original * self.cells_per_input)

    def original_to_input(self, points_px: Points) -> Points:
        """Original pixels to model-input pixels."""
        if self.mirrored:
            points_px = self._mirrored(points_px)
        return _resize(points_px, self.input_per_original, self.convention) + self.placement.offset

    def input_to_original(self, points: Points) -> Points:
        """Model-input pixels to original pixels."""
        points_px = _resize(points - self.placement.offset, 1.0 / self.input_per_original, self.convention)
        return self._mirrored(points_px) if self.mirrored else points_px

    def _mirrored(self, points_px: Points) -> Points:
        return np.stack([self.original.width - 1 - points_px[..., 0], points_px[..., 1]], axis=-1)

    def input_to_heatmap(self, points: Points) -> Points:
        """Model-input pixels to heatmap cells."""
        if self.grid is not None:
            return self.grid.of_input(points)
        return _resize(points, self.cells_per_input, self.convention)

    def heatmap_to_input(self, points: Points) -> Points:
        """Heatmap cells to model-input pixels."""
        if self.grid is not None:
            return self.grid.to_input(points)
        return _resize(points, 1.0 / self.cells_per_input, self.convention)

    def original_to_heatmap(self, points_px: Points) -> Points:
        """Original pixels to heatmap cells."""
        return self.input_to_heatmap(self.original_to_input(points_px))

    def heatmap_to_original(self, points: Points) -> Points:
        """Heatmap cells to original pixels."""
        return self.input_to_original(self.heatmap_to_input(points))


@dataclass(frozen=True, slots=True)
class NetworkFrames:
    """How a network sees images of any size: what the frames of one image follow from."""

    network_input: Size
    heatmap: Size
    resize: Resize = Resize.STRETCH
    convention: CoordinateConvention = CoordinateConvention.HALF_PIXEL
    grid: HeatmapGrid | None = None
    mirrored: bool = False

    @property
    def input_per_cell(self) -> Points:
        """Model-input pixels per heatmap cell, (x, y)."""
        if self.grid is not None:
            return np.array(self.grid.step)
        return self.network_input.xy / self.heatmap.xy

    def of(self, original: Size) -> FrameMap:
        """The frames of an image of this size."""
        return FrameMap(
            original, self.network_input, self.heatmap, self.resize, self.convention, self.grid, self.mirrored
        )
