"""Where each keypoint lies off on average: its mean error vector, and how certain that is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtri

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

FEWEST_UNITS = 4
"""Patients, or images, below which a mean vector has no region: it would be wider than the spine."""


@dataclass(frozen=True, slots=True)
class KeypointBias:
    """Mean of prediction − label of K keypoints, `mean` `[K, 2]`, NaN where none is known; `units` `[K]`.

    `axes` `[K, 2, 2]`: half axes (columns) of the ellipse that holds the true mean with 95 %, NaN where units
    are too few. `clear` `[K]`: whether that ellipse does not hold 0.
    """

    mean: Floats
    axes: Floats
    clear: Bools
    units: Ints

    @property
    def known(self) -> Bools:
        """Which keypoints have an ellipse, `[K]`."""
        return np.asarray(np.isfinite(self.axes).all(axis=(1, 2)))


def keypoint_bias(offset: Floats, units: Ints) -> KeypointBias:
    """Mean vectors of offsets `[N, K, 2]`, NaN where unknown, over the units `[N]` of the images.

    The mean weighs all offsets alike; its covariance is that of the linearised terms of U units, its region
    Hotelling's: T² ≤ 2(U − 1)/(U − 2)·F(0.95; 2, U − 2) (Annals of Mathematical Statistics 2, 1931).
    """
    count = offset.shape[1]
    codes = np.unique(units, return_inverse=True)[1] if len(units) else units
    mean, axes = np.full((count, 2), np.nan), np.full((count, 2, 2), np.nan)
    clear, numbers = np.zeros(count, dtype=np.bool_), np.zeros(count, dtype=np.int64)
    for k in range(count):
        known = np.isfinite(offset[:, k]).all(axis=1)
        if not known.any():
            continue
        mean[k] = offset[known, k].mean(axis=0)
        terms = np.zeros((codes.max() + 1, 2))
        np.add.at(terms, codes[known], offset[known, k] - mean[k])
        numbers[k] = of = len(np.unique(codes[known]))
        if of >= FEWEST_UNITS:
            covariance = terms.T @ terms * (of / (of - 1)) / known.sum() ** 2
            values, vectors = np.linalg.eigh(covariance)
            reach = 2 * (of - 1) / (of - 2) * float(fdtri(2, of - 2, 0.95))
            half = np.sqrt(np.maximum(values, 0.0) * reach)
            axes[k] = vectors * half
            along = np.abs(mean[k] @ vectors)
            ratio = np.divide(along, half, out=np.where(along > 0, np.inf, 0.0), where=half > 0)
            clear[k] = float(np.sum(ratio**2)) > 1.0
    return KeypointBias(mean, axes, clear, numbers)
