"""Factors on σ and conformal regions: fitted on one run, kept in a file, judged on another."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from mahtdiag.calibration.recalibration import (
    ConformalRadii,
    ConformalRow,
    ConformalTable,
    Scope,
    SigmaScale,
    apply_sigma_scale,
    conformal_scores,
    cross_fitted_sigma,
    fit_conformal_table,
    fit_sigma_scale,
    judge_conformal_table,
    nll_changes,
    recalibration_row,
)
from mahtdiag.calibration.scores import collect_points
from mahtdiag.errors import UsageError
from mahtdiag.reports.tables.calibration import RecalibrationResult
from mahtdiag.runs.document import ConformalLimits, Recalibration, RunDocument, SigmaFactors
from mahtdiag.runs.reading import Run
from mahtdiag.runs.settings import READING
from mahtdiag.schema.skeleton import View
from mahtdiag.workflows.calibration.judged_sigma import JudgedSigma

FOLDS = 5
MIN_KEYPOINTS = 20
SCOPES: tuple[Scope, ...] = ("global", "keypoint")
CROSS_FITTED = f"Fitted on the other images in {FOLDS} folds and judged on those left out."


def cross_fit(judged: JudgedSigma) -> RecalibrationResult:
    """Fit on all images, judge by cross-fitting; ValueError says why that is not possible."""
    residual, sigma = judged.residual_px, judged.table.sigma_px
    scale = fit_sigma_scale(residual, sigma)
    after = {scope: cross_fitted_sigma(residual, sigma, scope=scope, folds=FOLDS) for scope in SCOPES}
    conformal = fit_conformal_table(*conformal_scores(judged.points()), folds=FOLDS)
    return _compared(judged, after, scale, conformal, CROSS_FITTED)


def judge_factors(judged: JudgedSigma, factors: Recalibration) -> RecalibrationResult:
    """Factors from a file on images that they were not fitted on; ValueError if there is nothing to judge."""
    scale, conformal = _scale(factors), _conformal(factors)
    after = {scope: apply_sigma_scale(judged.table.sigma_px, scale, scope) for scope in SCOPES}
    held = judge_conformal_table(*conformal_scores(judged.points()), conformal)
    where = (
        f"Fitted on {factors.n_keypoints:,} keypoints in {factors.n_images:,} images of {factors.data.path}, "
        "judged on this run."
    )
    return _compared(judged, after, scale, held, where)


def _compared(
    judged: JudgedSigma,
    after: Mapping[Scope, ArrayLike],
    scale: SigmaScale,
    conformal: ConformalTable,
    where: str,
) -> RecalibrationResult:
    """σ as it came and with factors that its images did not help to fit."""
    residual, before = judged.residual_px, judged.table.sigma_px
    rows = [recalibration_row(None, residual, before)]
    rows += [recalibration_row(scope, residual, sigma) for scope, sigma in after.items()]
    changes = dict(zip(after, nll_changes(residual, before, *after.values()), strict=True))
    return RecalibrationResult(tuple(rows), scale, changes, conformal, where)


def fitted_file(judged: JudgedSigma, fitted: RecalibrationResult, option: Path) -> Recalibration:
    """What `--fit` writes.

    Raises:
        UsageError: the run is not complete, or has too little to fit on.
    """
    document, scale = judged.run.document, fitted.scale
    if document.status != "complete" or document.data.sha256 is None:
        raise UsageError(f"--fit {option}: the run was interrupted; finish it with evaluate --resume first")
    if scale.n < MIN_KEYPOINTS:
        raise UsageError(
            f"--fit {option}: {scale.n} keypoints are too few, at least {MIN_KEYPOINTS} are needed; "
            "evaluate more images"
        )
    names = document.view.skeleton.keypoint_names
    return Recalibration(
        view=document.view,
        checkpoint=document.checkpoint,
        data=document.data,
        reading=document.resolved.reading(document.sigma_source),
        n_images=collect_points(judged.residual_px, judged.table.sigma_px).n_images,
        n_keypoints=scale.n,
        sigma_scale=SigmaFactors(
            common=scale.common,
            by_keypoint=dict(zip(names, scale.by_keypoint.tolist(), strict=True)),
            counts=dict(zip(names, scale.counts, strict=True)),
        ),
        conformal_d=tuple(_limits(row.limits, names) for row in fitted.conformal.ellipse),
        conformal_px=tuple(_limits(row.limits, names) for row in fitted.conformal.disc_px),
        image_sha256=tuple(sorted({sha for sha in judged.table.image_sha256 if sha})),
    )


def require_other_data(run: Run, factors: Recalibration, file: Path) -> None:
    """Factors are judged only on what they were made for and on images that they have not seen.

    Raises:
        UsageError: another view, checkpoint or reading of its output, or images that they were fitted on.
    """
    require_same_reading(run.document, factors, file, str(run.path))
    seen, table = set(factors.image_sha256), run.table()
    again = [name for name, sha in zip(table.image, table.image_sha256, strict=True) if sha in seen]
    if again or run.document.data.sha256 == factors.data.sha256:
        count = f"{len(again)} of its {len(table)} images" if again else "the same data"
        example = f" ({again[0]})" if again else ""
        raise UsageError(
            f"{file}: fitted on {count}{example}, so {run.path} cannot judge it; give a run on other "
            "images, or leave out --apply to see this run cross-fitted"
        )


def require_same_reading(run: RunDocument, factors: Recalibration, file: Path, name: str) -> None:
    """Factors hold for the view, the checkpoint and the reading of its output that they were fitted with.

    `name` is what messages call the run. Raises UsageError where one of them is another.
    """
    if run.view is not factors.view:
        raise UsageError(f"{file}: fitted for the {factors.view} view, {name} is {run.view}; fit again")
    if run.checkpoint.sha256 != factors.checkpoint.sha256:
        raise UsageError(
            f"{file}: fitted for another checkpoint ({factors.checkpoint.path}, sha256 "
            f"{factors.checkpoint.sha256[:12]}…) than that of {name} ({run.checkpoint.path}); fit again"
        )
    now = run.resolved.reading(run.sigma_source)
    differ = [
        f"{setting} {factors.reading.get(setting)} there, {now.get(setting)} here"
        for setting in READING
        if factors.reading.get(setting) != now.get(setting)
    ]
    if differ:
        raise UsageError(f"{file}: fitted with other settings ({'; '.join(differ)}); fit again")


def _limits(radii: ConformalRadii, names: tuple[str, ...]) -> ConformalLimits:
    return ConformalLimits(
        coverage=radii.coverage,
        pooled=_finite(radii.pooled),
        by_keypoint={n: _finite(float(v)) for n, v in zip(names, radii.by_keypoint, strict=True)},
        counts=dict(zip(names, radii.counts, strict=True)),
    )


def _finite(limit: float) -> float | None:
    return limit if math.isfinite(limit) else None


def _scale(factors: Recalibration) -> SigmaScale:
    names, stored = factors.view.skeleton.keypoint_names, factors.sigma_scale
    return SigmaScale(
        stored.common,
        np.array([stored.by_keypoint[name] for name in names]),
        factors.n_keypoints,
        tuple(stored.counts[name] for name in names),
    )


def _conformal(factors: Recalibration) -> ConformalTable:
    ellipse, disc = (
        tuple(ConformalRow(_radii(limits, factors.view), None, None) for limits in table)
        for table in (factors.conformal_d, factors.conformal_px)
    )
    return ConformalTable(ellipse, disc)


def _radii(limits: ConformalLimits, view: View) -> ConformalRadii:
    def bound(limit: float | None) -> float:
        return math.inf if limit is None else limit

    names = view.skeleton.keypoint_names
    return ConformalRadii(
        limits.coverage,
        bound(limits.pooled),
        sum(limits.counts.values()),
        np.array([bound(limits.by_keypoint[name]) for name in names]),
        tuple(limits.counts[name] for name in names),
    )
