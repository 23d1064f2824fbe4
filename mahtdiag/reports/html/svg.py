"""A matplotlib figure as SVG inside the page: its colours follow the page, its ids belong to it alone."""

import re
from collections.abc import Iterator
from typing import Final
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

from mahtdiag.reports.figures import style as plot_style
from mahtdiag.reports.figures.style import figure_bytes

SVG: Final = "http://www.w3.org/2000/svg"
SCREEN_PX_PER_POINT: Final = 1.2
LINK: Final = "{http://www.w3.org/1999/xlink}href"

# Colours that a dark page changes; all others (marks with text on them, colour bars) stay as they are.
THEMED: Final = {
    plot_style.BLUE.lower(): "var(--plot-blue)",
    plot_style.VERMILLION.lower(): "var(--plot-vermillion)",
    plot_style.GREEN.lower(): "var(--plot-green)",
    plot_style.PURPLE.lower(): "var(--plot-purple)",
    plot_style.INK.lower(): "var(--ink)",
    plot_style.MUTED.lower(): "var(--muted)",
    plot_style.GRID.lower(): "var(--rule)",
    plot_style.BODY.lower(): "var(--plot-body)",
    "#000000": "var(--ink)",
}

_REFERENCE = re.compile(r"url\(#([^)]+)\)")
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
