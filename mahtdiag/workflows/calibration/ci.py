"""From a judged σ to what a pipeline is told of it."""

from mahtdiag.calibration.report import CalibrationReport
from mahtdiag.diagnosis.metrics.registry import images_behind
from mahtdiag.reports.ci.record import CiRecord, NumberRow, interval_in_words
from mahtdiag.reports.tables.calibration import NUMBERS
from mahtdiag.reports.text import interval, number, percent
from mahtdiag.workflows.calibration.job import Calibration
from mahtdiag.workflows.gates.judging import gate_cases, other_notes

# The numbers of the report that the summary shows, by key.
SHOWN = ("sigma_scale", "mace", "ence", "sharpness_px", "nll", "crps_px", "spearman", "ause")
LEVEL = "0.95"


def of_calibration(calibration: Calibration) -> CiRecord:
    """A judged σ: the gates on `calibration.…`, its numbers, the images whose errors σ explains least."""
    run, sigma = calibration.run, calibration.sigma
    return CiRecord(
        command="calibration",
        about=(
            ("run", run.label),
            ("checkpoint", run.document.checkpoint.path),
            ("data", run.document.data.path),
            ("view", str(run.view)),
        ),
        said=sigma.report.verdict,
        judged=sigma.report.n_images,
        gates=gate_cases(calibration.gates, sigma.table),
        numbers=_calibration_numbers(sigma.report),
        worst=images_behind("calibration.mace", sigma.table, too_high=True),
        notes=other_notes(calibration.notes, calibration.gates),
    )


def _calibration_numbers(report: CalibrationReport) -> tuple[NumberRow, ...]:
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
