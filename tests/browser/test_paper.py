"""The page as a printer has it: A4 has no scroll bars, so nothing may stick out of its place."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from mahtdiag.schema.records import Failure
from mahtdiag.schema.skeleton import View
from tests.workflows.report_runs import MISSED, PASSED, write_report_run

from .conftest import Opener, report_of

# A4 less the margins of the page, at 96 px per inch.
PAPER: ViewportSize = {"width": 688, "height": 1000}
LONGEST = 200

# How far every table and text reaches beyond its column, in px, with the beginning of its text.
STICKING_OUT = """() => {
  const main = document.querySelector('main').getBoundingClientRect();
  const found = [];
  for (const part of document.querySelectorAll('main :is(table, .plot, p, li, dt, dd, h1, h2, h3, td, th)')) {
    if (!part.checkVisibility()) continue;
    const column = part.closest('.stack, .tile, .facts > div, .card')?.getBoundingClientRect() ?? main;
    const place = part.getBoundingClientRect();
    const right = Math.max(place.right, place.left + (part.scrollWidth || 0));
    const beyond = Math.max(right - column.right, right - main.right, column.left - place.left);
    if (beyond > 1) found.push([part.tagName, part.textContent.trim().slice(0, 40), beyond]);
  }
  return found;
}"""

# Pairs of tables and pictures that are printed over each other.
OVERLAPPING = """() => {
  const places = [...document.querySelectorAll('main :is(table, .plot)')].filter((it) => it.checkVisibility())
    .map((it) => [it.textContent.trim().slice(0, 40), it.getBoundingClientRect()]);
  return places.flatMap(([one, a], i) => places.slice(i + 1)
    .filter(([, b]) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
      && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1)
    .map(([other]) => [one, other]));
}"""

# What stays whole goes on overleaf where it does not fit, and leaves as much empty: its share of a page.
WHOLE = """(height) => [...document.querySelectorAll('main *')]
  .filter((it) => it.checkVisibility() && getComputedStyle(it).breakInside === 'avoid')
  .map((it) => [it.className, it.textContent.trim().slice(0, 40), it.clientHeight / height])"""
MOST_OF_A_PAGE = 0.42


def long_names(count: int) -> list[str]:
    """File names without a place to break them."""
    return [f"{number:04d}{'verylongname' * 20}"[: LONGEST - 4] + ".jpg" for number in range(count)]


def printed(report: Path, open_report: Opener) -> Page:
    """The page as it is printed."""
    page = open_report(report, PAPER).page
    page.emulate_media(media="print")
    expect(page.locator("#grid > li.printed .card svg")).to_have_count(8)
    return page


@pytest.fixture(scope="module", params=list(View))
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of either view with everything that has a table, and names as long as they get."""
    folder = tmp_path_factory.mktemp("paper")
    (name,) = long_names(1)
    told = write_report_run(
        folder,
        view=request.param,
        name_of=long_names,
        failures=[Failure(f"broken-{name}", f"{name.removesuffix('.jpg')}.csv: the annotation is empty")],
        gates=(PASSED, MISSED),
        spacing_mm=0.2,
        checkpoint=f"models/{name}.pt",
    )
    return report_of(told, folder)


def test_everything_stays_in_its_column(report: Path, open_report: Opener) -> None:
    page = printed(report, open_report)
    assert page.evaluate(STICKING_OUT) == []
    assert page.evaluate("document.documentElement.scrollWidth") == PAPER["width"]


def test_nothing_is_printed_over_something_else(report: Path, open_report: Opener) -> None:
    assert printed(report, open_report).evaluate(OVERLAPPING) == []


def test_pictures_stand_beside_each_other(report: Path, open_report: Opener) -> None:
    page = printed(report, open_report)
    places = page.locator("#errors .plots .picture").evaluate_all(
        "all => all.map((it) => [it.getBoundingClientRect().left, it.getBoundingClientRect().top])"
    )
    columns = {left: min(top for other, top in places if other == left) for left, _ in places}
    assert len(columns) == 2
    assert len(set(columns.values())) == 1


@pytest.mark.parametrize("width", [480, 820, 1280])
def test_long_names_do_not_widen_the_page_on_a_screen(report: Path, open_report: Opener, width: int) -> None:
    page = open_report(report, {"width": width, "height": 900}).page
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_nothing_that_stays_whole_leaves_half_a_page_empty(report: Path, open_report: Opener) -> None:
    """As much as is empty at the end of a page is lower than what did not fit there."""
    page = printed(report, open_report)
    whole = page.evaluate(WHOLE, PAPER["height"])
    assert len([name for name, _, _ in whole if name.startswith("picture")]) > 10
    assert [(name, text, share) for name, text, share in whole if share > MOST_OF_A_PAGE] == []


def test_a_gallery_that_is_cut_says_so_on_paper_alone(tmp_path: Path, open_report: Opener) -> None:
    page = open_report(report_of(write_report_run(tmp_path, count=26), tmp_path), PAPER).page
    cut = page.get_by_text("of which the first 24 are printed")
    expect(cut).to_be_hidden()
    page.emulate_media(media="print")
    expect(cut).to_be_visible()
    expect(page.locator("#grid > li.printed")).to_have_count(24)
    page.emulate_media(media="screen")
    page.get_by_label("File name").fill("0001")
    expect(cut).to_have_count(0)


def test_beside_the_plot_of_violations_no_half_page_is_empty(report: Path, open_report: Opener) -> None:
    page = open_report(report, {"width": 1280, "height": 900}).page
    heights = page.locator("#anatomy .row.of-2 > .stack").evaluate_all(
        "all => all.map((it) => it.getBoundingClientRect().height)"
    )
    assert len(heights) == 2
    assert max(heights) - min(heights) < 450
