"""Tables and sentences as they are, before anyone knows what shows them, and how a terminal does."""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from rich import box
from rich.console import Console, Group, OverflowMethod, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from mahtdiag.diagnosis.gates import Bound, GateKind, GateResult
from mahtdiag.diagnosis.metrics.registry import metric_of
from mahtdiag.reports.rendering import Result
from mahtdiag.reports.text import ABSENT, as_limited, number, shorten, telling
from mahtdiag.schema.safe_text import safe_lines
from mahtdiag.schema.skeleton import View
from mahtdiag.statistics.intervals import FEWEST

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
class TableColumn:
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
    columns: tuple[TableColumn, ...]
    rows: tuple[Row, ...]
    note: str = ""
    note_style: Style = Style.DIM
    dense: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence or more between tables; `whole`: to be copied as it is, so that no line of it is broken."""

    text: str = ""
    style: Style = Style.PLAIN
    whole: bool = False


Part = Table | Line
Cells = Sequence[str | Cell]


def table(
    title: str,
    columns: Sequence[str | TableColumn],
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
        column if isinstance(column, TableColumn) else TableColumn(column, right=place > 0)
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
    """An image's name without the folder of its view, which all images of a run share, cut to a width.

    Folders go first, then the middle.
    """
    for view in View:
        image = image.removeprefix(f"{view}/")
    while len(image) > width and "/" in image:
        image = image.partition("/")[2]
    return shorten(image, width)


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
        console.print(printable(result.parts(columns)), crop=False)
    return text.get()


def plain_text(parts: Callable[[int], Iterable[Part]]) -> str:
    """Tables and sentences as commands print them, 80 columns wide, without colours."""
    out = io.StringIO()
    console = Console(file=out, width=STANDARD_WIDTH, color_system=None, force_terminal=False)
    console.print(printable(parts(STANDARD_WIDTH)))
    return out.getvalue()


def printable(parts: Iterable[Part]) -> RenderableType:
    """The parts one below the other; a table is followed by an empty line."""
    shown: list[RenderableType] = []
    for part in parts:
        if isinstance(part, Table):
            shown += [_for_terminal(part), Text()]
        else:
            shown.append(_text(part.text, part.style, whole=part.whole))
    return Group(*shown)


def _for_terminal(table: Table) -> RichTable:
    shown = RichTable(
        title=_text(table.title, Style.PLAIN),
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


def _add_column(table: RichTable, column: TableColumn) -> None:
    overflow: OverflowMethod = "fold" if column.wraps == "anywhere" else "ellipsis"
    table.add_column(
        _text(column.name, Style.PLAIN),
        justify="right" if column.right else "left",
        no_wrap=column.wraps == "no",
        overflow=overflow,
        width=column.width,
        max_width=column.most,
    )


def _text(text: str, style: Style, *, whole: bool = False) -> Text:
    """The one door of texts to rich, which takes none of it for markup or for a link."""
    return Text(
        safe_lines(text), style=STYLES[style], no_wrap=whole or None, overflow="ignore" if whole else None
    )


METRIC_WIDTH = 42
DIGITS = range(4, 15)
WORSE_BY = " worse by"
"""Follows the name of a number where its worsening is limited, and the name of a run may stand before it."""
BOUNDS = {Bound.ESTIMATE: "", Bound.UPPER: "upper 95 %", Bound.LOWER: "lower 95 %"}


def gates_table(results: Sequence[GateResult]) -> Table:
    """Every gate with its limit, what was measured, and whether it passed; failed ones first."""
    of_bounds = any(result.gate.bound is not Bound.ESTIMATE for result in results)
    failed = sum(not result.passed for result in results)
    bound = ("bound",) if of_bounds else ()
    return table(
        f"Gates: {failed} of {len(results)} failed",
        (TableColumn("metric", wraps="anywhere", most=METRIC_WIDTH), "limit", "value", *bound, ""),
        (
            (
                metric_in_words(result),
                f"{result.gate.comparison} {result.gate.limit:.10g}",
                compared_value(result),
                *((BOUNDS[result.gate.bound],) if of_bounds else ()),
                Cell("passed", Style.GOOD) if result.passed else Cell("FAILED", Style.BAD),
            )
            for result in sorted(results, key=lambda result: result.passed)
        ),
    )


def compared_value(result: GateResult) -> str:
    """What was compared with the limit as its unit is written, or so that the verdict shows.

    The end of an interval is written as intervals are.
    """
    value = result.value
    if value is None:
        return ABSENT
    own = gate_number(result, value) if result.gate.bound is Bound.ESTIMATE else number(value)
    texts = (own, *(number(value, digits) for digits in DIGITS))
    return telling(texts, lambda shown: result.gate.keeps(shown) is result.passed, value)


def gate_number(result: GateResult, value: float) -> str:
    """A number of a gate's metric, in the unit of its limit."""
    metric = metric_of(result.gate.metric.removesuffix(WORSE_BY).rpartition(" ")[2])
    return as_limited(value, "" if metric is None else metric.unit)


def metric_in_words(result: GateResult) -> str:
    """The metric, and that its difference to a baseline is meant where it is."""
    gate = result.gate
    return f"{gate.metric} − baseline" if gate.kind is GateKind.BASELINE else gate.metric


def intervals_over(images: int, patients: int | None, later: Mapping[str, int] | None = None) -> str:
    """What the intervals of a table are over, and what has none for want of them.

    `later`: how many units other numbers need, by their names.
    """
    units, what = (images, "images") if patients in (None, images) else (patients or 0, "patients")
    if units < FEWEST:
        return f"Too few {what} for intervals but those of shares: {units}, at least {FEWEST}."
    missing = ", ".join(
        f"{name} from {fewest} on" for name, fewest in (later or {}).items() if units < fewest
    )
    return f"Intervals: 95 %, over {what}{'; ' if missing else ''}{missing}."
