"""Regions that hold the truth with a promised share whatever the distribution: split conformal prediction."""

from dataclasses import dataclass
from math import ceil, inf

import numpy as np
from numpy.typing import ArrayLike

from mahtdiag.calibration.samples import FloatArray


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
