"""Tables and sentences as a terminal shows them."""

import io
from collections.abc import Iterable
from typing import Final

from rich import box
from rich.console import Console, Group, OverflowMethod, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from mahtdiag.reports.rendering import Result
from mahtdiag.reports.tables.table import STANDARD_WIDTH, Column, Part, Style, Table

# Titles and notes below this width would wrap too often.
LEAST_WIDTH: Final = 66
STYLES: Final = {
    Style.PLAIN: "",
    Style.STRONG: "bold",
    Style.GOOD: "green",
    Style.SOUND: "bold green",
    Style.DOUBTFUL: "bold yellow",
    Style.BAD: "bold red",
    Style.DIM: "table.caption",
}


def printed(result: Result) -> str:
    """The tables for the terminal that standard output is, coloured if it shows colours.

    On one narrower than 80 columns lines wrap, but no number is cut.
    """
    terminal = Console()
    columns = max(STANDARD_WIDTH, terminal.width)
    console = Console(file=io.StringIO(), width=columns, force_terminal=terminal.is_terminal)
    with console.capture() as text:
        console.print(printable(result.parts(columns)))
    return text.get()


def printable(parts: Iterable[Part]) -> RenderableType:
    """The parts one below the other; a table is followed by an empty line."""
    shown: list[RenderableType] = []
    for part in parts:
        if isinstance(part, Table):
            shown += [_table(part), Text()]
        else:
            shown.append(_text(part.text, part.style))
    return Group(*shown)


def _table(table: Table) -> RichTable:
    shown = RichTable(
        title=Text(table.title),
        title_justify="left",
        caption=_text(table.note, table.note_style) if table.note else None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 0 if table.dense else 1, 0, 0),
        show_edge=False,
        min_width=LEAST_WIDTH,
    )
    for column in table.columns:
        _add_column(shown, column)
    for row in table.rows:
        shown.add_row(*(_text(cell.text, cell.style) for cell in row.cells), end_section=row.last)
    return shown


def _add_column(table: RichTable, column: Column) -> None:
    overflow: OverflowMethod = "fold" if column.wraps == "anywhere" else "ellipsis"
    table.add_column(
        Text(column.name),
        justify="right" if column.right else "left",
        no_wrap=column.wraps == "no",
        overflow=overflow,
        width=column.width,
        max_width=column.most,
    )


def _text(text: str, style: Style) -> Text:
    return Text(text, style=STYLES[style])
