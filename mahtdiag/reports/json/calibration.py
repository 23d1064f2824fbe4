"""A judged σ as JSON: no NaN, what is not known or unbounded is null."""

import math
from collections.abc import Mapping
from dataclasses import asdict

from mahtdiag.calibration import ConformalRow, ConformalTable
from mahtdiag.reports.json import escaped
from mahtdiag.reports.rendering import Json
from mahtdiag.reports.tables.calibration import CalibrationResult, RecalibrationResult
from mahtdiag.schema.skeleton import Skeleton


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
        "pictures": [escaped(path) for path in result.pictures],
        "gates": [gate.as_json() for gate in result.gates],
    }


def _recalibration(found: RecalibrationResult | None, skeleton: Skeleton) -> Json:
    if found is None:
        return None
    return {
        "rows": [{**asdict(row), "scope": row.scope or "none"} for row in found.rows],
        "nll_change": {
            scope: {"value": change.value, "ci95": None if change.ci95 is None else list(change.ci95)}
            for scope, change in found.changes.items()
        },
        "sigma_scale": {
            "common": found.scale.common,
            "by_keypoint": _named(found.scale.by_keypoint.tolist(), skeleton),
        },
        "conformal": _conformal(found.conformal, skeleton),
    }


def _conformal(table: ConformalTable, skeleton: Skeleton) -> Json:
    def rows(part: tuple[ConformalRow, ...]) -> list[Json]:
        return [
            {
                "coverage": row.limits.coverage,
                "pooled": _finite(row.limits.pooled),
                "pooled_held": row.held_pooled,
                "by_keypoint": _named([_finite(float(v)) for v in row.limits.by_keypoint], skeleton),
                "by_keypoint_held": row.held_by_keypoint,
                "n": row.limits.n,
            }
            for row in part
        ]

    return {"d": rows(table.ellipse), "px": rows(table.disc_px)}


def _named(values: list[float | None], skeleton: Skeleton) -> dict[str, Json]:
    return dict(zip(skeleton.keypoint_names, values, strict=True))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
