"""How plots look on white paper, and how a figure becomes the bytes of a file or SVG inside a page.

A figure is drawn in the size in which a paper prints it, one column or a whole page wide, with letters of
6 to 8 points; a page on the screen enlarges it. It has no title: its caption stands beside it.

Colours are those of Okabe and Ito (Color Universal Design, 2008) that are dark enough for white; every line
also has its own style or label.
"""

import io
import re
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import matplotlib
from markupsafe import Markup
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

MM: Final = 1 / 25.4
COLUMN: Final = 85 * MM
"""Width of a column of a paper, in inches; `PAGE` that of the whole page."""
PAGE: Final = 180 * MM
DPI: Final = 300
SMALL: Final = 6.5
"""Points of the smallest letters."""
LINE: Final = 1.2
FileKind = Literal["pdf", "svg", "png"]


@contextmanager
def plot_style() -> Iterator[None]:
    """The style of all plots, whatever the user's matplotlibrc says; their settings come back afterwards."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        _set_style()
        yield


def _set_style() -> None:
    matplotlib.rc("font", family="DejaVu Sans", size=7.5)
    matplotlib.rc("figure", facecolor=PAPER, titlesize=8.0, titleweight="bold")
    matplotlib.rc("savefig", facecolor=PAPER)
    matplotlib.rc("axes", titlesize=7.5, titleweight="normal", titlelocation="left", titlepad=4.0)
    matplotlib.rc("axes", edgecolor=MUTED, labelcolor=INK, facecolor=PAPER, axisbelow=True, grid=True)
    matplotlib.rc("axes", linewidth=0.6, labelpad=2.0)
    matplotlib.rc("axes.spines", top=False, right=False)
    matplotlib.rc("grid", color=GRID, linewidth=0.5)
    matplotlib.rc("lines", linewidth=LINE)
    matplotlib.rc("xtick", color=MUTED, labelcolor=INK, labelsize=7.0)
    matplotlib.rc("ytick", color=MUTED, labelcolor=INK, labelsize=7.0)
    matplotlib.rc("xtick.major", size=2.5, width=0.6, pad=2.0)
    matplotlib.rc("ytick.major", size=2.5, width=0.6, pad=2.0)
    matplotlib.rc("xtick.minor", size=1.5, width=0.5, pad=2.0)
    matplotlib.rc("ytick.minor", size=1.5, width=0.5, pad=2.0)
    matplotlib.rc("text", color=INK)
    matplotlib.rc(
        "legend", frameon=False, fontsize=SMALL, handlelength=1.8, labelspacing=0.3, borderaxespad=0.3
    )
    # The same picture is the same file: no random identifiers. Text stays text.
    matplotlib.rc("svg", hashsalt="mahtdiag", fonttype="none")
    matplotlib.rc("pdf", fonttype=42)


def new_plot(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure of this size in inches with one pair of axes."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    return figure, figure.add_subplot()


def headed(figure: Figure, title: str, note: str) -> None:
    """A title and a smaller line below it, for a picture that stands alone."""
    letters = round(figure.get_figwidth() / (0.6 * 8.0 / 72))
    figure.suptitle(textwrap.fill(title, letters), x=0.007, ha="left")
    if note:
        lines = textwrap.fill(note, round(1.25 * letters))
        figure.supxlabel(lines, x=0.007, ha="left", color=MUTED, fontsize=SMALL)


def figure_bytes(figure: Figure, kind: FileKind) -> bytes:
    """A figure as a file that depends on nothing but what is drawn."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, metadata=dict(_METADATA[kind]))
    return buffer.getvalue()


_METADATA: Final[dict[FileKind, dict[str, str | None]]] = {
    "svg": {"Date": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
}

SVG: Final = "http://www.w3.org/2000/svg"
SCREEN_PX_PER_POINT: Final = 1.55
LINK: Final = "{http://www.w3.org/1999/xlink}href"

# Colours that a dark page changes; all others (marks with text on them, colour bars) stay as they are.
THEMED: Final = {
    BLUE.lower(): "var(--plot-blue)",
    VERMILLION.lower(): "var(--plot-vermillion)",
    GREEN.lower(): "var(--plot-green)",
    PURPLE.lower(): "var(--plot-purple)",
    INK.lower(): "var(--ink)",
    MUTED.lower(): "var(--muted)",
    GRID.lower(): "var(--rule)",
    BODY.lower(): "var(--plot-body)",
    "#000000": "var(--ink)",
}

_REFERENCE = re.compile(r"url\(#([^()]+)\)")
_DECIMALS = re.compile(r"(\.\d\d)\d+")
_GEOMETRY: Final = ("d", "x", "y", "width", "height", "transform", "points")
_DROPPED_STYLES: Final = frozenset(("font-family", "font-variant", "font-stretch"))


def inline_svg(figure: Figure, name: str, description: str) -> Markup:
    """The figure as an `svg` element that screen readers call `description`; the same figure, the same text.

    `name`, letters and dashes, is unique on the page: ids begin with it. Styles become attributes, so that
    the page can forbid inline styles.
    """
    figure.patch.set_visible(False)
    for axes in figure.axes:
        axes.patch.set_visible(False)
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        root = ElementTree.fromstring(figure_bytes(figure, "svg"))
    _clean(root, name)
    view_box = root.get("viewBox", "")
    root.attrib.clear()
    root.attrib |= {
        "viewBox": view_box,
        # Letters are equally large in all pictures.
        "width": f"{SCREEN_PX_PER_POINT * float(view_box.split()[2]):.0f}",
        "class": "plot",
        "role": "img",
        "aria-label": description,
        # What matplotlib does not say is black, round and butt.
        "fill": "var(--ink)",
        "stroke-linejoin": "round",
        "stroke-linecap": "butt",
    }
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{SVG}}}")
        element.tail = None
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _clean(root: Element, name: str) -> None:
    for parent in root.iter():
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style"):
                parent.remove(child)
    used = set(_references(root))
    for element in root.iter():
        _attributes(element, name, used)
        if element.tag != f"{{{SVG}}}text" and element.text is not None and not element.text.strip():
            element.text = None
    for element in root.iter(f"{{{SVG}}}g"):
        _share_attributes(element)


def _references(root: Element) -> Iterator[str]:
    for element in root.iter():
        for attribute, value in element.attrib.items():
            if attribute in (LINK, "href"):
                yield value.removeprefix("#")
            yield from _REFERENCE.findall(value)


def _attributes(element: Element, name: str, used: set[str]) -> None:
    given = dict(element.attrib)
    element.attrib.clear()
    for attribute, value in given.items():
        if attribute == "style":
            for declaration in value.split(";"):
                key, _, setting = (part.strip() for part in declaration.partition(":"))
                if key and key not in _DROPPED_STYLES:
                    element.set(key, _REFERENCE.sub(rf"url(#{name}-\1)", THEMED.get(setting, setting)))
        elif attribute == "id":
            if value in used:
                element.set("id", f"{name}-{value}")
        elif attribute in (LINK, "href"):
            element.set("href", f"#{name}-{value[1:]}" if value.startswith("#") else value)
        elif attribute in _GEOMETRY:
            element.set(attribute, _DECIMALS.sub(r"\1", value).replace("\n", ""))
        else:
            element.set(attribute, _REFERENCE.sub(rf"url(#{name}-\1)", value))


def _share_attributes(group: Element) -> None:
    """What all marks of a scatter plot have in common is said once, by their group."""
    marks = list(group)
    if len(marks) < 2 or any(mark.tag != f"{{{SVG}}}use" for mark in marks):
        return
    shared = set(marks[0].attrib.items()).intersection(*(mark.attrib.items() for mark in marks[1:]))
    for key, value in sorted(shared):
        if key not in ("x", "y", "href"):
            group.set(key, value)
            for mark in marks:
                del mark.attrib[key]
