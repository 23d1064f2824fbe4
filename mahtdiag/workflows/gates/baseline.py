"""`[gates.baseline]`: a run against a stored one on the same images, by the statistics of `compare`."""

from dataclasses import replace
from pathlib import Path

from mahtdiag.anatomy.rules import Limits, Rule
from mahtdiag.diagnosis.comparison import Comparison, JudgedMetric, better_of, compare_runs
from mahtdiag.diagnosis.gates import BaselineGates, Bound, Gate, GateKind, GateResult, Margin
from mahtdiag.diagnosis.metrics.metric import Better
from mahtdiag.errors import MahtdiagError, RunFolderError
from mahtdiag.runs.document import RunDocument
from mahtdiag.runs.reading import Run, open_finished
from mahtdiag.workflows.compare.pairing import Pair, named, pair_runs, require_images, why_missing

ONE_IMAGE = "a single image has no interval; compare on two images or more"


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
    return tuple(
        _result(margin, judged, comparison, pair, label)
        for margin, judged in zip(margins, comparison.judged, strict=True)
    )


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
    if difference.ci95 is None:
        return replace(_failed(margin, label, ONE_IMAGE), gate=gate, estimate=difference.difference)
    value = difference.ci95[1] if gate.bound is Bound.UPPER else difference.ci95[0]
    return GateResult(
        gate=gate,
        value=value,
        passed=gate.keeps(value),
        estimate=difference.difference,
        ci95=difference.ci95,
        baseline=label,
    )
