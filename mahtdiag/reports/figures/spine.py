"""A number per keypoint on a schematic spine: where in the spine is it high or low?"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import radians

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from matplotlib.ticker import MultipleLocator, PercentFormatter
from numpy.typing import NDArray

from mahtdiag.reports.figures.style import (
    BLUE,
    BODY,
    INK,
    MARK_INK,
    MUTED,
    NO_DATA,
    PALE,
    VERMILLION,
    new_plot,
)
from mahtdiag.schema.skeleton import CORNERS_PER_VERTEBRA, View

Floats = NDArray[np.float64]

BODY_HEIGHT = 1.0
DISC_HEIGHT = {View.AP: 0.56, View.LA: 0.80}
LA_TILT_DEG = (12.0, 8.0, 3.0, -5.0, -15.0, -27.0)
"""Tilt of each vertebra of the lateral sketch: a lordosis, front at the left."""


@dataclass(frozen=True, slots=True)
class KeypointShare:
    """A share 0..1 of `n` residuals; `enough` is False where so few say little."""

    share: float
    n: int
    enough: bool


def sketch(view: View) -> Floats:
    """Places of the keypoints of a schematic spine, [K, 2], y down, in heights of a vertebra."""
    points, centre = [], np.zeros(2)
    for v, name in enumerate(view.vertebrae):
        tilt = radians(LA_TILT_DEG[v]) if view is View.LA else 0.0
        across, down = np.array([np.cos(tilt), np.sin(tilt)]), np.array([-np.sin(tilt), np.cos(tilt)])
        half = (0.95 + 0.05 * v) if view is View.AP else (0.92 + 0.02 * v)
        edge = -BODY_HEIGHT / 2
        ends = [centre + edge * down - half * across, centre + edge * down + half * across]
        if name != "S1":
            ends += [centre - edge * down - half * across, centre - edge * down + half * across]
        points += ends
        step = radians(LA_TILT_DEG[v + 1]) if view is View.LA and v + 1 < len(LA_TILT_DEG) else tilt
        middle = (tilt + step) / 2
        centre = centre + (BODY_HEIGHT + DISC_HEIGHT[view]) * np.array([-np.sin(middle), np.cos(middle)])
    return np.array(points)


def spine_figure(
    view: View,
    shares: Mapping[str, KeypointShare],
    *,
    ideal: float,
    title: str,
    subtitle: str,
    low_label: str,
    high_label: str,
) -> Figure:
    """Coloured by the distance from `ideal`; keypoints are named as the view names them, absent ones grey."""
    figure, axes = new_plot(6.0, 8.2)
    places = sketch(view)
    colours = LinearSegmentedColormap.from_list("coverage", [VERMILLION, PALE, BLUE])
    reach = max([0.1, *(abs(item.share - ideal) for item in shares.values() if item.enough)])
    norm = Normalize(ideal - reach, ideal + reach)
    draw_bodies(axes, view, places)
    small = False
    for name, place in zip(view.keypoint_names, places, strict=True):
        item = shares.get(name)
        known = item is not None and item.enough
        fill = colours(norm(item.share)) if item is not None and known else NO_DATA
        text = "–" if item is None else f"{100 * item.share:.0f}{'' if known else '*'}"
        small = small or (item is not None and not known)
        draw_mark(axes, place, text, fill)
    frame_spine(axes, places)
    bar = figure.colorbar(ScalarMappable(norm, colours), ax=axes, fraction=0.05, pad=0.04, shrink=0.72)
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    bar.ax.yaxis.set_major_locator(MultipleLocator(0.05 if reach < 0.5 else 0.1))
    bar.ax.set_ylim(max(0.0, ideal - reach), min(1.0, ideal + reach))
    bar.ax.axhline(ideal, color=INK, linewidth=1.5)
    bar.ax.set_title(high_label.replace(": ", ":\n"), fontsize=8.5, color=MUTED, loc="center", pad=8,
                     fontweight="normal")  # fmt: skip
    bar.ax.set_xlabel(low_label.replace(": ", ":\n"), fontsize=8.5, color=MUTED, labelpad=8)
    note = "numbers in %" + ("; * fewer than 20 keypoints, too few to judge" if small else "")
    figure.suptitle(title, x=0.007, ha="left", fontsize=12, fontweight="bold")
    axes.set_title(f"{subtitle}\n{note}", color=MUTED, fontsize=9, fontweight="normal", loc="left")
    figure.supxlabel(f"{view} view, left and right as in the image", color=MUTED, fontsize=9)
    return figure


def draw_mark(axes: Axes, place: Floats, text: str, fill: str | tuple[float, ...]) -> None:
    """A coloured disc with a number in it at the place of a keypoint."""
    x, y = float(place[0]), float(place[1])
    axes.plot(x, y, "o", markersize=26, color=fill, markeredgecolor=INK, markeredgewidth=1.0)
    axes.text(
        x, y, text, ha="center", va="center", fontsize=9.5, fontweight="bold", color=_readable(fill)
    )  # fmt: skip


def _readable(fill: str | tuple[float, ...]) -> str:
    """Ink or white, whichever stands out more on a fill."""
    if isinstance(fill, str):
        return MARK_INK
    return MARK_INK if 0.299 * fill[0] + 0.587 * fill[1] + 0.114 * fill[2] > 0.5 else "white"


def draw_bodies(axes: Axes, view: View, places: Floats) -> None:
    """Outlines of the vertebrae of a sketch, with their names."""
    for v, name in enumerate(view.vertebrae):
        corners = places[CORNERS_PER_VERTEBRA * v : CORNERS_PER_VERTEBRA * (v + 1)]
        if len(corners) == CORNERS_PER_VERTEBRA:
            axes.add_patch(Polygon(corners[[0, 1, 3, 2]], facecolor=BODY, edgecolor=MUTED, linewidth=1.2))
            middle = corners.mean(axis=0)
        else:
            axes.plot(*corners.T, color=MUTED, linewidth=1.6)
            across = corners[1] - corners[0]
            middle = corners.mean(axis=0) + 0.3 * np.array([-across[1], across[0]])
        axes.text(
            float(middle[0]),
            float(middle[1]),
            name,
            ha="center",
            va="center",
            fontsize=12,
            color=MUTED,
            fontweight="bold",
        )


def frame_spine(axes: Axes, places: Floats) -> None:
    """Make the axes fit a sketch, upright and undistorted."""
    axes.update_datalim([places.min(axis=0) - 0.4, places.max(axis=0) + 0.4])
    # The axes fill the figure, so that the text above starts at its edge.
    axes.set_aspect("equal", adjustable="datalim")
    axes.autoscale_view()
    axes.invert_yaxis()
    axes.set_axis_off()
