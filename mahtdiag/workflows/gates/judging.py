"""Gates of the configuration, judged for every command: by its numbers, and against a stored run.

`[gates.baseline]` compares a run with a stored one on the same images, by the statistics of `compare`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mahtdiag.anatomy.rules import Limits, Rule
from mahtdiag.diagnosis.comparison import Comparison, JudgedMetric, better_of, compare_runs
from mahtdiag.diagnosis.gates import (
    BaselineGates,
    Bound,
    Gate,
    GateKind,
    GateResult,
    Margin,
    judge_gates,
    leaves_out_misses,
    left_out,
    limits_misses,
)
from mahtdiag.diagnosis.metrics.metric import Better
from mahtdiag.diagnosis.metrics.registry import images_behind, is_of_errors
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.worst_images import WorstImages
from mahtdiag.errors import ExitStatus, MahtdiagError, RunFolderError
from mahtdiag.reports.ci.record import GateCase
from mahtdiag.runs.document import RunDocument
from mahtdiag.runs.reading import Run, open_finished
from mahtdiag.runs.results import StoredGate
from mahtdiag.schema.skeleton import View
from mahtdiag.workflows.compare.pairing import Pair, named, pair_runs, require_images, why_missing

Increases = Callable[[str], WorstImages | None]


def judged(
    gates: Sequence[Gate], content: Mapping[str, object], view: View, only: str
) -> tuple[GateResult, ...]:
    """The gates of a view on metrics that begin with `only`."""
    return judge_gates([gate for gate in gates if gate.metric.startswith(only)], content, view)


def with_gates(
    document: RunDocument, gates: Sequence[Gate], to_baseline: Sequence[GateResult] = ()
) -> RunDocument:
    """A document with these gates judged by its numbers, and those to a baseline, instead of its own."""
    content = document.model_dump(mode="json", by_alias=True)
    results = (*judge_gates(gates, content, document.view), *to_baseline)
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


def judge_baseline(
    baseline: BaselineGates | None,
    current: Run,
    limits: Limits,
    rules: tuple[Rule, ...],
    only: str = "",
) -> tuple[GateResult, ...]:
    """The margins on numbers that begin with `only`, judged; violations by these rules and limits.

    A gate passes if the 95 % interval of the paired difference lies within its margin. Every gate fails, with
    the reason, where the stored run cannot be read or was edited, or its data are not those of the current.
    """
    margins = tuple(m for m in (baseline.margins if baseline else ()) if m.metric.startswith(only))
    if baseline is None or not margins:
        return ()
    try:
        run = open_finished(Path(baseline.run), current.cwd)
        label = run.label
        if not run.sealed:
            raise RunFolderError(
                f"{label}: written by an earlier version without checksums, so it may have been edited; "
                "evaluate it again"
            )
        if _same(run.document, current.document):
            raise RunFolderError(f"{label} is the run that is judged; name another one as its baseline")
        require_images(run)
        pair = pair_runs(run, current, limits, rules)
        if pair.lost:
            raise RunFolderError(f"not evaluated, but in the baseline {label}: {named(pair.lost)}")
    except MahtdiagError as error:
        return tuple(_failed(margin, baseline.run, "; ".join(error.problems)) for margin in margins)
    comparison = compare_runs(pair.a, pair.b, [margin.metric for margin in margins], margins)
    results = [
        _result(margin, judged, comparison, pair, label)
        for margin, judged in zip(margins, comparison.judged, strict=True)
    ]
    more = int(pair.b.missed.sum()) - int(pair.a.missed.sum())
    if more > 0 and not any(limits_misses(margin.metric) for margin in margins):
        # A run that predicts less may well have the smaller error on the rest.
        return tuple(
            replace(result, value=None, passed=False, reason=f"against the baseline {left_out(more)}")
            if leaves_out_misses(result.gate.metric) and result.reason is None
            else result
            for result in results
        )
    return tuple(results)


def _same(one: RunDocument, other: RunDocument) -> bool:
    """Whether both are one run, wherever its folder stands; one that is not finished is no other's equal."""
    return one.started == other.started and one.checksums is not None and one.checksums == other.checksums


def not_for_labels(baseline: BaselineGates | None, only: str) -> tuple[str, ...]:
    """A note where margins on numbers that begin with `only` are set: labels alone are not judged by them."""
    margins = [m.metric for m in (baseline.margins if baseline else ()) if m.metric.startswith(only)]
    if not margins:
        return ()
    return (f"[gates.baseline] compares runs; labels are not judged by its {', '.join(margins)}",)


def _failed(margin: Margin, run: str, reason: str) -> GateResult:
    """A gate without a number. The limit of a relative margin is not known then, and given as 0."""
    return GateResult(
        _gate(margin.metric, 0.0 if margin.relative else margin.amount),
        None,
        False,
        reason=reason,
        baseline=run,
    )


def _gate(metric: str, allowed: float) -> Gate:
    """The end of the interval that shows a change for the worse must not be beyond the margin."""
    if better_of(metric) is Better.HIGHER:
        return Gate(metric, ">=", 0.0 - allowed, Bound.LOWER, kind=GateKind.BASELINE)
    return Gate(metric, "<=", allowed, Bound.UPPER, kind=GateKind.BASELINE)


def _result(
    margin: Margin, judged: JudgedMetric, comparison: Comparison, pair: Pair, label: str
) -> GateResult:
    if judged.margin is None:
        return _failed(margin, label, why_missing(margin.metric, pair))
    difference = next(m.difference for m in comparison.metrics if m.name == margin.metric)
    gate = _gate(margin.metric, judged.margin)
    if difference.ci95 is None and not difference.same:
        reason = difference.too_few(comparison.kind_of_units)
        return replace(_failed(margin, label, reason), gate=gate, estimate=difference.difference)
    # Where nothing differs there is nothing to lose, however few images there are.
    low, high = difference.ci95 if difference.ci95 and not difference.same else (0.0, 0.0)
    value = high if gate.bound is Bound.UPPER else low
    return GateResult(
        gate=gate,
        value=value,
        passed=gate.keeps(value),
        estimate=difference.difference,
        ci95=difference.ci95,
        baseline=label,
    )


def gate_cases(
    results: Sequence[GateResult], table: RunTable, increases: Increases | None = None
) -> tuple[GateCase, ...]:
    """The gates as a pipeline sees them, with the images of the table behind those that failed.

    `increases` finds those whose error grew against the run of that name.
    """
    return tuple(
        GateCase(result, None if result.passed else _behind(result, table, increases)) for result in results
    )


def _behind(result: GateResult, table: RunTable, increases: Increases | None) -> WorstImages | None:
    """The images behind a failed gate; a number that is missing has none."""
    if result.value is None:
        return None
    name = result.gate.metric
    if increases is not None and result.baseline is not None and is_of_errors(name):
        return increases(result.baseline)
    return images_behind(name, table, too_high=result.value > result.gate.limit)


def other_notes(notes: Sequence[str], results: Sequence[GateResult]) -> tuple[str, ...]:
    """The notes that do not repeat the reason of a gate."""
    return tuple(note for note in notes if note not in notes_on(results))
