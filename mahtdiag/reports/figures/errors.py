"""Pictures of a run's errors: how large, where in the spine, made of what, and in what is measured."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, PercentFormatter
from numpy.typing import NDArray

from mahtdiag.anatomy.agreement import BlandAltman
from mahtdiag.anatomy.difference_shape import PercentileLimits, RegressionLimits
from mahtdiag.diagnosis.anatomy import RuleTally
from mahtdiag.diagnosis.error_curve import ErrorCurve
from mahtdiag.diagnosis.measured import MeasuredPair
from mahtdiag.reports.figures.spine import spine_figure
from mahtdiag.reports.figures.style import (
    BLUE,
    COLUMN,
    DPI,
    GREEN,
    INK,
    LINE,
    MM,
    MUTED,
    PAGE,
    PALE,
    PURPLE,
    SMALL,
    VERMILLION,
    new_plot,
)
from mahtdiag.reports.text import interval, number, percent, pixels
from mahtdiag.schema.skeleton import Skeleton

Floats = NDArray[np.float64]

BINS = 40
DECADES_SHOWN = 3.0
PART_COLOURS = {"heatmap": BLUE, "coord": VERMILLION, "anatomical": GREEN, "uncertainty": PURPLE}
MOST_COLUMNS = 300
MOST_PANELS: Final = 3
PANEL_LETTERS: Final = 34
# The height of a panel alone, and of a row of several.
PANEL_INCHES: Final = 62 * MM
PANELS_INCHES: Final = 46 * MM
MOST_VECTOR_POINTS: Final = 2000
CURVE_POINTS: Final = 101
MOST_STEPS: Final = 5000


def distribution_figure(error: Floats, thresholds: Sequence[float], unit: str) -> Figure:
    """Histogram of all known errors, and below it the share of errors up to each size (logarithmic).

    The success detection rates are read off the lower curve at the thresholds.
    """
    known = np.sort(error[np.isfinite(error)])
    figure = Figure(figsize=(COLUMN, 80 * MM), dpi=DPI, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 3))
    floor, top = _shown_range(known, thresholds)
    shown = np.clip(known, floor, top)
    edges = np.geomspace(floor, top, BINS + 1).tolist()
    upper.hist(shown, edges, weights=np.full(known.size, 1.0 / known.size), color=BLUE, alpha=0.85)
    upper.yaxis.set_major_formatter(PercentFormatter(1.0))
    upper.set_ylabel("share of keypoints")
    for value, name, colour, style in (
        (float(np.median(known)), "median", INK, "-"),
        (float(known.mean()), "mean", VERMILLION, (0, (5, 2))),
    ):
        upper.axvline(
            value, color=colour, linewidth=LINE, linestyle=style, label=f"{name} {pixels(value)} {unit}"
        )
    upper.legend(loc="best", fontsize=SMALL)
    lower.plot(shown, np.arange(1, known.size + 1) / known.size, color=BLUE, linewidth=LINE)
    for threshold in thresholds:
        share = float((known <= threshold).mean())
        lower.plot([threshold, threshold], [0.0, share], color=MUTED, linewidth=0.7, linestyle=(0, (2, 2)))
        label = f"{threshold:g} {unit}: {percent(share)}"
        lower.plot(threshold, share, "o", color=VERMILLION, markersize=3, label=label)
    lower.set(xscale="log", xlim=(floor, top), ylim=(0.0, 1.04))
    lower.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    lower.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    lower.xaxis.set_minor_formatter(NullFormatter())
    lower.legend(loc="best", fontsize=SMALL, handlelength=1.0)
    lower.set_xlabel(f"radial error, {unit}")
    lower.set_ylabel("share of keypoints up to here")
    return figure


def _shown_range(known: Floats, thresholds: Sequence[float]) -> tuple[float, float]:
    """Smallest and largest error shown; smaller ones are counted at the edge, since a log axis has no 0."""
    top = 1.15 * max(float(known[-1]), *thresholds)
    typical = min(float(np.median(known)) or min(thresholds), *thresholds)
    floor = max(float(np.quantile(known, 0.005)), typical / 10.0**DECADES_SHOWN)
    return min(0.25 * min(thresholds), floor), top


def error_spine_figure(skeleton: Skeleton, error: Floats, unit: str) -> Figure:
    """Mean error of each keypoint, `[N, K]`, on a schematic spine; grey where none is known."""
    known = np.isfinite(error)
    count = known.sum(axis=0)
    means = np.divide(
        np.where(known, error, 0.0).sum(axis=0), count, out=np.full(count.size, np.nan), where=count > 0
    )
    finite = means[np.isfinite(means)]
    colours = LinearSegmentedColormap.from_list("error", [PALE, VERMILLION])
    norm = Normalize(0.0, float(finite.max()) or 1.0)
    figure, bar = spine_figure(
        skeleton,
        90 * MM,
        [(number(mean, 2), mean if np.isfinite(mean) else None) for mean in means.tolist()],
        norm,
        colours,
    )
    bar.set_title(f"mean, {unit}", fontsize=SMALL, color=MUTED, pad=4, fontweight="normal", loc="center")
    return figure


def loss_figure(parts: Mapping[str, Floats], weights: Mapping[str, float]) -> Figure:
    """Weighted loss parts `[N]`: their means, and how they add up in each image, the largest total first.

    Parts of many images are averaged over neighbours in that order. A negative part (a likelihood can be)
    is drawn below zero. A part that is NaN throughout is left out.
    """
    weighted = {name: weights[name] * parts[name] for name in PART_COLOURS if np.isfinite(parts[name]).any()}
    figure = Figure(figsize=(COLUMN, 75 * MM), dpi=DPI, layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=(1, 1.6))
    means = {name: float(np.nanmean(values)) for name, values in weighted.items()}
    bars = upper.barh(list(means), list(means.values()), color=[PART_COLOURS[name] for name in means])
    upper.bar_label(bars, [number(mean) for mean in means.values()], padding=4, fontsize=SMALL)
    upper.invert_yaxis()
    upper.grid(axis="y", visible=False)
    upper.margins(x=0.15)
    upper.axvline(0.0, color=INK, linewidth=0.8)
    upper.set_xlabel("mean contribution to the total (weight × part)")
    columns = _columns(weighted)
    x = np.linspace(0.0, 1.0, len(next(iter(columns.values()))) + 1)
    above = below = np.zeros(len(x) - 1)
    for name, values in columns.items():
        base = np.where(values >= 0, above, below)
        lower.stairs(
            base + values, x.tolist(), baseline=base, fill=True, color=PART_COLOURS[name], label=name
        )
        above, below = above + np.maximum(values, 0.0), below + np.minimum(values, 0.0)
    lower.set_xlim(0.0, 1.0)
    lower.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    lower.set_xlabel("images, the largest loss first")
    lower.set_ylabel("contribution to the loss")
    lower.legend(loc="upper right", fontsize=SMALL, ncols=2)
    return figure


def _columns(weighted: Mapping[str, Floats]) -> dict[str, Floats]:
    """Parts by image, largest sum first, unknown ones 0; averaged where there are more than can be seen."""
    filled = {name: np.where(np.isfinite(values), values, 0.0) for name, values in weighted.items()}
    order = np.argsort(-np.sum(list(filled.values()), axis=0), kind="stable")
    pieces = np.array_split(order, min(len(order), MOST_COLUMNS))
    return {
        name: np.array([float(values[piece].mean()) for piece in pieces]) for name, values in filled.items()
    }


def violations_figure(tallies: Sequence[RuleTally]) -> Figure:
    """Images in which each rule fired, predictions beside labels; rules that never fired are left out."""
    fired = [tally for tally in tallies if tally.images or tally.label_images]
    predicted, labelled = [tally.images for tally in fired], [tally.label_images or 0 for tally in fired]
    figure, axes = new_plot(COLUMN, (18 + 6 * max(2, len(fired))) * MM)
    places = np.arange(len(fired), dtype=np.float64)
    # Where labels are what is judged there is nothing beside them.
    labels_alone = all(tally.label_images is None for tally in tallies)
    both = ((-0.2, predicted, "predictions", VERMILLION), (0.2, labelled, "labels", BLUE))
    for offset, counts, name, colour in ((0.0, predicted, "labels", BLUE),) if labels_alone else both:
        bars = axes.barh(places + offset, counts, height=0.36, color=colour, label=name)
        axes.bar_label(bars, [str(count) for count in counts], padding=3, fontsize=SMALL)
    axes.set_yticks(places, [f"{tally.rule.code} {tally.rule.title}" for tally in fired], fontsize=SMALL)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.set_xlim(0, max([1.0, *(1.12 * count for count in (*predicted, *labelled))]))
    axes.set_xlabel("images", loc="left")
    figure.legend(loc="outside lower right", fontsize=SMALL, ncols=2)
    return figure


def known_measurements(pairs: Sequence[MeasuredPair]) -> Iterator[tuple[str, list[MeasuredPair]]]:
    """The levels that have a known pair, by the name of the measurement; without one it is left out."""
    for name, group in groupby(pairs, key=lambda pair: pair.name):
        known = [pair for pair in group if pair.difference.n]
        if known:
            yield name, known


def bland_altman_figure(pairs: Sequence[MeasuredPair]) -> Figure:
    """The levels of one measurement side by side, a column wide, or a page where there are several.

    Points are images; the solid line is the bias, dashed lines are the 95 % limits of agreement, bands their
    95 % intervals. Where those do not hold they are dotted, and percentiles or lines by regression are drawn.
    """
    columns = 1 if len(pairs) == 1 else -(-len(pairs) // -(-len(pairs) // MOST_PANELS))
    rows = -(-len(pairs) // columns)
    size = (COLUMN, PANEL_INCHES) if len(pairs) == 1 else (PAGE, PANELS_INCHES * rows)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes, pair in zip(panels.flat, pairs, strict=False):
        _panel(axes, pair)
    for axes in panels.flat[len(pairs) :]:
        axes.remove()
    for axes in panels.flat[max(0, len(pairs) - columns) : len(pairs)]:
        axes.set_xlabel("mean of label and prediction")
    unit = f", {pairs[0].unit}" if pairs[0].unit else ""
    for axes in panels[:, 0]:
        axes.set_ylabel(f"prediction − label{unit}")
    _legend(figure)
    return figure


def _legend(figure: Figure) -> None:
    """Names every kind of line that has one, once for all panels."""
    lines: dict[str, Artist] = {}
    for axes in figure.axes:
        handles, names = axes.get_legend_handles_labels()
        lines |= dict(zip(names, handles, strict=True))
    if lines:
        columns = 2 if figure.get_figwidth() <= COLUMN else len(lines)
        figure.legend(
            list(lines.values()), list(lines), loc="outside lower center", fontsize=SMALL, ncols=columns
        )


def _panel(axes: Axes, pair: MeasuredPair) -> None:
    known = np.isfinite(pair.labelled) & np.isfinite(pair.predicted)
    labelled, predicted = pair.labelled[known], pair.predicted[known]
    axes.scatter(
        (labelled + predicted) / 2,
        predicted - labelled,
        s=5,
        color=BLUE,
        alpha=0.6,
        linewidths=0,
        rasterized=labelled.size > MOST_VECTOR_POINTS,
        zorder=5,
    )
    axes.axhline(0.0, color="black", linewidth=0.5, zorder=1)
    lines = (f"{pair.level}, n = {pair.difference.n}", *_numbers(pair).split("\n"))
    title = "\n".join(textwrap.fill(line, PANEL_LETTERS) for line in lines)
    axes.set_title(title, fontsize=SMALL, fontweight="normal")
    axes.margins(x=0.12, y=0.12)
    axes.tick_params(labelsize=SMALL)
    _lines(axes, pair.difference, holds=not (pair.not_normal or pair.regression))
    if pair.percentiles is not None:
        _percentiles(axes, pair.percentiles)
    if pair.regression is not None:
        _regression(axes, pair.regression, (labelled + predicted) / 2)


def _numbers(pair: MeasuredPair) -> str:
    """`bias 1.2, limits −3.4 to 5.8`, as far as they are known; below it why they do not hold, if so."""
    difference = pair.difference
    text = f"bias {number(difference.bias)}"
    if np.isfinite(difference.lower):
        text += f", limits {number(difference.lower)} to {number(difference.upper)}"
    found = pair.percentiles
    reasons = []
    if pair.not_normal:
        ends = "" if found is None else f", percentiles {number(found.lower)} to {number(found.upper)}"
        reasons.append(f"not normal{ends}")
    if pair.regression is not None:
        reasons.append("grow with the size")
    return "\n".join([text, *reasons]).replace("-", "−")


def _lines(axes: Axes, difference: BlandAltman, *, holds: bool) -> None:
    """Bias and limits of agreement with their intervals, as far as they are known and hold."""
    style = "--" if holds else ":"
    _line(axes, difference.bias, difference.bias_ci95, VERMILLION, "-")
    _line(axes, difference.lower, difference.lower_ci95 if holds else None, MUTED, style)
    _line(axes, difference.upper, difference.upper_ci95 if holds else None, MUTED, style)


def _line(axes: Axes, value: float, ends: tuple[float, float] | None, colour: str, style: str) -> None:
    if not np.isfinite(value):
        return
    axes.axhline(value, color=colour, linestyle=style, linewidth=0.8, zorder=4)
    if ends is not None and np.isfinite(ends).all():
        axes.axhspan(*ends, color=colour, alpha=0.15, linewidth=0, zorder=2)


def _percentiles(axes: Axes, limits: PercentileLimits) -> None:
    """Limits that hold for differences that are not normal, with their intervals where they have one."""
    _line(axes, limits.lower, limits.lower_ci95, GREEN, "--")
    _line(axes, limits.upper, limits.upper_ci95, GREEN, "--")
    axes.plot([], [], color=GREEN, linestyle="--", linewidth=0.8, label="2.5th and 97.5th percentile")


def _regression(axes: Axes, limits: RegressionLimits, means: Floats) -> None:
    """Bias and limits that depend on the size, over the sizes there are."""
    at = np.linspace(means.min(), means.max(), CURVE_POINTS)
    lower, upper = np.transpose([limits.at(mean) for mean in at.tolist()])
    axes.plot(at, (lower + upper) / 2, color=PURPLE, linewidth=0.8, zorder=6, label="bias by regression")
    for ends, label in ((lower, "limits by regression"), (upper, None)):
        axes.plot(at, ends, color=PURPLE, linestyle="--", linewidth=0.8, zorder=6, label=label)


def error_curve_figure(curve: ErrorCurve, unit: str) -> Figure:
    """Share of keypoints up to each error, to the threshold that AUC and failure rate are read at."""
    figure, axes = new_plot(COLUMN, 62 * MM)
    steps = curve.errors[: np.searchsorted(curve.errors, curve.threshold, side="right")]
    # Beyond some thousand steps nobody tells one from the next, and a page would hold a number for each.
    x = np.linspace(0.0, curve.threshold, MOST_STEPS) if len(steps) > MOST_STEPS else steps
    x = np.concatenate([[0.0], x, [curve.threshold]])
    shares = curve.share(x)
    area = f"AUC {number(curve.auc)}{_ends(curve.auc_ci95)}"
    axes.fill_between(x, shares, step="post", color=BLUE, alpha=0.12, linewidth=0, label=area)
    axes.step(x, shares, where="post", color=BLUE)
    reached = float(shares[-1])
    beyond = f"failure rate {percent(curve.failures)}{_ends(curve.failures_ci95, 100.0)}"
    axes.plot(
        [curve.threshold] * 2, [reached, 1.0], color=VERMILLION, clip_on=False, marker="_",
        markersize=4, label=beyond,
    )  # fmt: skip
    axes.set(xlim=(0.0, curve.threshold), ylim=(0.0, 1.0))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel(f"radial error, {unit}")
    axes.set_ylabel("share of keypoints up to here")
    axes.legend(loc="upper left", bbox_to_anchor=(0.0, 1.22), ncols=1)
    return figure


def _ends(ci95: tuple[float, float] | None, scale: float = 1.0) -> str:
    return f" ({interval(ci95, scale)})" if ci95 else ""
