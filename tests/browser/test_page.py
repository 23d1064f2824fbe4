"""The page as a person sees it: it loads nothing, runs nothing that came with the data, and can be read."""

from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import ViewportSize, expect

from mahtdiag.reports.html.page import Strip, StripImage, render_page
from mahtdiag.reports.html.sections import sections_of
from mahtdiag.runs.reading import open_run
from mahtdiag.runs.results import StoredGate
from mahtdiag.schema.records import Failure
from mahtdiag.schema.setup import SetupEntry, SetupStatus
from mahtdiag.workflows.report.screen import content_of
from tests.workflows.report_runs import MISSED, PASSED, write_report_run

from .conftest import Opener, report_of

NARROW: ViewportSize = {"width": 480, "height": 900}
PHONE: ViewportSize = {"width": 400, "height": 800}
# What is beyond the window and in nothing that scrolls, what is cut off, and what should not have to scroll.
UNSEEN = """() => {
  const width = document.documentElement.clientWidth;
  const isFrame = (it) => ['auto', 'scroll'].includes(getComputedStyle(it).overflowX);
  const scrolls = (it) => it && (isFrame(it) || scrolls(it.parentElement));
  const found = [];
  for (const it of document.querySelectorAll('main *')) {
    if (!it.checkVisibility() || it.closest('svg, img') || !it.offsetWidth) continue;
    const { overflowX } = getComputedStyle(it), place = it.getBoundingClientRect();
    const wide = it.scrollWidth > it.clientWidth + 1;
    const name = [it.tagName, String(it.className), it.textContent.trim().slice(0, 40)];
    if (place.right > width + 1 && !scrolls(it.parentElement)) found.push(['beyond', ...name]);
    if (['hidden', 'clip'].includes(overflowX) && wide) found.push(['cut', ...name]);
    if (it.ariaLabel?.startsWith('Setup') && wide) found.push(['scrolls', ...name]);
    if (it.tagName === 'CAPTION' && place.width > width) found.push(['title', ...name]);
  }
  return found;
}"""
ATTACK = '<img src=x onerror="window.hacked=1">'
ENDING = "</script><script>window.hacked=2</script>"
CONTRAST_OF_TEXT = 4.5  # WCAG 2.1, success criterion 1.4.3
SCHEMES = ("light", "dark")

# The relative luminance of WCAG 2.1 and the contrast of every visible text with what it stands on.
CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const paint = (colours) => {
    canvas.globalCompositeOperation = 'source-over';
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (rgb) => {
    const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = rgb.map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  const walker = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim();
    const parent = walker.currentNode.parentElement;
    if (!text || !parent.checkVisibility() || parent.closest('svg, option')) continue;
    const under = [];
    for (let at = parent; at; at = at.parentElement) under.unshift(getComputedStyle(at).backgroundColor);
    const style = getComputedStyle(parent);
    const paper = paint(['white', ...under]);
    const ink = paint(['white', ...under, style.color]);
    const [dark, bright] = [luminance(paper), luminance(ink)].sort((a, b) => a - b);
    found.push([text, (bright + 0.05) / (dark + 0.05)]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which every text from outside tries to become part of the page."""
    folder = tmp_path_factory.mktemp("hostile")

    def names(count: int) -> list[str]:
        return [f"{number}{ATTACK}.jpg" for number in range(count - 1)] + [f"9{ENDING}.jpg"]

    told = write_report_run(
        folder,
        name_of=names,
        failures=[Failure(f"failed {ATTACK}.jpg", f"{ENDING} <b>bold</b> & {{{{ 7 * 7 }}}} \u2028 \u202e")],
        gates=(StoredGate(metric=f"losses.{ATTACK}", limit=1.0, value=None, passed=False),),
        checkpoint=f"models/net{ENDING}{ATTACK}.pt",
    )
    return report_of(told, folder)


def test_it_opens_from_disk_and_asks_for_nothing(small: Path, open_report: Opener) -> None:
    opened = open_report(small)
    opened.page.locator(".card").first.click()
    expect(opened.page.locator("#detail image")).to_have_count(1)
    assert [url for url in opened.requests if not url.startswith("data:image/jpeg;base64,")] == [
        small.as_uri()
    ]
    assert opened.complaints == []


def test_it_may_neither_load_nor_run_nor_read_markup(small: Path, open_report: Opener) -> None:
    page = open_report(small).page
    refused = page.evaluate(
        """async () => {
          const refused = [];
          await fetch('https://example.org/').catch(() => refused.push('fetch'));
          try { document.body.innerHTML = '<b>x</b>'; } catch { refused.push('markup'); }
          const image = new Image();
          const loaded = new Promise((done) => {
            image.onload = () => done('');
            image.onerror = () => done('image');
          });
          image.src = 'file:///usr/share/pixmaps/debian-logo.png';
          refused.push(await loaded);
          const script = document.createElement('script');
          try {
            script.text = 'window.hacked = 1';
            document.body.append(script);
          } catch { refused.push('script'); }
          return refused;
        }"""
    )
    assert refused == ["fetch", "markup", "image", "script"]
    assert page.evaluate("window.hacked") is None


def test_texts_from_outside_stay_texts(hostile: Path, open_report: Opener) -> None:
    opened = open_report(hostile)
    page = opened.page
    assert sorted(opened.names())[0] == f"0{ATTACK}.jpg"
    page.locator("#status").select_option("")
    for card in page.locator(".card").all():
        card.scroll_into_view_if_needed()
        expect(card.locator(".name")).to_have_count(1)
    page.locator(".card").first.click()
    assert page.locator("#detail-name").text_content() in opened.names()
    assert page.locator("#title").text_content() == f"net{ENDING}{ATTACK}.pt on data".rpartition("/")[2]
    expect(page.locator("#failed td").nth(1)).to_contain_text("<b>bold</b> & {{ 7 * 7 }}")
    expect(page.locator(".reasons li")).to_contain_text(f"losses.{ATTACK}: not measured, limit <= 1")
    assert page.evaluate("window.hacked") is None
    # The strip of the worst images alone, whose names are texts too.
    sources = [image.get_attribute("src") or "" for image in page.locator("img").all()]
    assert len(sources) == page.locator("img[alt]").count() == 8
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert page.locator("script:not([type])").count() == 1
    assert opened.complaints == []


@pytest.mark.parametrize(
    ("gates", "mark", "colour"),
    [((), "–", "--ink"), ((PASSED,), "✓", "--good"), ((PASSED, MISSED), "✕", "--bad")],
)
def test_the_verdict_is_seen_at_once(
    tmp_path: Path, open_report: Opener, gates: tuple[StoredGate, ...], mark: str, colour: str
) -> None:
    page = open_report(report_of(write_report_run(tmp_path, 2, gates=gates), tmp_path)).page
    shown = page.locator(".headline").evaluate(
        """(line, name) => {
          const sample = document.createElement('span');
          document.body.append(sample);
          sample.style.color = `var(${name})`;
          const colour = (it) => getComputedStyle(it).color;
          return {
            mark: getComputedStyle(line.querySelector('.mark'), '::before').content,
            asNamed: colour(line) === colour(sample),
            title: colour(document.getElementById('title')) === colour(document.body),
          };
        }""",
        colour,
    )
    assert shown == {"mark": f'"{mark}"', "asNamed": True, "title": True}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("opened_detail", [False, True])
def test_every_text_stands_out(small: Path, open_report: Opener, scheme: str, opened_detail: bool) -> None:
    page = open_report(small, dark=scheme == "dark").page
    page.locator(".card").first.scroll_into_view_if_needed()
    if opened_detail:
        page.locator(".card").first.click()
    found = page.evaluate(CONTRAST)
    assert len(found) > 200
    assert [(text, ratio) for text, ratio in found if ratio < CONTRAST_OF_TEXT] == []


def test_the_page_follows_the_system_and_the_button(small: Path, open_report: Opener) -> None:
    page = open_report(small, dark=True).page
    colours = """getComputedStyle(document.querySelector('.plot text')).fill
      + getComputedStyle(document.body).backgroundColor"""
    dark = page.evaluate(colours)
    page.get_by_role("button", name="Light page").click()
    light = page.evaluate(colours)
    assert light != dark
    page.get_by_role("button", name="Dark page").click()
    assert page.evaluate(colours) == dark
    page.emulate_media(color_scheme="light")
    assert page.evaluate(colours) == dark
    assert open_report(small).page.evaluate(colours) == light


@pytest.mark.parametrize("viewport", [NARROW, {"width": 820, "height": 900}, {"width": 1280, "height": 900}])
def test_nothing_sticks_out(small: Path, open_report: Opener, viewport: ViewportSize) -> None:
    page = open_report(small, viewport).page
    assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
    page.locator(".card").first.click()
    assert page.evaluate("document.getElementById('detail').scrollWidth") <= viewport["width"]


def test_names_for_readers_who_do_not_see(small: Path, open_report: Opener) -> None:
    page = open_report(small).page
    nameless = page.locator("button, select, input, nav, section, [role=region], svg[role=img]").evaluate_all(
        """found => found.filter((it) => !(it.ariaLabel || it.textContent.trim() || it.labels?.length
          || document.getElementById(it.getAttribute('aria-labelledby')))).map((it) => it.outerHTML)"""
    )
    assert nameless == []
    ids = page.locator("[id]").evaluate_all("found => found.map((it) => it.id)")
    assert len(ids) == len(set(ids))
    targets = page.locator("use, [clip-path]").evaluate_all(
        """found => found.map((it) => it.getAttribute('href') || it.getAttribute('clip-path').slice(4, -1))
          .filter((target) => !document.querySelector(target))"""
    )
    assert targets == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_on_paper_it_is_light_and_without_controls(small: Path, open_report: Opener, scheme: str) -> None:
    page = open_report(small, dark=scheme == "dark").page
    page.emulate_media(media="print")
    expect(page.locator("#grid > li.printed .card svg")).to_have_count(8)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    for hidden in (".top", "#controls", "#keys", "dialog", ".look"):
        assert not page.locator(hidden).first.is_visible()
    page.emulate_media(media="screen")
    expect(page.locator("#grid > li.printed")).to_have_count(0)


def test_without_javascript_all_but_the_gallery_is_there(small: Path, open_report: Opener) -> None:
    context = open_report.browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(small.as_uri())
    expect(page.get_by_text("The gallery needs JavaScript")).to_be_visible()
    expect(page.locator(".headline")).to_contain_text("1 of 2 gates failed.")
    assert page.locator("svg.plot").count() > 8
    for control in ("#controls", "#theme", ".look"):
        assert not page.locator(control).first.is_visible()
    context.close()


def test_it_opens_with_what_matters(small: Path, open_report: Opener) -> None:
    page = open_report(small).page
    order = [".headline", ".setup-line, #findings", ".sentences li", ".strip img", ".tile"]
    tops = [page.locator(part).first.evaluate("it => it.getBoundingClientRect().top") for part in order]
    assert tops == sorted(tops)
    assert page.locator(".strip img").count() == 8
    assert page.locator(".strip img").evaluate_all("all => all.every((it) => it.naturalWidth > 100)")
    page.locator(".strip .open-image").first.click()
    expect(page.locator("#detail")).to_be_visible()


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_every_figure_can_be_saved(small: Path, open_report: Opener, kind: str) -> None:
    opened = open_report(small, dark=True)
    page = opened.page
    assert page.locator("figure.picture").count() == page.locator(f".download[data-kind={kind}]").count() > 8
    with page.expect_download() as started:
        page.locator(f"#figure-error-curve .download[data-kind={kind}]").click()
    assert started.value.suggested_filename == f"error-curve.{kind}"
    content = Path(started.value.path()).read_bytes()
    if kind == "svg":
        text = content.decode()
        assert "AUC" in text
        assert "var(" not in text, "the colours are those of paper"
    else:
        assert content.startswith(b"\x89PNG")
    assert opened.complaints == []


def test_nothing_is_cut_on_a_phone(tmp_path: Path, open_report: Opener) -> None:
    write_report_run(tmp_path, gates=(PASSED, MISSED), spacing_mm=0.2)
    run = open_run(None, tmp_path)
    fine = SetupStatus.FINE
    content = replace(
        content_of(run, run.table(), ()),
        setup=(
            SetupEntry("images.bit_range", fine, "8-bit images use up to 98 %"),
            SetupEntry("network.coordinates", SetupStatus.NOT_CHECKED, "network.heatmaps comes first"),
        ),
    )
    table = run.table()
    strip = Strip(
        "Worst", (StripImage(table.image[0], "mean 1.00", b""), StripImage("n" * 300, "", b"")), "Lines"
    )
    file = tmp_path / "page.html"
    file.write_bytes(render_page(content, tuple(sections_of(content)), None, strip))
    page = open_report(file, PHONE).page
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    assert page.evaluate(UNSEEN) == []
