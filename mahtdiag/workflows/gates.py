"""Gates of the configuration against the numbers of a run: one evaluator for every command."""

from collections.abc import Mapping, Sequence

from mahtdiag.diagnosis.gates import Gate, judge_gates, nearest_metric
from mahtdiag.runs.document import Gate as StoredGate


def judged(
    gates: Sequence[Gate], content: Mapping[str, object], only: str = ""
) -> tuple[tuple[StoredGate, ...], tuple[str, ...]]:
    """The gates on metrics that begin with `only`, judged, and a note for each whose metric is not there."""
    chosen = [gate for gate in gates if gate.metric.startswith(only)]
    results = judge_gates(chosen, content)
    stored = tuple(
        StoredGate(
            metric=result.gate.metric,
            comparison=result.gate.comparison,
            limit=result.gate.limit,
            value=result.value,
            passed=result.passed,
        )
        for result in results
    )
    notes = tuple(_missing(content, result.gate.metric) for result in results if result.value is None)
    return stored, notes


def _missing(content: Mapping[str, object], metric: str) -> str:
    near = nearest_metric(content, metric)
    hint = f"; did you mean {near}?" if near and near != metric else ""
    return f"gate {metric} fails: the run has no such number{hint}"
