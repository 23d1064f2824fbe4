"""The table of gates that every command prints."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from mahtdiag.diagnosis.gates import Bound, GateKind, GateResult
from mahtdiag.reports.numbers import number
from mahtdiag.reports.tables.evaluation import plain_table

METRIC_WIDTH = 42
DIGITS, MOST_DIGITS = 4, 15
BOUNDS = {Bound.ESTIMATE: "", Bound.UPPER: "upper 95 %", Bound.LOWER: "lower 95 %"}


def gates_table(results: Sequence[GateResult]) -> Table:
    """Every gate with its limit, what was measured, and whether it passed; failed ones first."""
    failed = sum(not result.passed for result in results)
    of_bounds = any(result.gate.bound is not Bound.ESTIMATE for result in results)
    columns = ("metric", "limit", "value", *(("bound",) if of_bounds else ()), "")
    table = plain_table(f"Gates: {failed} of {len(results)} failed", *columns)
    table.columns[0].no_wrap, table.columns[0].max_width = False, METRIC_WIDTH
    table.columns[0].overflow = "fold"
    for result in sorted(results, key=lambda result: result.passed):
        gate = result.gate
        table.add_row(
            Text(metric_in_words(result)),
            f"{gate.comparison} {gate.limit:.10g}",
            compared_value(result),
            *((BOUNDS[gate.bound],) if of_bounds else ()),
            Text("passed", style="green") if result.passed else Text("FAILED", style="bold red"),
        )
    return table


def compared_value(result: GateResult) -> str:
    """What was compared with the limit, with as many digits as it takes to see the verdict."""
    value = result.value
    if value is None:
        return number(value)
    for digits in range(DIGITS, MOST_DIGITS):
        shown = number(value, digits)
        if result.gate.keeps(float(shown.replace(",", ""))) is result.passed:
            return shown
    return repr(value)


def metric_in_words(result: GateResult) -> str:
    """The metric, and that its difference to a baseline is meant where it is."""
    gate = result.gate
    return f"{gate.metric} − baseline" if gate.kind is GateKind.BASELINE else gate.metric
