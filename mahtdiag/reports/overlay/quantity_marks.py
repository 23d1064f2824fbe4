"""Drawing of what findings measured, and of second heatmap peaks."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.reports import palette
from mahtdiag.reports.overlay.quantities import Quantity, Shape
from mahtdiag.reports.overlay.scene import Scene
from mahtdiag.reports.overlay.sheet import DASH, DOTS, EMPHASIS_Z, ERROR_Z, Brush

Points = NDArray[np.float64]

# Above error vectors, below the marks of keypoints.
QUANTITY_Z: Final = ERROR_Z + 0.5
LINE_WIDTH: Final = 1.7
BAR_WIDTH: Final = 2.2
TICK_PX: Final = 8.0
CROSS_PX: Final = 10.0
COINCIDING_PX: Final = 15.0
SQUARE_PX: Final = 6.0
AREA_FILL: Final = 0.3
TRIANGLE: Final[Points] = np.array([[0.0, -1.0], [0.87, 0.5], [-0.87, 0.5]])
SQUARE: Final[Points] = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
TRIANGLE_PX: Final = 10.0


def draw_quantities(brush: Brush, quantities: tuple[Quantity, ...]) -> None:
    """The shapes of every drawing; texts are placed apart."""
    for quantity in quantities:
        for shape, points in quantity.shapes:
            draw_shape(brush, shape, points)


def draw_shape(brush: Brush, shape: Shape, points: Points) -> None:
    """One set of strokes, areas or places in the colour of findings."""
    colour = palette.FINDING
    if shape is Shape.LINE:
        brush.lines(points, colour, LINE_WIDTH, QUANTITY_Z)
    elif shape is Shape.DASHED:
        brush.lines(points, colour, LINE_WIDTH, QUANTITY_Z, pattern=DASH)
    elif shape is Shape.BAR:
        brush.lines(points, colour, BAR_WIDTH, QUANTITY_Z)
        brush.lines(_ticks(points, TICK_PX * brush.scale), colour, BAR_WIDTH, QUANTITY_Z)
    elif shape is Shape.ARROW:
        brush.arrows(points[:, 0], points[:, 1], colour, width=BAR_WIDTH)
    elif shape is Shape.AREA:
        brush.shapes(points[None], colour, QUANTITY_Z, fill=AREA_FILL, width=LINE_WIDTH)
    elif shape is Shape.CROSS:
        reach = CROSS_PX * brush.scale
        for way in (np.array([reach, reach]), np.array([reach, -reach])):
            brush.lines(np.stack([points - way, points + way], axis=1), colour, 2.6, EMPHASIS_Z)
    elif shape is Shape.RING:
        brush.rings(points, colour, COINCIDING_PX)
    else:
        brush.rings(points, colour, SQUARE_PX, shape=SQUARE)


def _ticks(bars: Points, reach: float) -> Points:
    """Short strokes across both ends of each bar `[N, 2, 2]`."""
    along = bars[:, 1] - bars[:, 0]
    unit = along / np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-9)[:, None]
    across = reach * np.stack([-unit[:, 1], unit[:, 0]], axis=1)
    return np.concatenate(
        [np.stack([bars[:, end] - across, bars[:, end] + across], axis=1) for end in (0, 1)]
    )


def draw_second_peaks(brush: Brush, scene: Scene) -> None:
    """A hollow triangle at each second peak that is in the picture, joined to its prediction."""
    shown = scene.with_second_peak
    joined = shown & np.isfinite(scene.prediction).all(axis=1)
    draw_ambiguity(brush, scene.prediction[joined], scene.second_peak[joined], scene.second_peak[shown])


def draw_ambiguity(brush: Brush, starts: Points, ends: Points, peaks: Points) -> None:
    """Dotted lines from predictions to second peaks, and triangles at the peaks."""
    joined = np.stack([starts, ends], axis=1)
    brush.lines(joined, palette.SECOND_PEAK, 1.6, QUANTITY_Z, pattern=DOTS)
    brush.rings(peaks, palette.SECOND_PEAK, TRIANGLE_PX, shape=TRIANGLE)
