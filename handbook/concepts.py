"""The pages of concepts: their order, and which numbers each heading explains."""

import re
import unicodedata
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parents[1] / "docs" / "concepts"
ORDER: Final = (
    "index", "radial-error", "heatmaps", "losses", "anatomy", "error-types", "measurements", "curves",
    "calibration", "using-sigma", "intervals",
)  # fmt: skip
"""In the navigation."""
UNITS: Final = ("radial-error", "Units")
"""A heading that names what others explain: the same numbers, by what they are measured in."""

_SECTION: Final = re.compile(r"^## (.+)$", re.MULTILINE)
_NAMES: Final = re.compile(r"^Names: (.+?)\n\n", re.DOTALL)

Heading = tuple[str, str]
"""The name of a page and a heading of it."""


def text_of(page: str) -> str:
    """A page as it is written."""
    return (FOLDER / f"{page}.md").read_text(encoding="utf-8")


def sections(page: str) -> Mapping[str, str]:
    """The text under each heading."""
    parts = _SECTION.split(text_of(page))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def names_in(section: str) -> tuple[str, ...]:
    """The names that stand under a heading; `*` is anything."""
    found = _NAMES.match(section.lstrip("\n"))
    return () if found is None else tuple(re.findall(r"`([^`]+)`", found[1]))


@cache
def named() -> Mapping[Heading, tuple[str, ...]]:
    """The names under every heading that has some."""
    every = {(page, heading): names_in(text) for page in ORDER for heading, text in sections(page).items()}
    return {heading: names for heading, names in every.items() if names}


def anchor(heading: str) -> str:
    """The place of a heading within its page, as Python-Markdown makes it."""
    plain = unicodedata.normalize("NFKD", heading).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


def explained_at(name: str) -> str | None:
    """Where a number is explained, as a link from a page of `docs/`; None where no heading names it."""
    for heading, names in named().items():
        if heading != UNITS and any(fnmatchcase(name, pattern) for pattern in names):
            return f"concepts/{heading[0]}.md#{anchor(heading[1])}"
    return None
