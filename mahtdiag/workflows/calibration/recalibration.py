"""Factors on σ and conformal regions: fitted on one run, kept in a file, judged on another."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from mahtdiag.calibration.conformal import (
    ConformalRadii,
    ConformalRow,
    ConformalTable,
    Held,
    conformal_scores,
    fit_conformal_table,
    judge_conformal_table,
)
from mahtdiag.calibration.nll_changes import Change
from mahtdiag.calibration.recalibration import (
    Mend,
    RecalibrationRow,
    Scope,
    SigmaScale,
    cross_fit_scale,
    cross_fit_student,
    fit_scale,
    fit_student_of,
    harms,
    judge_mends,
    scaled_sigma,
    student_row_of,
)
from mahtdiag.calibration.scores import FloatArray, Points
from mahtdiag.calibration.student import StudentT
from mahtdiag.errors import UsageError
from mahtdiag.reports.tables.recalibration import RecalibrationResult
from mahtdiag.reports.text import number
from mahtdiag.runs.document import RunDocument
from mahtdiag.runs.factors import (
    ConformalLimits,
    Recalibration,
    SigmaFactors,
    StudentDistribution,
)
from mahtdiag.runs.reading import Run
from mahtdiag.runs.settings import READING
from mahtdiag.schema.choices import FactorKind
from mahtdiag.schema.places import LARGEST_FACTOR, SMALLEST_FACTOR
from mahtdiag.schema.safe_text import brief, one_line
from mahtdiag.workflows.calibration.judged_sigma import JudgedSigma, points_of

FOLDS = 5
MIN_KEYPOINTS = 20
SCOPES: tuple[Scope, ...] = ("global", "keypoint", "core")
CROSS_FITTED = f"Fitted on the other images in {FOLDS} folds and judged on those left out."
# What of the table stands for the factors that a file may hold.
JUDGED_BY: Mapping[FactorKind, tuple[Scope, ...]] = {
    FactorKind.LIKELIHOOD: ("global", "keypoint"),
    FactorKind.CORE: ("core",),
    FactorKind.NONE: (),
}


def cross_fit(judged: JudgedSigma) -> RecalibrationResult:
    """Fit on all images, judge by cross-fitting; ValueError says why that is not possible."""
    # Before the points are collected: these scores are as large as they.
    conformal = fit_conformal_table(*conformal_scores(judged.points()), judged.table.units, folds=FOLDS)
    points = points_of(judged.table, ellipses=False)
    scale, student = fit_scale(points), fit_student_of(points)
    fitted = cross_fit_scale(points, folds=FOLDS)
    by_student = cross_fit_student(points, folds=FOLDS)
    return _compared(judged, points, fitted.sigma_of, scale, (student, *by_student), conformal, CROSS_FITTED)


def judge_factors(judged: JudgedSigma, factors: Recalibration) -> RecalibrationResult:
    """Factors from a file on images that they were not fitted on; ValueError if there is nothing to judge."""
    scale, stored = _scale(factors), factors.student_t
    held = judge_conformal_table(*conformal_scores(judged.points()), _conformal(factors), judged.table.units)
    points = points_of(judged.table, ellipses=False)

    def after(of: Points, scope: Scope) -> FloatArray:
        return scaled_sigma(of, scale, scope)

    where = (
        f"Fitted on {factors.n_keypoints:,} keypoints in {factors.n_images:,} images of "
        f"{one_line(factors.data.path)}, judged on this run."
    )
    student = None if stored is None else StudentT(stored.scale, stored.degrees_of_freedom)
    by_student = None if student is None else (student, *student_row_of(points, student))
    return _compared(judged, points, after, scale, by_student, held, where)


def _compared(
    judged: JudgedSigma,
    points: Points,
    after: Callable[[Points, Scope], FloatArray],
    scale: SigmaScale,
    student: tuple[StudentT, RecalibrationRow, Change] | None,
    conformal: ConformalTable,
    where: str,
) -> RecalibrationResult:
    """σ as it came and with factors that its images did not help to fit: `after`, by scope."""
    rows, changes = judge_mends(points, after, SCOPES)
    by_mend: dict[Mend, Change] = dict(zip(SCOPES, changes, strict=True))
    if student is not None:
        rows = (*rows, student[1])
        by_mend["student_t"] = student[2]
    fitted = None if student is None else student[0]
    most = judged.report.mace_by_chance_most
    return RecalibrationResult(rows, scale, fitted, by_mend, conformal, where, most)


def require_harmless(
    fitted: RecalibrationResult, asked: FactorKind | None, option: Path
) -> tuple[FactorKind, tuple[str, ...]]:
    """Which factors to write, and what they make worse on images that they were not fitted on.

    Those of the likelihood unless others are asked for; harmful ones are written only if they are.

    Raises:
        UsageError: nothing was asked for, and the factors make σ worse.
    """
    before, *after = fitted.rows
    kind = asked or FactorKind.LIKELIHOOD
    worse = tuple(
        dict.fromkeys(
            harm
            for row in after
            if row.scope in JUDGED_BY[kind]
            for harm in harms(before, row, fitted.changes[row.scope], fitted.by_chance)
        )
    )
    if worse and asked is None:
        common, core = map(number, (fitted.scale.common, fitted.scale.core))
        drive = "Large errors drive them; half" if fitted.scale.common > fitted.scale.core else "Half"
        raise UsageError(
            f"--fit {option}: the factors ({common} for all keypoints) make σ worse on images that they "
            f"were not fitted on: {', '.join(worse)}. {drive} of the errors fit "
            f"{core} σ. Say which factors to write: --factors core ({core}), none (1: conformal regions "
            "and Student-t alone), or likelihood (these all the same)"
        )
    return kind, worse


def fitted_file(
    judged: JudgedSigma, fitted: RecalibrationResult, kind: FactorKind, worse: tuple[str, ...], option: Path
) -> Recalibration:
    """What `--fit` writes: factors of a kind, with what they make `worse`.

    Raises:
        UsageError: the run is not complete, or has too little to fit on.
    """
    document, scale = judged.run.document, _of_kind(fitted.scale, kind)
    if document.status != "complete" or document.data.sha256 is None:
        raise UsageError(f"--fit {option}: the run was interrupted; finish it with evaluate --resume first")
    if scale.n < MIN_KEYPOINTS:
        raise UsageError(
            f"--fit {option}: {scale.n} keypoints are too few, at least {MIN_KEYPOINTS} are needed; "
            "evaluate more images"
        )
    all_factors = np.array([scale.common, scale.core, *scale.by_keypoint])
    beyond = all_factors[(all_factors < SMALLEST_FACTOR) | (all_factors > LARGEST_FACTOR)]
    if beyond.size:
        raise UsageError(
            f"--fit {option}: σ would be multiplied by {beyond[0]:g}, a factor is {SMALLEST_FACTOR:g} to "
            f"{LARGEST_FACTOR:g}; see with inspect what σ the network gives"
        )
    names = document.skeleton.keypoint_names
    return Recalibration(
        view=document.view,
        levels=str(document.skeleton.levels),
        checkpoint=document.checkpoint,
        data=document.data,
        reading=document.resolved.reading(document.sigma_source),
        n_images=judged.report.n_images,
        n_keypoints=scale.n,
        sigma_scale=SigmaFactors(
            common=scale.common,
            core=scale.core,
            by_keypoint=dict(zip(names, scale.by_keypoint.tolist(), strict=True)),
            counts=dict(zip(names, scale.counts, strict=True)),
        ),
        factors=kind,
        worsens=worse,
        student_t=_student(fitted),
        conformal_d=tuple(_limits(row.limits, names) for row in fitted.conformal.ellipse),
        conformal_px=tuple(_limits(row.limits, names) for row in fitted.conformal.disc_px),
        image_sha256=tuple(sorted({sha for sha in judged.table.image_sha256 if sha})),
        unknown_images=sum(not sha for sha in judged.table.image_sha256),
    )


def _of_kind(scale: SigmaScale, kind: FactorKind) -> SigmaScale:
    if kind is FactorKind.LIKELIHOOD:
        return scale
    factor = scale.core if kind is FactorKind.CORE else 1.0
    return replace(scale, common=factor, by_keypoint=np.full(len(scale.by_keypoint), factor))


def _student(fitted: RecalibrationResult) -> StudentDistribution | None:
    row = next((row for row in fitted.rows if row.scope == "student_t"), None)
    if row is None or fitted.student is None:
        return None
    return StudentDistribution(
        scale=fitted.student.scale,
        degrees_of_freedom=fitted.student.degrees,
        nll=row.nll,
        gaussian_nll=fitted.rows[0].nll,
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
    if run.skeleton is not factors.skeleton:
        theirs, ours = factors.skeleton.levels, run.skeleton.levels
        raise UsageError(f"{file}: fitted for the levels {theirs}, {name} has {ours}; fit again")
    if run.checkpoint.sha256 != factors.checkpoint.sha256:
        raise UsageError(
            f"{file}: fitted for another checkpoint ({brief(factors.checkpoint.path, 200)}, sha256 "
            f"{factors.checkpoint.sha256[:12]}…) than that of {name} ({brief(run.checkpoint.path, 200)}); "
            "fit again"
        )
    now = run.resolved.reading(run.sigma_source)
    differ = [
        f"{setting} {_short(factors.reading.get(setting))} there, {_short(now.get(setting))} here"
        for setting in READING
        if factors.reading.get(setting) != now.get(setting)
    ]
    if differ:
        raise UsageError(f"{file}: fitted with other settings ({'; '.join(differ)}); fit again")


def _short(value: JsonValue) -> str:
    return brief(str(value), 80)


def _limits(radii: ConformalRadii, names: tuple[str, ...]) -> ConformalLimits:
    return ConformalLimits(
        coverage=radii.coverage,
        pooled=_finite(radii.pooled),
        whole_image=_finite(radii.whole_image),
        units=radii.units,
        by_keypoint={n: _finite(float(v)) for n, v in zip(names, radii.by_keypoint, strict=True)},
        counts=dict(zip(names, radii.counts, strict=True)),
    )


def _finite(limit: float) -> float | None:
    return limit if math.isfinite(limit) else None


def _scale(factors: Recalibration) -> SigmaScale:
    names, stored = factors.skeleton.keypoint_names, factors.sigma_scale
    return SigmaScale(
        stored.common,
        np.array([stored.by_keypoint[name] for name in names]),
        stored.common if stored.core is None else stored.core,
        factors.n_keypoints,
        tuple(stored.counts[name] for name in names),
    )


def _conformal(factors: Recalibration) -> ConformalTable:
    unknown = Held(None, None, None)
    ellipse, disc = (
        tuple(ConformalRow(_radii(limits, factors.skeleton.keypoint_names), unknown) for limits in table)
        for table in (factors.conformal_d, factors.conformal_px)
    )
    return ConformalTable(ellipse, disc)


def _radii(limits: ConformalLimits, names: Sequence[str]) -> ConformalRadii:
    def bound(limit: float | None) -> float:
        return math.inf if limit is None else limit

    # Files of earlier versions do not say it.
    whole_image = bound(limits.whole_image) if "whole_image" in limits.model_fields_set else math.nan
    return ConformalRadii(
        limits.coverage,
        bound(limits.pooled),
        whole_image,
        limits.units or 0,
        np.array([bound(limits.by_keypoint[name]) for name in names]),
        tuple(limits.counts[name] for name in names),
    )
