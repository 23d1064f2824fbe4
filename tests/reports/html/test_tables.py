"""Tables and sentences as blocks of the page."""

from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from mahtdiag.diagnosis.gates import Gate, GateResult
from mahtdiag.reports.html.page import templates
from mahtdiag.reports.tables.table import Cell, Line, Part, Style, gates_table, table

GATES = {"a": 0.5, "b": None}


def block(part: Part) -> Element:
    """The element that the page shows for it."""
    module = templates().get_template("blocks.html.j2").make_module()
    return ElementTree.fromstring(str(getattr(module, "block")(part)))  # noqa: B009


def test_a_table_keeps_its_content() -> None:
    found = block(
        table(
            "A title",
            ("part", "value"),
            (("whole", "1.5"), ("  a part", "0.5"), None, ("[bold]<name>", "")),
            note="what it is",
        )
    )
    assert [found.findtext(".//caption"), found.findtext(".//p")] == ["A title", "what it is"]
    header = [(cell.text, cell.get("class")) for cell in found.iterfind(".//thead/tr/th")]
    assert header == [("part", None), ("value", "number")]
    rows = [[(cell.text, cell.get("class")) for cell in row] for row in found.iterfind(".//tbody/tr")]
    assert rows == [
        [("whole", "short"), ("1.5", "number short")],
        [("a part", "indent short"), ("0.5", "number short")],
        [("[bold]<name>", "short"), (None, "number short")],
    ]
    assert [row.get("class") for row in found.iterfind(".//tbody/tr")] == [None, "last", "heading "]


def test_styles_become_classes() -> None:
    rows = [GateResult(Gate(name, "<=", 1.0), value, value is not None) for name, value in GATES.items()]
    found = block(gates_table(rows))
    verdicts = [row[-1].get("class") for row in found.iterfind(".//tbody/tr")]
    assert verdicts == ["number bad short", "number good short"]
    assert [row[0].text for row in found.iterfind(".//tbody/tr")] == ["b", "a"]
    assert found.findtext(".//caption") == "Gates: 1 of 2 failed"


def test_a_sentence_that_matters_stands_out() -> None:
    assert block(Line("all is well\n")).attrib == {"class": "sentence"}
    assert block(Line("all is lost\n", Style.BAD)).attrib == {"class": "finding"}
    assert block(Line("all is well\n")).text == "all is well"


def test_an_empty_table() -> None:
    assert not list(block(table("a", ("b",), ())).iterfind(".//tbody/tr"))


def test_rows_are_filled_and_headings_told() -> None:
    made = table("", ("a", "b"), (("only",), (Cell("", Style.GOOD), "x")))
    assert [row.is_heading for row in made.rows] == [True, False]
    assert [len(row.cells) for row in made.rows] == [2, 2]
