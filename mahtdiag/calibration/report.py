"""All calibration numbers of one set of predictions, as one record, and its plain form for JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from mahtdiag.calibration.bounds import bound_shares
from mahtdiag.calibration.by_chance import MIN_UNITS, MaceByChance, by_group
from mahtdiag.calibration.clustered import ScaleFactor, quantile_factor
from mahtdiag.calibration.expected_error import ExpectedErrorReport
from mahtdiag.calibration.groups import GroupCalibration, group_calibration, read_groupings
from mahtdiag.calibration.intervals import Intervals, ence_interval, find_intervals, ranking_intervals
from mahtdiag.calibration.ranking import (
    QuantileBins,
    Ranked,
    Sparsification,
    is_constant,
    quantile_bins,
    rank,
    roc_auc,
    sparsification,
    spearman,
)
from mahtdiag.calibration.scores import (
    COVERAGE_LEVELS,
    LEVELS,
    FloatArray,
    Points,
    collect_points,
    ence,
    radial_error_px,
    radial_sigma_px,
)
from mahtdiag.calibration.sums import SumsByImage, adversarial_mace, numbers, sums_of
from mahtdiag.calibration.verdict import Fault, HeadUnits, judge
from mahtdiag.calibration.verdict_evidence import gather_evidence
from mahtdiag.statistics.intervals import Interval

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

FROM_SUMS = (
    "mace", "rmsce", "miscalibration_area", "sharpness_px", "nll", "crps_px", "check", "interval", "bias_x",
    "bias_y", "sigma_scale",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Coverage:
    """Observed share inside the region of a nominal level, with its 95 % interval over images."""

    observed: float
    ci95: Interval | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """Observed share by level with its pointwise 95 % band over images (None where there is no interval)."""

    levels: FloatArray
    observed: FloatArray
    low: FloatArray | None = None
    high: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class RadialCalibration:
    """Calibration of the predicted ellipse: MACE, coverage by level, curve, and sqrt(mean d²/2).

    `ci95` holds intervals over images by number.
    """

    mace: float | None = None
    sigma_scale: float | None = None
    coverage: dict[str, Coverage] = field(default_factory=dict)
    curve: Curve | None = None
    ci95: dict[str, Interval | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AdversarialGroups:
    """Worst MACE over random subgroups by their share of all residuals: mean and spread over trials."""

    share: FloatArray
    worst_mace: FloatArray
    spread: FloatArray


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """Every calibration number, with what it rests on; a number that the data cannot define is None.

    Names and units are those of `calibration --format json`; `check`, `interval` and `crps_px` are pixels,
    `ause` is a share of the mean error. `reasons` says for each None why. `ci95` holds intervals over images
    by number. Factors on σ: `sigma_scale` has the best likelihood, `core_scale` lets the 50 % interval hold
    half of the errors, `tail_scale` the 95 % interval 95 %. `mace_by_chance`: the MACE that perfect
    calibration shows at this size, `mace_by_chance_most`: at most in 19 of 20 sets.
    `at_min_share`, `at_max_share`: share of σ (axes counted apart) at or beyond the clamp bounds.
    `expected_error`: what the expected radial error of heatmaps tells of the true one, where it is known.
    `missing`: keypoints without label; `invalid_sigma`, `invalid_residual`: labelled ones left out and why.
    `verdict` says it in words, `status` in one ("calibrated", "faulty", "inconclusive", "undefined").
    """

    n_keypoints: int
    n_images: int
    missing: int
    invalid_sigma: int
    invalid_residual: int
    mace: float | None = None
    rmsce: float | None = None
    miscalibration_area: float | None = None
    sharpness_px: float | None = None
    nll: float | None = None
    crps_px: float | None = None
    check: float | None = None
    interval: float | None = None
    ence: float | None = None
    bias_x: float | None = None
    bias_y: float | None = None
    coverage: dict[str, Coverage] = field(default_factory=dict)
    radial: RadialCalibration = field(default_factory=RadialCalibration)
    sigma_scale: float | None = None
    core_scale: float | None = None
    tail_scale: float | None = None
    mace_by_chance: float | None = None
    mace_by_chance_most: float | None = None
    spearman: float | None = None
    ause: float | None = None
    auc_large_error: float | None = None
    quantile_bins: QuantileBins | None = None
    at_min_share: float | None = None
    at_max_share: float | None = None
    verdict: str = ""
    status: str = "undefined"
    faults: tuple[Fault, ...] = ()
    groups: tuple[GroupCalibration, ...] = ()
    ci95: dict[str, Interval | None] = field(default_factory=dict)
    curve: Curve | None = None
    sparsification: Sparsification | None = None
    adversarial: AdversarialGroups | None = None
    expected_error: ExpectedErrorReport | None = None
    reasons: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Json]:
        """Plain data for JSON: no NaN, no arrays; keys are the field names."""
        return {item.name: _plain(getattr(self, item.name)) for item in fields(self)}


def _plain(value: object) -> Json:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray):
        return [float(v) for v in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    raise TypeError(f"{type(value).__name__} has no plain form")


def calibration_report(
    residual_px: ArrayLike,
    sigma_px: ArrayLike,
    *,
    covariance_px2: ArrayLike | None = None,
    at_min: ArrayLike | None = None,
    at_max: ArrayLike | None = None,
    large_error_px: ArrayLike | None = None,
    groups: Mapping[str, ArrayLike] | None = None,
    keypoint_names: Sequence[str] | None = None,
    head_units: HeadUnits | None = None,
    units: ArrayLike | None = None,
    intervals: bool = True,
    seed: int = 0,
) -> CalibrationReport:
    """Judge predicted standard deviations against what was really missed.

    Shapes, N images and K keypoints: `residual_px` (predicted − true) and `sigma_px` [N, K, 2],
    `covariance_px2` [N, K, 2, 2] for the ellipses, all in one frame, original pixels. `at_min`, `at_max`:
    booleans, σ at or beyond a clamp bound, spread to [N, K, 2].
    `large_error_px`: the error that detection should find, spreads to [N, K]. `groups`: kind -> labels that
    spread to [N, K]. `keypoint_names`: what the verdict calls them, without them by number. `head_units`:
    what it may suspect of σ. `units`: whole numbers [N], the same for images of one patient; None makes
    every image its own. `intervals` False leaves them out.
    Missing: NaN residuals are left out. σ not finite or not above 0 is left out and counted.
    Raises ValueError if shapes do not fit.
    """
    points = collect_points(residual_px, sigma_px, covariance_px2, units=units)
    return report_of(
        points,
        at_min=at_min,
        at_max=at_max,
        large_error_px=large_error_px,
        groups=groups,
        keypoint_names=keypoint_names,
        head_units=head_units,
        intervals=intervals,
        seed=seed,
    )


def report_of(
    points: Points,
    *,
    at_min: ArrayLike | None = None,
    at_max: ArrayLike | None = None,
    large_error_px: ArrayLike | None = None,
    groups: Mapping[str, ArrayLike] | None = None,
    keypoint_names: Sequence[str] | None = None,
    head_units: HeadUnits | None = None,
    intervals: bool = True,
    seed: int = 0,
) -> CalibrationReport:
    """The same of points that were collected before."""
    (at_min_share, at_max_share), (on_min_share, on_max_share) = bound_shares(
        points, at_min, at_max, head_units
    )
    report = CalibrationReport(
        n_keypoints=points.n,
        n_images=points.n_images,
        missing=points.missing,
        invalid_sigma=points.invalid_sigma,
        invalid_residual=points.invalid_residual,
        at_min_share=at_min_share,
        at_max_share=at_max_share,
    )
    groupings = read_groupings(points, groups or {})
    if points.n:
        # One after the other: what ranks keypoints, the sums, and the shape of z are each as large as all σ.
        report, of_ranking = _with_ranking(report, points, large_error_px, intervals, seed)
        shape = _shape(points)
        sums = sums_of(points, [(g.codes, len(g.names)) for g in groupings if g.over == "both"])
        report = replace(report, groups=group_calibration(points, sums, groupings))
        found = find_intervals(points, sums.by_image, of_ranking, seed=seed) if intervals else None
        report = _with_shape(_with_numbers(report, sums.by_image, found, seed), *shape)
        del sums
    verdict = judge(
        points,
        gather_evidence(points),
        at_min_share=on_min_share,
        at_max_share=on_max_share,
        units=head_units,
        keypoint_names=keypoint_names,
    )
    report = replace(report, verdict=verdict.text, status=verdict.status, faults=verdict.faults)
    return replace(report, reasons=_reasons(report, large_error_px is not None))


def _with_ranking(
    report: CalibrationReport, points: Points, large_error_px: ArrayLike | None, intervals: bool, seed: int
) -> tuple[CalibrationReport, dict[str, Interval | None]]:
    """The same report with what ranks keypoints, and ENCE; and the intervals of these."""
    found = ence(points.residual_px, points.sigma_px)
    ci95 = {"ence": ence_interval(points, found, seed) if intervals else None}
    sigma, error = rank(radial_sigma_px(points.sigma_px)), rank(radial_error_px(points.residual_px))
    report = _ranked(replace(report, ence=found), points, sigma, error, large_error_px)
    if intervals:
        ci95 |= ranking_intervals(points, report.ause, report.spearman, sigma, error)
    return report, ci95


def _ranked(
    report: CalibrationReport,
    points: Points,
    sigma: Ranked,
    error: Ranked,
    large_error_px: ArrayLike | None,
) -> CalibrationReport:
    report = replace(report, sparsification=sparsification(sigma, error))
    if is_constant(sigma.values):
        return report
    auc = None
    if large_error_px is not None:
        limit = np.asarray(points.pick(large_error_px, "large_error_px"), dtype=np.float64)
        judged = np.isfinite(limit)
        if judged.all():
            auc = roc_auc(sigma, error.values > limit)
        else:
            auc = roc_auc(rank(sigma.values[judged]), error.values[judged] > limit[judged])
    return replace(
        report,
        spearman=spearman(sigma, error),
        ause=report.sparsification.ause if report.sparsification else None,
        auc_large_error=auc,
        quantile_bins=quantile_bins(sigma, error),
    )


def _with_numbers(
    report: CalibrationReport, sums: SumsByImage, intervals: Intervals | None, seed: int
) -> CalibrationReport:
    """The same report with every number that is a function of sums, and the intervals that there are."""
    total = sums.sum()
    found = numbers(total)
    scores: dict[str, Any] = {**found.floats(*FROM_SUMS)}
    levels: tuple[None, ...] = (None,) * len(COVERAGE_LEVELS)
    inner, outer = (intervals.coverage, intervals.radial_coverage) if intervals else (levels, levels)
    by_name = intervals.by_name if intervals else {}
    return replace(
        report,
        **scores,
        ci95=by_name,
        coverage=_coverage(found.coverage, inner),
        curve=Curve(LEVELS, found.observed, *(intervals.band if intervals else ())),
        radial=RadialCalibration(
            mace=float(found.radial_mace),
            sigma_scale=float(found.radial_sigma_scale),
            coverage=_coverage(found.radial_coverage, outer),
            curve=Curve(LEVELS, found.radial_observed, *(intervals.radial_band if intervals else ())),
            ci95={name: by_name[f"radial_{name}"] for name in ("mace", "sigma_scale") if by_name},
        ),
        adversarial=AdversarialGroups(*adversarial_mace(total, seed=seed)),
    )


def _shape(points: Points) -> tuple[ScaleFactor, ScaleFactor, MaceByChance | None]:
    """The factors of core and tail, and what MACE would be by chance."""
    everything = np.zeros(points.n, dtype=np.int8)
    ((_, chance),) = by_group(points, everything, 1)
    size = points.residual_px / points.sigma_px
    np.abs(size, out=size)
    core, tail = (quantile_factor(size, points.unit, points.n_units, share) for share in (0.5, 0.95))
    return core, tail, chance


def _with_shape(
    report: CalibrationReport, core: ScaleFactor, tail: ScaleFactor, chance: MaceByChance | None
) -> CalibrationReport:
    return replace(
        report,
        core_scale=core.value,
        tail_scale=tail.value,
        mace_by_chance=None if chance is None else chance.mean,
        mace_by_chance_most=None if chance is None else chance.most,
        ci95={**report.ci95, "core_scale": core.ci95, "tail_scale": tail.ci95} if report.ci95 else {},
    )


def _coverage(observed: FloatArray, ci95: Sequence[Interval | None]) -> dict[str, Coverage]:
    rows = zip(COVERAGE_LEVELS, observed, ci95, strict=True)
    return {f"{level:g}": Coverage(float(share), interval) for level, share, interval in rows}


_RANKING = {"spearman", "ause", "auc_large_error", "quantile_bins"}


def _reasons(report: CalibrationReport, has_large_error: bool) -> dict[str, str]:
    """Why each number that is None is None."""
    names = [item.name for item in fields(report) if getattr(report, item.name) is None]
    return {name: _reason(name, report, has_large_error) for name in names}


def _reason(name: str, report: CalibrationReport, has_large_error: bool) -> str:
    if name in ("at_min_share", "at_max_share") and report.n_keypoints:
        return "the clamp bounds are not known"
    if report.n_keypoints == 0:
        return "no keypoint has both a label and a valid σ"
    if name == "expected_error":
        return "expected radial errors are computed by `evaluate --expected-error` alone"
    if name in ("mace_by_chance", "mace_by_chance_most"):
        return f"fewer than {MIN_UNITS} images or patients"
    if name == "auc_large_error" and not has_large_error:
        return "no limit for a large error is known (no pixel spacing and no vertebra width)"
    if name in _RANKING and report.quantile_bins is None:
        return "σ is the same everywhere, so it ranks nothing"
    if name == "auc_large_error":
        return "the errors are all above or all below the limit"
    if name == "spearman" and report.n_keypoints < 3:
        return "fewer than 3 keypoints"
    return "all errors are equal, so there is nothing to rank"
