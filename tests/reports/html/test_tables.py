"""Printed tables as tables of the page."""

from rich.table import Table
from rich.text import Text

from mahtdiag.diagnosis.gates import Gate, GateResult
from mahtdiag.reports.html.tables import Cell, Row, html_table
from mahtdiag.reports.tables.evaluation import plain_table
from mahtdiag.reports.tables.gates import gates_table

GATES = {"a": 0.5, "b": None}


def test_a_printed_table_keeps_its_content() -> None:
    table = plain_table("A title", "part", "value")
    table.caption = "what it is"
    table.add_row("whole", "1.5")
    table.add_row("  a part", "0.5")
    table.add_section()
    table.add_row(Text("[bold]<name>"), "")
    found = html_table(table)
    assert (found.title, found.caption) == ("A title", "what it is")
    assert (found.header, found.numeric) == (("part", "value"), (False, True))
    assert found.rows == (
        Row((Cell("whole"), Cell("1.5"))),
        Row((Cell("a part", indent=1), Cell("0.5")), last=True),
        Row((Cell("[bold]<name>"), Cell("")), heading=True),
    )


def test_colours_become_what_they_mean() -> None:
    rows = [GateResult(Gate(name, "<=", 1.0), value, value is not None) for name, value in GATES.items()]
    found = html_table(gates_table(rows))
    assert [[cell.tone for cell in row.cells][-1] for row in found.rows] == ["bad", "good"]
    assert [row.cells[0].text for row in found.rows] == ["b", "a"]
    assert found.title == "Gates: 1 of 2 failed"


def test_an_empty_table() -> None:
    assert html_table(Table("a", "b")).rows == ()
