"""A page of pixels with marks in layers, drawn with Agg.

Marks go straight to matplotlib's renderer: its figures and artists take several times as long as the drawing.
"""

from collections.abc import Callable
from functools import partial
from operator import itemgetter
from typing import Final, Protocol

import cv2
import numpy as np
from matplotlib.backend_bases import GraphicsContextBase
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.colors import to_rgb
from matplotlib.path import Path
from matplotlib.transforms import Affine2D, Bbox, Transform
from numpy.typing import NDArray

from mahtdiag.reports.overlay.scene import Box
from mahtdiag.schema.frames import Size

Points = NDArray[np.float64]
Pixels = NDArray[np.uint8]
Colour = tuple[float, float, float, float]

DPI: Final = 72  # one point is one pixel


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
