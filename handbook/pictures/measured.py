"""Measurements: how they are drawn on a spine, and limits of agreement where a bias grows."""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from handbook.pictures.picture import Picture, panels
from handbook.pictures.samples import as_image, outlines, sample_labels
from mahtdiag.anatomy.agreement import BlandAltman, bland_altman
from mahtdiag.anatomy.difference_shape import (
    DifferenceShape,
    RegressionLimits,
    difference_shape,
    regression_limits,
)
from mahtdiag.anatomy.measurements import measure_frontal, measure_lateral
from mahtdiag.reports.figures.style import BLUE, INK, MUTED, VERMILLION
from mahtdiag.schema.skeleton import AP, LA, LL, UL, UR

Floats = NDArray[np.float64]

IMAGES: Final = 80


@dataclass(frozen=True, slots=True)
class Agreement:
    """Angles of labels and predictions, degrees, and what is said of how they agree."""

    labelled: Floats
    predicted: Floats
    limits: BlandAltman
    shape: DifferenceShape
    regression: RegressionLimits


@cache
def growing_bias() -> Agreement:
    """Angles from 5 to 55° that are predicted 15 % too small, with errors of 2°."""
    rng = np.random.default_rng(41)
    true = rng.uniform(5.0, 55.0, IMAGES)
    labelled, predicted = true + rng.normal(0, 1.0, IMAGES), 0.85 * true + 1.5 + rng.normal(0, 2.0, IMAGES)
    return Agreement(
        labelled,
        predicted,
        bland_altman(predicted, labelled),
        difference_shape(predicted, labelled, np.arange(IMAGES)),
        regression_limits(predicted, labelled),
    )


def _bland_altman() -> Figure:
    found = growing_bias()
    mean, difference = (found.labelled + found.predicted) / 2, found.predicted - found.labelled
    figure, axes = panels(2, 2.9, sharey=True)
    x = np.array([mean.min(), mean.max()])
    for each in axes:
        each.plot(mean, difference, "o", color=MUTED, markersize=3, alpha=0.8)
        each.axhline(0.0, color=INK, linewidth=0.6)
        each.set_xlabel("mean of label and prediction, °")
    axes[0].set(ylabel="prediction − label, °", title="bias ± 1.96 SD")
    for value, style in ((found.limits.bias, "-"), (found.limits.lower, "--"), (found.limits.upper, "--")):
        axes[0].axhline(value, color=BLUE, linestyle=style)
        axes[0].text(x[1], value + 0.25, f"{value:+.1f}°".replace("-", "−"), ha="right", color=BLUE,
                     bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0})  # fmt: skip
    line = found.regression
    axes[1].set_title("limits by regression")
    axes[1].plot(x, line.bias + line.slope * x, color=VERMILLION)
    for side in (0, 1):
        axes[1].plot(x, [line.at(float(at))[side] for at in x], color=VERMILLION, linestyle="--")
    return figure


@cache
def _examples() -> tuple[int, int]:
    """The sample with the largest Cobb angle, and the one with the largest slip."""
    cobb = measure_frontal(sample_labels("AP"), AP).cobb_deg
    slip = measure_lateral(
        sample_labels("LA"), LA, np.ones(len(sample_labels("LA")), dtype=np.int64)
    ).slip_percent
    return int(cobb.argmax()), int(np.abs(slip).max(axis=1).argmax())


def _measured() -> Figure:
    figure, (frontal, lateral) = panels(2, 3.8)
    ap, la = _examples()
    _cobb(frontal, sample_labels("AP")[ap])
    _slip(lateral, sample_labels("LA")[la])
    return figure


def _cobb(axes: Axes, points: Floats) -> None:
    outlines(axes, points, MUTED)
    tilt = np.degrees(np.arctan2(*(points[1::2] - points[0::2]).T[::-1]))
    between = np.abs(tilt[0::2, None] - tilt[None, 1::2])
    upper, lower = np.unravel_index(int(np.triu(between, k=1).argmax()), between.shape)
    for start in (4 * int(upper) + UL, 4 * int(lower) + LL):
        left, right = points[start], points[start + 1]
        along = right - left
        axes.plot(*np.stack([left - 0.4 * along, right + 0.9 * along]).T, color=VERMILLION)
    found = measure_frontal(points[None], AP).cobb_deg[0]
    axes.set_title(f"Cobb angle {found:.0f}°: {AP.bodies[upper]} upper to {AP.bodies[lower]} lower")
    as_image(axes)


def _slip(axes: Axes, points: Floats) -> None:
    outlines(axes, points, MUTED)
    slip = measure_lateral(points[None], LA, np.array([1])).slip_percent[0]
    level = int(np.abs(slip).argmax())
    # Facing right, the left corner is the posterior one.
    corner, left, right = points[4 * level + LL], points[4 * level + 4 + UL], points[4 * level + 4 + UR]
    share = float((corner - left) @ (right - left) / ((right - left) @ (right - left)))
    foot = left + share * (right - left)
    axes.plot(*np.stack([left, right]).T, color=VERMILLION, linewidth=2.0, label="100 %: the endplate below")
    axes.plot(*np.stack([corner, foot]).T, color=BLUE, linestyle=":")
    axes.plot(*np.stack([left, foot]).T, color=BLUE, linewidth=3.0, label=f"slip: {slip[level]:.0f} % of it")
    axes.plot(*corner, "o", color=BLUE, markersize=4)
    axes.set_title(f"slip {LA.places[len(LA.vertebrae) + level]}, facing right")
    as_image(axes)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0))


PICTURES: Final = (Picture("bland-altman", _bland_altman), Picture("measured", _measured))
