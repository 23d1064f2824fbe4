"""Calibration in the plane: is the true point as often inside the predicted ellipse as promised?"""

from math import sqrt

import numpy as np
from numpy.typing import ArrayLike

from mahtdiag.calibration.gaussian import LEVELS, mean_absolute_gap, share_within
from mahtdiag.calibration.samples import FloatArray


def radial_error_px(residual_px: ArrayLike) -> FloatArray:
    """Distance from the predicted to the true point. Shape [..., 2] in, [...] out, pixels; NaN stays NaN."""
    residual = np.asarray(residual_px, dtype=np.float64)
    return np.asarray(np.hypot(residual[..., 0], residual[..., 1]), dtype=np.float64)


def radial_sigma_px(sigma_px: ArrayLike) -> FloatArray:
    """One σ per keypoint: the predicted root mean square radial error, sqrt(σx² + σy²).

    Shape [..., 2] in, [...] out, pixels. It is what ranks keypoints against their radial error.
    """
    sigma = np.asarray(sigma_px, dtype=np.float64)
    return np.asarray(np.hypot(sigma[..., 0], sigma[..., 1]), dtype=np.float64)


def ellipse_limit(levels: ArrayLike) -> FloatArray:
    """χ²₂ quantile: the d² inside which a share p of a 2-D normal lies, −2·ln(1 − p).

    >>> ellipse_limit([0.0, 0.95]).round(4).tolist()
    [0.0, 5.9915]
    """
    level = np.asarray(levels, dtype=np.float64)
    with np.errstate(divide="ignore"):
        # + 0.0 turns the −0 of p = 0 into 0.
        return np.asarray(-2.0 * np.log1p(-level) + 0.0, dtype=np.float64)


def mahalanobis_squared(
    residual_px: ArrayLike, sigma_px: ArrayLike | None = None, *, covariance_px2: ArrayLike | None = None
) -> FloatArray:
    """Squared Mahalanobis distance d² of the residual: rᵀ·Σ⁻¹·r, with Σ = diag(σx², σy²) unless given.

    Shapes: residual and σ [..., 2], covariance [..., 2, 2]; [...] out, no unit. NaN stays NaN.
    Raises ValueError unless exactly one of `sigma_px` and `covariance_px2` is given.
    """
    residual = np.asarray(residual_px, dtype=np.float64)
    if (sigma_px is None) == (covariance_px2 is None):
        raise ValueError("give either sigma_px or covariance_px2")
    if covariance_px2 is None:
        z = residual / np.asarray(sigma_px, dtype=np.float64)
        return np.asarray(z[..., 0] ** 2 + z[..., 1] ** 2, dtype=np.float64)
    covariance = np.asarray(covariance_px2, dtype=np.float64)
    x, y = residual[..., 0], residual[..., 1]
    a, b, c = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    # Whitening by the Cholesky factor keeps d² ≥ 0 where the textbook inverse cancels.
    first = x / np.sqrt(a)
    factor = b / a
    second = (y - factor * x) / np.sqrt(c - factor * b)
    return np.asarray(first**2 + second**2, dtype=np.float64)


def ellipse_curve(d_squared: ArrayLike, levels: ArrayLike = LEVELS) -> FloatArray:
    """Observed share inside the ellipse of each level: share with d² ≤ χ²₂ quantile(p).

    Any shape in, [levels] out, 0..1. NaN is left out; ValueError if nothing is left.
    A region built from the one-dimensional normal quantile instead would hold 74 to 85 % at nominal 95 %.
    """
    return share_within(d_squared, ellipse_limit(levels))


def radial_mace(d_squared: ArrayLike) -> float:
    """Mean over 100 levels from 0 to 1 of |observed − p| for the ellipse curve."""
    return float(mean_absolute_gap(ellipse_curve(d_squared)))


def radial_sigma_scale(d_squared: ArrayLike) -> float:
    """Factor on σ that minimises the 2-D NLL: sqrt(mean d² / 2); NaN left out.

    Raises ValueError if nothing is left.
    """
    values = np.asarray(d_squared, dtype=np.float64)
    values = values[~np.isnan(values)]
    if values.size == 0:
        raise ValueError("no distances: the scale of nothing is undefined")
    return sqrt(float(values.mean()) / 2.0)
