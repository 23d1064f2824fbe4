"""The Setup section: a line for every check, and the headline where results are not plausible."""

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from mahtdiag.reports.tables.table import Cell, Cells, Line, Part, Style, Table, TableColumn, table
from mahtdiag.schema.setup import SetupEntry, SetupStatus

RESULTS: Final = "results"
ABOVE: Final = "said at the top of the page"
_STYLES: Final = {
    SetupStatus.FINE: Style.GOOD,
    SetupStatus.WARNING: Style.DOUBTFUL,
    SetupStatus.WRONG: Style.BAD,
    SetupStatus.NOT_CHECKED: Style.DIM,
}
_SHOWN: Final = {
    SetupStatus.FINE: "fine",
    SetupStatus.WARNING: "warning",
    SetupStatus.WRONG: "WRONG",
    SetupStatus.NOT_CHECKED: "not checked",
}


def headline(entries: Sequence[SetupEntry]) -> str | None:
    """What stands above everything where results cannot be what they seem, with the likeliest cause."""
    wrong = [e for e in entries if e.check == RESULTS and e.status is SetupStatus.WRONG]
    if not wrong:
        return None
    evidence = wrong[0].evidence
    return f"{evidence[:1].upper()}{evidence[1:]}. {wrong[0].advice[:1].upper()}{wrong[0].advice[1:]}."


def short_headline(entries: Sequence[SetupEntry]) -> str | None:
    """The same where what the cause is follows below: its name alone."""
    words = headline(entries)
    entry = next((entry for entry in entries if entry.check == RESULTS), None)
    if words is None or entry is None or entry.cause is None:
        return words
    return f"{entry.evidence[:1].upper()}{entry.evidence[1:]}. Likeliest cause: {entry.cause}."


def plausibility_note(run: str, entries: Sequence[SetupEntry]) -> tuple[str, ...]:
    """The same for whoever goes on with a run, as a note; none where its results are plausible."""
    words = headline(entries)
    return () if words is None else (f"{run}: {words[:1].lower()}{words[1:]}",)


def headline_parts(entries: Sequence[SetupEntry]) -> Iterator[Part]:
    """The same for tables, with an empty line below it."""
    words = headline(entries)
    if words is not None:
        yield from (Line(words, Style.BAD), Line())


def counts(entries: Sequence[SetupEntry]) -> str:
    """How many checks say what: `1 wrong, 20 fine`."""
    words = (SetupStatus.WRONG, SetupStatus.WARNING, SetupStatus.FINE, SetupStatus.NOT_CHECKED)
    numbers = [(sum(entry.status is status for entry in entries), status) for status in words]
    return ", ".join(f"{number} {status}" for number, status in numbers if number)


def setup_table(entries: Sequence[SetupEntry], told: Collection[str] = ()) -> Table:
    """One line a check; what to type below those that are off. `told`: checks whose evidence stands above."""
    rows: list[Cells] = []
    for entry in entries:
        if entry.check in told:
            rows.append((entry.check, Cell(_SHOWN[entry.status], _STYLES[entry.status]), ABOVE))
            continue
        rows.append((entry.check, Cell(_SHOWN[entry.status], _STYLES[entry.status]), entry.evidence))
        if entry.advice:
            rows.append(("", "", Cell(f"→ {entry.advice}", Style.STRONG)))
    columns = (TableColumn("check"), TableColumn("status"), TableColumn("what was found", wraps="words"))
    return table(f"Setup: {counts(entries)}", columns, rows)
