"""The factor that makes σ right, fitted on some images and judged on others."""

from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from mahtdiag.calibration.samples import FloatArray, IntArray, Points, collect_points
from mahtdiag.calibration.tally import numbers, tally

MIN_KEYPOINTS = 20
"""A keypoint with fewer labels takes the common factor."""

Scope = Literal["global", "keypoint"]


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
    nll: float
    crps_px: float
    sigma_scale: float
    sharpness_px: float
    radial_mace: float
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


def recalibration_table(
    residual_px: ArrayLike, sigma_px: ArrayLike, *, folds: int = 5, seed: int = 0
) -> tuple[RecalibrationRow, ...]:
    """Calibration before, and after cross-fitting one factor and one factor per keypoint.

    Shapes [N, K, 2]. Raises what `cross_fitted_sigma` raises.
    """
    rows = [recalibration_row(None, residual_px, sigma_px)]
    scopes: tuple[Scope, ...] = ("global", "keypoint")
    for scope in scopes:
        sigma = cross_fitted_sigma(residual_px, sigma_px, scope=scope, folds=folds, seed=seed)
        rows.append(recalibration_row(scope, residual_px, sigma))
    return tuple(rows)


def recalibration_row(scope: Scope | None, residual_px: ArrayLike, sigma_px: ArrayLike) -> RecalibrationRow:
    """One line of the table for σ as given; `scope` only names it. Shapes [N, K, 2], pixels.

    Raises ValueError with no usable keypoint.
    """
    points = collect_points(residual_px, sigma_px)
    if points.n == 0:
        raise ValueError("no keypoint with a label and a valid σ: there is nothing to judge")
    found = numbers(tally(points).by_image.sum(axis=0))
    return RecalibrationRow(
        scope=scope,
        mace=float(found.mace),
        nll=float(found.nll),
        crps_px=float(found.crps_px),
        sigma_scale=float(found.sigma_scale),
        sharpness_px=float(found.sharpness_px),
        radial_mace=float(found.radial_mace),
        coverage_90=float(found.coverage[2]),
    )


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
