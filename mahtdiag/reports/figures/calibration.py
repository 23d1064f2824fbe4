"""Pictures of σ: five figures from a report and the residuals behind it."""

from dataclasses import dataclass
from math import isfinite, pi, sqrt

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator, NullFormatter, PercentFormatter
from numpy.typing import NDArray
from scipy.special import erf

from mahtdiag.calibration.report import CalibrationReport, Curve
from mahtdiag.reports.figures.spine import spine_figure
from mahtdiag.reports.figures.style import (
    BLUE,
    COLUMN,
    DPI,
    INK,
    LINE,
    MM,
    MUTED,
    PALE,
    SMALL,
    VERMILLION,
    new_plot,
)
from mahtdiag.reports.text import ABSENT, counted, number, percent
from mahtdiag.schema.skeleton import Skeleton

Floats = NDArray[np.float64]

COVERAGE = 0.9
MOST_DOTS = 4000
Z_SHOWN = 5.0
Z_BINS = 40
DECADES_SHOWN = 2.5
TENTHS = 10


@dataclass(frozen=True, slots=True)
class PlotData:
    """What the pictures show: a report, and for each of its M keypoints, in the order of images:

    `z` `[M, 2]`; `sigma_px` `[M]`, the root mean square of both axes, and `error_px` `[M]`, the radial error.
    `conformal_limit`: on error / σ for `conformal_coverage`, infinite if there are too few keypoints.
    """

    skeleton: Skeleton
    report: CalibrationReport
    z: Floats
    sigma_px: Floats
    error_px: Floats
    conformal_coverage: float
    conformal_limit: float


def counted_points(report: CalibrationReport) -> str:
    return f"{counted(report.n_keypoints, 'keypoint')} in {counted(report.n_images, 'image')}"


def reliability_figure(data: PlotData) -> Figure:
    """Share of errors inside the predicted interval (per axis) and ellipse, by nominal level.

    Below it the number of coordinates, two of each keypoint, that first lie inside an interval of each level:
    as many in each tenth where σ is right.
    """
    report = data.report
    figure = Figure(figsize=(COLUMN, 100 * MM), dpi=DPI, layout="constrained")
    axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=(0, (2, 2)), label="perfect")
    curves = (
        ("intervals, per axis", report.curve, report.mace, BLUE, "-"),
        ("ellipses", report.radial.curve, report.radial.mace, VERMILLION, (0, (5, 2))),
    )
    for name, curve, mace, colour, style in curves:
        if curve is not None:
            _curve(axes, curve, f"{name} (MACE {number(mace)})", colour, style)
    axes.text(
        *(0.03, 0.76, "underconfident:\nσ too large"),
        transform=axes.transAxes, color=MUTED, fontsize=SMALL, va="top",
    )  # fmt: skip
    axes.text(
        *(0.97, 0.05, "overconfident:\nσ too small"),
        transform=axes.transAxes, color=MUTED, fontsize=SMALL, ha="right",
    )  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_ylabel("observed: share of keypoints inside")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.legend(loc="upper left", bbox_to_anchor=(0.0, 1.0))
    _counts_by_level(counts, data.z)
    return figure


def _counts_by_level(axes: Axes, z: Floats) -> None:
    levels = erf(np.abs(z[np.isfinite(z)]) / sqrt(2.0))
    found, edges = np.histogram(levels, TENTHS, (0.0, 1.0))
    axes.bar(edges[:-1], found, width=1.0 / TENTHS, align="edge", color=BLUE, alpha=0.35, edgecolor=BLUE,
             linewidth=0.6)  # fmt: skip
    axes.axhline(levels.size / TENTHS, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
    axes.set_ylabel("coordinates")
    axes.set_xlabel("promised: level of the interval or ellipse")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=3))


def _curve(
    axes: Axes, curve: Curve, label: str, colour: str, style: str | tuple[int, tuple[int, ...]]
) -> None:
    if curve.low is not None and curve.high is not None:
        axes.fill_between(curve.levels, curve.low, curve.high, color=colour, alpha=0.18, linewidth=0)
        label += ", 95 % band"
    axes.plot(curve.levels, curve.observed, color=colour, linewidth=LINE, linestyle=style, label=label)


def sparsification_figure(data: PlotData) -> Figure:
    """Mean error of what is kept when the least certain keypoints are removed first."""
    report, curve = data.report, data.report.sparsification
    figure, axes = new_plot(COLUMN, 62 * MM)
    if curve is not None:
        mean = float(curve.oracle_error_px[0])
        axes.axhline(mean, color=INK, linewidth=0.8, linestyle=(0, (2, 2)), label="removed at random")
        axes.fill_between(
            curve.removed, curve.oracle_error_px, curve.kept_error_px, color=BLUE, alpha=0.12, linewidth=0
        )
        axes.plot(curve.removed, curve.kept_error_px, color=BLUE, linewidth=LINE, label="removed by σ")
        axes.plot(
            curve.removed, curve.oracle_error_px, color=VERMILLION, linewidth=LINE, linestyle=(0, (5, 2)),
            label="removed by the error itself (best possible)",
        )  # fmt: skip
        axes.set_ylim(0.0, 1.4 * max(mean, float(curve.kept_error_px.max())) or 1.0)
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of keypoints removed, least certain first")
    axes.set_ylabel("mean error of the rest, px")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    if report.ause is not None:
        axes.plot([], [], " ", label=f"AUSE {percent(report.ause)} of the mean error")
        axes.legend(loc="best")
    return figure


def z_figure(data: PlotData) -> Figure:
    """Histogram of z = (predicted − true) / σ by axis, against the normal that a right σ gives."""
    figure, axes = new_plot(COLUMN, 62 * MM)
    edges = np.linspace(-Z_SHOWN, Z_SHOWN, Z_BINS + 1).tolist()
    for axis, name, colour, style in ((0, "x", BLUE, "-"), (1, "y", VERMILLION, (0, (5, 2)))):
        # What lies beyond the picture is counted in its outermost bars.
        shown = np.clip(data.z[:, axis], -Z_SHOWN, Z_SHOWN)
        weights = np.full(len(shown), 1.0 / (len(shown) * (edges[1] - edges[0])))
        label = f"z in {name}: mean {data.z[:, axis].mean():+.2f}, std {data.z[:, axis].std():.2f}"
        axes.hist(shown, edges, weights=weights, color=colour, alpha=0.15)
        axes.hist(
            shown, edges, weights=weights, histtype="step", color=colour, linewidth=LINE, linestyle=style,
            label=label,
        )  # fmt: skip
    grid = np.linspace(-Z_SHOWN, Z_SHOWN, 401)
    axes.plot(grid, np.exp(-0.5 * grid**2) / sqrt(2 * pi), color=INK, linewidth=0.9, label="standard normal")
    beyond = float((np.abs(data.z) > Z_SHOWN).mean())
    axes.set_xlim(-Z_SHOWN, Z_SHOWN)
    axes.set_ylim(0.0, 1.28 * axes.get_ylim()[1])
    axes.set_xlabel(f"z = (predicted − true) / σ\n{percent(beyond)} beyond ±{Z_SHOWN:g}, in the last bars")
    axes.set_ylabel("density")
    axes.legend(loc="upper left", ncols=2, fontsize=SMALL)
    return figure


def error_sigma_figure(data: PlotData) -> Figure:
    """Radial error against σ on logarithmic axes, with the conformal radius and the mean error by σ."""
    figure, axes = new_plot(COLUMN, 66 * MM)
    sigma, error = data.sigma_px, data.error_px
    low, high = (float(v) for v in np.quantile(sigma, [0.0, 1.0]))
    x = np.array([low / 1.1, high * 1.1])
    floor, top = _error_range(error, sigma)
    dots = np.arange(len(error))
    if len(dots) > MOST_DOTS:
        dots = np.sort(np.random.default_rng(0).choice(len(error), MOST_DOTS, replace=False))
    some = f" ({MOST_DOTS:,} of them)" if len(dots) < len(error) else ""
    axes.plot(
        sigma[dots], np.maximum(error[dots], floor), ".", color=BLUE, alpha=0.35, markersize=2.5,
        markeredgewidth=0, label=f"keypoints{some}",
    )  # fmt: skip
    gaussian = sqrt(-2.0 * np.log1p(-data.conformal_coverage))
    promised = f"{100 * data.conformal_coverage:g} %"
    axes.plot(x, gaussian * x, color=INK, linewidth=0.8, linestyle=(0, (2, 2)),
              label=f"{promised} if σ were right: {gaussian:.2f} σ")  # fmt: skip
    if isfinite(data.conformal_limit):
        axes.plot(x, data.conformal_limit * x, color=VERMILLION, linewidth=LINE,
                  label=f"{promised} conformal radius: {data.conformal_limit:.2f} σ")  # fmt: skip
    _mean_by_sigma(axes, data)
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    axes.set(xscale="log", yscale="log", xlim=(x[0], x[1]), ylim=(floor / 1.15, top))
    axes.xaxis.set_major_formatter(plain)
    axes.yaxis.set_major_formatter(plain)
    axes.yaxis.set_minor_formatter(NullFormatter())
    if high / low < 20:
        axes.xaxis.set_minor_formatter(FuncFormatter(lambda v, _: f"{v:g}" if f"{v:.0e}"[0] in "235" else ""))
    axes.set_xlabel("σ, px (root mean square of both axes)")
    axes.set_ylabel("radial error, px")
    axes.legend(loc="upper left", fontsize=SMALL)
    return figure


def _error_range(error: Floats, sigma: Floats) -> tuple[float, float]:
    """Smallest and largest error shown; errors below are drawn at the edge, since a log axis has no 0."""
    top = max(float(error.max()), float(sigma.max()), 1e-9)
    typical = float(np.median(error)) or top
    return max(float(error.min()), typical / 10**DECADES_SHOWN), 8.0 * top


def _mean_by_sigma(axes: Axes, data: PlotData, bins: int = 8) -> None:
    order = np.argsort(data.sigma_px, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part) >= 5]
    if len(parts) < 2 or np.ptp(data.sigma_px) == 0:
        return
    axes.plot(
        [float(data.sigma_px[part].mean()) for part in parts],
        [max(float(data.error_px[part].mean()), 1e-12) for part in parts],
        "o-", color=INK, markersize=3, markeredgecolor="white", linewidth=0.9,
        label="mean error of each eighth by σ",
    )  # fmt: skip


def coverage_figure(data: PlotData) -> Figure:
    """Share of errors inside the 90 % interval, per keypoint, on a schematic spine, in %.

    Coloured by the distance from 90 %; absent keypoints and those with too few residuals (*) are grey.
    """
    groups = {group.name: group for group in data.report.groups if group.kind == "keypoint"}
    enough = [group.coverage_90 for group in groups.values() if group.enough]
    reach = max([0.1, *(abs(share - COVERAGE) for share in enough)])
    colours = LinearSegmentedColormap.from_list("coverage", [VERMILLION, PALE, BLUE])
    norm = Normalize(COVERAGE - reach, COVERAGE + reach)
    marks: list[tuple[str, float | None]] = []
    for name in data.skeleton.keypoint_names:
        group = groups.get(name)
        if group is None:
            marks.append((ABSENT, None))
        else:
            few = not group.enough
            marks.append((f"{100 * group.coverage_90:.0f}{'*' * few}", None if few else group.coverage_90))
    figure, bar = spine_figure(data.skeleton, 90 * MM, marks, norm, colours)
    bar.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    bar.yaxis.set_major_locator(MultipleLocator(0.05 if reach < 0.5 else 0.1))
    bar.set_ylim(max(0.0, COVERAGE - reach), min(1.0, COVERAGE + reach))
    bar.axhline(COVERAGE, color=INK, linewidth=1.0)
    bar.set_title("too many inside:\nσ too large", fontsize=SMALL, color=MUTED, loc="center", pad=10,
                  fontweight="normal")  # fmt: skip
    bar.set_xlabel("too few inside:\nσ too small", fontsize=SMALL, color=MUTED, labelpad=4)
    return figure
