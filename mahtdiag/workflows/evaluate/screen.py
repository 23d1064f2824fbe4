"""From a finished run to what its tables show, and what a pipeline is told of it."""

import shlex
from functools import cache, partial
from pathlib import Path

from mahtdiag.diagnosis.comparison import compare_runs
from mahtdiag.diagnosis.label_noise import noise_of_run
from mahtdiag.diagnosis.metrics.clean_labels import CLEAN, LEFT_OUT
from mahtdiag.diagnosis.metrics.error_units import ERROR_UNITS, ErrorUnit
from mahtdiag.diagnosis.metrics.errors import MISS_RATE, THRESHOLDS
from mahtdiag.diagnosis.metrics.metric import ERRORS, Estimate
from mahtdiag.diagnosis.metrics.registry import images_behind
from mahtdiag.diagnosis.numbers import RunNumbers
from mahtdiag.diagnosis.worst_images import WorstImages, by_increase
from mahtdiag.errors import MahtdiagError
from mahtdiag.reports.ci.record import CiRecord, NumberRow, interval_in_words
from mahtdiag.reports.tables.errors import leading_unit, missed_in
from mahtdiag.reports.tables.evaluation import EvaluationResult
from mahtdiag.reports.tables.label_noise import marked_rate
from mahtdiag.reports.text import counted, interval, number, percent, pixels
from mahtdiag.runs.document import RunDocument
from mahtdiag.runs.reading import Run, open_finished
from mahtdiag.schema.choices import LeadingUnit
from mahtdiag.schema.setup import SetupStatus
from mahtdiag.workflows.compare.pairing import pair_runs
from mahtdiag.workflows.evaluate.job import Evaluation
from mahtdiag.workflows.gates.judging import gate_cases, other_notes, results_of


def result_of(evaluation: Evaluation) -> EvaluationResult:
    """Everything that is printed at the end of `evaluate`."""
    run, numbers = evaluation.run, evaluation.numbers
    document, table = run.document, run.table()
    return EvaluationResult(
        title=f"{document.checkpoint.path} ({document.checkpoint.format}) on {document.data.path}",
        subtitle=_subtitle(document),
        evaluated=document.images.evaluated,
        failed=document.images.failed,
        numbers=numbers,
        loss_weights=document.resolved.loss_weights,
        calibration=document.calibration,
        gates=results_of(document.gates),
        failures=table.failures,
        notes=document.notes,
        setup=document.setup_entries,
        error_unit=evaluation.error_unit,
    )


def _subtitle(document: RunDocument) -> str:
    seconds = f", {document.seconds.total:.1f} s" if document.seconds else ""
    settings = document.resolved
    if settings.from_file:
        return f"{document.skeleton.in_words}, predictions of a file{seconds}"
    return (
        f"{document.skeleton.in_words}, input {settings.input_size}, decode {settings.decode}, "
        f"{document.environment.device}{seconds}"
    )


def of_evaluation(evaluation: Evaluation) -> CiRecord:
    """An evaluation: all gates, errors and rates, the images with the largest error."""
    run, document, table = evaluation.run, evaluation.run.document, evaluation.run.table()
    nothing = evaluation.not_done is not None and not document.images.evaluated
    gates = results_of(document.gates)
    return CiRecord(
        command="evaluate",
        about=(
            ("checkpoint", document.checkpoint.path),
            ("data", document.data.path),
            ("view", str(document.view)),
            ("run folder", str(run.path)),
        ),
        problems=(evaluation.not_done,) if nothing and evaluation.not_done else (),
        judged=document.images.evaluated,
        failures=table.failures,
        failures_allowed=evaluation.not_done is None,
        gates=gate_cases(gates, table, cache(partial(_increases, run))),
        numbers=_evaluation_numbers(evaluation.numbers, evaluation.error_unit),
        worst=_worst(evaluation.numbers, evaluation.error_unit) if evaluation.numbers else None,
        notes=other_notes(document.notes, gates),
        setup=document.setup_entries,
        setup_wrong=evaluation.setup_wrong,
        next_steps=_next_steps(evaluation),
        kept=_kept(evaluation),
    )


def _kept(evaluation: Evaluation) -> str:
    """Nothing where nothing was evaluated."""
    if evaluation.numbers is None:
        return ""
    folder = evaluation.run.path
    drawn = f", {evaluation.overlays} overlays in {folder}/overlays" if evaluation.overlays else ""
    return f"run folder: {folder}{drawn}"


def _next_steps(evaluation: Evaluation) -> tuple[str, ...]:
    """What is wrong in the set-up comes first: all that follows from it is not to be looked at yet."""
    wrong = [entry for entry in evaluation.run.document.setup_entries if entry.status is SetupStatus.WRONG]
    if wrong:
        return tuple(f"{entry.check}: {entry.advice or entry.evidence}" for entry in wrong)
    numbers, run = evaluation.numbers, shlex.quote(str(evaluation.run.path))
    if numbers is None:
        return ()
    steps = [f"mahtdiag report {run}"]
    if numbers["anatomy.images_with_violations"].value:
        steps.append(f"mahtdiag anatomy {run}")
    elif evaluation.run.document.calibration is not None:
        steps.append(f"mahtdiag calibration {run}")
    return tuple(steps)


def _worst(numbers: RunNumbers, asked: LeadingUnit | None) -> WorstImages | None:
    """The images with the largest error in the leading unit; without labels, the most severe violations."""
    table = numbers.table
    unit, _ = leading_unit(asked, numbers)
    name = f"radial_error_{unit.key}.mean" if table.labelled else "anatomy.violations"
    return images_behind(name, table, too_high=True)


def _increases(run: Run, baseline: str) -> WorstImages | None:
    """The images whose mean error grew most against a stored run; None where it is gone by now."""
    judged_by = run.table().conditions
    try:
        stored = open_finished(Path(baseline), run.cwd)
        pair = pair_runs(stored, run, judged_by.limits, judged_by.rules)
    except MahtdiagError:
        return None
    errors = compare_runs(pair.a, pair.b, (), ()).errors
    return by_increase(pair.names_b, errors.a, errors.b, errors.unit.words).worst(too_high=True)


def _evaluation_numbers(numbers: RunNumbers | None, asked: LeadingUnit | None) -> tuple[NumberRow, ...]:
    """What is asked for first, then pixels and millimetres, of other units the mean."""
    if numbers is None:
        return ()
    rows, noise = [], noise_of_run(numbers.table)
    leading, _ = leading_unit(asked, numbers)
    units = [leading, *(unit for unit in ERROR_UNITS if unit.key in THRESHOLDS and unit is not leading)]
    for unit in units:
        if f"radial_error_{unit.key}.mean" in numbers.found:
            rows += _error_rows(numbers, unit)
    rows += [
        _mean_row(numbers, unit, mean)
        for unit in ERROR_UNITS
        if unit not in units and (mean := numbers.get(f"radial_error_{unit.key}.mean")) is not None
    ]
    rows += [
        NumberRow(
            marked_rate(f"errors up to {metric.path[-1]} {unit.words}", metric.path, noise),
            percent(rate.value),
            _percents(rate),
        )
        for unit in units
        for metric, rate in numbers.of(ERRORS)
        if metric.path[1] == f"sdr_{unit.key}"
    ]
    rows += _missed_rows(numbers)
    rows += _clean_rows(numbers) if numbers.table.labelled else []
    total = numbers.get("losses.total")
    if total is not None:
        rows.append(NumberRow("loss", number(total.value), interval_in_words(total.ci95)))
    share = percent(numbers["anatomy.images_with_violations"].value)
    return (*rows, NumberRow("images with anatomical violations", share))


def _error_rows(numbers: RunNumbers, unit: ErrorUnit) -> list[NumberRow]:
    mean, median, p95 = (numbers[f"radial_error_{unit.key}.{name}"] for name in ("mean", "median", "p95"))
    return [
        _mean_row(numbers, unit, mean),
        NumberRow(f"median radial error, {unit.words}", pixels(median.value)),
        NumberRow(f"95th percentile, {unit.words}", pixels(p95.value)),
    ]


def _mean_row(numbers: RunNumbers, unit: ErrorUnit, mean: Estimate) -> NumberRow:
    """A mean, and how many missed keypoints it leaves out."""
    missed = missed_in(numbers, unit)
    label = f"mean radial error, {unit.words}{f', without {missed:,} missed' if missed else ''}"
    return NumberRow(label, pixels(mean.value), interval_in_words(mean.ci95))


def _missed_rows(numbers: RunNumbers) -> list[NumberRow]:
    """The share of labelled keypoints that are not predicted, where any is not."""
    rate = numbers.get(MISS_RATE)
    if rate is None or not rate.value:
        return []
    return [NumberRow("missed: labelled, not predicted", percent(rate.value), _percents(rate))]


def _clean_rows(numbers: RunNumbers) -> list[NumberRow]:
    """The mean error without the images whose labels break a rule, where there are any."""
    left_out = int(numbers[LEFT_OUT].value)
    words = f"without {counted(left_out, 'image')} whose label breaks a rule"
    means = {unit: numbers.get(f"{CLEAN}.radial_error_{unit}.mean") for unit in THRESHOLDS}
    return [
        NumberRow(f"mean radial error, {unit}, {words}", pixels(mean.value), interval_in_words(mean.ci95))
        for unit, mean in means.items()
        if mean is not None and left_out
    ]


def _percents(rate: Estimate) -> str:
    return f"{interval(rate.ci95, 100)} %" if rate.ci95 else ""
