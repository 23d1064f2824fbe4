"""The tables of the terminal as tables of the page: one source for both."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from rich.table import Column, Table
from rich.text import Text

Tone = Literal["", "good", "bad", "strong"]


@dataclass(frozen=True, slots=True)
class Cell:
    """Text of a cell; `indent` counts the levels below the row above it."""

    text: str
    tone: Tone = ""
    indent: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """Cells from left to right; `heading`: names the rows below it; `last`: a line follows."""

    cells: tuple[Cell, ...]
    heading: bool = False
    last: bool = False


@dataclass(frozen=True, slots=True)
class HtmlTable:
    """A table of the page; `numeric` columns are at the right."""

    title: str
    header: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[Row, ...]
    caption: str


def html_table(table: Table) -> HtmlTable:
    """The content of a printed table, without its widths."""
    return HtmlTable(
        title=_plain(table.title),
        header=tuple(_plain(column.header) for column in table.columns),
        numeric=tuple(column.justify == "right" for column in table.columns),
        rows=tuple(_rows(table)),
        caption=_plain(table.caption),
    )


def _rows(table: Table) -> Iterator[Row]:
    columns = [_cells(column) for column in table.columns]
    for row, cells in zip(table.rows, zip(*columns, strict=True), strict=True):
        filled = [cell for cell in cells if cell.text]
        yield Row(
            cells=cells,
            heading=len(cells) > 1 and len(filled) == 1 and bool(cells[0].text),
            last=row.end_section,
        )


def _cells(column: Column) -> list[Cell]:
    found = []
    for content in column.cells:
        text = _plain(content)
        found.append(Cell(text.strip(), _tone(content), (len(text) - len(text.lstrip())) // 2))
    return found


def _plain(content: object) -> str:
    if content is None:
        return ""
    return content.plain if isinstance(content, Text) else Text.from_markup(str(content)).plain


def _tone(content: object) -> Tone:
    """What a colour of the terminal means."""
    style = str(content.style) if isinstance(content, Text) else ""
    if "red" in style:
        return "bad"
    if "green" in style:
        return "good"
    return "strong" if "bold" in style else ""
