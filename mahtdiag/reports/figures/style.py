"""How plots look on white paper, and how a figure becomes the bytes of a file.

Colours are those of Okabe and Ito (Color Universal Design, 2008) that are dark enough for white; every line
also has its own style or label.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE: Final = "#0072B2"
VERMILLION: Final = "#D55E00"
GREEN: Final = "#009E73"
PURPLE: Final = "#CC79A7"
INK: Final = "#1A1D21"
MUTED: Final = "#5B636C"
GRID: Final = "#DDE1E5"
NO_DATA: Final = "#ECEEF0"
BODY: Final = "#F7F8F9"
PAPER: Final = "#FFFFFF"
# Text on a coloured mark stays dark where a dark page turns ink light.
MARK_INK: Final = "#15181C"
PALE: Final = "#F4F5F6"

DPI: Final = 150


@contextmanager
def plot_style() -> Iterator[None]:
    """The style of all plots, whatever the user's matplotlibrc says; their settings come back afterwards."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        _set_style()
        yield


def _set_style() -> None:
    matplotlib.rc("font", family="DejaVu Sans", size=10.0)
    matplotlib.rc("figure", facecolor=PAPER)
    matplotlib.rc("savefig", facecolor=PAPER)
    matplotlib.rc("axes", titlesize=11.5, titleweight="bold", titlelocation="left")
    matplotlib.rc("axes", edgecolor=MUTED, labelcolor=INK, facecolor=PAPER, axisbelow=True, grid=True)
    matplotlib.rc("axes.spines", top=False, right=False)
    matplotlib.rc("grid", color=GRID, linewidth=0.8)
    matplotlib.rc("xtick", color=MUTED, labelcolor=INK)
    matplotlib.rc("ytick", color=MUTED, labelcolor=INK)
    matplotlib.rc("text", color=INK)
    matplotlib.rc("legend", frameon=False)
    # The same picture is the same file: no random identifiers.
    matplotlib.rc("svg", hashsalt="mahtdiag")


def new_plot(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure of this size in inches with one pair of axes."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    return figure, figure.add_subplot()


def titled(axes: Axes, title: str, subtitle: str) -> None:
    """A title at the left with a smaller line below it."""
    axes.set_title(f"{title}\n", fontsize=12)
    axes.text(0.0, 1.02, subtitle, transform=axes.transAxes, color=MUTED, fontsize=9)


def figure_bytes(figure: Figure, kind: Literal["png", "svg"]) -> bytes:
    """A figure as a file that depends on nothing but what is drawn."""
    buffer = io.BytesIO()
    metadata: dict[str, str | None] = {"Date": None} if kind == "svg" else {"Software": None}
    figure.savefig(buffer, format=kind, metadata=metadata)
    return buffer.getvalue()
