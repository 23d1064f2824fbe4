"""Resampling whole images: keypoints of one image are not independent.

A resample draws images with replacement, so its sums are a weighted sum of the per-image sums, with
multinomial weights: one matrix product per block of resamples.
"""

import numpy as np

from mahtdiag.calibration.scores import FloatArray

_BLOCK_BYTES = 16 * 2**20


def resampled_sums(per_image: FloatArray, resamples: int, seed: int) -> FloatArray:
    """Sums over images drawn with replacement, `resamples` times.

    Shape [images, columns] in, [resamples, columns] out. The same seed gives the same draws.
    Raises ValueError with no images or fewer than one resample.
    Source: Efron, Tibshirani, An Introduction to the Bootstrap (1993), the cluster bootstrap.
    """
    images = len(per_image)
    _require_some(images, resamples)
    rng = np.random.default_rng(seed)
    chance = np.full(images, 1.0 / images)
    block = max(1, min(resamples, _BLOCK_BYTES // (16 * images)))
    result = np.empty((resamples, per_image.shape[1]))
    for start in range(0, resamples, block):
        stop = min(start + block, resamples)
        weights = rng.multinomial(images, chance, size=stop - start).astype(np.float64)
        result[start:stop] = weights @ per_image
    return result


def _require_some(images: int, resamples: int) -> None:
    if images == 0:
        raise ValueError("no images to resample")
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}, give 1 or more")
