"""Strokes that show on bright and on dark radiographs: every coloured mark lies on a dark halo."""

from typing import Final

import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.path import Path
from numpy.typing import NDArray

from mahtdiag.reports import palette
from mahtdiag.reports.overlay.scene import Box
from mahtdiag.reports.overlay.sheet import Sheet, closed, joined

Points = NDArray[np.float64]

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
