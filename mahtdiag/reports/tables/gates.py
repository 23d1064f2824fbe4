"""The table of gates that every command prints."""

from collections.abc import Sequence

from mahtdiag.diagnosis.gates import Bound, GateKind, GateResult
from mahtdiag.reports.numbers import number
from mahtdiag.reports.tables.table import Cell, Column, Style, Table, table

METRIC_WIDTH = 42
DIGITS, MOST_DIGITS = 4, 15
BOUNDS = {Bound.ESTIMATE: "", Bound.UPPER: "upper 95 %", Bound.LOWER: "lower 95 %"}


def gates_table(results: Sequence[GateResult]) -> Table:
    """Every gate with its limit, what was measured, and whether it passed; failed ones first."""
    of_bounds = any(result.gate.bound is not Bound.ESTIMATE for result in results)
    failed = sum(not result.passed for result in results)
    bound = ("bound",) if of_bounds else ()
    return table(
        f"Gates: {failed} of {len(results)} failed",
        (Column("metric", wraps="anywhere", most=METRIC_WIDTH), "limit", "value", *bound, ""),
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
