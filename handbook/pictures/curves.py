"""Curves of a whole spine: their ends and apexes, the tilts that tell them, and the columns of AASCE."""

import math
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from handbook.pictures.picture import Picture, panels
from handbook.pictures.samples import as_image, outlines
from mahtdiag.anatomy.aasce_angles import BODIES, aasce_angles
from mahtdiag.anatomy.coronal import (
    REGION_TITLES,
    CurveRegion,
    coronal_curves,
    half_level_names,
    midline_tilt_deg,
    turning_vertebrae,
)
from mahtdiag.reports.figures.style import BLUE, MUTED, VERMILLION
from mahtdiag.schema.skeleton import Levels, Skeleton, View

Floats = NDArray[np.float64]

SPINE: Final = Skeleton.of(View.AP, Levels(BODIES[0], BODIES[-1]))
TILTS_DEG: Final = (0, 4, 9, 13, 15, 10, 3, -5, -14, -22, -25, -20, -10, 2, 12, 18, 14)
WIDTH, HEIGHT, DISC = 64.0, 44.0, 20.0


def drawn_spine() -> Floats:
    """T1 to L5 with these tilts, each body at right angles to the way down, `[68, 2]`."""
    points, at = [], np.zeros(2)
    for tilt in TILTS_DEG:
        turn = math.radians(tilt)
        across = np.array([math.cos(turn), math.sin(turn)])
        down = np.array([-across[1], across[0]])
        middle = at + down * (HEIGHT + DISC) / 2
        points += [middle + x * WIDTH / 2 * across + y * HEIGHT / 2 * down for y in (-1, 1) for x in (-1, 1)]
        at = middle + down * (HEIGHT + DISC) / 2
    return np.array(points)


def _curves() -> Figure:
    figure, (spine, tilts, columns) = panels(3, 4.4, gridspec_kw={"width_ratios": (1.5, 1.0, 1.1)})
    points = drawn_spine()
    _spine(spine, points)
    _tilts(tilts, points)
    _columns(columns, points)
    return figure


def _spine(axes: Axes, points: Floats) -> None:
    outlines(axes, points, MUTED)
    bodies = points.reshape(-1, 4, 2)
    left, right = bodies[:, [0, 2]].mean(axis=1), bodies[:, [1, 3]].mean(axis=1)
    found, names = coronal_curves(points[None], SPINE), half_level_names(SPINE)
    for vertebra in sorted({*found.upper.tolist(), *found.lower.tolist()}):
        along = right[vertebra] - left[vertebra]
        ends = np.stack([left[vertebra] - 0.5 * along, right[vertebra] + 0.5 * along])
        axes.plot(*ends.T, color=VERMILLION)
        axes.text(ends[0, 0] - 8, ends[0, 1], BODIES[vertebra], ha="right", va="center", color=VERMILLION)
    centres = np.empty((2 * len(bodies) - 1, 2))
    centres[0::2] = bodies.mean(axis=1)
    centres[1::2] = (centres[:-1:2] + centres[2::2]) / 2
    for apex, angle, region in zip(found.apex, found.midline_deg, found.region, strict=True):
        axes.plot(*centres[apex], "o", color=BLUE, markersize=5)
        side = "right" if angle > 0 else "left"
        title = REGION_TITLES[CurveRegion(region)].replace("/", "/\n")
        text = f"{title}\n{abs(angle):.0f}°, to the {side}\napex {names[apex]}"
        axes.text(centres[:, 0].max() + 75, centres[apex, 1], text, va="center", color=BLUE)
    axes.set_title("end vertebrae, apexes")
    as_image(axes)
    axes.set_xlim(centres[:, 0].min() - 130, centres[:, 0].max() + 330)


def _levels(axes: Axes) -> None:
    axes.set_ylim(len(BODIES) - 0.5, -0.5)
    axes.set_yticks(range(len(BODIES)), BODIES)


def _tilts(axes: Axes, points: Floats) -> None:
    tilts = midline_tilt_deg(points[None], SPINE)
    ends = np.flatnonzero(turning_vertebrae(tilts)[0])
    axes.plot(tilts[0], range(len(BODIES)), color=MUTED, marker=".")
    axes.plot(tilts[0, ends], ends, "o", color=VERMILLION)
    axes.axvline(0, color=MUTED, linewidth=0.6)
    axes.set(title="where the tilt turns", xlabel="tilt of the midline, °")
    _levels(axes)


def _columns(axes: Axes, points: Floats) -> None:
    last = float(points[:, 1].max())
    for place, share in enumerate((1.05, 1.8)):
        found = aasce_angles(points[None], SPINE, np.array([share * last]))
        for column in range(3):
            upper, lower = int(found.upper[0, column]), int(found.lower[0, column])
            colour = VERMILLION if column == 0 else BLUE
            axes.plot([place, place], [upper, lower], color=colour, marker="_", markersize=9)
            text = f"{column + 1}: {found.angle_deg[0, column]:.0f}°"
            axes.text(place + 0.1, (upper + lower) / 2, text, va="center", color=colour)
    axes.set_xticks([0, 1], ["lower half", "upper half"])
    axes.set(title="AASCE's columns", xlabel="largest curve lies in", xlim=(-0.3, 1.8))
    _levels(axes)


PICTURES: Final = (Picture("curves", _curves),)
