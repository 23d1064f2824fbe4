"""Figures inside the page: their own ids, the page's colours, no style of their own."""

import re
from collections import Counter
from xml.etree import ElementTree

import numpy as np
from matplotlib.figure import Figure

from mahtdiag.reports.figures.style import (
    BLUE,
    MARK_INK,
    SCREEN_PX_PER_POINT,
    VERMILLION,
    inline_svg,
    new_plot,
    plot_style,
)


def drawn(title: str = "Two & <three>\nσ") -> Figure:
    """Lines, dots, an area, text of all kinds."""
    with plot_style():
        figure, axes = new_plot(5, 4)
        x = np.linspace(0.0, 1.0, 7)
        axes.plot(x, x, color=BLUE, label="line")
        axes.plot(x, 1 - x, ".", color=VERMILLION, label="dots")
        axes.scatter(x, x**2, color=BLUE, alpha=0.5)
        axes.fill_between(x, 0, x, color=BLUE, alpha=0.2)
        axes.axhline(0.5, color="black")
        axes.text(0.5, 0.5, "mark", color=MARK_INK)
        axes.set_title(title)
        axes.legend()
        axes.set_xscale("symlog")
    return figure


def parsed(name: str = "a") -> ElementTree.Element:
    return ElementTree.fromstring(inline_svg(drawn(), name, "what it shows"))


def test_it_brings_no_style_and_no_metadata() -> None:
    tags = {element.tag for element in parsed().iter()}
    assert tags <= {"svg", "g", "path", "use", "text", "tspan", "defs", "clipPath", "rect"}
    assert not any("style" in element.attrib for element in parsed().iter())
    assert not re.search(
        r"xmlns|DejaVu|https?:", inline_svg(drawn(), "a", "").replace("http://www.w3.org", "")
    )


def test_ids_are_its_own_and_references_lead_somewhere() -> None:
    text = inline_svg(drawn(), "first", "") + inline_svg(drawn(), "second", "")
    ids = Counter(re.findall(r' id="([^"]+)"', text))
    assert ids
    assert set(ids.values()) == {1}
    assert {name.partition("-")[0] for name in ids} == {"first", "second"}
    targets = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text)
    assert targets
    assert {one or other for one, other in targets} == set(ids)


def test_the_same_figure_is_the_same_text() -> None:
    assert inline_svg(drawn(), "a", "b") == inline_svg(drawn(), "a", "b")


def test_colours_are_those_of_the_page() -> None:
    colours = Counter(
        value
        for element in parsed().iter()
        for name, value in element.attrib.items()
        if name in ("fill", "stroke")
    )
    assert {"var(--plot-blue)", "var(--plot-vermillion)", "var(--ink)", "var(--muted)", "var(--rule)"} <= set(
        colours
    )
    # Text on a coloured mark keeps its colour; so does nothing else here.
    assert {colour for colour in colours if colour.startswith("#")} == {MARK_INK.lower()}


def test_texts_stay_texts() -> None:
    texts = ["".join(element.itertext()) for element in parsed().iter("text")]
    assert {"Two & <three>", "σ", "line", "dots", "mark"} <= set(texts)


def test_it_is_described_and_as_large_as_its_letters_want() -> None:
    root = parsed()
    assert (root.get("role"), root.get("aria-label")) == ("img", "what it shows")
    assert float(root.get("width", "0")) == round(SCREEN_PX_PER_POINT * 5 * 72)


def test_what_marks_share_is_said_once() -> None:
    root = parsed()
    groups = [g for g in root.iter("g") if len(g) == 7 and all(child.tag == "use" for child in g)]
    assert len(groups) == 2
    for group in groups:
        assert set(group.attrib) >= {"fill"}
        assert all(set(mark.attrib) == {"href", "x", "y"} for mark in group)
