"""A headless Chromium, and reports to look at in it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from mahtdiag.config.settings import Settings
from mahtdiag.schema.choices import DEFAULT_GALLERY
from mahtdiag.workflows.progress import NoProgress
from mahtdiag.workflows.report.job import ReportRequest, write_report
from tests.workflows.report_runs import MISSED, PASSED, Told, write_report_run

from .chromium import ARGUMENTS, find_chromium

WIDE: ViewportSize = {"width": 1280, "height": 900}


@dataclass(slots=True)
class Opened:
    """A page with all that it asked for and complained about."""

    page: Page
    file: Path
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def names(self) -> list[str]:
        """File names of the images in the grid, in its order."""
        return [label.partition(",")[0] for label in self.labels()]

    def labels(self) -> list[str]:
        """What a screen reader says of the images in the grid, in its order."""
        cards = self.page.locator("#grid .card")
        return [str(text) for text in cards.evaluate_all("cards => cards.map(c => c.ariaLabel)")]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all tests of a process."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(ARGUMENTS))
        yield browser
        browser.close()


@dataclass(slots=True)
class Opener:
    """Opens a file as a person would, from disk."""

    browser: Browser
    pages: list[Page] = field(default_factory=list)

    def __call__(self, file: Path, viewport: ViewportSize = WIDE, *, dark: bool = False) -> Opened:
        page = self.browser.new_page(viewport=viewport, color_scheme="dark" if dark else "light")
        page.set_default_timeout(20_000)
        self.pages.append(page)
        opened = Opened(page, file)
        page.on("request", lambda request: opened.requests.append(request.url))
        page.on("console", lambda message: opened.complaints.append(message.text))
        page.on("pageerror", lambda error: opened.complaints.append(str(error)))
        page.on("dialog", lambda dialog: opened.complaints.append(f"dialog: {dialog.message}"))
        page.goto(file.as_uri())
        return opened


@pytest.fixture
def open_report(browser: Browser) -> Iterator[Opener]:
    """Opens reports; every page is closed when the test ends."""
    opener = Opener(browser)
    yield opener
    for page in opener.pages:
        page.close()


def report_of(told: Told, folder: Path) -> Path:
    """The report of a run, written into its folder."""
    return write_report(
        ReportRequest(Settings(), told.run, None, DEFAULT_GALLERY, None, folder), NoProgress()
    ).path


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight images, one mirrored vertebra, one level shift, one failed image, one gate passed, one failed."""
    folder = tmp_path_factory.mktemp("small")
    return report_of(write_report_run(folder, gates=(PASSED, MISSED), spacing_mm=0.2), folder)
