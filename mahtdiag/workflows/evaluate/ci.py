"""From an evaluation to what a pipeline is told of it: all gates, errors and rates, the worst images."""

from functools import cache, partial
from pathlib import Path

from mahtdiag.diagnosis.anatomy import JudgedImage, judge
from mahtdiag.diagnosis.comparison import compare_runs
from mahtdiag.diagnosis.summary import ErrorStatistics, ErrorSummary, Estimate
from mahtdiag.errors import MahtdiagError
from mahtdiag.reports.ci.record import CiRecord, NumberRow, WorstImages, interval_in_words
from mahtdiag.reports.numbers import interval, number, percent, pixels
from mahtdiag.runs.reading import open_finished
from mahtdiag.workflows.compare.pairing import pair_runs
from mahtdiag.workflows.evaluate.job import Evaluation
from mahtdiag.workflows.evaluate.results import RunResults
from mahtdiag.workflows.gates.ci import WorstOf, gate_cases, other_notes
from mahtdiag.workflows.gates.images import finder
from mahtdiag.workflows.gates.judging import results_of
from mahtdiag.workflows.gates.worst_images import by_increase

MEAN_ERROR = "radial_error_px.mean"


def of_evaluation(evaluation: Evaluation) -> CiRecord:
    """An evaluation: all gates, errors and rates, the images with the largest error."""
    results, document = evaluation.results, evaluation.results.document
    nothing = evaluation.not_done is not None and not document.images.evaluated
    worst_of, gates = _finder(results), results_of(document.gates)
    return CiRecord(
        command="evaluate",
        about=(
            ("checkpoint", document.checkpoint.path),
            ("data", document.data.path),
            ("view", str(document.view)),
            ("run folder", str(evaluation.path)),
        ),
        problems=(evaluation.not_done,) if nothing and evaluation.not_done else (),
        judged=document.images.evaluated,
        failures=results.table.failures,
        failures_allowed=evaluation.not_done is None,
        gates=gate_cases(gates, worst_of, cache(partial(_increases, results))),
        numbers=_evaluation_numbers(results),
        worst=worst_of(MEAN_ERROR, True) if results.summary else None,
        notes=other_notes(document.notes, gates),
    )


def _finder(results: RunResults) -> WorstOf:
    table = results.table

    def judged() -> tuple[JudgedImage, ...]:
        return judge(table.image, table.findings).images

    shifts = None if results.errors is None else results.errors.level_shifts
    return finder(table, judged, shifts)


def _increases(results: RunResults, baseline: str) -> WorstImages | None:
    """The images whose mean error grew most against a stored run; None where it is gone by now."""
    judged_by = results.table.conditions
    try:
        stored = open_finished(Path(baseline), results.run.cwd)
        pair = pair_runs(stored, results.run, judged_by.limits, judged_by.rules)
    except MahtdiagError:
        return None
    errors = compare_runs(pair.a, pair.b, (), ())
    return by_increase(pair.names_b, errors.error_a_px, errors.error_b_px).worst(too_high=True)


def _evaluation_numbers(results: RunResults) -> tuple[NumberRow, ...]:
    document, summary = results.document, results.summary
    if summary is None:
        return ()
    rows = [*_error_rows(summary.radial_error_px, "px")]
    if summary.radial_error_mm is not None:
        rows += _error_rows(summary.radial_error_mm, "mm")
    rows += _rate_rows(summary)
    if "total" in summary.losses:
        total = summary.losses["total"]
        rows.append(NumberRow("loss", number(total.value), interval_in_words(total.ci95)))
    if document.anatomy is not None:
        share = percent(document.anatomy.images_with_violations)
        rows.append(NumberRow("images with anatomical violations", share))
    return tuple(rows)


def _error_rows(statistics: ErrorStatistics, unit: str) -> list[NumberRow]:
    return [
        NumberRow(f"mean radial error, {unit}", pixels(statistics.mean), interval_in_words(statistics.ci95)),
        NumberRow(f"median radial error, {unit}", pixels(statistics.median)),
        NumberRow(f"95th percentile, {unit}", pixels(statistics.p95)),
    ]


def _rate_rows(summary: ErrorSummary) -> list[NumberRow]:
    rates = [("px", summary.sdr_px), ("mm", summary.sdr_mm or {})]
    return [
        NumberRow(f"errors up to {threshold} {unit}", percent(rate.value), _percents(rate))
        for unit, by_threshold in rates
        for threshold, rate in by_threshold.items()
    ]


def _percents(rate: Estimate) -> str:
    return f"{interval(rate.ci95, 100)} %" if rate.ci95 else ""
