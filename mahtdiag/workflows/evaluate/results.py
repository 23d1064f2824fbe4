"""From the tables of a run to its results: the summary and the document that is written."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.error_types import ErrorType
from mahtdiag.anatomy.findings import Findings, check_anatomy
from mahtdiag.calibration import CalibrationReport
from mahtdiag.calibration.report import Json
from mahtdiag.config.settings import CalibrationSettings
from mahtdiag.diagnosis.ambiguity import Ambiguity
from mahtdiag.diagnosis.anatomy import ErrorBreakdown, break_down_errors
from mahtdiag.diagnosis.summary import (
    LOSS_NAMES,
    ErrorStatistics,
    ErrorSummary,
    RadialErrors,
    summarise,
)
from mahtdiag.diagnosis.violations import violation_numbers
from mahtdiag.runs.document import FailureEntry, ImageCounts, RunDocument
from mahtdiag.runs.reading import ImageColumns, KeypointColumns, Run
from mahtdiag.runs.results import (
    AnatomySummary,
    ErrorTypeEntry,
    ErrorTypesSummary,
    Losses,
    Metrics,
)
from mahtdiag.runs.results import ErrorSummary as StoredErrors
from mahtdiag.workflows.calibration.choices import choices_of
from mahtdiag.workflows.calibration.inputs import VarianceShares, inputs_of, judge, shares_json
from mahtdiag.workflows.evaluate.setup import digest
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
    errors = break_down_errors(keypoints.image, keypoints.pred_px, keypoints.gt_px)
    ambiguity = stored_ambiguity(run.document, _sizes(images), keypoints)
    document = base.model_copy(
        update={
            "metrics": _metrics(summary),
            "losses": Losses(
                **{name: value.value for name, value in summary.losses.items()},
                heatmap_keypoint_share=float(np.nanmean(share)) if np.isfinite(share).any() else None,
                ci95={name: value.ci95 for name, value in summary.losses.items()},
            ),
            "anatomy": AnatomySummary.model_validate(
                violation_numbers(findings_of(run.document, images, keypoints), len(errors.level_shifts))
            ),
            "error_types": _error_types(errors),
            "ambiguity": None if ambiguity is None else ambiguity.as_json(),
            "calibration": _calibration(run, images, keypoints, known),
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
        document.view.skeleton,
        image_size_px=_sizes(images),
        limits=stored_limits(document),
        rules=stored_rules(document),
    )


def _sizes(images: ImageColumns) -> Floats:
    """Sizes (width, height) of the evaluated images, `[N, 2]`."""
    return np.stack([images.width, images.height], axis=-1)[images.ok]


def _error_types(errors: ErrorBreakdown) -> ErrorTypesSummary:
    found = {row.error_type: row for row in errors.repairs}
    nothing = ErrorTypeEntry(
        keypoints=0, keypoint_share=0.0, error_share=0.0, repaired_mean_px=errors.mean_error_px or 0.0
    )
    # A kind that never happened is 0, so that a gate on it finds a number.
    absent = (kind for kind in ErrorType if kind not in found and kind is not ErrorType.UNKNOWN)
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
        }
        | {kind.title: nothing for kind in absent},
        level_shifts=len(errors.level_shifts),
        level_shift_by_image={shift.image: shift.shift for shift in errors.level_shifts},
    )


def _calibration(
    run: Run, images: ImageColumns, keypoints: KeypointColumns, known: RunDocument
) -> dict[str, Json] | None:
    """Calibration of σ as `mahtdiag calibration` judges it, or None where the run has no σ."""
    if np.isnan(keypoints.sigma_px).all():
        return None
    inputs = inputs_of(run, images, keypoints, choices_of(CalibrationSettings(), known))
    return calibration_numbers(judge(inputs), inputs.shares)


def calibration_numbers(report: CalibrationReport, shares: VarianceShares | None) -> dict[str, Json]:
    """What `run.json` holds of a calibration, and what gates on it limit."""
    return without_curves(report) | shares_json(shares)


def without_curves(report: CalibrationReport) -> dict[str, Json]:
    """The numbers of a report as JSON; curves are for pictures and can be computed again."""
    content = report.as_json()
    radial = content["radial"]
    if isinstance(radial, dict):
        content["radial"] = {name: value for name, value in radial.items() if name != "curve"}
    return {name: value for name, value in content.items() if name not in CURVES}


def _metrics(summary: ErrorSummary) -> Metrics:
    groups = {"vertebrae": summary.by_vertebra, "corners": summary.by_corner}
    return Metrics.model_validate(
        {
            **_radial(summary),
            "by_vertebra": {group.name: group.mean.value for group in summary.by_vertebra},
            "by_corner": {group.name: group.mean.value for group in summary.by_corner},
            **{
                name: {g.name: {**_radial(g), "keypoints": g.radial_error_px.count} for g in members}
                for name, members in groups.items()
            },
            "keypoints_measured": summary.radial_error_px.count,
            "keypoints_missing": summary.missing,
        }
    )


def _radial(errors: RadialErrors) -> dict[str, object]:
    """Radial errors and rates by their names in `run.json`."""
    return {
        "radial_error_px": _stored(errors.radial_error_px),
        "radial_error_mm": _stored(errors.radial_error_mm) if errors.radial_error_mm else None,
        "sdr_px": {name: rate.value for name, rate in errors.sdr_px.items()},
        "sdr_mm": {name: rate.value for name, rate in errors.sdr_mm.items()} if errors.sdr_mm else None,
        "sdr_px_ci95": {name: rate.ci95 for name, rate in errors.sdr_px.items()},
        "sdr_mm_ci95": {name: rate.ci95 for name, rate in (errors.sdr_mm or {}).items()},
    }


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
