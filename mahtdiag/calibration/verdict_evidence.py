"""Estimates of what can be wrong with σ, each with a standard error that respects units: images, patients.

All of them work on z = residual / σ, centred where that matters, so that bias, spread, shape, direction and
ranking are told apart.
"""

from dataclasses import dataclass
from math import exp, log, pi, sin, sqrt

import numpy as np
from scipy import special

from mahtdiag.calibration.clustered import (
    NORMAL_CORE,
    ScaleFactor,
    ValueWithError,
    clustered_mean,
    critical_value,
    quantile_factor,
)
from mahtdiag.calibration.ranking import is_constant
from mahtdiag.calibration.scores import FloatArray, IntArray, Points, blocks, summed

FALSE_ALARM = 0.002
"""Chance, per question, of seeing a fault in a calibrated model: nine questions stay below 2 %."""

MIN_PER_KEYPOINT = 20
"""Units with a label of a keypoint, below which it is not judged by itself."""

_CORE = NORMAL_CORE
_OUTER = float(special.ndtri(0.975))
# Under a normal, a relative error of the core width moves the 95 % share by this much of the 50 % share.
_CORE_TO_OUTER = (_OUTER * exp(-0.5 * _OUTER**2)) / (_CORE * exp(-0.5 * _CORE**2))
_TINY_Z = 1e-3


@dataclass(frozen=True, slots=True)
class Outlier:
    """The keypoint that stands out most, or would if it did: index, value, and whether beyond chance."""

    keypoint: int
    axis: int | None
    value: float
    is_off: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the verdict is read from.

    `bias`: mean z by axis. `log_scale`: ln sqrt(mean z²) after removing the bias, `raw_scale`: sqrt(mean z²)
    before. `core_share`: share of |z| ≤ 0.6745 (½ if right) and `core_scale`: median |z| / 0.6745, both after
    removing the bias; `core_factor`: the same before, with its interval.
    `outer_excess`: share inside the 95 % interval after scaling each axis to a right core, − 0.95 (below 0:
    heavy tails). `log_axis_ratio`: mean of ln|z_x| − ln|z_y|. `quadrant`: mean sign(z_x)·sign(z_y),
    `correlation` its value as the correlation of a 2-D normal. `exponent`: b in error ∝ σᵇ (1 if right), None
    if σ is constant. `log_average_scale`: ln of RMSE over root mean σ².
    `critical`: how many standard errors count as beyond chance. `keypoints`: how many have a label, and
    `keypoints_judged`: how many of them were judged by themselves.
    """

    critical: float
    bias: tuple[ValueWithError, ValueWithError]
    log_scale: ValueWithError
    raw_scale: float
    core_share: ValueWithError
    core_scale: float
    core_factor: ScaleFactor
    outer_excess: ValueWithError
    log_axis_ratio: ValueWithError
    quadrant: ValueWithError
    correlation: float
    exponent: ValueWithError | None
    log_average_scale: ValueWithError
    uneven: Outlier | None
    local_bias: Outlier | None
    keypoints: int
    keypoints_judged: int


def gather_evidence(points: Points) -> Evidence | None:
    """Evidence from usable keypoints; None with one unit or when all residuals are 0."""
    if points.n_units < 2 or not bool(np.any(points.residual_px)):
        return None
    unit, units = points.unit, points.n_units
    core_factor = quantile_factor(_size(points), unit, units, 0.5)
    z = points.residual_px / points.sigma_px
    bias_x, bias_y = (clustered_mean(z[:, axis], unit, units) for axis in (0, 1))
    raw_scale, local_bias = sqrt(_mean_square(z)), _local_bias(points, z)
    # Of large sets no more than is needed from here on: one array for z, its size, and the logarithm of that.
    z -= np.array([bias_x.value, bias_y.value])
    quadrant = clustered_mean(np.sign(z[:, 0]) * np.sign(_unpredicted_y(points, z)), unit, units)
    log_scale = _log_root(clustered_mean(_row_mean_square(z), unit, units))
    log_average_scale = _average_scale(points, z)
    size = np.abs(z, out=z)
    core_scale, outer_excess = float(np.median(size.T)) / _CORE, _outer_excess(size, unit, units)
    core_share = clustered_mean(_row_mean((size <= _CORE).astype(np.float32)), unit, units)
    uneven = _uneven(points, 0.5 * (np.sqrt(size[:, 0]) + np.sqrt(size[:, 1])))
    log_size = np.maximum(size, _TINY_Z, out=size)
    np.log(log_size, out=log_size)
    log_axis_ratio = clustered_mean(log_size[:, 0] - log_size[:, 1], unit, units)
    of_keypoint = _units_by_keypoint(points)
    return Evidence(
        critical=critical_value(FALSE_ALARM, units),
        bias=(bias_x, bias_y),
        log_scale=log_scale,
        raw_scale=raw_scale,
        core_share=core_share,
        core_scale=core_scale,
        core_factor=core_factor,
        outer_excess=outer_excess,
        log_axis_ratio=log_axis_ratio,
        quadrant=quadrant,
        correlation=sin(0.5 * pi * quadrant.value),
        exponent=_exponent(points, log_size),
        log_average_scale=log_average_scale,
        uneven=uneven,
        local_bias=local_bias,
        keypoints=int((of_keypoint > 0).sum()),
        keypoints_judged=int((of_keypoint >= MIN_PER_KEYPOINT).sum()),
    )


def _size(points: Points) -> FloatArray:
    """|z| [M, 2]."""
    z = points.residual_px / points.sigma_px
    return np.abs(z, out=z)


def _mean_square(values: FloatArray) -> float:
    return float(np.mean(values * values))


def _row_mean_square(values: FloatArray) -> FloatArray:
    """Mean of the squares of both axes: [M, 2] to [M]."""
    return np.asarray(0.5 * (values[:, 0] ** 2 + values[:, 1] ** 2), dtype=np.float64)


def _unpredicted_y(points: Points, z: FloatArray) -> FloatArray:
    """z_y less the part that z_x and the predicted covariance explain: [M, 2] to [M]."""
    if points.covariance_px2 is None:
        return z[:, 1]
    a, b, c = (points.covariance_px2[:, i, j] for i, j in ((0, 0), (0, 1), (1, 1)))
    return np.asarray(z[:, 1] - b / np.sqrt(a * c) * z[:, 0], dtype=np.float64)


def _row_mean(values: FloatArray) -> FloatArray:
    """Mean over both axes: [M, 2] to [M]."""
    return np.asarray(0.5 * (values[:, 0] + values[:, 1]), dtype=np.float64)


def _log_root(mean_square: ValueWithError) -> ValueWithError:
    floor = max(mean_square.value, 1e-300)
    return ValueWithError(0.5 * log(floor), 0.5 * mean_square.standard_error / floor)


def _outer_excess(size: FloatArray, unit: IntArray, units: int) -> ValueWithError:
    inner = outer = np.zeros(len(size), dtype=np.int8)
    for axis in (0, 1):
        values = size[:, axis]
        core = np.median(values)
        inner = inner + (values <= core)
        outer = outer + (values <= core * (_OUTER / _CORE))
    influence = clustered_mean(0.5 * (outer - _CORE_TO_OUTER * inner), unit, units)
    return ValueWithError(float(outer.mean()) / 2.0 - 0.95, influence.standard_error)


def _exponent(points: Points, log_size: FloatArray) -> ValueWithError | None:
    """1 + slope of ln|z| on ln σ, least squares; `log_size` is overwritten."""
    if is_constant(points.sigma_px):
        return None
    # Transposed, both axes lie in one piece, which a dot product wants.
    x, y = np.log(points.sigma_px.T), log_size.T
    y -= log_size.mean()
    x -= x.mean()
    spread = float(np.vdot(x, x)) / x.size
    slope = float(np.vdot(x, y)) / x.size / spread
    for part in blocks(x.shape[1]):
        y[:, part] -= slope * x[:, part]
    y *= x
    score = clustered_mean(_row_mean(y.T), points.unit, points.n_units)
    return ValueWithError(1.0 + slope, score.standard_error / spread)


def _average_scale(points: Points, centred: FloatArray) -> ValueWithError:
    """ln of RMSE over root mean σ²: right on average although perhaps not in any one place."""
    squared_error, squared_sigma = np.empty((2, points.n))
    for part in blocks(points.n):
        sigma = points.sigma_px[part]
        squared_error[part], squared_sigma[part] = (
            _row_mean_square(centred[part] * sigma),
            _row_mean_square(sigma),
        )
    mean_sigma = float(squared_sigma.mean())
    ratio = float(squared_error.mean()) / mean_sigma
    squared_sigma *= ratio
    squared_error -= squared_sigma
    gap = clustered_mean(squared_error, points.unit, points.n_units)
    return _log_root(ValueWithError(ratio, gap.standard_error / mean_sigma))


def _uneven(points: Points, root_size: FloatArray) -> Outlier | None:
    """The keypoint whose σ scale is furthest from the common one: factor against it.

    Judged on sqrt|z|, which is nearly symmetric, so that a mean over few images is nearly normal.
    """
    count, mean, error = _by_keypoint(points, root_size)
    judged = count >= MIN_PER_KEYPOINT
    if judged.sum() < 2 or not root_size.any():
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(judged & (error > 0), np.abs(mean - root_size.mean()) / error, 0.0)
    worst = int(np.argmax(ratio))
    critical = critical_value(FALSE_ALARM / int(judged.sum()), int(count[worst]))
    factor = float((mean[worst] / root_size.mean()) ** 2)
    off = bool(ratio[worst] > critical and abs(log(max(factor, 1e-300))) > log(1.25))
    return Outlier(worst, None, factor, off)


def _local_bias(points: Points, z: FloatArray) -> Outlier | None:
    """The keypoint and axis with the largest bias in standard errors: mean z over the spread of z there."""
    worst: Outlier | None = None
    largest = -1.0
    for axis in (0, 1):
        count, mean, error = _by_keypoint(points, z[:, axis])
        judged = count >= MIN_PER_KEYPOINT
        if not judged.any():
            continue
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(judged & (error > 0), np.abs(mean) / error, 0.0)
        k = int(np.argmax(ratio))
        if ratio[k] > largest:
            largest = float(ratio[k])
            critical = critical_value(FALSE_ALARM / (2 * int(judged.sum())), int(count[k]))
            relative = float(mean[k]) / (float(error[k]) * sqrt(float(count[k]))) if error[k] > 0 else 0.0
            worst = Outlier(k, axis, relative, bool(largest > critical and abs(relative) > 0.5))
    return worst


def _units_by_keypoint(points: Points) -> IntArray:
    """Number of units with each keypoint [K]."""
    seen = np.zeros((points.kept.shape[1], points.n_units), dtype=np.bool_)
    for part in blocks(points.n):
        seen[points.keypoint[part], points.unit[part]] = True
    return np.asarray(seen.sum(axis=1), dtype=np.intp)


def _by_keypoint(points: Points, values: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Units, mean and standard error of [M] values by keypoint; units are independent of one another."""
    keypoints = points.kept.shape[1]
    count = units = np.bincount(points.keypoint, minlength=keypoints).astype(np.float64)
    total, square = summed(points.keypoint, values, keypoints), np.zeros(keypoints)
    # What the images of one patient add up to stands for the patient.
    of_patients = points.n_units < points.n_images
    sums = np.zeros(keypoints * points.n_units if of_patients else 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / count
        for part in blocks(points.n):
            where = points.keypoint[part].astype(np.intp)
            gap = values[part] - mean[where]
            if of_patients:
                np.add.at(sums, where * points.n_units + points.unit[part], gap)
            else:
                np.add.at(square, where, gap * gap)
        if of_patients:
            of_sums = np.repeat(np.arange(keypoints), points.n_units)
            square = np.bincount(of_sums, weights=sums * sums, minlength=keypoints).astype(np.float64)
            units = _units_by_keypoint(points).astype(np.float64)
        error = np.sqrt(square * units / (units - 1.0)) / count
    return units, mean, error
