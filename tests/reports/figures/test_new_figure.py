"""A figure that follows the house is drawn on the page and as files, the same every time."""

import re

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mahtdiag.reports.figures.registry import RunFigure
from mahtdiag.reports.figures.style import BLUE, COLUMN, MM, figure_bytes, inline_svg, new_plot, plot_style

Floats = NDArray[np.float64]


def median_figure(error: Floats, unit: str) -> Figure:
    """Median radial error of every image `[N, K]` in ascending order, NaN where unlabelled."""
    known = error[np.isfinite(error).any(axis=1)]
    figure, axes = new_plot(COLUMN, 45 * MM)
    axes.plot(np.sort(np.nanmedian(known, axis=1)), color=BLUE)
    axes.set_ylabel(f"median error, {unit}")
    return figure


MEDIAN = RunFigure(
    name="median",
    title="Median by image",
    shows="Median error of every image",
    draw=lambda data: median_figure(data.error, data.unit.words),
    lacks=lambda data: None if np.isfinite(data.error).any() else "no error is known",
    note=lambda data: f"{len(data.table)} images",
)

ERROR = np.array([[1.0, 2.0, np.nan], [np.nan, np.nan, np.nan], [5.0, 7.0, 9.0]])


def test_a_figure_is_the_same_every_time() -> None:
    with plot_style():
        files = [figure_bytes(median_figure(ERROR, "px"), kind) for kind in ("png", "png", "svg", "svg")]
    assert files[0] == files[1]
    assert files[2] == files[3]
    picture = cv2.imdecode(np.frombuffer(files[0], np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10


def test_a_figure_on_the_page_takes_its_colours_from_it() -> None:
    with plot_style():
        svg = str(inline_svg(median_figure(ERROR, "px"), "median", "Median error of every image"))
    assert "var(--plot-blue)" in svg
    assert "Median error of every image" in svg
    assert re.search(r"\sstyle=", svg) is None
