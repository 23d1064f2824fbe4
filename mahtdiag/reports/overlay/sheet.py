"""A page of pixels with marks in layers, drawn with Agg, and the strokes that show on any radiograph.

Marks go straight to matplotlib's renderer: its figures and artists take several times as long as the drawing.
Every coloured mark lies on a dark halo, so that it shows on bright and on dark radiographs.
"""

from collections.abc import Callable
from functools import partial
from operator import itemgetter
from typing import Final, Protocol

import cv2
import numpy as np
from matplotlib.backend_bases import GraphicsContextBase
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.path import Path
from matplotlib.transforms import Affine2D, Bbox, Transform
from numpy.typing import NDArray

from mahtdiag.reports import palette
from mahtdiag.reports.overlay.scene import Box
from mahtdiag.schema.frames import Size

Points = NDArray[np.float64]
Pixels = NDArray[np.uint8]
Colour = tuple[float, float, float, float]

DPI: Final = 72  # one point is one pixel
FRAME_Z: Final = 0.5
HALO_Z: Final = 1.0
SPREAD_Z: Final = 2.0
LABEL_Z: Final = 3.0
PREDICTION_Z: Final = 4.0
ERROR_Z: Final = 5.0
EMPHASIS_Z: Final = 6.0
PLATE_Z: Final = 7.0
HALO_ALPHA: Final = 0.65
LARGE_ELLIPSE_PX: Final = 90.0
DASH: Final = (4.0, 2.0)
DOTS: Final = (1.2, 2.2)
_TURN: Final[Points] = np.linspace(0, 2 * np.pi, 48, endpoint=False)
CIRCLE: Final[Points] = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1)
DIAMOND: Final[Points] = np.array([[0.0, -1.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
# Tip at the origin, pointing to the right.
ARROWHEAD: Final[Points] = np.array([[0.0, 0.0], [-1.0, 0.42], [-0.75, 0.0], [-1.0, -0.42]])


class _Agg(Protocol):
    """What is used of matplotlib's Agg renderer, which carries no types; y grows upwards."""

    def new_gc(self) -> GraphicsContextBase: ...

    def draw_path(
        self, gc: GraphicsContextBase, path: Path, transform: Transform, rgb_face: Colour | None, /
    ) -> None: ...

    def draw_image(self, gc: GraphicsContextBase, x: float, y: float, im: Pixels, /) -> None: ...

    def buffer_rgba(self) -> memoryview: ...


_new_agg: Callable[[int, int, int], _Agg] = RendererAgg


def joined(segments: Points) -> Path:
    """Straight strokes `[N, 2, 2]` as one path."""
    codes = np.tile(np.array([Path.MOVETO, Path.LINETO], dtype=np.uint8), len(segments))
    return _exact(Path(segments.reshape(-1, 2), codes))


def closed(corners: Points) -> Path:
    """The outline of a shape `[corners, 2]`."""
    return _exact(Path(np.concatenate([corners, corners[:1]]), closed=True))


def _exact(path: Path) -> Path:
    # Whether long paths are simplified would be the user's matplotlibrc to say.
    path.should_simplify = False
    return path


def rgb_bytes(colour: str, *opacity: int) -> Pixels:
    """A colour in bytes, `[3]`, or `[4]` with its opacity."""
    return np.array([*(round(255 * part) for part in to_rgb(colour)), *opacity], dtype=np.uint8)


class Sheet:
    """A page of one colour; coordinates are pixels (x right, y down). Marks of a higher z lie above others.

    `clip` keeps a mark inside a box.
    """

    def __init__(self, size: Size, paper: str) -> None:
        self._size = size
        self._agg = _new_agg(size.width, size.height, DPI)
        self._pixels = np.asarray(self._agg.buffer_rgba(), dtype=np.uint8)
        self._pixels.view(np.uint32)[...] = rgb_bytes(paper, 255).view(np.uint32)
        self._to_display = Affine2D().scale(1, -1).translate(0, size.height)
        self._marks: list[tuple[float, Callable[[], None]]] = []

    def show(self, rgb: Pixels, left: int, top: int) -> None:
        """Put a picture `[H, W, 3]` below all marks."""
        place = self._pixels[top : top + rgb.shape[0], left : left + rgb.shape[1]]
        cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA, dst=place)

    def stamp(self, rgba: Pixels, left: int, top: int, z: float) -> None:
        """Lay pixels `[H, W, 4]` over the page, their upper left corner at a whole pixel."""
        self._marks.append((z, partial(self._stamp, rgba, left, top)))

    def stroke(
        self,
        path: Path,
        colour: Colour,
        width: float,
        z: float,
        *,
        dashes: tuple[float, float] | None = None,
        round_ends: bool = True,
        clip: Box | None = None,
    ) -> None:
        """A line along a path, whole or with dashes and gaps of these lengths in pixels."""
        pen = self._pen(colour, width, clip)
        pen.set_capstyle("round" if round_ends else "butt")
        if dashes:
            pen.set_dashes(0.0, list(dashes))
        self._marks.append((z, partial(self._agg.draw_path, pen, path, self._to_display, None)))

    def shape(
        self, path: Path, fill: Colour, rim: Colour, width: float, z: float, *, clip: Box | None = None
    ) -> None:
        """A filled shape and its rim; width 0: no rim."""
        pen = self._pen(rim, width, clip)
        self._marks.append((z, partial(self._agg.draw_path, pen, path, self._to_display, fill)))

    def pixels(self) -> Pixels:
        """Everything drawn, as RGBA `[H, W, 4]`, opaque."""
        for _, draw in sorted(self._marks, key=itemgetter(0)):
            draw()
        self._marks.clear()
        return self._pixels

    def _stamp(self, rgba: Pixels, left: int, top: int) -> None:
        upwards = np.ascontiguousarray(rgba[::-1])
        self._agg.draw_image(self._agg.new_gc(), left, self._size.height - top - len(rgba), upwards)

    def _pen(self, colour: Colour, width: float, clip: Box | None) -> GraphicsContextBase:
        """Every property that matters is given, none left to the user's matplotlibrc."""
        pen = self._agg.new_gc()
        pen.set_antialiased(True)
        pen.set_foreground(colour, isRGBA=True)
        pen.set_linewidth(width)
        pen.set_joinstyle("round")
        # A mark lies where the keypoint is, not on the nearest whole pixel.
        pen.set_snap(False)
        if clip is not None:
            height = self._size.height
            pen.set_clip_rectangle(
                Bbox.from_extents(clip.left, height - clip.bottom, clip.right, height - clip.top)
            )
        return pen


class Brush:
    """Draws on one sheet, inside `clip` if given.

    `scale` multiplies every width and radius: 1 for legends, less where the vertebrae are small.
    """

    def __init__(self, sheet: Sheet, clip: Box | None = None, scale: float = 1.0) -> None:
        self._sheet = sheet
        self._clip = clip
        self.scale = scale

    def lines(
        self,
        segments: Points,
        colour: str,
        width: float,
        zorder: float,
        *,
        pattern: tuple[float, float] | None = None,
    ) -> None:
        """Straight strokes `[N, 2, 2]`; all halos lie below all strokes of the sheet.

        `pattern`: lengths of dash and gap in widths of the stroke, None for a whole one.
        """
        if len(segments):
            self._stroke(joined(segments), colour, width, zorder, pattern)

    def outline(self, corners: Points, colour: str, width: float, zorder: float) -> None:
        """The sides of one closed shape `[corners, 2]`."""
        self._stroke(closed(corners), colour, width, zorder)

    def shapes(
        self, outlines: Points, colour: str, zorder: float, *, fill: float = 1.0, width: float = 0.0
    ) -> None:
        """Closed shapes `[N, corners, 2]`, filled with the opacity `fill`; width 0: with a thin dark rim."""
        rim = to_rgba(colour) if width else to_rgba(palette.HALO, HALO_ALPHA)
        rim_width = width * max(self.scale, 0.6) if width else 1.0
        inside = to_rgba(colour, fill)
        for corners in outlines:
            self._sheet.shape(closed(corners), inside, rim, rim_width, zorder, clip=self._clip)

    def dots(self, centres: Points, colour: str, radius: float, zorder: float) -> None:
        """Filled circles."""
        self.shapes(self._at(CIRCLE * radius, centres), colour, zorder)

    def rings(self, centres: Points, colour: str, radius: float, *, shape: Points = CIRCLE) -> None:
        """Empty circles or other shapes on a halo, above all else."""
        for corners in self._at(shape * radius, centres):
            self.outline(corners, colour, 2.6, EMPHASIS_Z)

    def ellipses(self, centres: Points, half_axes: Points, colour: str) -> None:
        """Translucent ellipses `[N, 2]` with half axes along x and y, in pixels (not scaled).

        Large ones are nearly clear: many of them lie over each other, and the picture must show through.
        """
        outlines = centres[:, None] + CIRCLE * half_axes[:, None]
        large = half_axes.max(axis=1, initial=0.0) > LARGE_ELLIPSE_PX * self.scale
        for chosen, fill in ((~large, 0.16), (large, 0.02)):
            self.shapes(outlines[chosen], colour, SPREAD_Z, fill=fill, width=1.1)

    def plate(self, outline: Points, colour: str) -> None:
        """A dark plate `[corners, 2]` with a coloured rim, for text that must be read on any ground."""
        self.shapes(outline[None], palette.PAPER, PLATE_Z, fill=0.82)
        self.outline(outline, colour, 1.2, PLATE_Z + 0.5)

    def arrows(self, starts: Points, ends: Points, colour: str, width: float = 1.8) -> None:
        """Strokes with a head at the end; a short one gets a small head."""
        along = ends - starts
        length = np.hypot(along[:, 0], along[:, 1])
        size = np.minimum(11.0 * self.scale, 0.6 * length)
        shafts = np.stack([starts, ends - along * (0.6 * size / np.maximum(length, 1e-9))[:, None]], axis=1)
        self.lines(shafts, colour, width, ERROR_Z)
        self.heads(ends, along, size, colour)

    def heads(self, tips: Points, along: Points, size: Points, colour: str) -> None:
        """Arrowheads of the given length with their tip at `tips`, pointing along `along`."""
        unit = along / np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-9)[:, None]
        turn = np.stack([unit, np.stack([-unit[:, 1], unit[:, 0]], axis=1)], axis=1)
        self.shapes(tips[:, None] + (ARROWHEAD * size[:, None, None]) @ turn, colour, ERROR_Z)

    def _at(self, shape: Points, centres: Points) -> Points:
        return np.asarray(centres[:, None] + shape * self.scale, dtype=np.float64)

    def _stroke(
        self,
        path: Path,
        colour: str,
        width: float,
        zorder: float,
        pattern: tuple[float, float] | None = None,
    ) -> None:
        width *= max(self.scale, 0.6)
        dashes = (pattern[0] * width, pattern[1] * width) if pattern else None
        halo = (to_rgba(palette.HALO, HALO_ALPHA), width + 2.2, HALO_Z, None)
        for ink, ink_width, z, broken in (halo, (to_rgba(colour), width, zorder, dashes)):
            self._sheet.stroke(
                path, ink, ink_width, z, dashes=broken, round_ends=pattern is None, clip=self._clip
            )
