"""From the tables of a run to its results: the summary and the document that is written."""

from dataclasses import dataclass, replace

import numpy as np

from mahtdiag.anatomy.error_types import ErrorType
from mahtdiag.calibration import CalibrationReport
from mahtdiag.calibration.report import Json
from mahtdiag.config.settings import CalibrationSettings
from mahtdiag.diagnosis.ambiguity import Ambiguity, ambiguity_of
from mahtdiag.diagnosis.anatomy import ErrorBreakdown, break_down_errors
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.summary import (
    LOSS_NAMES,
    ErrorStatistics,
    ErrorSummary,
    RadialErrors,
    summarise,
)
from mahtdiag.diagnosis.violations import violation_numbers
from mahtdiag.runs.document import FailureEntry, ImageCounts, RunDocument
from mahtdiag.runs.reading import Run
from mahtdiag.runs.results import (
    AnatomySummary,
    ErrorTypeEntry,
    ErrorTypesSummary,
    Losses,
    Metrics,
)
from mahtdiag.runs.results import ErrorSummary as StoredErrors
from mahtdiag.workflows.calibration.choices import choices_of
from mahtdiag.workflows.calibration.inputs import VarianceShares, judge, read_inputs, shares_json
from mahtdiag.workflows.evaluate.setup import digest

CURVES = ("curve", "sparsification", "adversarial")


@dataclass(frozen=True, slots=True)
class RunResults:
    """A run with its document, its summary (None if nothing was evaluated) and the table behind them.

    `errors` and `ambiguity` are None where nothing was evaluated, the latter too where peaks are not known.
    """

    run: Run
    summary: ErrorSummary | None
    errors: ErrorBreakdown | None = None
    ambiguity: Ambiguity | None = None

    @property
    def document(self) -> RunDocument:
        """What `run.json` says."""
        return self.run.document

    @property
    def table(self) -> RunTable:
        """The images of the run."""
        return self.run.table()


def read_results(run: Run, known: RunDocument) -> RunResults:
    """Everything that the tables of a run say; `known` is the document so far."""
    table = run.table()
    failures = tuple(FailureEntry(image=f.image, reason=f.reason) for f in table.failures)
    counts = ImageCounts(total=known.images.total, evaluated=len(table), failed=len(failures))
    base = known.model_copy(
        update={
            "images": counts,
            "failures": failures,
            "data": known.data.model_copy(update={"sha256": _data_sha256(table)}),
        }
    )
    if not np.isfinite(table.error_px).any():
        return RunResults(replace(run, document=base), None)
    losses = {name: table.loss(name) for name in LOSS_NAMES}
    summary = summarise(run.view, table.image, table.error_px, table.error_mm, losses)
    share = table.loss_heatmap_keypoint_share
    errors, ambiguity = break_down_errors(table), ambiguity_of(table)
    document = base.model_copy(
        update={
            "metrics": _metrics(summary),
            "losses": Losses(
                **{name: value.value for name, value in summary.losses.items()},
                heatmap_keypoint_share=float(np.nanmean(share)) if np.isfinite(share).any() else None,
                ci95={name: value.ci95 for name, value in summary.losses.items()},
            ),
            "anatomy": AnatomySummary.model_validate(
                violation_numbers(table.findings, len(errors.level_shifts))
            ),
            "error_types": _error_types(errors),
            "ambiguity": None if ambiguity is None else ambiguity.as_json(),
            "calibration": _calibration(run, known),
        }
    )
    return RunResults(replace(run, document=document), summary, errors, ambiguity)


def _data_sha256(table: RunTable) -> str:
    rows = [*zip(table.image, table.image_sha256, table.annotation_sha256, strict=True)]
    rows += [(failure.image, failure.image_sha256, failure.annotation_sha256) for failure in table.failures]
    return digest([f"{name}\0{image}\0{annotation}" for name, image, annotation in rows])


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


def _calibration(run: Run, known: RunDocument) -> dict[str, Json] | None:
    """Calibration of σ as `mahtdiag calibration` judges it, or None where the run has no σ."""
    if np.isnan(run.table().sigma_px).all():
        return None
    inputs = read_inputs(run, choices_of(CalibrationSettings(), known))
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
