"""From the tables of a run to its results: the summary and the document that is written."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.findings import Findings
from mahtdiag.anatomy.violations import check_anatomy
from mahtdiag.calibration import CalibrationReport
from mahtdiag.calibration.record import Json
from mahtdiag.diagnosis.ambiguity import Ambiguity
from mahtdiag.diagnosis.anatomy import ErrorBreakdown, break_down_errors
from mahtdiag.diagnosis.summary import LOSS_NAMES, ErrorStatistics, ErrorSummary, summarise
from mahtdiag.runs.document import (
    AnatomySummary,
    CodeCounts,
    ErrorTypeEntry,
    ErrorTypesSummary,
    FailureEntry,
    ImageCounts,
    Losses,
    Metrics,
    RunDocument,
)
from mahtdiag.runs.document import ErrorSummary as StoredErrors
from mahtdiag.runs.reading import ImageColumns, KeypointColumns, Run
from mahtdiag.workflows.calibration_inputs import inputs_of, judge, shares_json
from mahtdiag.workflows.evaluation_setup import digest
from mahtdiag.workflows.stored_frames import stored_ambiguity
from mahtdiag.workflows.stored_limits import stored_limits, stored_rules

Floats = NDArray[np.float64]
CURVES = ("curve", "sparsification", "adversarial")


@dataclass(frozen=True, slots=True)
class RunResults:
    """A run's document, its summary (None if nothing was evaluated) and the columns behind them.

    `errors` and `ambiguity` are None where nothing was evaluated, the latter too where peaks are not known.
    """

    document: RunDocument
    summary: ErrorSummary | None
    images: ImageColumns
    keypoints: KeypointColumns
    errors: ErrorBreakdown | None = None
    ambiguity: Ambiguity | None = None


def read_results(run: Run, known: RunDocument) -> RunResults:
    """Everything that the tables of a run say; `known` is the document so far."""
    images, keypoints = run.images(), run.keypoints()
    failures = tuple(FailureEntry(image=f.image, reason=f.reason) for f in images.failures())
    counts = ImageCounts(
        total=known.images.total, evaluated=int(images.ok.sum()), failed=int((~images.ok).sum())
    )
    base = known.model_copy(
        update={
            "images": counts,
            "failures": failures,
            "data": known.data.model_copy(update={"sha256": _data_sha256(images)}),
        }
    )
    if not np.isfinite(keypoints.error_px).any():
        return RunResults(base, None, images, keypoints)
    losses = {name: _of_evaluated(images, f"loss_{name}") for name in LOSS_NAMES}
    summary = summarise(run.view, keypoints.image, keypoints.error_px, keypoints.error_mm, losses)
    share = _of_evaluated(images, "loss_heatmap_keypoint_share")
    errors = break_down_errors(keypoints.image, keypoints.pred_px, keypoints.gt_px, run.view)
    ambiguity = stored_ambiguity(run.document, _sizes(images), keypoints)
    document = base.model_copy(
        update={
            "metrics": _metrics(summary),
            "losses": Losses(
                **{name: value.value for name, value in summary.losses.items()},
                heatmap_keypoint_share=float(np.nanmean(share)) if np.isfinite(share).any() else None,
            ),
            "anatomy": _anatomy(findings_of(run.document, images, keypoints)),
            "error_types": _error_types(errors),
            "ambiguity": None if ambiguity is None else ambiguity.as_json(),
            "calibration": _calibration(run, images, keypoints),
        }
    )
    return RunResults(document, summary, images, keypoints, errors, ambiguity)


def _of_evaluated(images: ImageColumns, name: str) -> Floats:
    column: Floats = getattr(images, name)
    return column[images.ok]


def _data_sha256(images: ImageColumns) -> str:
    rows = zip(images.image, images.image_sha256, images.annotation_sha256, strict=True)
    return digest([f"{name}\0{image}\0{annotation}" for name, image, annotation in rows])


def findings_of(document: RunDocument, images: ImageColumns, keypoints: KeypointColumns) -> Findings:
    """Anatomical violations among the predictions, by the rules and limits of the run."""
    return check_anatomy(
        keypoints.pred_px,
        document.view,
        image_size_px=_sizes(images),
        limits=stored_limits(document),
        rules=stored_rules(document),
    )


def _sizes(images: ImageColumns) -> Floats:
    """Sizes (width, height) of the evaluated images, `[N, 2]`."""
    return np.stack([images.width, images.height], axis=-1)[images.ok]


def _error_types(errors: ErrorBreakdown) -> ErrorTypesSummary:
    return ErrorTypesSummary(
        keypoints=errors.keypoints,
        mean_error_px=errors.mean_error_px,
        by_type={
            row.error_type.title: ErrorTypeEntry(
                keypoints=row.keypoints,
                keypoint_share=row.keypoint_share,
                error_share=row.error_share,
                repaired_mean_px=row.repaired_mean_px,
            )
            for row in errors.repairs
        },
        level_shifts=len(errors.level_shifts),
        level_shift_by_image={shift.image: shift.shift for shift in errors.level_shifts},
    )


def _anatomy(findings: Findings) -> AnatomySummary:
    by_code = findings.findings_by_code()
    return AnatomySummary(
        violations=len(findings),
        images_with_violations=float(findings.fired().any(axis=1).mean()),
        by_code={
            code: CodeCounts(images=images, findings=by_code[code])
            for code, images in findings.images_by_code().items()
        },
    )


def _calibration(run: Run, images: ImageColumns, keypoints: KeypointColumns) -> dict[str, Json] | None:
    """Calibration of σ as `mahtdiag calibration` judges it, or None where the run has no σ."""
    if np.isnan(keypoints.sigma_px).all():
        return None
    inputs = inputs_of(run, images, keypoints)
    return without_curves(judge(inputs)) | shares_json(inputs.shares)


def without_curves(report: CalibrationReport) -> dict[str, Json]:
    """The numbers of a report as JSON; curves are for pictures and can be computed again."""
    content = report.as_json()
    radial = content["radial"]
    if isinstance(radial, dict):
        content["radial"] = {name: value for name, value in radial.items() if name != "curve"}
    return {name: value for name, value in content.items() if name not in CURVES}


def _stored(statistics: ErrorStatistics) -> StoredErrors:
    return StoredErrors(
        mean=statistics.mean,
        median=statistics.median,
        std=statistics.std,
        p90=statistics.p90,
        p95=statistics.p95,
        max=statistics.max,
        ci95=statistics.ci95,
    )


def _metrics(summary: ErrorSummary) -> Metrics:
    return Metrics.model_validate(
        {
            "radial_error_px": _stored(summary.radial_error_px),
            "radial_error_mm": _stored(summary.radial_error_mm) if summary.radial_error_mm else None,
            "sdr_px": {name: rate.value for name, rate in summary.sdr_px.items()},
            "sdr_mm": {n: r.value for n, r in summary.sdr_mm.items()} if summary.sdr_mm else None,
            "by_vertebra": {group.name: group.mean.value for group in summary.by_vertebra},
            "by_corner": {group.name: group.mean.value for group in summary.by_corner},
            "keypoints_measured": summary.radial_error_px.count,
            "keypoints_missing": summary.missing,
        }
    )
