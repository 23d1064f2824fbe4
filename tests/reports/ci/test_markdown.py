"""Markdown as a reader sees it: rendered by a CommonMark renderer with tables, then read back."""

import html
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from mahtdiag.diagnosis.worst_images import RankedImage, WorstImages
from mahtdiag.reports.ci.github import code, markdown
from mahtdiag.reports.ci.record import CiRecord, GateCase, NumberRow
from mahtdiag.schema.records import Failure
from mahtdiag.schema.safe_text import one_line
from tests.reports.ci.ci_records import HOSTILE, NOT_DONE, PLAIN, RESULT, WORST, hostile, hostile_gate

RENDERER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
TAGS = {
    "h2", "h3", "p", "table", "thead", "tbody", "tr", "th", "td", "code", "ul", "li",
}  # fmt: skip
ANYTHING = st.text(st.characters(codec=None, categories=None))


class _Page(HTMLParser):
    """Tables as rows of texts, every other text in its element, and which elements there are."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: dict[str, list[str]] = {}
        self.rows: list[list[str]] = []
        self._open: list[str] = []

    @property
    def tags(self) -> set[str]:
        """The elements on the page."""
        return set(self.texts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open a text, a row, a cell."""
        self._open.append(tag)
        self.texts.setdefault(tag, []).append("")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        """Close what is open."""
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        """Add to the text and to the cell."""
        if self._open:
            self.texts[self._open[-1]][-1] += data
        if {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data


def page_of(text: str) -> _Page:
    """The rendered page."""
    page = _Page()
    page.feed(RENDERER.render(text))
    page.close()
    return page


WHOLE = """\
## ❌ mahtdiag evaluate: 4 of 5 gates failed, 1 image failed

checkpoint `ckpt.pt`, view `AP`

Calibrated.

### Gates

| gate | value | 95 % interval | limit | |
| --- | ---: | ---: | ---: | --- |
| `radial_error_px.mean` | 8.94 | 5.61 to 12.3 | `<= 4` | ❌ failed |
| `radial_error_mm.mean` | not measured | – | `<= 2` | ❌ failed: `the run has no such number` |
| `calibration.mace` | 0.0503 (estimate 0.0402) | 0.0300 to 0.0503 | `upper <= 0.05 (LA)` | ❌ failed |
| `sdr_px.4 − baseline` `runs/best` | -0.0800 (estimate -0.0500) | -0.0800 to -0.0200 \
| `lower >= -0.01` | ❌ failed |
| `images.failed` | 0 | – | `<= 0` | ✅ passed |

### Worst images

- largest mean radial error (`radial_error_px.mean`, `sdr_px.4 − baseline`): `b.png` 15.20 px, `a.png` 9.10 px

### Numbers: 6 images

| | value | 95 % interval |
| --- | ---: | ---: |
| mean radial error, px | 8.94 | 5.61 to 12.3 |
| errors up to 4 px | 50.0 % | – |

### Failed images: 1

| image | reason |
| --- | --- |
| `c.png` | `the file is empty` |

### Notes

- `one thing more`
"""


def test_the_whole_text() -> None:
    assert markdown(RESULT) == WHOLE


def test_what_could_not_be_done() -> None:
    assert markdown(NOT_DONE) == (
        "## ❌ mahtdiag anatomy: could not be done\n\n- `no such run`\n- `and another line`\n"
    )


def test_nothing_but_the_verdict() -> None:
    assert markdown(PLAIN) == "## ✅ mahtdiag calibration: done, no gate is set\n"


def test_the_worst_images_are_shown_where_no_gate_failed() -> None:
    text = markdown(replace(PLAIN, worst=WORST))
    assert "- largest mean radial error: `b.png` 15.20 px, `a.png` 9.10 px\n" in text


def test_the_tables_as_rendered() -> None:
    page = page_of(WHOLE)
    assert page.tags == TAGS
    assert page.rows[1][:2] == ["radial_error_px.mean", "8.94"]
    assert page.rows[4][0] == "sdr_px.4 − baseline runs/best"
    assert page.rows[-1] == ["c.png", "the file is empty"]


@given(st.sampled_from(HOSTILE) | ANYTHING)
def test_code_shows_what_it_is_given(name: str) -> None:
    shown = one_line(name)
    for text in (f"{code(name, 10**6)}\n", f"| a | b |\n| --- | --- |\n| {code(name, 10**6)} | x |\n"):
        page = page_of(text)
        assert page.texts["code"] == [shown]
        assert page.tags <= {"p", "code", "table", "thead", "tbody", "tr", "th", "td"}
    assert html.unescape(RENDERER.render(f"- {code(name, 10**6)}")).count("<li>") >= 1


@given(st.sampled_from(HOSTILE) | ANYTHING)
def test_no_name_breaks_the_page(name: str) -> None:
    page = page_of(markdown(hostile(name)))
    shown = one_line(name)
    assert page.tags <= TAGS
    assert [len(row) for row in page.rows] == [5, 5, 2, 2]
    assert page.rows[1][0] == f"{shown} − baseline {shown}" or len(shown) > 180
    assert [text.strip() for text in page.texts["h3"]] == [
        "Gates", "Worst images", "Failed images: 1", "Notes",
    ]  # fmt: skip


@pytest.mark.parametrize("sign", ["x", "|", "`", "&", "é", "😀", "\x00"])
def test_a_step_summary_holds_whatever_a_run_does(sign: str) -> None:
    """GitHub takes 1 MiB."""
    long = sign * 4_000
    worst = [
        WorstImages(f"ranking {n}", tuple(RankedImage(long, 1.0, "px") for _ in range(5))) for n in range(500)
    ]
    record = CiRecord(
        command="evaluate",
        about=(("checkpoint", long), ("data", long), ("view", "AP"), ("run folder", long)),
        problems=(long,) * 1_000,
        judged=10**6,
        failures=(Failure(long, long),) * 1_000,
        failures_allowed=False,
        gates=tuple(GateCase(hostile_gate(long), each) for each in worst),
        numbers=(NumberRow("x" * 50, "1", "2"),) * 50,
        notes=(long,) * 1_000,
    )
    text = markdown(record)
    assert len(text.encode()) < 1024 * 1024
    page = page_of(text)
    assert "and 400 more gates" in "".join(page.texts["p"])
    assert "and 950 more images" in "".join(page.texts["p"])
    assert "and 980 more" in "".join(page.texts["li"])
