"""Small pictures of the marks, for the legend."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.reports import palette
from mahtdiag.reports.overlay.brush import DASH, DIAMOND, EMPHASIS_Z, LABEL_Z, PREDICTION_Z, Brush
from mahtdiag.reports.overlay.marks import DIAMOND_PX, DOT_PX, HEAD_PX, RING_PX
from mahtdiag.reports.overlay.quantities import Shape
from mahtdiag.reports.overlay.quantity_marks import draw_ambiguity, draw_shape
from mahtdiag.reports.overlay.rows import Mark

Points = NDArray[np.float64]

# About the middle of the swatch, as shapes of a finding's drawing.
_SWATCHES: Final[dict[Mark, tuple[tuple[Shape, list[list[list[float]]]], ...]]] = {
    Mark.ANGLE: ((Shape.LINE, [[[-18, -7], [19, 0]], [[-18, 7], [19, 0]], [[4, -3], [4, 3]]]),),
    Mark.TILT: ((Shape.LINE, [[[-18, -6], [18, 6]]]), (Shape.DASHED, [[[-19, 3], [19, -3]]])),
    Mark.DOWN: ((Shape.ARROW, [[[0, -10], [0, 10]]]),),
    Mark.SIDEWAYS: ((Shape.ARROW, [[[-18, 0], [18, 0]]]),),
    Mark.LENGTH: ((Shape.BAR, [[[-18, 0], [18, 0]]]),),
    Mark.EXPECTED: ((Shape.DASHED, [[[-16, 0], [14, 0]]]),),
    Mark.BORDER: ((Shape.LINE, [[[14, -9], [14, 9]], [[-12, 0], [14, 0]]]),),
}
_AREA: Final = np.array([[-18.0, -6.0], [18.0, -3.0], [18.0, 6.0], [-18.0, 3.0]])


def draw_swatch(brush: Brush, mark: Mark, x: float, y: float) -> None:
    """The mark as it looks over the radiograph; (x, y) is the left end at half height."""
    left, middle, right = (np.array([[x + dx, y]]) for dx in (3.0, 22.0, 41.0))
    if mark in (Mark.LABEL, Mark.PREDICTION):
        _line_with_dots(brush, mark, left, right)
    elif mark is Mark.ERROR:
        brush.arrows(left, right, palette.ERROR)
    elif mark is Mark.SPREAD:
        brush.ellipses(middle, np.array([[18.0, 9.0]]), palette.PREDICTION)
        brush.dots(middle, palette.PREDICTION, DOT_PX, PREDICTION_Z + 0.5)
    elif mark is Mark.WORST:
        brush.rings(middle, palette.WORST, RING_PX * 0.66)
        brush.dots(middle, palette.PREDICTION, DOT_PX, EMPHASIS_Z)
    elif mark is Mark.FINDING:
        brush.rings(middle, palette.FINDING, DIAMOND_PX, shape=DIAMOND)
    elif mark is Mark.OFF_STAGE:
        brush.heads(right, np.array([[1.0, 0.0]]), np.array([HEAD_PX]), palette.PREDICTION)
    elif mark is Mark.SECOND_PEAK:
        brush.dots(left, palette.PREDICTION, DOT_PX, PREDICTION_Z + 0.5)
        draw_ambiguity(brush, left, right, right)
    else:
        _shapes(brush, mark, middle)


def _line_with_dots(brush: Brush, mark: Mark, left: Points, right: Points) -> None:
    colour, z = (palette.LABEL, LABEL_Z) if mark is Mark.LABEL else (palette.PREDICTION, PREDICTION_Z)
    pattern = None if mark is Mark.LABEL else DASH
    brush.lines(np.stack([left[0], right[0]])[None], colour, 2.0, z, pattern=pattern)
    brush.dots(np.concatenate([left, right]), colour, DOT_PX, z + 0.5)


def _shapes(brush: Brush, mark: Mark, middle: Points) -> None:
    """A mark of what a finding measured."""
    if mark is Mark.OVERLAP:
        draw_shape(brush, Shape.AREA, middle + _AREA)
    elif mark is Mark.CROSSING:
        draw_shape(brush, Shape.CROSS, middle)
    elif mark is Mark.COINCIDING:
        draw_shape(brush, Shape.RING, middle)
    else:
        for shape, points in _SWATCHES[mark]:
            draw_shape(brush, shape, middle + np.array(points, dtype=np.float64))
    if mark is Mark.EXPECTED:
        draw_shape(brush, Shape.SQUARE, middle + np.array([14.0, 0.0]))
