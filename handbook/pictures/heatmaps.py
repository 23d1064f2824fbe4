"""Heatmaps: places between cells, two peaks, and two conventions of where a cell lies."""

from functools import cache
from typing import Final

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from handbook.pictures.picture import ORANGE, Picture, panels
from mahtdiag.heatmaps.decoding import decode, gaussian_targets
from mahtdiag.reports.figures.style import BLUE, GREEN, GRID, INK, MUTED, VERMILLION
from mahtdiag.schema.choices import CoordinateConvention
from mahtdiag.schema.frames import FrameMap, Size

Floats = NDArray[np.float64]

SIGMA: Final = 2.0
PLACE: Final = (10.37, 8.2)
BETA: Final = 12.0
METHODS: Final = ("argmax", "local", "dark", "soft-argmax")


def _decoded(heatmap: torch.Tensor, method: str, beta: float = BETA) -> Floats:
    return decode(heatmap[None, None], method, SIGMA, beta)[0, 0].numpy().astype(np.float64)


def _between_cells() -> Figure:
    heatmap = gaussian_targets(torch.tensor(PLACE, dtype=torch.float64), SIGMA, 17, 21)
    row = heatmap[round(PLACE[1])].numpy()
    peak = int(row.argmax())
    figure, (left, right) = panels(2, 2.8)
    left.bar(np.arange(row.size), row, width=0.9, color=GRID, edgecolor=MUTED, linewidth=0.5)
    logs = np.log(row)
    right.plot(np.arange(row.size), logs, "o", color=MUTED, markersize=4, label="cells")
    near = slice(peak - 1, peak + 2)
    parabola = np.polynomial.Polynomial.fit(np.arange(row.size)[near], logs[near], 2)
    x = np.linspace(peak - 5, peak + 5, 100)
    right.plot(x, parabola(x), color=BLUE, label="parabola at the highest cell")
    for axes in (left, right):
        axes.axvline(PLACE[0], color=INK, linewidth=1.0, label="true place, 10.37")
        axes.axvline(peak, color=VERMILLION, linestyle="--", label="argmax, 10")
        axes.axvline(
            _decoded(heatmap, "dark")[0], color=BLUE, linestyle=":", linewidth=2.4, label="DARK, 10.37"
        )
        axes.set(xlabel="column, heatmap cells", xlim=(peak - 5.5, peak + 5.5))
    left.set_ylabel("heatmap")
    right.set(ylabel="logarithm of the heatmap", ylim=(-4.0, 0.4))
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


@cache
def decoding_errors() -> dict[str, float]:
    """Mean distance in cells between decoded and true place by method, over 2,000 noisy Gaussians."""
    rng = np.random.default_rng(21)
    places = torch.from_numpy(rng.uniform(12.0, 20.0, size=(1, 2000, 2)))
    heatmaps = gaussian_targets(places, SIGMA, 33, 33)
    heatmaps = heatmaps + torch.from_numpy(rng.normal(0.0, 0.02, size=heatmaps.shape))
    found = {method: decode(heatmaps, method, SIGMA, BETA) for method in METHODS}
    return {method: float((found[method] - places).norm(dim=-1).mean()) for method in METHODS}


HIGH, LOW, SHARE = (12.0, 9.0), (28.0, 19.0), 0.95


@cache
def two_peaks() -> dict[str, Floats]:
    """Where each method places a keypoint whose heatmap, 27×41 cells, has two peaks."""
    one, other = gaussian_targets(torch.tensor([HIGH, LOW], dtype=torch.float64), SIGMA, 27, 41)
    heatmap = one + SHARE * other
    return {method: _decoded(heatmap, method) for method in METHODS}


def _two_peaks() -> Figure:
    places = two_peaks()
    figure, (axes,) = panels(1, 3.6)
    fine = 4
    both = gaussian_targets(fine * torch.tensor([HIGH, LOW]), fine * SIGMA, fine * 27, fine * 41)
    x, y = np.arange(fine * 41) / fine, np.arange(fine * 27) / fine
    axes.contour(
        x,
        y,
        (both[0] + SHARE * both[1]).numpy(),
        levels=[0.1, 0.3, 0.5, 0.7, 0.9],
        colors=MUTED,
        linewidths=0.8,
    )
    marks = {"argmax": ("s", VERMILLION, 11), "local": ("o", BLUE, 7), "dark": ("x", INK, 6),
             "soft-argmax": ("D", GREEN, 7)}  # fmt: skip
    for method, (marker, colour, size) in marks.items():
        face = colour if method == "soft-argmax" else "none"
        axes.plot(*places[method], marker, color=colour, markersize=size, markerfacecolor=face, label=method,
                  linestyle="none", markeredgewidth=1.6)  # fmt: skip
    axes.plot([HIGH[0], LOW[0]], [HIGH[1], LOW[1]], color=GRID, zorder=0)
    axes.text(HIGH[0], HIGH[1] - 6.2, "first peak, height 1", ha="center", color=MUTED)
    axes.text(LOW[0], LOW[1] - 6.2, "second peak, height 0.95", ha="center", color=MUTED)
    axes.set(xlabel="heatmap cells", ylim=(26, 0), xlim=(0, 40))
    axes.set_aspect("equal")
    axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5))
    return figure


@cache
def convention_gap() -> tuple[float, float]:
    """How far apart the two conventions put a cell of a heatmap a quarter as large: input pixels, cells."""
    half, scale = (_frame(each).heatmap_to_input(np.array([2.0, 2.0]))[0] for each in CoordinateConvention)
    return abs(float(half - scale)), abs(float(half - scale)) / 4


def _frame(convention: CoordinateConvention) -> FrameMap:
    return FrameMap(Size(256, 256), Size(256, 256), Size(64, 64), convention=convention)


def _half_pixel() -> Figure:
    figure, (axes,) = panels(1, 1.9)
    pixels, cells = 16, 4
    for number in range(pixels):
        axes.add_patch(
            Rectangle((number - 0.5, 0), 1, 0.8, facecolor="white", edgecolor=MUTED, linewidth=0.6)
        )
        axes.text(number, 0.4, str(number), ha="center", va="center", fontsize=8, color=MUTED)
    for number in range(cells):
        axes.add_patch(
            Rectangle((4 * number - 0.5, 1.3), 4, 0.8, facecolor="#F4F5F6", edgecolor=INK, linewidth=0.8)
        )
        axes.text(4 * number + 1.5, 1.7, f"cell {number}", ha="center", va="center")
    at = np.stack([np.arange(cells), np.zeros(cells)], axis=-1).astype(np.float64)
    named = zip(CoordinateConvention, (BLUE, ORANGE), ("o", "^"), strict=True)
    for convention, colour, marker in named:
        x = _frame(convention).heatmap_to_input(at)[:, 0]
        axes.plot(
            x,
            np.full(cells, 1.05),
            marker,
            color=colour,
            markersize=7,
            label=f"place of a cell: {convention}",
        )
    axes.text(-0.9, 0.4, "input", ha="right", va="center")
    axes.text(-0.9, 1.7, "heatmap", ha="right", va="center")
    axes.set(xlim=(-3.2, 15.6), ylim=(-0.05, 2.2))
    axes.axis("off")
    axes.legend(loc="upper center", bbox_to_anchor=(0.55, 0.0), ncols=2)
    return figure


PICTURES: Final = (
    Picture("between-cells", _between_cells),
    Picture("two-peaks", _two_peaks),
    Picture("half-pixel", _half_pixel),
)
