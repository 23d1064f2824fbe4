"""From a comparison of runs to what a pipeline is told of it: a gate per number that decides."""

from collections.abc import Iterator
from dataclasses import replace

from mahtdiag.diagnosis.comparison import ComparedMetric, JudgedMetric, Outcome, Verdict
from mahtdiag.diagnosis.gates import Bound, Gate, GateResult
from mahtdiag.diagnosis.metrics.registry import is_of_errors
from mahtdiag.diagnosis.worst_images import WorstImages, by_increase
from mahtdiag.reports.ci.record import CiRecord, GateCase, NumberRow, interval_in_words
from mahtdiag.reports.tables.comparison import ComparisonResult, verdict_lines
from mahtdiag.reports.text import number
from mahtdiag.schema.records import Failure
from mahtdiag.workflows.compare.job import ComparedRuns

NO_INTERVAL = "no 95 % interval: too few images"


def of_comparison(compared: ComparedRuns) -> CiRecord:
    """Runs against the first: the numbers that decide, those that differ, the images that got worse."""
    pairs = compared.pairs
    several = len(pairs) > 1
    lettered = [(f"{pair.letter}: " if several else "", pair) for pair in pairs]
    lost = [failure for pair in pairs for failure in _lost(pair)]
    return CiRecord(
        command="compare",
        about=(("A", pairs[0].a), *((pair.letter, pair.b) for pair in pairs)),
        said=" ".join(_said(pair, before) for before, pair in lettered),
        judged=max(pair.comparison.images for pair in pairs),
        failures=tuple(lost),
        failures_allowed=not lost,
        gates=tuple(_case(pair, of, before) for before, pair in lettered for of in pair.comparison.judged),
        numbers=tuple(row for before, pair in lettered for row in _numbers(pair, before)),
        worst=_worse(pairs[0]) if not several else None,
        notes=tuple(dict.fromkeys(note for pair in pairs for note in pair.notes)),
    )


def _said(pair: ComparisonResult, before: str) -> str:
    if before:
        return f"{before}{pair.comparison.verdict}."
    return " ".join(line.text for line in verdict_lines(pair)).removeprefix("verdict: ")


def _lost(pair: ComparisonResult) -> Iterator[Failure]:
    for image in pair.comparison.lost:
        yield Failure(image, f"evaluated in {pair.a}, failed in {pair.b}")


def _case(pair: ComparisonResult, judged: JudgedMetric, before: str) -> GateCase:
    """How much worse a run is, against its margin.

    The end of the interval that has to keep the margin is the lower one, or the upper one where a run must
    be shown to be no worse.
    """
    bound = Bound.UPPER if pair.strict else Bound.LOWER
    ends = judged.worsening_ci95
    passed = judged.outcome in (Outcome.BETTER, Outcome.WITHIN) or (
        judged.outcome is Outcome.OPEN and not pair.strict
    )
    result = GateResult(
        Gate(f"{before}{judged.name} worse by", "<=", judged.margin or 0.0, bound),
        value=None if ends is None else ends[1 if pair.strict else 0],
        passed=passed,
        estimate=judged.worsening,
        ci95=ends,
        reason=NO_INTERVAL if ends is None else None,
    )
    return GateCase(result, _worse(pair, before) if is_of_errors(judged.name) and not passed else None)


def _worse(pair: ComparisonResult, before: str = "") -> WorstImages | None:
    comparison, (rows, _) = pair.comparison, pair.comparison.changed()
    names = [pair.names_a[row] for row in rows]
    found = by_increase(names, comparison.error_a_px[rows], comparison.error_b_px[rows]).worst(too_high=True)
    if found is None or not before:
        return found
    return replace(found, what=f"{found.what} in {pair.letter}")


def _numbers(pair: ComparisonResult, before: str) -> Iterator[NumberRow]:
    """The numbers that decide and those that differ by more than chance."""
    judged = {each.name for each in pair.comparison.judged}
    for metric in pair.comparison.metrics:
        if metric.name in judged or metric.verdict in (Verdict.BETTER, Verdict.WORSE):
            yield _number(metric, before)


def _number(metric: ComparedMetric, before: str) -> NumberRow:
    found = metric.difference
    change = f"{'+' if found.difference > 0 else ''}{number(found.difference)}"
    told = "" if metric.verdict in (None, Verdict.SAME) else f", {metric.verdict}"
    text = f"{number(found.a)} → {number(found.b)} ({change}{told})"
    return NumberRow(f"{before}{metric.name}", text, interval_in_words(found.ci95))
