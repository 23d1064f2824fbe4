"""The table of gates: failed ones first, bounds named, and no value that seems to belie its verdict."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from mahtdiag.diagnosis.gates import Bound, Gate, GateKind, GateResult
from mahtdiag.reports.tables.table import compared_value, gates_table, printable

NUMBERS = st.floats(-1e9, 1e9)


def result(limit: float, value: float | None, bound: Bound = Bound.ESTIMATE, comparison: str = "<=",
           metric: str = "radial_error_px.mean") -> GateResult:  # fmt: skip
    """A judged gate."""
    gate = Gate(metric, comparison, limit, bound)
    return GateResult(gate, value, value is not None and gate.keeps(value))


def rows(*results: GateResult) -> list[list[str]]:
    """What is printed at 80 columns, title and rows as words."""
    console = Console(width=80, no_color=True)
    with console.capture() as printed:
        console.print(printable([gates_table(results)]))
    lines = printed.get().splitlines()
    assert max(len(line) for line in lines) <= 80
    return [line.split() for line in lines if line.strip()]


def test_failed_gates_come_first_in_the_order_of_the_file() -> None:
    printed = rows(result(4, 3.5), result(1, 3.5), result(2, None), result(9, 3.5))
    assert printed[0] == ["Gates:", "2", "of", "4", "failed"]
    assert printed[1] == ["metric", "limit", "value"]
    name = "radial_error_px.mean"
    assert printed[3:] == [
        [name, "<=", "1", "3.50", "FAILED"],
        [name, "<=", "2", "–", "FAILED"],
        [name, "<=", "4", "3.50", "passed"],
        [name, "<=", "9", "3.50", "passed"],
    ]


def test_bounds_are_named_where_there_are_any() -> None:
    printed = rows(result(4, 5, Bound.UPPER), result(1, 3, Bound.LOWER, ">="), result(4, 3))
    assert printed[1] == ["metric", "limit", "value", "bound"]
    assert [row[4:-1] for row in printed[3:]] == [["upper", "95", "%"], ["lower", "95", "%"], []]


def test_a_baseline_is_told_from_a_limit() -> None:
    gate = Gate("losses.total", "<=", 0.3, Bound.UPPER, kind=GateKind.BASELINE)
    assert rows(GateResult(gate, 0.2, True))[3][:3] == ["losses.total", "−", "baseline"]


def test_a_long_name_is_folded() -> None:
    name = "ambiguity.by_vertebra.L5.decode_change_px.local.everywhere.value"
    printed = rows(result(1234567.891, 1e-9, Bound.UPPER, metric=name))
    assert printed[3][0] + printed[4][0] == name
    assert printed[3][1:] == ["<=", "1234567.891", "1.00e-09", "upper", "95", "%", "passed"]


@given(NUMBERS, NUMBERS | st.floats(-1, 1), st.sampled_from(["<=", ">=", "<", ">", "=="]))
def test_what_is_shown_agrees_with_the_verdict(value: float, away: float, comparison: str) -> None:
    for limit in (value, value + away, value * (1 + 1e-12 * away)):
        judged = result(limit, value, comparison=comparison)
        assert judged.gate.keeps(float(compared_value(judged).replace(",", ""))) is judged.passed


@pytest.mark.parametrize(
    ("limit", "value", "shown"),
    [
        (2.93, 2.92, "2.92"),
        (2.93, 2.93001, "2.93001"),
        (2.93, None, "–"),
        (0.0, 0.0, "0.00"),
        (1e3, 1234.5, "1,234"),
    ],
)
def test_how_many_digits_are_shown(limit: float, value: float | None, shown: str) -> None:
    assert compared_value(result(limit, value)) == shown


@pytest.mark.parametrize(
    ("bound", "limit", "shown"),
    [
        (Bound.ESTIMATE, 2.0, "18.16"),
        (Bound.UPPER, 2.0, "18.2"),
        (Bound.UPPER, 18.1, "18.2"),
        (Bound.UPPER, 18.15, "18.2"),
        (Bound.UPPER, 18.19, "18.16"),
    ],
)
def test_the_end_of_an_interval_is_written_as_in_the_interval(bound: Bound, limit: float, shown: str) -> None:
    # Unless the verdict would not show.
    assert compared_value(result(limit, 18.1607, bound)) == shown


@pytest.mark.parametrize(
    ("metric", "value", "shown"),
    [
        ("radial_error_mm.mean", 0.7934, "0.79"),
        ("sdr_px.4", 0.52183, "0.522"),
        ("calibration.mace", 0.0503, "0.0503"),
        ("anatomy.findings", 12345.0, "12,345"),
    ],
)
def test_a_value_is_rounded_as_tables_round_it(metric: str, value: float, shown: str) -> None:
    assert compared_value(result(1e9, value, metric=metric)) == shown
