"""Errors of each keypoint beside a schematic spine: how they are distributed, and where they point."""

from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from numpy.typing import NDArray

from mahtdiag.diagnosis.keypoint_bias import KeypointBias
from mahtdiag.reports.figures.spine import USUAL_VERTEBRAE, draw_bodies, frame, sketch
from mahtdiag.reports.figures.style import BLUE, COLUMN, DPI, INK, MM, MUTED, SMALL, VERMILLION, new_plot
from mahtdiag.reports.text import pixels
from mahtdiag.schema.skeleton import CORNERS_PER_ENDPLATE, Skeleton

Floats = NDArray[np.float64]

HEIGHT: Final = 100 * MM
WHISKERS: Final = (5, 95)
BOX_HEIGHT: Final = 0.34
BOXES_REACH: Final = 1.8
DOT_ALPHA: Final = 0.4
# The longest mean vector, in heights of a vertebra.
LONGEST: Final = 0.75
TURN: Final = np.linspace(0.0, 2 * np.pi, 49)


def error_boxes_figure(skeleton: Skeleton, error: Floats, unit: str) -> Figure:
    """Errors `[N, K]` of each keypoint as a box over all its dots, beside its corner of a schematic spine.

    Left corners at the left and right ones at the right, errors growing outwards. Box: quartiles and median;
    whiskers: 5th and 95th percentile. Errors beyond the axis are counted at its end.
    """
    height = HEIGHT * max(1.0, len(skeleton.vertebrae) / USUAL_VERTEBRAE)
    figure = Figure(figsize=(COLUMN, height), dpi=DPI, layout="constrained")
    left, middle, right = figure.subplots(1, 3, sharey=True, width_ratios=(1.0, 0.62, 1.0))
    places = sketch(skeleton)
    draw_bodies(middle, skeleton, places)
    middle.set_axis_off()
    middle.set_xlim(places[:, 0].min() - 0.15, places[:, 0].max() + 0.15)
    top = _reach(error)
    for side, axes in ((0, left), (1, right)):
        for k in range(side, skeleton.keypoints, CORNERS_PER_ENDPLATE):
            _box(axes, error[:, k], float(places[k, 1]), top, k)
        axes.set_xlim((top, 0.0) if side == 0 else (0.0, top))
        axes.grid(axis="y", visible=False)
        axes.tick_params(left=False, labelleft=False)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(f"radial error, {unit}")
    left.set_title("left in the image", color=MUTED, loc="right", fontsize=SMALL)
    right.set_title("right", color=MUTED, loc="left", fontsize=SMALL)
    left.set_ylim(places[:, 1].max() + 0.4, places[:, 1].min() - 0.4)
    return figure


def _reach(error: Floats) -> float:
    """Where the axis ends: all boxes are seen well, few errors lie beyond."""
    columns = [column[np.isfinite(column)] for column in error.T]
    known = [column for column in columns if column.size]
    if not known:
        return 1.0
    top = BOXES_REACH * max(float(np.percentile(column, 75)) for column in known)
    return min(top, 1.05 * max(float(column.max()) for column in known)) or 1.0


def _box(axes: Axes, error: Floats, y: float, top: float, seed: int) -> None:
    known = error[np.isfinite(error)]
    if not known.size:
        axes.text(0.02 * top, y, "none", fontsize=SMALL, color=MUTED, va="center")
        return
    shown = known[known <= top]
    # Dots are spread so that equal errors can be told apart, the same way every time.
    spread = (np.arange(shown.size) * 0.618034 + 0.37 * seed) % 1.0 - 0.5
    axes.plot(shown, y + BOX_HEIGHT * spread, ".", color=BLUE, alpha=DOT_ALPHA, markersize=2.6,
              markeredgewidth=0, rasterized=shown.size > 200)  # fmt: skip
    low, first, median, third, high = np.percentile(known, [WHISKERS[0], 25, 50, 75, WHISKERS[1]]).tolist()
    axes.bxp(
        [{"med": median, "q1": first, "q3": third, "whislo": low, "whishi": min(high, top)}],
        positions=[y], widths=BOX_HEIGHT, orientation="horizontal", showfliers=False, manage_ticks=False,
        patch_artist=True, showcaps=False,
        boxprops={"facecolor": "none", "edgecolor": INK, "linewidth": 0.7},
        whiskerprops={"color": INK, "linewidth": 0.7},
        medianprops={"color": VERMILLION, "linewidth": 1.2},
    )  # fmt: skip
    beyond = int((known > top).sum())
    if beyond:
        inward = "left" if axes.xaxis_inverted() else "right"
        axes.text(0.99 * top, y - 0.30, f"+{beyond}", fontsize=SMALL - 0.5, color=MUTED, ha=inward,
                  va="center")  # fmt: skip


def error_vectors_figure(skeleton: Skeleton, bias: KeypointBias, unit: str) -> Figure:
    """Mean prediction − label of each keypoint as an arrow on a schematic spine, magnified.

    The ellipse at its tip holds the true mean with 95 %; arrows whose ellipse holds no error at all are grey.
    Hollow: too few images for an ellipse.
    """
    figure, axes = new_plot(COLUMN, HEIGHT * max(1.0, len(skeleton.vertebrae) / USUAL_VERTEBRAE))
    places = sketch(skeleton)
    draw_bodies(axes, skeleton, places)
    length = np.hypot(*bias.mean.T)
    longest = float(np.nanmax(length)) if np.isfinite(length).any() else 0.0
    scale = LONGEST / longest if longest > 0 else 1.0
    clear, known = bias.clear, bias.known
    for k in np.flatnonzero(np.isfinite(length)).tolist():
        colour = VERMILLION if clear[k] else MUTED
        tip = places[k] + scale * bias.mean[k]
        axes.annotate(
            "", tuple(tip), tuple(places[k]),
            arrowprops={"arrowstyle": "-|>" if known[k] else "->", "color": colour, "linewidth": 1.0,
                        "shrinkA": 0, "shrinkB": 0, "mutation_scale": 5},
        )  # fmt: skip
        axes.plot(*places[k], "o", color=INK, markersize=1.6)
        if known[k]:
            ring = tip + scale * np.stack([np.cos(TURN), np.sin(TURN)], axis=1) @ bias.axes[k].T
            axes.add_patch(Polygon(ring, facecolor=colour, alpha=0.18, linewidth=0))
            axes.update_datalim(ring)
    low, high = places.min(axis=0), places.max(axis=0)
    key = _round_length(longest)
    y = float(high[1]) + 0.75
    axes.plot([low[0], low[0] + scale * key], [y, y], color=INK, linewidth=1.2, solid_capstyle="butt")
    axes.text(
        float(low[0] + scale * key) + 0.12, y, f"{key:g} {unit}; longest {pixels(longest)}", va="center",
        fontsize=SMALL,
    )  # fmt: skip
    axes.plot([], [], color=VERMILLION, label="differs from 0")
    axes.plot([], [], color=MUTED, label="may be 0")
    if not known.all() and np.isfinite(length[~known]).any():
        axes.plot([], [], " ", label="open arrow: too few images")
    axes.legend(loc="upper left", bbox_to_anchor=(0.0, 1.0))
    frame(axes, np.concatenate([places, [[low[0], y]]]))
    return figure


def _round_length(longest: float) -> float:
    """A length of one digit, 1, 2 or 5, that is no longer than the longest vector."""
    if longest <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(longest))
    return float(power * max(digit for digit in (1, 2, 5) if digit * power <= longest * (1 + 1e-12)))
