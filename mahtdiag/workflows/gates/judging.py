"""Gates of the configuration against the numbers of a run: one evaluator for every command."""

from collections.abc import Iterable, Mapping, Sequence

from mahtdiag.diagnosis.gates import Bound, Gate, GateKind, GateResult, judge_gates
from mahtdiag.errors import ExitStatus
from mahtdiag.runs.document import RunDocument
from mahtdiag.runs.results import StoredGate
from mahtdiag.schema.skeleton import View


def judged(
    gates: Sequence[Gate], content: Mapping[str, object], view: View, only: str = ""
) -> tuple[tuple[GateResult, ...], tuple[str, ...]]:
    """The gates of a view on metrics that begin with `only`, and a note for each that finds no number."""
    results = judge_gates([gate for gate in gates if gate.metric.startswith(only)], content, view)
    return results, notes_on(results)


def with_gates(
    document: RunDocument, gates: Sequence[Gate], to_baseline: Sequence[GateResult] = ()
) -> RunDocument:
    """A document with these gates judged by its numbers, and those to a baseline, instead of its own."""
    content = document.model_dump(mode="json", by_alias=True)
    results = (*judged(gates, content, document.view)[0], *to_baseline)
    earlier = notes_on(results_of(document.gates))
    notes = (*(note for note in document.notes if note not in earlier), *notes_on(results))
    return document.model_copy(update={"gates": stored(results), "notes": notes})


def notes_on(results: Iterable[GateResult]) -> tuple[str, ...]:
    """One line for each reason why gates failed without anything to compare."""
    metrics: dict[str, list[str]] = {}
    for result in results:
        if result.reason is not None:
            metrics.setdefault(result.reason, []).append(result.gate.metric)
    return tuple(
        f"gate {names[0]} fails: {reason}" if len(names) == 1 else f"gates {', '.join(names)} fail: {reason}"
        for reason, names in metrics.items()
    )


def status_of(results: Iterable[GateResult]) -> ExitStatus:
    """The exit status that gates call for."""
    return ExitStatus.OK if all(result.passed for result in results) else ExitStatus.GATE_FAILED


def stored(results: Iterable[GateResult]) -> tuple[StoredGate, ...]:
    """The same as `run.json` keeps them."""
    return tuple(StoredGate.model_validate(result.as_json()) for result in results)


def results_of(gates: Iterable[StoredGate]) -> tuple[GateResult, ...]:
    """The gates of a `run.json` as they were judged."""
    return tuple(
        GateResult(
            gate=Gate(g.metric, g.comparison, g.limit, Bound(g.bound), g.view, GateKind(g.kind)),
            value=g.value,
            passed=g.passed,
            estimate=g.estimate,
            ci95=g.ci95,
            reason=g.reason,
            baseline=g.baseline,
        )
        for g in gates
    )
