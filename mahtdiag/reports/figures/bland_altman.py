"""Bland–Altman plots: the difference of prediction and label against their mean, one panel per level."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mahtdiag.anatomy.measurements import BlandAltman
from mahtdiag.diagnosis.measured import MeasuredPair
from mahtdiag.reports.figures.style import BLUE, DPI, MUTED, VERMILLION, figure_bytes, plot_style
from mahtdiag.reports.numbers import number

PANEL_INCHES: Final = (2.9, 3.4)
SINGLE_INCHES: Final = 4.6
MARGIN_INCHES: Final = 0.6
MOST_VECTOR_POINTS: Final = 2000
SMALL: Final = 8.5
KINDS: Final[tuple[Literal["png", "svg"], ...]] = ("png", "svg")


def draw_bland_altman(pairs: Sequence[MeasuredPair]) -> dict[str, bytes]:
    """One figure per measurement, PNG and SVG, by file name (`cobb_deg.png`).

    A level without a single known pair has no panel, a measurement without any no figure.
    """
    files: dict[str, bytes] = {}
    with plot_style():
        for name, known in known_measurements(pairs):
            figure = bland_altman_figure(known)
            figure.draw_without_rendering()
            # Laid out once for both files.
            figure.set_layout_engine("none")
            files |= {f"{name}.{kind}": figure_bytes(figure, kind) for kind in KINDS}
    return files


def known_measurements(pairs: Sequence[MeasuredPair]) -> Iterator[tuple[str, list[MeasuredPair]]]:
    """The levels that have a known pair, by the name of the measurement; without one it is left out."""
    for name, group in groupby(pairs, key=lambda pair: pair.name):
        known = [pair for pair in group if pair.difference.n]
        if known:
            yield name, known


def bland_altman_figure(pairs: Sequence[MeasuredPair], most_columns: int | None = None) -> Figure:
    """The levels of one measurement side by side, at most so many in a row (None: all).

    Points are images; the solid line is the bias, dashed lines are the 95 % limits of agreement, bands their
    95 % intervals.
    """
    width, height = PANEL_INCHES
    columns = min(len(pairs), most_columns or len(pairs))
    rows = -(-len(pairs) // columns)
    # A single panel has to be wide enough for the title.
    width = MARGIN_INCHES + (width * columns if columns > 1 else SINGLE_INCHES)
    figure = Figure(figsize=(width, height * rows), dpi=DPI, layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes, pair in zip(panels.flat, pairs, strict=False):
        _panel(axes, pair)
    for axes in panels.flat[len(pairs) :]:
        axes.remove()
    title = pairs[0].title
    unit = f", {pairs[0].unit}" if pairs[0].unit else ""
    figure.suptitle(f"{title[:1].upper()}{title[1:]}{unit}: prediction against label", fontsize=11)
    figure.supxlabel("mean of label and prediction", fontsize=10)
    for axes in panels[:, 0]:
        axes.set_ylabel("prediction − label")
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
