"""From a comparison of runs to what a pipeline is told of it: a gate per number that decides."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from mahtdiag.diagnosis.comparison import ComparedMetric, JudgedMetric, Outcome, Verdict
from mahtdiag.diagnosis.gates import Bound, Gate, GateResult
from mahtdiag.diagnosis.metrics.registry import is_of_errors
from mahtdiag.diagnosis.worst_images import WorstImages, by_increase
from mahtdiag.reports.ci.record import (
    CiRecord,
    GateCase,
    NumberRow,
    interval_in_words,
)
from mahtdiag.reports.numbers import number
from mahtdiag.reports.tables.comparison import ComparisonView, verdict_lines
from mahtdiag.schema.samples import Failure
from mahtdiag.workflows.compare.job import Compared
from mahtdiag.workflows.compare.screen import views_of

NO_INTERVAL = "no 95 % interval: too few images"


def of_comparison(compared: Compared) -> CiRecord:
    """Runs against the first: the numbers that decide, those that differ, the images that got worse."""
    views = views_of(compared)
    letters = [view.letter for view in views]
    several = len(views) > 1
    lost = [failure for view in views for failure in _lost(view)]
    return CiRecord(
        command="compare",
        about=(("A", views[0].a), *((letter, view.b) for letter, view in zip(letters, views, strict=True))),
        said=" ".join(
            _said(view, letter if several else "") for letter, view in zip(letters, views, strict=True)
        ),
        judged=max(view.comparison.images for view in views),
        failures=tuple(lost),
        failures_allowed=not lost,
        gates=tuple(
            _case(view, judged, letter if several else "")
            for letter, view in zip(letters, views, strict=True)
            for judged in view.comparison.judged
        ),
        numbers=tuple(
            row
            for letter, view in zip(letters, views, strict=True)
            for row in _numbers(view, letter if several else "")
        ),
        worst=_worse(views[0]) if not several else None,
        notes=tuple(dict.fromkeys(note for view in views for note in view.notes)),
    )


def _said(view: ComparisonView, letter: str) -> str:
    if letter:
        return f"{letter}: {view.comparison.verdict}."
    return " ".join(line.text for line in verdict_lines(view)).removeprefix("verdict: ")


def _lost(view: ComparisonView) -> Iterator[Failure]:
    for image in view.comparison.lost:
        yield Failure(image, f"evaluated in {view.a}, failed in {view.b}")


def _case(view: ComparisonView, judged: JudgedMetric, letter: str) -> GateCase:
    """How much worse a run is, against its margin.

    The end of the interval that has to keep the margin is the lower one, or the upper one where a run must
    be shown to be no worse.
    """
    bound = Bound.UPPER if view.strict else Bound.LOWER
    ends = judged.worsening_ci95
    passed = judged.outcome in (Outcome.BETTER, Outcome.WITHIN) or (
        judged.outcome is Outcome.OPEN and not view.strict
    )
    result = GateResult(
        Gate(f"{_before(letter)}{judged.name} worse by", "<=", judged.margin or 0.0, bound),
        value=None if ends is None else ends[1 if view.strict else 0],
        passed=passed,
        estimate=judged.worsening,
        ci95=ends,
        reason=NO_INTERVAL if ends is None else None,
    )
    return GateCase(result, _worse(view, letter) if is_of_errors(judged.name) and not passed else None)


def _before(letter: str) -> str:
    return f"{letter}: " if letter else ""


def _worse(view: ComparisonView, letter: str = "") -> WorstImages | None:
    images = view.worse
    a_px, b_px = (np.array([getattr(image, name) for image in images]) for name in ("a_px", "b_px"))
    found = by_increase([image.image for image in images], a_px, b_px).worst(too_high=True)
    if found is None or not letter:
        return found
    return replace(found, what=f"{found.what} in {letter}")


def _numbers(view: ComparisonView, letter: str) -> Iterator[NumberRow]:
    """The numbers that decide and those that differ by more than chance."""
    judged = {each.name for each in view.comparison.judged}
    for metric in view.comparison.metrics:
        if metric.name in judged or metric.verdict in (Verdict.BETTER, Verdict.WORSE):
            yield _number(metric, letter)


def _number(metric: ComparedMetric, letter: str) -> NumberRow:
    found = metric.difference
    change = f"{'+' if found.difference > 0 else ''}{number(found.difference)}"
    told = "" if metric.verdict in (None, Verdict.SAME) else f", {metric.verdict}"
    text = f"{number(found.a)} → {number(found.b)} ({change}{told})"
    return NumberRow(f"{_before(letter)}{metric.name}", text, interval_in_words(found.ci95))
