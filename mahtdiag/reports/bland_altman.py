"""Bland–Altman plots: the difference of prediction and label against their mean, one panel per level."""

from collections.abc import Sequence
from itertools import groupby
from typing import Final, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mahtdiag.anatomy.agreement import BlandAltman
from mahtdiag.diagnosis.measured import MeasuredPair
from mahtdiag.reports.numbers import number
from mahtdiag.reports.plot_style import BLUE, DPI, MUTED, VERMILLION, figure_bytes, plot_style

PANEL_INCHES: Final = (2.9, 3.4)
SINGLE_INCHES: Final = 4.6
MARGIN_INCHES: Final = 0.6
MOST_VECTOR_POINTS: Final = 2000
SMALL: Final = 8.5
KINDS: Final[tuple[Literal["png", "svg"], ...]] = ("png", "svg")


def draw_bland_altman(pairs: Sequence[MeasuredPair]) -> dict[str, bytes]:
    """One figure per measurement, PNG and SVG, by file name (`cobb_deg.png`).

    Points are images; the solid line is the bias, dashed lines are the 95 % limits of agreement, bands their
    95 % intervals. A level without a single known pair has no panel, a measurement without any no figure.
    """
    files: dict[str, bytes] = {}
    with plot_style():
        for name, group in groupby(pairs, key=lambda pair: pair.name):
            known = [pair for pair in group if pair.difference.n]
            if known:
                figure = _figure(known)
                figure.draw_without_rendering()
                # Laid out once for both files.
                figure.set_layout_engine("none")
                files |= {f"{name}.{kind}": figure_bytes(figure, kind) for kind in KINDS}
    return files


def _figure(pairs: Sequence[MeasuredPair]) -> Figure:
    width, height = PANEL_INCHES
    # A single panel has to be wide enough for the title.
    width = MARGIN_INCHES + (width * len(pairs) if len(pairs) > 1 else SINGLE_INCHES)
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    panels = figure.subplots(1, len(pairs), sharey=True, squeeze=False)[0]
    for axes, pair in zip(panels, pairs, strict=True):
        _panel(axes, pair)
    title = pairs[0].title
    unit = f", {pairs[0].unit}" if pairs[0].unit else ""
    figure.suptitle(f"{title[:1].upper()}{title[1:]}{unit}: prediction against label", fontsize=11)
    figure.supxlabel("mean of label and prediction", fontsize=10)
    panels[0].set_ylabel("prediction − label")
    return figure


def _panel(axes: Axes, pair: MeasuredPair) -> None:
    known = np.isfinite(pair.labelled) & np.isfinite(pair.predicted)
    labelled, predicted = pair.labelled[known], pair.predicted[known]
    axes.scatter(
        (labelled + predicted) / 2,
        predicted - labelled,
        s=14,
        color=BLUE,
        alpha=0.6,
        linewidths=0,
        rasterized=labelled.size > MOST_VECTOR_POINTS,
        zorder=5,
    )
    axes.axhline(0.0, color="black", linewidth=0.6, zorder=1)
    title = f"{pair.level}, n = {pair.difference.n}\n{_numbers(pair.difference)}"
    axes.set_title(title, fontsize=SMALL, fontweight="normal")
    axes.margins(x=0.12, y=0.12)
    axes.tick_params(labelsize=SMALL)
    _lines(axes, pair.difference)


def _numbers(difference: BlandAltman) -> str:
    """`bias 1.2, limits −3.4 to 5.8`, as far as they are known."""
    text = f"bias {number(difference.bias)}"
    if np.isfinite(difference.lower):
        text += f", limits {number(difference.lower)} to {number(difference.upper)}"
    return text.replace("-", "−")


def _lines(axes: Axes, difference: BlandAltman) -> None:
    """Bias and limits of agreement with their intervals, as far as they are known."""
    lines = (
        (difference.bias, difference.bias_ci95, VERMILLION, "-"),
        (difference.lower, difference.lower_ci95, MUTED, "--"),
        (difference.upper, difference.upper_ci95, MUTED, "--"),
    )
    for value, (low, high), colour, style in lines:
        if not np.isfinite(value):
            continue
        axes.axhline(value, color=colour, linestyle=style, linewidth=1.2, zorder=4)
        if np.isfinite([low, high]).all():
            axes.axhspan(low, high, color=colour, alpha=0.15, linewidth=0, zorder=2)
