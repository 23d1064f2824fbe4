"""From an evaluation to what a pipeline is told of it: all gates, errors and rates, the worst images."""

from functools import cache, partial
from pathlib import Path

from mahtdiag.diagnosis.comparison import compare_runs
from mahtdiag.diagnosis.metrics.errors import THRESHOLDS
from mahtdiag.diagnosis.metrics.metric import ERRORS, Estimate
from mahtdiag.diagnosis.metrics.registry import images_behind
from mahtdiag.diagnosis.numbers import RunNumbers
from mahtdiag.diagnosis.worst_images import WorstImages, by_increase
from mahtdiag.errors import MahtdiagError
from mahtdiag.reports.ci.record import CiRecord, NumberRow, interval_in_words
from mahtdiag.reports.text import interval, number, percent, pixels
from mahtdiag.runs.reading import open_finished
from mahtdiag.workflows.compare.pairing import pair_runs
from mahtdiag.workflows.evaluate.job import Evaluation
from mahtdiag.workflows.evaluate.results import RunResults
from mahtdiag.workflows.gates.ci import gate_cases, other_notes
from mahtdiag.workflows.gates.judging import results_of

MEAN_ERROR = "radial_error_px.mean"


def of_evaluation(evaluation: Evaluation) -> CiRecord:
    """An evaluation: all gates, errors and rates, the images with the largest error."""
    results, document = evaluation.results, evaluation.results.document
    nothing = evaluation.not_done is not None and not document.images.evaluated
    gates = results_of(document.gates)
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
        gates=gate_cases(gates, results.table, cache(partial(_increases, results))),
        numbers=_evaluation_numbers(results),
        worst=images_behind(MEAN_ERROR, results.table, too_high=True) if results.numbers else None,
        notes=other_notes(document.notes, gates),
    )


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
    numbers = results.numbers
    if numbers is None:
        return ()
    rows = []
    for unit in THRESHOLDS:
        if f"radial_error_{unit}.mean" in numbers.found:
            rows += _error_rows(numbers, unit)
    rows += [
        NumberRow(f"errors up to {metric.path[-1]} {unit}", percent(rate.value), _percents(rate))
        for unit in THRESHOLDS
        for metric, rate in numbers.of(ERRORS)
        if metric.path[1] == f"sdr_{unit}"
    ]
    total = numbers.get("losses.total")
    if total is not None:
        rows.append(NumberRow("loss", number(total.value), interval_in_words(total.ci95)))
    share = percent(numbers["anatomy.images_with_violations"].value)
    return (*rows, NumberRow("images with anatomical violations", share))


def _error_rows(numbers: RunNumbers, unit: str) -> list[NumberRow]:
    mean, median, p95 = (numbers[f"radial_error_{unit}.{name}"] for name in ("mean", "median", "p95"))
    return [
        NumberRow(f"mean radial error, {unit}", pixels(mean.value), interval_in_words(mean.ci95)),
        NumberRow(f"median radial error, {unit}", pixels(median.value)),
        NumberRow(f"95th percentile, {unit}", pixels(p95.value)),
    ]


def _percents(rate: Estimate) -> str:
    return f"{interval(rate.ci95, 100)} %" if rate.ci95 else ""
