"""Tables and sentences as they are, before anyone knows whether a terminal or a page will show them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from mahtdiag.reports.numbers import shorten
from mahtdiag.schema.skeleton import View

INDENT: Final = "  "
STANDARD_WIDTH: Final = 80
# A file name of the BUU-LSPINE set; wider terminals show more.
NAME_WIDTH: Final = 16
LONGEST_NAME: Final = 60


class Style(StrEnum):
    """What a text says by how it looks."""

    PLAIN = ""
    STRONG = "strong"
    GOOD = "good"
    SOUND = "sound"
    DOUBTFUL = "doubtful"
    BAD = "bad"
    DIM = "dim"


@dataclass(frozen=True, slots=True)
class Cell:
    """A text of a table; `INDENT` before it sets it below the row above."""

    text: str
    style: Style = Style.PLAIN


@dataclass(frozen=True, slots=True)
class Column:
    """A column by its name; numbers stand at the right.

    `wraps`: whether long texts continue on the next line, between words or anywhere. `width` and `most`: in
    characters, for terminals; None leaves them to the content.
    """

    name: str
    right: bool = False
    wraps: Literal["no", "words", "anywhere"] = "no"
    width: int | None = None
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Cells from left to right, one a column; `last`: a line follows."""

    cells: tuple[Cell, ...]
    last: bool = False

    @property
    def is_heading(self) -> bool:
        """Whether it only names the rows below it."""
        first, *others = self.cells
        return bool(first.text) and bool(others) and not any(cell.text for cell in others)


@dataclass(frozen=True, slots=True)
class Table:
    """A title, columns, rows, and a note below them; `dense`: no space between the columns of a terminal."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str = ""
    note_style: Style = Style.DIM
    dense: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence or more between tables."""

    text: str = ""
    style: Style = Style.PLAIN


Part = Table | Line
Cells = Sequence[str | Cell]


def table(
    title: str,
    columns: Sequence[str | Column],
    rows: Iterable[Cells | None],
    *,
    note: str = "",
    note_style: Style = Style.DIM,
    dense: bool = False,
) -> Table:
    """A table whose columns, where only named, hold texts in the first and numbers in the others.

    `rows`: None is a line below the row before it; a row with too few cells is filled with empty ones.
    """
    made = tuple(
        column if isinstance(column, Column) else Column(column, right=place > 0)
        for place, column in enumerate(columns)
    )
    found: list[Row] = []
    for cells in rows:
        if cells is not None:
            filled = [cell if isinstance(cell, Cell) else Cell(cell) for cell in cells]
            found.append(Row((*filled, *[Cell("")] * (len(made) - len(filled)))))
        elif found:
            found[-1] = Row(found[-1].cells, last=True)
    return Table(title, made, tuple(found), note, note_style, dense)


def short_name(image: str, width: int) -> str:
    """An image's name without the folder of its view, which all images of a run share, cut in the middle."""
    for view in View:
        image = image.removeprefix(f"{view}/")
    return shorten(image, width)
