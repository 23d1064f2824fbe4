"""What `--format json` prints, as plain values: no NaN, what is not known is null; and `anatomy` as CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from mahtdiag.anatomy.findings import finding_reason, image_reason
from mahtdiag.anatomy.systematic import Fitted, SystematicError
from mahtdiag.calibration.conformal import ConformalRow, ConformalTable
from mahtdiag.diagnosis.anatomy import (
    AnatomyReport,
    AnatomyVerdict,
    JudgedImage,
    PredictionDiagnosis,
    Source,
    shift_by_image,
)
from mahtdiag.diagnosis.comparison import ComparedMetric, JudgedMetric
from mahtdiag.diagnosis.metrics.anatomy import mean_error_px, repairs_of
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.reports.rendering import Json
from mahtdiag.reports.tables.bodies import bodies_content
from mahtdiag.reports.tables.calibration import CalibrationResult
from mahtdiag.reports.tables.comparison import ComparisonResult
from mahtdiag.reports.tables.copies import copies_content
from mahtdiag.reports.tables.curves import curve_content
from mahtdiag.reports.tables.label_noise import noise_content
from mahtdiag.reports.tables.measurements import known_interval, known_value, measurement_content
from mahtdiag.reports.tables.recalibration import RecalibrationResult
from mahtdiag.reports.tables.suspicious_labels import suspicious_content, why
from mahtdiag.schema.records import Finding
from mahtdiag.schema.safe_text import csv_cell
from mahtdiag.schema.setup import SetupEntry
from mahtdiag.schema.skeleton import Skeleton

CSV_COLUMNS = (
    *("rank", "image", "status", "severity", "codes", "keypoints", "reason"),
    *("label_evidence", "label_reason"),
)


def anatomy_content(report: AnatomyReport) -> dict[str, Json]:
    """What `--format json` prints, as plain values; what is not known is None."""
    verdict = report.verdict
    content: dict[str, Json] = {
        "view": str(verdict.view),
        "source": str(report.source),
        "subject": report.subject,
        "images": [_image(image, verdict.skeleton, report.source) for image in verdict.images],
        "by_code": {
            tally.rule.code: {
                "images": tally.images,
                "findings": tally.findings,
                "keypoints": tally.keypoints,
                "group": str(tally.rule.group),
                "worst_image": tally.worst_image,
            }
            for tally in verdict.tallies
        },
        "images_with_violations": verdict.share_violating,
        "gates": [{**result.as_json()} for result in report.gates],
        "setup": [_setup(entry) for entry in report.setup],
        "failures": [{"image": f.image, "reason": f.reason} for f in report.failures],
        "notes": list(report.notes),
    }
    if report.noise is not None:
        content["label_noise"] = noise_content(report.noise)
    if report.copies is not None:
        content["copies"] = copies_content(report.copies)
    if verdict.label_violating is not None:
        content["labels"] = _labels(verdict)
    if report.diagnosis is not None:
        content |= _diagnosis(report.diagnosis, report.judged)
        content["pictures"] = list(report.pictures)
    return content


def _image(image: JudgedImage, skeleton: Skeleton, source: Source) -> dict[str, Json]:
    content: dict[str, Json] = {
        "image": image.image,
        "severity": image.severity,
        "codes": list(image.codes),
        "reason": image_reason(image.findings, skeleton, most=None),
        "findings": [_finding(finding, skeleton) for finding in image.findings],
    }
    if source is Source.RUN:
        content["label_codes"] = list(image.label_codes)
        content["label_findings"] = [_finding(finding, skeleton) for finding in image.label_findings]
    return content


def _finding(finding: Finding, skeleton: Skeleton) -> dict[str, Json]:
    return {
        "code": finding.code,
        "value": finding.value,
        "unit": finding.unit,
        "limit": finding.limit,
        "vertebra": finding.vertebra,
        "keypoints": list(finding.keypoints),
        "severity": finding.severity,
        "reason": finding_reason(finding, skeleton),
    }


def _labels(verdict: AnatomyVerdict) -> dict[str, Json]:
    violating, images = verdict.label_violating or 0, len(verdict.images)
    return {
        "images_with_violations": violating / images if images else 0.0,
        "by_code": {tally.rule.code: {"images": tally.label_images} for tally in verdict.tallies},
    }


def _diagnosis(diagnosis: PredictionDiagnosis, judged: RunTable) -> dict[str, Json]:
    repairs = judged.once(repairs_of)
    return {
        "error_types": {
            "keypoints": sum(row.keypoints for row in repairs),
            "mean_error_px": mean_error_px(judged),
            "types": [
                {
                    "type": row.error_type.title,
                    "keypoints": row.keypoints,
                    "keypoint_share": row.keypoint_share,
                    "error_share": row.error_share,
                    "repaired_mean_px": row.repaired_mean,
                }
                for row in repairs
            ],
        },
        "level_shifts": [{"image": image, "shift": shift} for image, shift in shift_by_image(judged).items()],
        "systematic": {
            "px": _systematic(diagnosis.in_px),
            "cells": _systematic(diagnosis.in_cells),
            "sentence": diagnosis.sentence,
        },
        "bodies": bodies_content(diagnosis.bodies, diagnosis.bodies_sentence),
        "labels_suspicious": None
        if diagnosis.suspicious is None
        else suspicious_content(diagnosis.suspicious, judged.skeleton),
        **measurement_content(diagnosis.measured),
        **curve_content(diagnosis.measured, diagnosis.smape),
        "ambiguous": None if diagnosis.ambiguity is None else diagnosis.ambiguity.as_json(),
    }


def _setup(entry: SetupEntry) -> Json:
    return {
        "check": entry.check,
        "status": str(entry.status),
        "evidence": entry.evidence,
        "advice": entry.advice,
    }


def _systematic(error: SystematicError | None) -> Json:
    if error is None:
        return None
    names = ("shift_x", "shift_y", "scale_x", "scale_y", "rotation_deg", "outline_x", "outline_y")
    return {
        **{name: _estimate(getattr(error, name)) for name in names},
        "corners": {
            name: {"x": _estimate(x), "y": _estimate(y)}
            for name, (x, y) in zip(("UL", "UR", "LL", "LR"), error.corners, strict=True)
        },
        "keypoints": error.keypoints,
        "images": error.images,
        "units": error.units,
        "axes_exchanged": error.axes_exchanged,
    }


def _estimate(estimate: Fitted) -> Json:
    return {"value": known_value(estimate.value), "ci95": known_interval((estimate.low, estimate.high))}


def anatomy_csv(report: AnatomyReport) -> str:
    """One row per image, the most suspicious first, then what could not be judged, then what is clean.

    `keypoints` names the blamed keypoints, `reason` is the whole of `image_reason`. `label_evidence` and
    `label_reason`: how strongly and why the network speaks against the label, empty where it does not.
    Texts from outside are cells that no spreadsheet runs (see `csv_cell`).
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    skeleton, images = report.verdict.skeleton, report.verdict.images
    suspicious = [_row(image, skeleton) for image in images if image.findings]
    failed = [
        (csv_cell(failure.image), "unreadable", "", "", "", csv_cell(failure.reason))
        for failure in report.failures
    ]
    clean = [_row(image, skeleton) for image in images if not image.findings]
    found = report.diagnosis.suspicious if report.diagnosis else None
    doubted = {csv_cell(label.image): label for label in found.labels} if found else {}
    for rank, row in enumerate([*suspicious, *failed, *clean], start=1):
        label = doubted.get(row[0])
        against = (f"{label.evidence:.3f}", why(label, skeleton)) if label else ("", "")
        writer.writerow((rank, *row, *against))
    return buffer.getvalue()


def _row(image: JudgedImage, skeleton: Skeleton) -> tuple[str, ...]:
    names = skeleton.keypoint_names
    blamed = sorted({k for finding in image.findings for k in finding.keypoints})
    return (
        csv_cell(image.image),
        "suspicious" if image.findings else "clean",
        f"{image.severity:.3f}",
        " ".join(image.codes),
        ", ".join(names[k] for k in blamed),
        image_reason(image.findings, skeleton, most=None),
    )


def calibration_content(
    result: CalibrationResult, skeleton: Skeleton, about: Mapping[str, Json]
) -> dict[str, Json]:
    """What `--format json` prints: `about` the run, the report's keys, those of the factors and the gates."""
    report = result.report.as_json()
    report["verdict_status"] = report.pop("status")
    return {
        **about,
        **report,
        "aleatoric_share": result.aleatoric_share,
        "epistemic_share": result.epistemic_share,
        "recalibration": _recalibration(result.recalibration, skeleton),
        "no_recalibration": result.no_recalibration,
        "applied": _recalibration(result.applied, skeleton),
        "pictures": list(result.pictures),
        "gates": [gate.as_json() for gate in result.gates],
    }


def _recalibration(found: RecalibrationResult | None, skeleton: Skeleton) -> Json:
    if found is None:
        return None
    return {
        "rows": [
            {**asdict(row), "scope": row.scope or "none", "crps_px": known_value(row.crps_px)}
            for row in found.rows
        ],
        "nll_change": {
            scope: {"value": change.value, "ci95": None if change.ci95 is None else list(change.ci95)}
            for scope, change in found.changes.items()
        },
        "sigma_scale": {
            "common": found.scale.common,
            "core": found.scale.core,
            "by_keypoint": _named(found.scale.by_keypoint.tolist(), skeleton),
        },
        "student_t": None
        if found.student is None
        else {"scale": found.student.scale, "degrees_of_freedom": found.student.degrees},
        "conformal": _conformal(found.conformal, skeleton),
    }


def _conformal(table: ConformalTable, skeleton: Skeleton) -> Json:
    def rows(part: tuple[ConformalRow, ...]) -> list[Json]:
        return [
            {
                "coverage": row.limits.coverage,
                "pooled": known_value(row.limits.pooled),
                "pooled_held": row.held.pooled,
                "whole_image": known_value(row.limits.whole_image),
                "whole_image_held": row.held.whole_image,
                "by_keypoint": _named([known_value(float(v)) for v in row.limits.by_keypoint], skeleton),
                "by_keypoint_held": row.held.by_keypoint,
                "units": row.limits.units,
                "n": sum(row.limits.counts),
            }
            for row in part
        ]

    return {"d": rows(table.ellipse), "px": rows(table.disc_px)}


def _named(values: list[float | None], skeleton: Skeleton) -> dict[str, Json]:
    return dict(zip(skeleton.keypoint_names, values, strict=True))


MOST_IMAGES = 1000
"""A comparison of 100,000 images does not name each; `images.parquet` of the runs has them all."""


def comparison_content(results: Sequence[ComparisonResult]) -> dict[str, Json]:
    """What `--format json` prints: the first pair, and of more than two runs every pair in `comparisons`."""
    pairs = [_compared_pair(result) for result in results]
    return pairs[0] if len(pairs) == 1 else {**pairs[0], "comparisons": pairs}


def _compared_pair(result: ComparisonResult) -> dict[str, Json]:
    """One pair as plain values."""
    comparison = result.comparison
    worse, better = comparison.errors.changed()
    return {
        "a": result.a,
        "b": result.b,
        "checkpoints": {"a": result.checkpoint_a, "b": result.checkpoint_b},
        "view": str(result.skeleton.view),
        "images": comparison.images,
        "patients": comparison.patients,
        "unit": comparison.errors.unit.key,
        "metrics": {metric.name: _metric(metric) for metric in comparison.metrics},
        "judged": [_judged(judged) for judged in comparison.judged],
        "verdict": str(comparison.verdict),
        "non_inferior": comparison.non_inferior,
        "worse": _changed(result, worse),
        "better": _changed(result, better),
        "lost": [*comparison.lost],
        "notes": [*result.notes],
    }


def _metric(metric: ComparedMetric) -> dict[str, Json]:
    found = metric.difference
    return {
        "a": found.a,
        "b": found.b,
        "difference": found.difference,
        "ci95": None if found.ci95 is None else list(found.ci95),
        "p_value": found.p_value,
        "p_holm": found.p_holm,
        "test": None if found.test is None else "sign-flip",
        "units": found.units,
        "fewest_units": found.fewest,
        "detectable": found.detectable(),
        "better": str(metric.better),
        "verdict": None if metric.verdict is None else str(metric.verdict),
    }


def _judged(judged: JudgedMetric) -> dict[str, Json]:
    interval = judged.worsening_ci95
    return {
        "metric": judged.name,
        "margin": judged.margin,
        "worsening": judged.worsening,
        "worsening_ci95": None if interval is None else list(interval),
        "p_holm": judged.p_holm,
        "detectable": judged.detectable,
        "outcome": str(judged.outcome),
    }


def _changed(result: ComparisonResult, rows: Sequence[int]) -> dict[str, Json]:
    """How many, and the most changed of them by name: pixels, and millimetres where both runs know them."""
    in_px, in_mm = result.comparison.in_px, result.comparison.in_mm
    most: list[Json] = [
        {
            "image": result.names_a[row],
            "image_b": result.names_b[row],
            "a": float(in_px.a[row]),
            "b": float(in_px.b[row]),
            "difference": float(in_px.change[row]),
            **(
                {}
                if in_mm is None
                else {
                    "a_mm": float(in_mm.a[row]),
                    "b_mm": float(in_mm.b[row]),
                    "difference_mm": float(in_mm.change[row]),
                }
            ),
        }
        for row in rows[:MOST_IMAGES]
    ]
    return {"images": len(rows), "most": most}
