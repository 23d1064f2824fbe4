"""From the tables of a run to its results: the summary and the document that is written."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.findings import Findings
from mahtdiag.anatomy.violations import check_anatomy
from mahtdiag.calibration import CalibrationReport
from mahtdiag.calibration.record import Json
from mahtdiag.diagnosis.summary import LOSS_NAMES, ErrorStatistics, ErrorSummary, summarise
from mahtdiag.runs.document import (
    AnatomySummary,
    CodeCounts,
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
from mahtdiag.workflows.stored_limits import stored_limits

Floats = NDArray[np.float64]
CURVES = ("curve", "sparsification", "adversarial")


@dataclass(frozen=True, slots=True)
class RunResults:
    """A run's document, its summary (None if nothing was evaluated) and the columns behind them."""

    document: RunDocument
    summary: ErrorSummary | None
    images: ImageColumns
    keypoints: KeypointColumns


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
    document = base.model_copy(
        update={
            "metrics": _metrics(summary),
            "losses": Losses(
                **{name: value.value for name, value in summary.losses.items()},
                heatmap_keypoint_share=float(np.nanmean(share)) if np.isfinite(share).any() else None,
            ),
            "anatomy": _anatomy(_findings(run, images, keypoints)),
            "calibration": _calibration(run, images, keypoints),
        }
    )
    return RunResults(document, summary, images, keypoints)


def _of_evaluated(images: ImageColumns, name: str) -> Floats:
    column: Floats = getattr(images, name)
    return column[images.ok]


def _data_sha256(images: ImageColumns) -> str:
    rows = zip(images.image, images.image_sha256, images.annotation_sha256, strict=True)
    return digest([f"{name}\0{image}\0{annotation}" for name, image, annotation in rows])


def _findings(run: Run, images: ImageColumns, keypoints: KeypointColumns) -> Findings:
    sizes = np.stack([images.width, images.height], axis=-1)[images.ok]
    return check_anatomy(keypoints.pred_px, run.view, image_size_px=sizes, limits=stored_limits(run.document))


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
