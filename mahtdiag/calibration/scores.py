"""Labelled keypoints with a usable σ, scores of one Gaussian, and how far a curve of coverage is off.

Residual r = predicted − true, standard deviation σ, z = r/σ, both in one frame. Scores are per axis and in
the plane, and keep the shape of their input (NaN in, NaN out); what becomes of them over a set is in `sums`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import log, pi, sqrt
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.integer[Any]]
BoolArray = NDArray[np.bool_]
ScalarT = TypeVar("ScalarT", bound=np.generic)

SMALLEST_PX, LARGEST_PX = 1e-12, 1e12
"""σ outside these is a 0 or an infinity in disguise (an exponential that under- or overflowed)."""

_BLOCK = 2**16


@dataclass(frozen=True, slots=True)
class Points:
    """Labelled keypoints with a usable σ, flattened image by image.

    `residual_px`, `sigma_px`: [M, 2], predicted − true and standard deviation, original pixels; each axis is
    contiguous in memory, which halves the time of everything that follows.
    `covariance_px2`: [M, 2, 2] or None.
    `image`, `keypoint`: [M]; `image` counts only the images that have a usable keypoint, in order. These and
    `unit` are of small types: what multiplies them makes them larger first.
    `unit`: [M], what is independent of one another: 0 … `n_units` − 1, images unless patients are known.
    `kept`: [N, K], where the M points came from.
    """

    residual_px: FloatArray
    sigma_px: FloatArray
    covariance_px2: FloatArray | None
    image: IntArray
    unit: IntArray
    keypoint: IntArray
    kept: BoolArray
    n_images: int
    n_units: int
    missing: int
    invalid_sigma: int
    invalid_residual: int

    @property
    def n(self) -> int:
        """Number of usable keypoints."""
        return len(self.residual_px)

    @property
    def units_of_images(self) -> IntArray:
        """The unit of each image that has a usable keypoint, [images]."""
        return self.unit[np.searchsorted(self.image, np.arange(self.n_images, dtype=self.image.dtype))]

    def pick(self, values: ArrayLike, what: str) -> NDArray[np.generic]:
        """`values`, of any shape that spreads to [N, K], at the usable keypoints: [M]."""
        array = np.asarray(values)
        try:
            spread = np.broadcast_to(array, self.kept.shape)
        except ValueError:
            raise ValueError(f"{what}: shape {array.shape} does not spread to {self.kept.shape}") from None
        return _taken(spread, self.kept)

    def pick_axes(self, values: ArrayLike, what: str) -> NDArray[np.generic]:
        """`values`, of a shape that spreads to [N, K, 2], at the usable keypoints: [M, 2]."""
        array = np.asarray(values)
        shape = (*self.kept.shape, 2)
        if array.shape == self.kept.shape:
            array = array[:, :, np.newaxis]
        try:
            spread = np.broadcast_to(array, shape)
        except ValueError:
            raise ValueError(f"{what}: shape {array.shape} does not spread to {shape}") from None
        return _axes_of(spread, self.kept)


def collect_points(
    residual_px: ArrayLike,
    sigma_px: ArrayLike,
    covariance_px2: ArrayLike | None = None,
    *,
    units: ArrayLike | None = None,
) -> Points:
    """Keep the keypoints that can be judged and count the others by reason.

    Shapes: `residual_px` and `sigma_px` [N, K, 2], `covariance_px2` [N, K, 2, 2] or None; original pixels.
    `units`: whole numbers [N], images of one unit (a patient) share one; None makes every image its own.
    Missing: a keypoint with NaN in its residual is left out and counted in `missing`.
    A residual beyond `LARGEST_PX` counts in `invalid_residual`; a σ that is not a number from `SMALLEST_PX`
    to `LARGEST_PX`, or a covariance that is not finite, symmetric and positive definite, in `invalid_sigma`.
    Raises ValueError if the shapes do not fit.
    """
    residual = np.asarray(residual_px, dtype=np.float64)
    sigma = np.asarray(sigma_px, dtype=np.float64)
    if residual.ndim != 3 or residual.shape[2] != 2 or sigma.shape != residual.shape:
        raise ValueError(
            f"residual_px {residual.shape} and sigma_px {sigma.shape} must both be [images, keypoints, 2]"
        )
    covariance = None if covariance_px2 is None else np.asarray(covariance_px2, dtype=np.float64)
    if covariance is not None and covariance.shape != (*residual.shape, 2):
        raise ValueError(f"covariance_px2 {covariance.shape} must be [images, keypoints, 2, 2]")

    # Both axes by hand: NumPy reduces a last axis of two slowly.
    labelled = ~(np.isnan(residual[..., 0]) | np.isnan(residual[..., 1]))
    finite = (np.abs(residual[..., 0]) <= LARGEST_PX) & (np.abs(residual[..., 1]) <= LARGEST_PX)
    low, high = np.minimum(sigma[..., 0], sigma[..., 1]), np.maximum(sigma[..., 0], sigma[..., 1])
    usable = (low >= SMALLEST_PX) & (high <= LARGEST_PX)
    if covariance is not None:
        usable &= _positive_definite(covariance)
    kept = finite & usable
    image, keypoint = np.nonzero(kept)
    present = np.asarray(kept.any(axis=1), dtype=np.bool_)
    number = (np.cumsum(present) - 1)[image].astype(np.int32)
    unit, n_units = unit_codes(units, present, number)
    return Points(
        residual_px=_axes_of(residual, kept),
        sigma_px=_axes_of(sigma, kept),
        covariance_px2=None if covariance is None else covariance[kept],
        image=number,
        unit=unit,
        keypoint=keypoint.astype(np.int16),
        kept=kept,
        n_images=int(present.sum()),
        n_units=n_units,
        missing=int((~labelled).sum()),
        invalid_sigma=int((finite & ~usable).sum()),
        invalid_residual=int((labelled & ~finite).sum()),
    )


def unit_codes(units: ArrayLike | None, present: BoolArray, image: IntArray) -> tuple[IntArray, int]:
    """The unit of every usable keypoint, numbered without gaps, and how many there are."""
    if units is None:
        return image, int(present.sum())
    codes = np.asarray(units)
    if codes.shape != present.shape:
        raise ValueError(f"units {codes.shape} must be [{len(present)}], one per image")
    found, of_image = np.unique(codes[present], return_inverse=True)
    return of_image.astype(np.int32)[image], len(found)


def _axes_of(values: NDArray[ScalarT], kept: BoolArray) -> NDArray[ScalarT]:
    """[N, K, 2] at the kept keypoints, [M, 2], each axis contiguous."""
    return np.stack([_taken(values[..., axis], kept) for axis in (0, 1)]).T


def _taken(values: NDArray[ScalarT], kept: BoolArray) -> NDArray[ScalarT]:
    """`values[kept]`, without the mask where it leaves nothing out."""
    return values.ravel() if kept.all() else values[kept]


def _positive_definite(covariance: FloatArray) -> BoolArray:
    finite = np.isfinite(covariance).all(axis=(-2, -1))
    safe = np.where(np.isfinite(covariance), covariance, 0.0)
    a, b, c = safe[..., 0, 0], safe[..., 0, 1], safe[..., 1, 1]
    symmetric = np.abs(b - safe[..., 1, 0]) <= 1e-9 * (np.abs(a) + np.abs(c))
    positive: BoolArray = finite & symmetric & (a > 0) & (c > 0) & (a * c - b * b > 0)
    return positive


def blocks(n: int) -> Iterator[slice]:
    """So many values after one another, in pieces that stay in the processor's cache."""
    for start in range(0, n, _BLOCK):
        yield slice(start, min(start + _BLOCK, n))


def summed(group: IntArray, values: FloatArray, groups: int) -> FloatArray:
    """Sums of [M] values by group: `np.bincount`, without its copies of both."""
    total = np.zeros(groups)
    for part in blocks(len(values)):
        np.add.at(total, group[part].astype(np.intp), values[part])
    return total


LEVELS: FloatArray = np.linspace(0.0, 1.0, 100)
"""Confidence levels of the calibration curve (Kuleshov, Fenner, Ermon, ICML 2018, with centred intervals)."""

SCORE_LEVELS: FloatArray = np.linspace(0.01, 0.99, 99)
"""Levels over which the check score and the interval score are averaged."""

COVERAGE_LEVELS: tuple[float, ...] = (0.5, 0.68, 0.9, 0.95)
"""Levels whose observed coverage is reported by name."""

_SQRT_2 = sqrt(2.0)
_LOG_2PI = log(2.0 * pi)


def half_width(levels: ArrayLike) -> FloatArray:
    """Half width, in σ, of the centred interval that holds a share p of a normal: Φ⁻¹(½ + p/2).

    >>> half_width([0.0, 0.95]).round(4).tolist()
    [0.0, 1.96]
    """
    return np.asarray(special.ndtri(0.5 + np.asarray(levels, dtype=np.float64) / 2.0), dtype=np.float64)


def mean_absolute_gap(observed: FloatArray, levels: FloatArray = LEVELS) -> FloatArray:
    """MACE: mean over levels of |observed − p|. Shape [..., levels] in, [...] out."""
    return np.asarray(np.abs(observed - levels).mean(axis=-1), dtype=np.float64)


def root_mean_square_gap(observed: FloatArray, levels: FloatArray = LEVELS) -> FloatArray:
    """RMSCE: root of the mean over levels of (observed − p)². Shape [..., levels] in, [...] out."""
    return np.asarray(np.sqrt(((observed - levels) ** 2).mean(axis=-1)), dtype=np.float64)


def area_between(observed: FloatArray, levels: FloatArray = LEVELS) -> FloatArray:
    """Miscalibration area: area between the observed curve, straight between levels, and the diagonal.

    A piece is a trapezoid, or two triangles where the curve crosses the diagonal inside it.
    Shape [..., levels] in, [...] out.
    """
    gap = observed - levels
    left, right = gap[..., :-1], gap[..., 1:]
    total = np.abs(left) + np.abs(right)
    crossing = left * right < 0
    height = np.where(crossing, (left**2 + right**2) / np.where(crossing, total, 1.0), total)
    return np.asarray((0.5 * np.diff(levels) * height).sum(axis=-1), dtype=np.float64)


def nll(residual_px: ArrayLike, sigma_px: ArrayLike) -> FloatArray:
    """Gaussian negative log-likelihood with its constant: ½·ln 2π + ln σ + z²/2, per residual.

    Shapes alike in and out. Pixels: the value depends on the unit through ln σ.
    """
    sigma = np.asarray(sigma_px, dtype=np.float64)
    z = np.asarray(residual_px, dtype=np.float64) / sigma
    return np.asarray(0.5 * (_LOG_2PI + z * z) + np.log(sigma), dtype=np.float64)


def crps_px(residual_px: ArrayLike, sigma_px: ArrayLike) -> FloatArray:
    """Continuous ranked probability score of a Gaussian, in pixels, per residual.

    σ·(z·(2Φ(z) − 1) + 2φ(z) − 1/√π); shapes alike in and out.
    Source: Gneiting, Raftery, JASA 102 (2007).
    """
    sigma = np.asarray(sigma_px, dtype=np.float64)
    z = np.asarray(residual_px, dtype=np.float64) / sigma
    density = np.exp(-0.5 * z * z) * (2.0 / sqrt(2.0 * pi))
    return np.asarray(sigma * (z * special.erf(z / _SQRT_2) + density - 1.0 / sqrt(pi)), dtype=np.float64)


def quantile_scores(residual_px: ArrayLike, sigma_px: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Check (pinball) score and interval score in pixels, mean over the levels 0.01 … 0.99, per residual.

    Check score, for level q and predicted quantile m + σ·Φ⁻¹(q): (1[d ≥ 0] − q)·d with d = quantile − truth.
    Interval score, for centred level p and half width h: σ·(2h + 2/(1−p)·max(0, |z| − h)).
    Summed over its levels each is piecewise linear in |z|, with knots at the half widths of the centred
    levels (the quantile levels q and 1 − q meet in one knot): one look-up replaces both loops over levels.
    Shapes alike in and out. Source: Gneiting, Raftery, JASA 102 (2007).
    """
    sigma = np.asarray(sigma_px, dtype=np.float64)
    size = np.abs(np.asarray(residual_px, dtype=np.float64)) / sigma
    passed = np.searchsorted(_KNOTS, size, side="left")
    check = sigma * (_CHECK_OFFSET[passed] + _CHECK_SLOPE[passed] * size)
    interval = sigma * (_INTERVAL_OFFSET[passed] + _INTERVAL_SLOPE[passed] * size)
    return np.asarray(check, dtype=np.float64), np.asarray(interval, dtype=np.float64)


def _pieces(offset: float, slope: float, jumps: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Offset and slope, by knots passed, of a line that bends by jumps·(|z| − knot) at each knot."""
    count = len(_KNOTS)
    slopes = slope + np.concatenate([[0.0], np.cumsum(jumps)])
    offsets = offset - np.concatenate([[0.0], np.cumsum(jumps * _KNOTS)])
    return offsets / count, slopes / count


_KNOTS = half_width(SCORE_LEVELS)
_INTERVAL_OFFSET, _INTERVAL_SLOPE = _pieces(2.0 * float(_KNOTS.sum()), 0.0, 2.0 / (1.0 - SCORE_LEVELS))
# Level p is the quantile pair (1 ± p)/2; those pairs are levels of the check score where p is 0.02, 0.04, …
# Each pair adds h·(1 − p) until |z| passes h and |z| − p·h beyond; the median adds |z|/2.
_IN_CHECK = np.arange(1, len(SCORE_LEVELS) + 1) % 2 == 0
_CHECK_OFFSET, _CHECK_SLOPE = _pieces(
    float((_KNOTS * (1.0 - SCORE_LEVELS))[_IN_CHECK].sum()), 0.5, np.where(_IN_CHECK, 1.0, 0.0)
)


def ence(residual_px: ArrayLike, sigma_px: ArrayLike, bins: int = 10) -> float:
    """Expected normalised calibration error: does a larger σ mean a larger error by the same factor?

    Sort by σ, cut into bins of equal count (as many as there are values, at most `bins`), mean over bins of
    |RMSE − RMV|/RMV with RMV = sqrt(mean σ²). Squared residuals of equal σ are averaged first, so that
    the order of the input does not matter. NaN pairs are left out; ValueError if nothing is left.
    Source: Levi, Gispan, Giladi, Fetaya, Sensors 22 (2022).

    >>> round(ence([-0.5, -1.0, 1.0], [0.1, 0.5, 1.0], bins=3), 6)
    1.666667
    """
    residual = np.asarray(residual_px, dtype=np.float64).ravel(order="K")
    sigma = np.asarray(sigma_px, dtype=np.float64).ravel(order="K")
    present = ~(np.isnan(residual) | np.isnan(sigma))
    if not present.all():
        residual, sigma = residual[present], sigma[present]
    if residual.size == 0:
        raise ValueError("no residuals: ENCE of nothing is undefined")
    if bins < 1:
        raise ValueError(f"bins is {bins}, give 1 or more")
    starts = bin_starts(len(sigma), min(bins, len(sigma)))
    edges = np.unique(np.sort(sigma)[starts])
    # Classes: below, at, and between the edges. Cuts fall only inside classes of one σ, where the running sum
    # over averaged ties is straight: interpolating between classes is exact, and only σ needs to be sorted.
    groups = 2 * len(edges) + 1
    count, totals = np.zeros(groups, dtype=np.int64), np.zeros((2, groups))
    for part in blocks(len(sigma)):
        group = np.searchsorted(edges, sigma[part], side="left")
        group += np.searchsorted(edges, sigma[part], side="right")
        count += np.bincount(group, minlength=groups)
        for total, values in zip(totals, (residual[part], sigma[part]), strict=True):
            np.add.at(total, group, values * values)
    stops, reached = np.append(starts, len(sigma)), np.cumsum(count)
    mean_squares = [
        np.diff(np.interp(stops, np.append(0, reached), np.append(0.0, np.cumsum(total)))) / np.diff(stops)
        for total in totals
    ]
    rmse, rmv = np.sqrt(np.maximum(mean_squares, 0.0))
    return float(np.mean(np.abs(rmse - rmv) / rmv))


def bin_starts(n: int, bins: int) -> IntArray:
    """First index of each of `bins` runs of equal count (the first n mod bins are one longer)."""
    start = np.arange(bins)
    return start * (n // bins) + np.minimum(start, n % bins)


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

    A region built from the one-dimensional normal quantile instead would hold 74 to 85 % at nominal 95 %.

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
