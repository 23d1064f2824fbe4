"""Gates of the configuration against the numbers of a run: one evaluator for every command."""

from collections.abc import Iterable, Mapping, Sequence

from mahtdiag.diagnosis.gates import Bound, Gate, GateKind, GateResult, judge_gates
from mahtdiag.errors import ExitStatus
from mahtdiag.runs.document import RunDocument
from mahtdiag.runs.results import Gate as StoredGate
from mahtdiag.schema.views import View


def judged(
    gates: Sequence[Gate], content: Mapping[str, object], view: View, only: str = ""
) -> tuple[tuple[GateResult, ...], tuple[str, ...]]:
    """The gates of a view on metrics that begin with `only`, and a note for each that finds no number."""
    results = judge_gates([gate for gate in gates if gate.metric.startswith(only)], content, view)
    return results, notes_on(results)


def with_gates(document: RunDocument, gates: Sequence[Gate]) -> RunDocument:
    """A document with these gates judged by its numbers, in place of those that it had."""
    content = document.model_dump(mode="json", by_alias=True)
    results, missing = judged(gates, content, document.view)
    earlier = notes_on(results_of(document.gates))
    notes = (*(note for note in document.notes if note not in earlier), *missing)
    return document.model_copy(update={"gates": stored(results), "notes": notes})


def notes_on(results: Iterable[GateResult]) -> tuple[str, ...]:
    """One line for each gate that failed because there was nothing to compare."""
    return tuple(f"gate {r.gate.metric} fails: {r.reason}" for r in results if r.reason is not None)


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
