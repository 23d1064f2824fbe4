"""A number per keypoint on a schematic spine: where in the spine is it high or low?"""

from collections.abc import Sequence
from math import radians

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from numpy.typing import NDArray

from mahtdiag.reports.figures.style import BODY, COLUMN, INK, MARK_INK, MUTED, NO_DATA, new_plot
from mahtdiag.schema.skeleton import Skeleton, View

Floats = NDArray[np.float64]
Colour = str | tuple[float, ...]

BODY_HEIGHT = 1.0
DISC_HEIGHT = {View.AP: 0.56, View.LA: 0.80}
LA_TILT_DEG = {"L1": 12.0, "L2": 8.0, "L3": 3.0, "L4": -5.0, "L5": -15.0, "S1": -27.0}
"""Tilt of each vertebra of the lateral sketch, others stand upright: a lordosis, front at the left."""
# Half the width of the uppermost body, and how much more the lowest has.
HALF_WIDTH = {View.AP: (0.95, 0.2), View.LA: (0.92, 0.08)}
# So many vertebrae have room in a figure of the usual height.
USUAL_VERTEBRAE = 6


def sketch(skeleton: Skeleton) -> Floats:
    """Places of the keypoints of a schematic spine, [K, 2], y down, in heights of a vertebra."""
    points, centre = [], np.zeros(2)
    narrowest, wider = HALF_WIDTH[skeleton.view]
    tilts = [_tilt(name, skeleton.view) for name in skeleton.vertebrae]
    for v, (name, tilt, below) in enumerate(
        zip(skeleton.vertebrae, tilts, [*tilts[1:], tilts[-1]], strict=True)
    ):
        across, down = np.array([np.cos(tilt), np.sin(tilt)]), np.array([-np.sin(tilt), np.cos(tilt)])
        half = narrowest + wider * v / max(1, len(skeleton.bodies) - 1)
        for edge in (-BODY_HEIGHT / 2, BODY_HEIGHT / 2)[: 1 + (name in skeleton.bodies)]:
            points += [centre + edge * down - half * across, centre + edge * down + half * across]
        middle = (tilt + below) / 2
        step = BODY_HEIGHT + DISC_HEIGHT[skeleton.view]
        centre = centre + step * np.array([-np.sin(middle), np.cos(middle)])
    return np.array(points)


def _tilt(vertebra: str, view: View) -> float:
    """How far a vertebra of the sketch leans, in radians."""
    return radians(LA_TILT_DEG.get(vertebra, 0.0)) if view is View.LA else 0.0


def spine_figure(
    skeleton: Skeleton,
    height: float,
    marks: Sequence[tuple[str, float | None]],
    norm: Normalize,
    colours: Colormap,
) -> tuple[Figure, Axes]:
    """A text at each keypoint on the colour of a value, grey for None, and the axes of the colour bar.

    `height` in inches is more where the spine has more vertebrae than usual.
    """
    figure, axes = new_plot(COLUMN, height * max(1.0, len(skeleton.vertebrae) / USUAL_VERTEBRAE))
    places = sketch(skeleton)
    draw_bodies(axes, skeleton, places)
    for (text, value), place in zip(marks, places, strict=True):
        _draw_mark(axes, place, text, NO_DATA if value is None else colours(norm(value)))
    frame(axes, places)
    bar = figure.colorbar(ScalarMappable(norm, colours), ax=axes, fraction=0.05, pad=0.04, shrink=0.72)
    return figure, bar.ax


def _draw_mark(axes: Axes, place: Floats, text: str, fill: Colour) -> None:
    """A coloured disc with a number in it at the place of a keypoint."""
    x, y = float(place[0]), float(place[1])
    axes.plot(x, y, "o", markersize=14, color=fill, markeredgecolor=INK, markeredgewidth=0.6)
    axes.text(
        x, y, text, ha="center", va="center", fontsize=5.5, fontweight="bold", color=_readable(fill)
    )  # fmt: skip


def _readable(fill: Colour) -> str:
    """Ink or white, whichever stands out more on a fill."""
    if isinstance(fill, str):
        return MARK_INK
    return MARK_INK if 0.299 * fill[0] + 0.587 * fill[1] + 0.114 * fill[2] > 0.5 else "white"


def draw_bodies(axes: Axes, skeleton: Skeleton, places: Floats) -> None:
    """Outlines of the vertebrae of a sketch, with their names."""
    for name in skeleton.vertebrae:
        corners = places[skeleton.keypoints_of(name)]
        if name in skeleton.bodies:
            axes.add_patch(Polygon(corners[[0, 1, 3, 2]], facecolor=BODY, edgecolor=MUTED, linewidth=0.8))
            middle = corners.mean(axis=0)
        else:
            axes.plot(*corners.T, color=MUTED, linewidth=1.0)
            across = corners[1] - corners[0]
            middle = corners.mean(axis=0) + 0.3 * np.array([-across[1], across[0]])
        axes.text(
            float(middle[0]),
            float(middle[1]),
            name,
            ha="center",
            va="center",
            fontsize=7,
            color=MUTED,
            fontweight="bold",
        )


def frame(axes: Axes, places: Floats) -> None:
    """Make the axes fit a sketch, upright and undistorted."""
    axes.update_datalim([places.min(axis=0) - 0.4, places.max(axis=0) + 0.4])
    # The axes fill the figure, so that the text above starts at its edge.
    axes.set_aspect("equal", adjustable="datalim")
    axes.autoscale_view()
    axes.invert_yaxis()
    axes.set_axis_off()
