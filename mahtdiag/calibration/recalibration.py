"""What mends a wrong σ, fitted on some images and judged on others: factors on σ, and conformal regions."""

from dataclasses import dataclass
from math import ceil, inf, sqrt
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from mahtdiag.calibration.bootstrap import Interval, percentile_interval, resampled_sums
from mahtdiag.calibration.scores import (
    LARGEST_PX,
    SMALLEST_PX,
    FloatArray,
    IntArray,
    Points,
    collect_points,
    mahalanobis_squared,
    nll,
    radial_error_px,
)
from mahtdiag.calibration.sums import image_sums, numbers

MIN_KEYPOINTS = 20
"""A keypoint with fewer labels takes the common factor."""

Scope = Literal["global", "keypoint"]
_SHOWN = ("mace", "nll", "crps_px", "sigma_scale", "sharpness_px", "radial_mace")

CONFORMAL_LEVELS: tuple[float, ...] = (0.68, 0.9, 0.95)
"""Shares that conformal regions are fitted for."""


@dataclass(frozen=True, slots=True)
class Change:
    """A difference, after − before, with its 95 % interval over images (None with one image)."""

    value: float
    ci95: Interval | None

    @property
    def is_drop(self) -> bool:
        """True if it is below 0 beyond chance."""
        return self.ci95 is not None and self.ci95[1] < 0.0

    @property
    def is_rise(self) -> bool:
        """True if it is above 0 beyond chance."""
        return self.ci95 is not None and self.ci95[0] > 0.0


@dataclass(frozen=True, slots=True)
class SigmaScale:
    """Factors on σ: one for all (`common`), one per keypoint [K] (the common one where there is too little).

    `n`: keypoints behind `common`; `counts`: behind each of `by_keypoint`.
    """

    common: float
    by_keypoint: FloatArray
    n: int
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RecalibrationRow:
    """One line of the before/after table; `scope` is None for σ as it came."""

    scope: Scope | None
    mace: float
    radial_mace: float
    nll: float
    crps_px: float
    sigma_scale: float
    sharpness_px: float
    coverage_90: float


def fit_sigma_scale(residual_px: ArrayLike, sigma_px: ArrayLike) -> SigmaScale:
    """The factors on σ that minimise the Gaussian NLL: s = sqrt(mean z²), over all and per keypoint.

    Shapes [N, K, 2] both, one unit. Missing keypoints and unusable σ are left out.
    Raises ValueError if nothing is left or all residuals are 0 (a σ of 0 is no uncertainty).
    Source: Levi et al., Sensors 22 (2022); Laves et al., MIDL 2020.
    """
    points = collect_points(residual_px, sigma_px)
    return _scale(_keypoint_sums(points, np.zeros(points.n, dtype=np.intp), 1)[0])


def apply_sigma_scale(sigma_px: ArrayLike, scale: SigmaScale, scope: Scope = "global") -> FloatArray:
    """σ times its factor. Shape [N, K, 2] in and out; raises ValueError if K does not fit."""
    sigma = np.asarray(sigma_px, dtype=np.float64)
    if scope == "global":
        return sigma * scale.common
    if sigma.ndim != 3 or sigma.shape[1] != len(scale.by_keypoint):
        raise ValueError(f"sigma_px {sigma.shape} must be [images, {len(scale.by_keypoint)}, 2]")
    return sigma * scale.by_keypoint[:, np.newaxis]


def cross_fitted_sigma(
    residual_px: ArrayLike, sigma_px: ArrayLike, *, scope: Scope = "global", folds: int = 5, seed: int = 0
) -> FloatArray:
    """σ recalibrated so that no image helped to fit its own factor: `folds` folds of whole images.

    Shapes [N, K, 2] in and out. Images without a usable keypoint keep the factor of their fold.
    Raises ValueError with fewer than 2 usable images, or where the rest of the images has nothing to fit.
    Source: cross-fitting, Stone, J. R. Stat. Soc. B 36 (1974).
    """
    points = collect_points(residual_px, sigma_px)
    if points.n_images < 2:
        raise ValueError(f"{points.n_images} usable image(s): cross-fitting needs at least 2")
    usable = np.asarray(points.kept.any(axis=1), dtype=np.bool_)
    fold = np.zeros(len(usable), dtype=np.intp)
    parts = min(folds, points.n_images)
    fold[usable] = _folds(points.n_images, parts, seed)
    sums = _keypoint_sums(points, fold[usable][points.image], parts)
    sigma = np.array(sigma_px, dtype=np.float64)
    for part in range(parts):
        # Adding up the others, not subtracting this fold: nothing of it may remain, not even by rounding.
        scale = _scale(np.delete(sums, part, axis=0).sum(axis=0))
        sigma[fold == part] = apply_sigma_scale(sigma[fold == part], scale, scope)
    return sigma


def recalibration_row(scope: Scope | None, residual_px: ArrayLike, sigma_px: ArrayLike) -> RecalibrationRow:
    """One line of the table for σ as given; `scope` only names it. Shapes [N, K, 2], pixels.

    Raises ValueError with no usable keypoint.
    """
    points = collect_points(residual_px, sigma_px)
    if points.n == 0:
        raise ValueError("no keypoint with a label and a valid σ: there is nothing to judge")
    found = numbers(image_sums(points).sum(axis=0))
    return RecalibrationRow(scope, **found.floats(*_SHOWN), coverage_90=float(found.coverage[2]))


def _folds(images: int, parts: int, seed: int) -> IntArray:
    """A random fold 0 … parts−1 for each image, of equal size within one."""
    return np.random.default_rng(seed).permutation(images) % parts


def _keypoint_sums(points: Points, part: IntArray, parts: int) -> FloatArray:
    """Sum of z² over both axes, and count, by part and keypoint: [parts, K, 2]."""
    keypoints = points.kept.shape[1]
    z = points.residual_px / points.sigma_px
    group = part * keypoints + points.keypoint
    squares = np.bincount(group, weights=z[:, 0] ** 2 + z[:, 1] ** 2, minlength=parts * keypoints)
    count = np.bincount(group, minlength=parts * keypoints)
    both = np.stack([squares, count.astype(np.float64)], axis=-1)
    return both.reshape(parts, keypoints, 2)


def _scale(sums: FloatArray) -> SigmaScale:
    squares, count = sums[:, 0], sums[:, 1]
    n, total = int(count.sum()), float(squares.sum())
    if n == 0:
        raise ValueError("no keypoint with a label and a valid σ: there is no factor to fit")
    if total <= 0.0:
        raise ValueError("all residuals are 0: a factor of 0 would leave no uncertainty")
    common = sqrt(total / (2 * n))
    enough = (count >= MIN_KEYPOINTS) & (squares > 0)
    own = np.sqrt(squares / (2.0 * np.maximum(count, 1.0)))
    return SigmaScale(common, np.where(enough, own, common), n, tuple(int(c) for c in count))


def nll_changes(
    residual_px: ArrayLike,
    before_px: ArrayLike,
    *after_px: ArrayLike,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[Change, ...]:
    """Mean Gaussian negative log-likelihood under each of `after_px` less that under `before_px`.

    Below 0: the other σ is better. Shapes [N, K, 2], pixels. Missing keypoints and σ unusable in any of them
    are left out of all. The intervals come from one set of resampled images. Raises ValueError if nothing is
    left.
    """
    sigmas = [np.asarray(sigma, dtype=np.float64) for sigma in (before_px, *after_px)]
    usable = np.all([(sigma >= SMALLEST_PX) & (sigma <= LARGEST_PX) for sigma in sigmas], axis=0)
    points = collect_points(residual_px, np.where(usable, sigmas[0], np.nan))
    if points.n == 0:
        raise ValueError("no keypoint with a label and a valid σ: there is nothing to compare")
    before = nll(points.residual_px, points.sigma_px)
    rows = [
        (nll(points.residual_px, np.asarray(points.pick_axes(sigma, "after_px"))) - before).mean(axis=1)
        for sigma in sigmas[1:]
    ]
    sums = np.stack(
        [np.bincount(points.image, weights=w, minlength=points.n_images) for w in (*rows, np.ones(points.n))],
        axis=1,
    ).astype(np.float64)
    means = [float(row.mean()) for row in rows]
    if points.n_images < 2:
        return tuple(Change(mean, None) for mean in means)
    drawn = resampled_sums(sums, resamples, seed)
    changes = (drawn[:, :-1] / drawn[:, -1:]).T
    return tuple(Change(m, percentile_interval(c)) for m, c in zip(means, changes, strict=True))


@dataclass(frozen=True, slots=True)
class ConformalRadii:
    """Limits on the score, fitted on one set and meant for another.

    `coverage`: promised share, 1 − α. `pooled`: one limit for all keypoints, from `n` scores. `by_keypoint`:
    [K], from `counts` scores each. A limit of infinity means too few scores: the region is unbounded.
    The promise holds per keypoint for exchangeable images. The pooled limit counts keypoints of one image as
    if they were exchangeable too, which is an approximation (Dunn, Wasserman, Ramdas, JASA 2022).
    """

    coverage: float
    pooled: float
    n: int
    by_keypoint: FloatArray
    counts: tuple[int, ...]

    @property
    def unbounded(self) -> tuple[int, ...]:
        """Keypoints whose region is unbounded for want of scores."""
        return tuple(int(k) for k in np.flatnonzero(np.isinf(self.by_keypoint)))


def conformal_limit(scores: ArrayLike, coverage: float) -> float:
    """Limit that the score of one more case stays below with at least the promised share.

    The ⌈(n+1)·coverage⌉-th smallest of n scores; infinity if that exceeds n. Any shape; the unit of the
    scores. NaN scores are left out. Raises ValueError unless 0 < coverage < 1.
    Source: Papadopoulos et al., ECML 2002; Lei et al., JASA 113 (2018).

    >>> conformal_limit(range(1, 20), 0.9)
    18.0
    >>> conformal_limit([1.0, 2.0], 0.9)
    inf
    """
    if not 0.0 < coverage < 1.0:
        raise ValueError(f"coverage is {coverage}, give a share above 0 and below 1")
    values = np.asarray(scores, dtype=np.float64)
    values = values[~np.isnan(values)]
    # The product may exceed a whole number by rounding alone: 20 · 0.9 must stay 18.
    place = ceil((values.size + 1) * coverage - 1e-9)
    return inf if place > values.size else float(np.partition(values, place - 1)[place - 1])


def fit_conformal(scores: ArrayLike, coverage: float = 0.9) -> ConformalRadii:
    """Limits per keypoint and pooled.

    `scores`: [N, K], for instance the Mahalanobis distance d (an ellipse d·σ) or the radial error in pixels
    (a disc). NaN scores are left out. Raises ValueError if the shape is wrong or coverage not inside (0, 1).
    """
    array = np.asarray(scores, dtype=np.float64)
    if array.ndim != 2:
        raise ValueError(f"scores {array.shape} must be [images, keypoints]")
    return ConformalRadii(
        coverage=coverage,
        pooled=conformal_limit(array, coverage),
        n=int((~np.isnan(array)).sum()),
        by_keypoint=np.array([conformal_limit(column, coverage) for column in array.T]),
        counts=tuple(int(c) for c in (~np.isnan(array)).sum(axis=0)),
    )


def conformal_coverage(scores: ArrayLike, radii: ConformalRadii) -> tuple[float | None, float | None]:
    """Share of other scores [N, K] inside the limits: per-keypoint limits, then the pooled limit.

    NaN scores are left out; None if none is left. Raises ValueError if K does not fit.
    """
    array = np.asarray(scores, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != len(radii.by_keypoint):
        raise ValueError(f"scores {array.shape} must be [images, {len(radii.by_keypoint)}]")
    known = ~np.isnan(array)
    if not known.any():
        return None, None
    by_keypoint = (array <= radii.by_keypoint)[known].mean()
    return float(by_keypoint), float((array[known] <= radii.pooled).mean())


@dataclass(frozen=True, slots=True)
class ConformalRow:
    """Limits for one promised share, and the share that they held of images they were not fitted on.

    `held_by_keypoint`: with each keypoint's own limit, `held_pooled`: with the common one; None where there
    is nothing to judge them on.
    """

    limits: ConformalRadii
    held_by_keypoint: float | None
    held_pooled: float | None


@dataclass(frozen=True, slots=True)
class ConformalTable:
    """One row per promised share: limits on d for the ellipse d·σ, and on the radial error, in pixels."""

    ellipse: tuple[ConformalRow, ...]
    disc_px: tuple[ConformalRow, ...]


def cross_fitted_coverage(
    scores: ArrayLike, coverage: float, *, folds: int = 5, seed: int = 0
) -> tuple[float | None, float | None]:
    """Share of scores inside conformal limits that their own image did not help to fit.

    `scores`: [N, K], NaN where missing; whole images are dealt to the folds. First with one limit per
    keypoint, then with the pooled limit; a score without a finite limit counts as inside. None with fewer
    than 2 images that have a score.
    Source: cross-fitting, Stone, J. R. Stat. Soc. B 36 (1974); Vovk, Ann. Math. Artif. Intell. 74 (2015).
    """
    array = np.asarray(scores, dtype=np.float64)
    array = array[~np.isnan(array).all(axis=1)]
    if len(array) < 2:
        return None, None
    parts = min(folds, len(array))
    fold = np.random.default_rng(seed).permutation(len(array)) % parts
    inside = np.zeros(2)
    count = 0
    for part in range(parts):
        judged = array[fold == part]
        shares = conformal_coverage(judged, fit_conformal(array[fold != part], coverage))
        known = int((~np.isnan(judged)).sum())
        inside += known * np.array([share or 0.0 for share in shares])
        count += known
    return float(inside[0] / count), float(inside[1] / count)


def conformal_scores(points: Points) -> tuple[FloatArray, FloatArray]:
    """Mahalanobis distance d and radial error in pixels, [N, K] each; NaN without a usable keypoint."""
    d_squared = (
        mahalanobis_squared(points.residual_px, points.sigma_px)
        if points.covariance_px2 is None
        else mahalanobis_squared(points.residual_px, covariance_px2=points.covariance_px2)
    )
    distance, error_px = np.full(points.kept.shape, np.nan), np.full(points.kept.shape, np.nan)
    distance[points.kept] = np.sqrt(d_squared)
    error_px[points.kept] = radial_error_px(points.residual_px)
    return distance, error_px


def fit_conformal_table(
    distance: FloatArray, error_px: FloatArray, *, folds: int = 5, seed: int = 0
) -> ConformalTable:
    """Limits from all images, judged by cross-fitting. Scores as from `conformal_scores`."""

    def rows(scores: FloatArray) -> tuple[ConformalRow, ...]:
        return tuple(
            ConformalRow(
                fit_conformal(scores, level), *cross_fitted_coverage(scores, level, folds=folds, seed=seed)
            )
            for level in CONFORMAL_LEVELS
        )

    return ConformalTable(rows(distance), rows(error_px))


def judge_conformal_table(
    distance: FloatArray, error_px: FloatArray, fitted: ConformalTable
) -> ConformalTable:
    """The same limits with the shares that they hold of these scores; ValueError if K does not fit."""

    def rows(scores: FloatArray, old: tuple[ConformalRow, ...]) -> tuple[ConformalRow, ...]:
        return tuple(ConformalRow(row.limits, *conformal_coverage(scores, row.limits)) for row in old)

    return ConformalTable(rows(distance, fitted.ellipse), rows(error_px, fitted.disc_px))
