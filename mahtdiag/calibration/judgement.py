"""What recalibration and conformal regions are worth on images that they were not fitted on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mahtdiag.calibration.bootstrap import Interval, percentile_interval, resampled_sums
from mahtdiag.calibration.conformal import ConformalRadii, conformal_coverage, fit_conformal
from mahtdiag.calibration.gaussian import nll
from mahtdiag.calibration.radial import mahalanobis_squared, radial_error_px
from mahtdiag.calibration.samples import LARGEST_PX, SMALLEST_PX, FloatArray, Points, collect_points

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
