"""What the pages of the documentation hold: fenced blocks, inline commands, headings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(
    r"^(?P<fence>`{3,})(?P<language>\w*)[^\n]*\n(?P<body>.*?)^(?P=fence)$", re.MULTILINE | re.DOTALL
)
INLINE = re.compile(r"(?<!`)`(mahtdiag [a-z][^`]*)`(?!`)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page: its language, its lines."""

    language: str
    lines: tuple[str, ...]


def pages() -> dict[str, str]:
    """Every page that is written by hand, by its name from the root."""
    files = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in files}


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks, in their order."""
    for found in FENCE.finditer(text):
        yield Block(found["language"], tuple(found["body"].splitlines()))


def inline_commands(text: str) -> list[str]:
    """Commands within sentences and tables, where they are whole: no placeholder in dots."""
    prose = FENCE.sub("", text).replace("\\|", "|")
    return sorted({" ".join(line.split()) for line in INLINE.findall(prose)})
