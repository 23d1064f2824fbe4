"""The covariance that goes with σ, where there is more than a σ of each axis."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mahtdiag.schema.choices import UncertaintySource

Floats = NDArray[np.float64]


def covariance_of_sigma(
    source: str,
    head_px2: Floats | None,
    spread_px2: Floats | None,
    averaged_px2: Floats | None,
    factors: Sequence[float] | None,
) -> Floats | None:
    """`[N, K, 2, 2]` by where σ comes from, times the squared `factors` `[K]` on σ; None for other sources.

    σ of a head: the covariance that it emits `[N, K, 3]` (xx, xy, yy), None where it emits none. σ of a
    heatmap: the spread of its peak, or of what is averaged where that is known. NaN stays NaN.
    """
    found = None
    if source == UncertaintySource.HEAD and head_px2 is not None and not np.isnan(head_px2).all():
        found = head_px2
    if source == UncertaintySource.HEATMAP:
        found = spread_px2
        if found is not None and averaged_px2 is not None:
            found = np.where(np.isnan(averaged_px2), found, averaged_px2)
    if found is None:
        return None
    covariance: Floats = found[..., [[0, 1], [1, 2]]]
    return covariance if factors is None else covariance * np.array(factors)[:, None, None] ** 2
