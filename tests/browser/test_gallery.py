"""The gallery: sorted, filtered, layered, used by mouse and by keyboard."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from mahtdiag.schema.skeleton import View
from tests.workflows.report_runs import (
    FAILED,
    MIRRORED,
    PARTLY_LABELLED,
    SHIFTED,
    numbered,
    write_report_run,
)

from .conftest import Opener, report_of

MANY = 1000
MOST_DRAWN = 120


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A thousand images."""
    folder = tmp_path_factory.mktemp("large")
    return report_of(write_report_run(folder, MANY), folder)


def choose(page: Page, **chosen: str) -> None:
    """Set controls of the gallery by their ids."""
    for name, value in chosen.items():
        page.locator(f"#{name}").select_option(value)


def test_the_worst_image_comes_first(small: Path, open_report: Opener) -> None:
    opened = open_report(small)
    assert opened.names()[:2] == [numbered(8)[SHIFTED], numbered(8)[MIRRORED]]
    expect(opened.page.locator("#count")).to_have_text("8 images of 9")


@pytest.mark.parametrize("direction", ["Largest first", "Smallest first"])
@pytest.mark.parametrize(
    ("key", "column"), [("error", 0), ("max", 1), ("sigma", 2), ("coord", 3), ("name", 4)]
)
def test_sorting(small: Path, open_report: Opener, key: str, column: int, direction: str) -> None:
    opened = open_report(small)
    page = opened.page
    choose(page, sort=key)
    order = page.locator("#order")
    upwards = direction == "Smallest first"
    if (order.text_content() in ("Smallest first", "A to Z")) != upwards:
        order.click()
    data = page.evaluate(
        """JSON.parse(document.getElementById('gallery-data').textContent).images
          .map((i) => [i.error, i.max, i.sigma, i.losses[2], i.name])"""
    )
    expected = sorted(data, key=lambda row: row[column], reverse=not upwards)
    assert opened.names() == [row[4] for row in expected]


def test_filters(small: Path, open_report: Opener) -> None:
    opened = open_report(small)
    page, names = opened.page, numbered(8)
    choose(page, code="A402")
    assert opened.names() == [names[MIRRORED]]
    choose(page, code="none")
    assert names[MIRRORED] not in opened.names()
    choose(page, code="", type="shift")
    assert opened.names() == [names[SHIFTED]]
    assert opened.labels()[0].endswith("marked one level off")
    choose(page, type="3")
    assert opened.names() == [names[MIRRORED]]
    page.get_by_role("button", name="Reset").click()
    page.get_by_label("File name").fill("0005")
    assert opened.names() == [names[5]]
    page.get_by_label("File name").fill("no such image")
    assert opened.names() == []
    expect(page.locator("#count")).to_have_text("0 images of 9")


def test_failed_images_are_listed_with_their_reason(small: Path, open_report: Opener) -> None:
    opened = open_report(small)
    choose(opened.page, status="failed")
    assert opened.names() == []
    expect(opened.page.locator(".failure")).to_have_text([f"{FAILED.image}{FAILED.reason}"])
    choose(opened.page, status="")
    assert len(opened.names()) == 8
    expect(opened.page.locator("#count")).to_have_text("9 images of 9")


def test_a_failed_gate_names_images_that_can_be_opened(small: Path, open_report: Opener) -> None:
    page = open_report(small).page
    page.get_by_label("File name").fill("0005")
    page.locator(".behind .open-image").first.click()
    expect(page.locator("#detail-name")).to_have_text(numbered(8)[MIRRORED])
    page.keyboard.press("Escape")
    expect(page.locator("#count")).to_have_text("8 images of 9")
    expect(page.get_by_label("File name")).to_have_value("")


def test_a_failed_gate_leads_to_its_images(small: Path, open_report: Opener) -> None:
    opened = open_report(small)
    opened.page.get_by_role("button", name="Show the images").click()
    assert numbered(8)[MIRRORED] in opened.names()
    assert len(opened.names()) < 8
    expect(opened.page.locator(".card").first).to_be_focused()


@pytest.mark.parametrize("layer", ["film", "label", "pred", "error", "spread"])
def test_layers_are_switched_in_the_grid_and_in_the_large_view(
    small: Path, open_report: Opener, layer: str
) -> None:
    page = open_report(small).page
    box = page.locator(f"#controls [data-layer={layer}]")
    drawn = page.locator(f".card .layer.{layer}").first
    page.locator(".card").first.scroll_into_view_if_needed()
    box.set_checked(True)
    expect(drawn).to_be_visible()
    box.set_checked(False)
    expect(drawn).to_be_hidden()
    page.locator(".card").first.click()
    large = page.locator(f"#detail .layer.{layer}")
    expect(large).to_be_hidden()
    page.locator(f"#detail [data-layer={layer}]").set_checked(True)
    expect(large).to_be_visible()
    expect(box).to_be_checked()


def test_the_keyboard_alone(small: Path, open_report: Opener) -> None:
    opened = open_report(small)
    page, names = opened.page, opened.names()
    name = page.locator("#detail-name")
    page.locator("#controls [data-layer=spread]").focus()
    page.keyboard.press("Tab")
    expect(page.locator(".card").nth(0)).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("ArrowRight")
    expect(page.locator(".card").nth(1)).to_be_focused()
    columns = page.locator("#grid").evaluate("g => getComputedStyle(g).gridTemplateColumns.split(' ').length")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".card").nth(min(7, 1 + columns))).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    expect(name).to_have_text(names[0])
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(name).to_have_text(names[2])
    page.keyboard.press("ArrowLeft")
    expect(name).to_have_text(names[1])
    page.keyboard.press("Escape")
    expect(page.locator("#detail")).to_be_hidden()
    expect(page.locator(".card").nth(1)).to_be_focused()
    page.keyboard.press("End")
    expect(page.locator(".card").nth(7)).to_be_focused()
    # One stop in the order of the tab key, whatever the number of images.
    assert page.locator('.card[tabindex="0"]').count() == 1


def test_the_large_view_says_what_is_wrong(small: Path, open_report: Opener) -> None:
    page = open_report(small).page
    page.get_by_label("File name").fill(numbered(8)[MIRRORED])
    page.locator(".card").click()
    expect(page.locator(".findings")).to_contain_text("A402")
    expect(page.locator(".findings")).to_contain_text("L3: left corners")
    rows = page.locator(".keypoints tbody tr")
    expect(rows).to_have_count(View.AP.skeleton.keypoints)
    expect(rows.nth(8)).to_contain_text("left-right swap")
    # Emphasis changes the letters, not the place of the cells.
    assert (
        len(set(rows.evaluate_all("rows => rows.map((row) => row.lastChild.getBoundingClientRect().x)"))) == 1
    )
    rows.nth(8).hover()
    expect(page.locator("#detail .ring")).to_be_visible()
    expect(page.locator("#detail-text")).to_contain_text("0.200 mm")
    box = page.locator("#detail-picture svg").get_attribute("viewBox")
    page.get_by_label("zoom to the spine").check()
    assert page.locator("#detail-picture svg").get_attribute("viewBox") != box


def test_keypoints_without_a_label_are_not_drawn(small: Path, open_report: Opener) -> None:
    page = open_report(small).page
    page.get_by_label("File name").fill(numbered(8)[PARTLY_LABELLED])
    page.locator(".card").click()
    first = page.locator(".keypoints tbody tr").first
    expect(first).to_contain_text("L1 UL–")
    drawn = page.locator("#detail .layer.label .dots").get_attribute("d")
    assert drawn is not None
    assert (drawn.count("M"), "null" in drawn) == (View.AP.skeleton.keypoints - 4, False)


def test_marks_lie_where_the_record_says(small: Path, open_report: Opener) -> None:
    page = open_report(small).page
    page.get_by_label("File name").fill(numbered(8)[0])
    page.locator(".card").click()
    image = page.evaluate(
        """JSON.parse(document.getElementById('gallery-data').textContent).images
          .find((i) => i.name === '0000.jpg')"""
    )
    # The picture covers the image from the edge of its first pixel, whose centre is (0, 0).
    place = page.locator("#detail image").evaluate(
        "i => ['x', 'y', 'width', 'height'].map((name) => Number(i.getAttribute(name)))"
    )
    assert place == [-0.5, -0.5, 1000, 1000]
    assert page.locator("#detail-picture svg").get_attribute("viewBox") == "-0.5 -0.5 1000 1000"
    dots = page.locator("#detail .layer.pred .dots").get_attribute("d")
    assert dots is not None
    assert dots.startswith(f"M{image['pred'][0]},{image['pred'][1]}h0")


def test_an_image_that_has_moved_is_drawn_alone(tmp_path: Path, open_report: Opener) -> None:
    told = write_report_run(tmp_path)
    (told.data / told.names[0]).unlink()
    page = open_report(report_of(told, tmp_path)).page
    expect(page.locator("#images .note").first).to_contain_text("1 image of 8 cannot be shown")
    choose(page, status="no-film")
    card = page.locator(".card")
    expect(card).to_have_count(1)
    card.scroll_into_view_if_needed()
    expect(card).to_contain_text("picture not available")
    expect(card.locator("image")).to_have_count(0)
    expect(card.locator(".layer.pred")).to_be_visible()
    card.click()
    expect(page.locator("#detail .no-film")).to_have_text("the file is gone")


def test_a_thousand_images_are_drawn_only_where_one_looks(large: Path, open_report: Opener) -> None:
    opened = open_report(large)
    page = opened.page
    drawn = page.locator(".card svg")
    assert page.locator(".card").count() == MANY
    assert drawn.count() <= MOST_DRAWN
    page.locator("#images").scroll_into_view_if_needed()
    page.locator(".card").first.scroll_into_view_if_needed()
    expect(page.locator(".card").first.locator("svg")).to_have_count(1)
    assert 0 < drawn.count() <= MOST_DRAWN
    page.locator(".card").last.scroll_into_view_if_needed()
    expect(page.locator(".card").last.locator("svg")).to_have_count(1)
    expect(page.locator(".card").first.locator("svg")).to_have_count(0)
    assert drawn.count() <= MOST_DRAWN
    choose(page, sort="error")
    page.get_by_label("File name").fill("99")
    expected = [name for name in numbered(MANY) if "99" in name]
    assert sorted(opened.names()) == expected
    page.get_by_label("File name").fill("")
    page.locator(".card").first.click()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#detail-place")).to_have_text("2 of 1000")
    assert opened.complaints == []
