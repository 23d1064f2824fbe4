"""What every calibration number is computed from: labelled keypoints with a usable σ."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]
BoolArray = NDArray[np.bool_]
ScalarT = TypeVar("ScalarT", bound=np.generic)

SMALLEST_PX, LARGEST_PX = 1e-12, 1e12
"""σ outside these is a 0 or an infinity in disguise (an exponential that under- or overflowed)."""


@dataclass(frozen=True, slots=True)
class Points:
    """Labelled keypoints with a usable σ, flattened image by image.

    `residual_px`, `sigma_px`: [M, 2], predicted − true and standard deviation, original pixels; each axis is
    contiguous in memory, which halves the time of everything that follows.
    `covariance_px2`: [M, 2, 2] or None.
    `image`, `keypoint`: [M]; `image` counts only the images that have a usable keypoint, in order.
    `kept`: [N, K], where the M points came from.
    """

    residual_px: FloatArray
    sigma_px: FloatArray
    covariance_px2: FloatArray | None
    image: IntArray
    keypoint: IntArray
    kept: BoolArray
    n_images: int
    missing: int
    invalid_sigma: int
    invalid_residual: int

    @property
    def n(self) -> int:
        """Number of usable keypoints."""
        return len(self.residual_px)

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
    residual_px: ArrayLike, sigma_px: ArrayLike, covariance_px2: ArrayLike | None = None
) -> Points:
    """Keep the keypoints that can be judged and count the others by reason.

    Shapes: `residual_px` and `sigma_px` [N, K, 2], `covariance_px2` [N, K, 2, 2] or None; original pixels.
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
    return Points(
        residual_px=_axes_of(residual, kept),
        sigma_px=_axes_of(sigma, kept),
        covariance_px2=None if covariance is None else covariance[kept],
        image=(np.cumsum(present) - 1)[image],
        keypoint=keypoint,
        kept=kept,
        n_images=int(present.sum()),
        missing=int((~labelled).sum()),
        invalid_sigma=int((finite & ~usable).sum()),
        invalid_residual=int((labelled & ~finite).sum()),
    )


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
