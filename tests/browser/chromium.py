"""Which Chromium the tests use: `python -m tests.browser.chromium` prints its path."""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
# Nothing but the page is to be looked at: no services of the browser's own, and no sandbox, which root lacks.
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


def find_chromium() -> str:
    """The path of a Chromium: the system's, or Playwright's own. Raises RuntimeError where there is none."""
    for name in NAMES:
        found = shutil.which(name)
        if found is not None:
            return found
    if MAC.exists():
        return str(MAC)
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    if Path(own).exists():
        return own
    raise RuntimeError("no Chromium; `make test` installs one, or run `playwright install chromium`")


if __name__ == "__main__":
    sys.stdout.write(f"{find_chromium()}\n")
