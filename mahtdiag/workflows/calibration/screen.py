"""From a judged run to what is printed: the tables' view and the JSON."""

from mahtdiag.reports.json import calibration_content
from mahtdiag.reports.rendering import Json, escaped
from mahtdiag.reports.tables.calibration import CalibrationResult, RecalibrationResult
from mahtdiag.runs.document import Recalibration, RunDocument
from mahtdiag.runs.settings import DROPOUT, ENSEMBLE
from mahtdiag.schema.choices import UncertaintySource
from mahtdiag.workflows.calibration.job import PICTURES, Calibration
from mahtdiag.workflows.calibration.recalibration import FOLDS, Recalibrated

CROSS_FITTED = f"Fitted on the other images in {FOLDS} folds and judged on those left out."
WITHIN = {
    UncertaintySource.HEAD: "from the network's uncertainty head",
    UncertaintySource.HEATMAP: "from the spread of the heatmaps",
}


def result_of(calibration: Calibration) -> CalibrationResult:
    """Everything that the tables show."""
    document, sigma = calibration.run.document, calibration.sigma
    return CalibrationResult(
        title=f"Calibration of {document.checkpoint.path} on {document.data.path}",
        source=f"{document.view} view; σ: {source_in_words(document)}",
        large_error=sigma.large_error,
        report=sigma.report,
        aleatoric_share=None if sigma.shares is None else sigma.shares.aleatoric,
        epistemic_share=None if sigma.shares is None else sigma.shares.epistemic,
        recalibration=_recalibration(calibration.recalibrated, CROSS_FITTED),
        no_recalibration=calibration.no_recalibration,
        applied=_recalibration(calibration.applied, _fitted_on(calibration.factors)),
        gates=calibration.gates,
        sigma_bounds=document.resolved.sigma_bounds,
        resamples=sigma.choices.resamples,
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
    else:
        words = WITHIN.get(UncertaintySource.HEAD, source) if source == UncertaintySource.HEAD else source
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


def _recalibration(found: Recalibrated | None, where: str) -> RecalibrationResult | None:
    if found is None:
        return None
    return RecalibrationResult(found.rows, found.scale, found.changes, found.conformal, where)


def _fitted_on(factors: Recalibration | None) -> str:
    if factors is None:
        return ""
    return (
        f"Fitted on {factors.n_keypoints:,} keypoints in {factors.n_images:,} images of {factors.data.path}, "
        "judged on this run."
    )


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
        "run": escaped(run.label),
        "status": run.document.status,
        "view": str(run.view),
        "uncertainty": run.document.sigma_source,
        "large_error": sigma.large_error,
        "settings": sigma.choices.as_settings(),
    }
    return calibration_content(result_of(calibration), run.view.skeleton, about)
