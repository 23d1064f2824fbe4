"""The numbers over a set in the direct way, from the residuals themselves: oracles for the sums."""

import numpy as np
from numpy.typing import ArrayLike

from mahtdiag.calibration.scores import (
    LEVELS,
    area_between,
    ellipse_limit,
    half_width,
    mean_absolute_gap,
    quantile_scores,
    root_mean_square_gap,
)

from .simulate import FloatArray


def share_within(values: ArrayLike, limits: ArrayLike) -> FloatArray:
    """Share of `values` ≤ each limit, NaN left out; any shape in, shape of `limits` out."""
    known = np.asarray(values, dtype=np.float64)
    known = np.sort(known[~np.isnan(known)])
    return np.asarray(np.searchsorted(known, limits, side="right") / len(known))


def calibration_curve(residual_px: ArrayLike, sigma_px: ArrayLike, levels: ArrayLike = LEVELS) -> FloatArray:
    """Observed share inside the centred interval of each level: share with |z| ≤ Φ⁻¹(½ + p/2)."""
    return share_within(np.abs(residual_px) / np.asarray(sigma_px), half_width(levels))


def ellipse_curve(d_squared: ArrayLike, levels: ArrayLike = LEVELS) -> FloatArray:
    """Observed share inside the ellipse of each level: share with d² ≤ χ²₂ quantile(p)."""
    return share_within(d_squared, ellipse_limit(levels))


def mace(residual_px: ArrayLike, sigma_px: ArrayLike) -> float:
    """Mean absolute calibration error over 100 levels from 0 to 1."""
    return float(mean_absolute_gap(calibration_curve(residual_px, sigma_px)))


def rmsce(residual_px: ArrayLike, sigma_px: ArrayLike) -> float:
    """Root mean square calibration error over 100 levels from 0 to 1."""
    return float(root_mean_square_gap(calibration_curve(residual_px, sigma_px)))


def miscalibration_area(residual_px: ArrayLike, sigma_px: ArrayLike) -> float:
    """Area between the calibration curve and the diagonal."""
    return float(area_between(calibration_curve(residual_px, sigma_px)))


def radial_mace(d_squared: ArrayLike) -> float:
    """Mean over 100 levels from 0 to 1 of |observed − p| for the ellipse curve."""
    return float(mean_absolute_gap(ellipse_curve(d_squared)))


def check_score(residual_px: ArrayLike, sigma_px: ArrayLike) -> FloatArray:
    """Check score, per residual."""
    return quantile_scores(residual_px, sigma_px)[0]


def interval_score(residual_px: ArrayLike, sigma_px: ArrayLike) -> FloatArray:
    """Interval score, per residual."""
    return quantile_scores(residual_px, sigma_px)[1]
