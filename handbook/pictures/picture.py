"""What a picture is, and how it becomes the bytes of an SVG file that depend on nothing but what is drawn."""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mahtdiag.reports.figures.style import plot_style

WIDTH: Final = 6.6
"""Inches, so that a picture fills the text column of a page."""
ORANGE: Final = "#E69F00"

# Who lacks the font gets one that is as wide.
_FAMILY: Final = b"'DejaVu Sans'", b"'DejaVu Sans', Verdana, Arial, sans-serif"
_DRAWN: Final = re.compile(rb' (?:d|x|y|points|transform|width|height)="[^"]*"')
_DECIMALS: Final = re.compile(rb"(\.\d\d)\d+")


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture by the name of its file, without `.svg`."""

    name: str
    draw: Callable[[], Figure]

    def svg(self) -> bytes:
        """The file."""
        with plot_style():
            matplotlib.rc("font", size=9.5)
            matplotlib.rc("axes", titlesize=9.5)
            for axis in ("xtick", "ytick"):
                matplotlib.rc(axis, labelsize=9.0)
            matplotlib.rc("legend", fontsize=8.5)
            buffer = io.BytesIO()
            self.draw().savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        drawn = _DRAWN.sub(lambda found: _DECIMALS.sub(rb"\1", found[0]), buffer.getvalue())
        return drawn.replace(*_FAMILY)


def panels(count: int, height: float, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure as wide as the text, with so many axes side by side."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots(1, count, squeeze=False, **options)
    return figure, list(axes.flat)
