"""From a judged σ to what its tables and its JSON show, and what a pipeline is told of it."""

import shlex

from mahtdiag.calibration.report import CalibrationReport
from mahtdiag.diagnosis.metrics.registry import images_behind
from mahtdiag.reports.ci.record import CiRecord, NumberRow, interval_in_words
from mahtdiag.reports.json import calibration_content
from mahtdiag.reports.rendering import Json
from mahtdiag.reports.tables.calibration import NUMBERS, CalibrationResult, calibration_number
from mahtdiag.reports.text import interval, percent
from mahtdiag.runs.document import RunDocument
from mahtdiag.runs.settings import DROPOUT, ENSEMBLE, FROM_FILE
from mahtdiag.schema.choices import UncertaintyKind, UncertaintySource
from mahtdiag.workflows.calibration.job import PICTURES, Calibration
from mahtdiag.workflows.gates.judging import gate_cases, other_notes

WITHIN = {
    UncertaintySource.HEAD: "from the network's uncertainty head",
    UncertaintySource.HEATMAP: "from the spread of the heatmaps",
}
# The numbers of the report that the summary shows, by key.
SHOWN = ("sigma_scale", "mace", "ence", "sharpness_px", "nll", "crps_px", "spearman", "ause")
LEVEL = "0.95"


def result_of(calibration: Calibration) -> CalibrationResult:
    """Everything that the tables show."""
    document, sigma = calibration.run.document, calibration.sigma
    return CalibrationResult(
        title=f"Calibration of {document.checkpoint.path} on {document.data.path}",
        source=f"{document.skeleton.in_words}; σ: {source_in_words(document)}",
        large_error=sigma.large_error,
        report=sigma.report,
        aleatoric_share=None if sigma.shares is None else sigma.shares.aleatoric,
        epistemic_share=None if sigma.shares is None else sigma.shares.epistemic,
        recalibration=calibration.recalibrated,
        no_recalibration=calibration.no_recalibration,
        applied=calibration.applied,
        gates=calibration.gates,
        sigma_bounds=document.resolved.sigma_bounds,
        patients=sigma.table.patients,
        closing=_closing(calibration),
        pictures=tuple(calibration.run.named(path) for path in calibration.pictures),
    )


def source_in_words(document: RunDocument) -> str:
    """Where the σ of a run comes from."""
    source = document.sigma_source
    if source == UncertaintySource.HEATMAP:
        words = f"{WITHIN[UncertaintySource.HEATMAP]}, ellipses from their full covariance"
    elif source in (DROPOUT, ENSEMBLE):
        words = _passes_in_words(document)
    elif source == FROM_FILE:
        words = "from the file of predictions"
    else:
        words = WITHIN.get(UncertaintySource.HEAD, source) if source == UncertaintySource.HEAD else source
        if document.resolved.stored.get("uncertainty_as") == UncertaintyKind.COV:
            words = f"{words}, ellipses from its covariance"
    return f"{words}, recalibrated" if document.resolved.recalibrated else words


def _passes_in_words(document: RunDocument) -> str:
    """`the disagreement of 20 passes with dropout and the head`."""
    members = len(document.checkpoint.members)
    passes, within = document.resolved.dropout_passes, document.resolved.sigma_within
    who = f"{members} networks" if members else ""
    if passes:
        who = f"{passes} passes with dropout" + (f" of each of {who}" if who else "")
    more = "" if within is None else f", and {WITHIN[within]}"
    return f"from the disagreement of {who}{more}"


def _closing(calibration: Calibration) -> tuple[str, ...]:
    lines = []
    if calibration.fitted is not None:
        lines.append(f"factors and conformal regions: {calibration.fitted}")
    if calibration.pictures:
        folder = calibration.run.named(calibration.run.path / PICTURES)
        lines.append(f"{len(calibration.pictures)} pictures: {folder}")
    return tuple(lines)


def content_of(calibration: Calibration) -> dict[str, Json]:
    """What `--format json` prints."""
    run, sigma = calibration.run, calibration.sigma
    about: dict[str, Json] = {
        "run": run.label,
        "status": run.document.status,
        "view": str(run.view),
        "uncertainty": run.document.sigma_source,
        "large_error": sigma.large_error,
        "settings": sigma.choices.as_settings(),
    }
    return calibration_content(result_of(calibration), run.skeleton, about)


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
        next_steps=_next_steps(calibration),
    )


def _next_steps(calibration: Calibration) -> tuple[str, ...]:
    """Factors that can be fitted, where there is reason to."""
    run = shlex.quote(calibration.run.label)
    if calibration.sigma.report.status != "faulty" or calibration.recalibrated is None or calibration.fitted:
        return (f"mahtdiag report {run}",)
    return (f"mahtdiag calibration {run} --fit factors.json", f"mahtdiag report {run}")


def _calibration_numbers(report: CalibrationReport) -> tuple[NumberRow, ...]:
    names = {key: name for name, key, _ in NUMBERS}
    rows = [
        NumberRow(names[key], calibration_number(report, key), interval_in_words(report.ci95.get(key)))
        for key in SHOWN
    ]
    for what, coverage in (("intervals", report.coverage), ("ellipses", report.radial.coverage)):
        if LEVEL in coverage:
            inside = coverage[LEVEL]
            bounds = f"{interval(inside.ci95, 100)} %" if inside.ci95 else ""
            rows.append(NumberRow(f"errors in 95 % {what}", percent(inside.observed), bounds))
    return tuple(rows)
