"""From what a command found to what a pipeline is told of it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mahtdiag.diagnosis.anatomy import AnatomyReport, Source
from mahtdiag.diagnosis.gates import GateResult
from mahtdiag.diagnosis.metrics.registry import images_behind, is_of_errors
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.worst_images import WorstImages
from mahtdiag.errors import ExitStatus
from mahtdiag.reports.ci.record import CiRecord, GateCase, NumberRow, interval_in_words
from mahtdiag.reports.numbers import counted, interval, number, percent
from mahtdiag.reports.tables.calibration import NUMBERS
from mahtdiag.workflows.gates.judging import notes_on

if TYPE_CHECKING:  # each command loads its own workflow alone
    from mahtdiag.workflows.anatomy.job import Anatomy
    from mahtdiag.workflows.calibration.job import Calibration

Increases = Callable[[str], WorstImages | None]
# The numbers of the calibration report that the summary shows, by key.
SHOWN = ("sigma_scale", "mace", "ence", "sharpness_px", "nll", "crps_px", "spearman", "ause")
LEVEL = "0.95"


def not_done(command: str, problems: Sequence[str]) -> CiRecord:
    """A command that ended before it had a result, and why."""
    return CiRecord(command, problems=tuple(problems), failures_allowed=False)


def of_anatomy(anatomy: "Anatomy") -> CiRecord:
    """Judged predictions or labels: gates on `anatomy.…`, rules that fired, the most suspicious images."""
    report = anatomy.report
    verdict = report.verdict
    return CiRecord(
        command="anatomy",
        about=((str(report.source), report.subject), ("view", str(verdict.view))),
        problems=() if verdict.images else ("no image could be judged",),
        judged=len(verdict.images),
        failures=report.failures,
        failures_allowed=anatomy.status is not ExitStatus.NOT_DONE,
        gates=gate_cases(report.gates, report.judged),
        numbers=_anatomy_numbers(report),
        worst=images_behind("anatomy.violations", report.judged, too_high=True),
        notes=other_notes(report.notes, report.gates),
    )


def of_calibration(calibration: "Calibration") -> CiRecord:
    """A judged σ: the gates on `calibration.…`, its numbers, the images whose errors σ explains least."""
    document, inputs = calibration.run.document, calibration.inputs
    return CiRecord(
        command="calibration",
        about=(
            ("run", calibration.shown(calibration.run.path)),
            ("checkpoint", document.checkpoint.path),
            ("data", document.data.path),
            ("view", str(document.view)),
        ),
        said=calibration.report.verdict,
        judged=calibration.report.n_images,
        gates=gate_cases(calibration.gates, inputs.table),
        numbers=_calibration_numbers(calibration),
        worst=images_behind("calibration.mace", inputs.table, too_high=True),
        notes=other_notes(calibration.notes, calibration.gates),
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


def _anatomy_numbers(report: AnatomyReport) -> tuple[NumberRow, ...]:
    verdict = report.verdict
    what = "labels" if report.source is Source.LABELS else "predictions"
    rows = [NumberRow(f"{what} with violations", f"{verdict.violating} ({percent(verdict.share_violating)})")]
    if verdict.label_violating is not None:
        rows.append(NumberRow("labels with violations", str(verdict.label_violating)))
    for tally in sorted(verdict.tallies, key=lambda tally: (-tally.images, tally.rule.code)):
        if tally.images:
            rows.append(NumberRow(f"{tally.rule.code} {tally.rule.title}", counted(tally.images, "image")))
    return tuple(rows)


def _calibration_numbers(calibration: "Calibration") -> tuple[NumberRow, ...]:
    report = calibration.report
    names = {key: name for name, key, _ in NUMBERS}
    rows = [
        NumberRow(names[key], number(getattr(report, key)), interval_in_words(report.ci95.get(key)))
        for key in SHOWN
    ]
    for what, coverage in (("intervals", report.coverage), ("ellipses", report.radial.coverage)):
        if LEVEL in coverage:
            inside = coverage[LEVEL]
            bounds = f"{interval(inside.ci95, 100)} %" if inside.ci95 else ""
            rows.append(NumberRow(f"errors in 95 % {what}", percent(inside.observed), bounds))
    return tuple(rows)
