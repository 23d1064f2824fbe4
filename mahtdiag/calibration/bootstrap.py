"""Resampling whole images: keypoints of one image are not independent.

A resample draws images with replacement, so its sums are a weighted sum of the per-image sums, with
multinomial weights: one matrix product per block of resamples.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mahtdiag.calibration.scores import FloatArray
from mahtdiag.statistics.intervals import Interval

_BLOCK_BYTES = 64 * 2**20


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


def image_weights(images: int, resamples: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    """How often each image is drawn in each resample, in blocks [some, images] of at most 64 MB.

    The next block overwrites the one before. The same law as in `resampled_sums`, drawn image by image, which
    is several times faster for many images. Nothing is drawn more than 255 times: the chance is below 1 in
    10⁴⁰⁰ for any number of images.
    Raises ValueError with no images or fewer than one resample.
    """
    _require_some(images, resamples)
    rng = np.random.default_rng(seed)
    # Memory that is touched for the first time costs more than drawing into it.
    held = np.empty((max(1, min(resamples, _BLOCK_BYTES // images)), images), dtype=np.uint8)
    for start in range(0, resamples, len(held)):
        weights = held[: resamples - start]
        for row in weights:
            row[:] = np.bincount(rng.integers(images, size=images), minlength=images)
        yield weights


def _require_some(images: int, resamples: int) -> None:
    if images == 0:
        raise ValueError("no images to resample")
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}, give 1 or more")


def percentile_interval(values: FloatArray, confidence: float = 0.95) -> Interval | None:
    """Central interval of resampled values [resamples]; values that are not finite are left out.

    None if fewer than half are finite.
    """
    finite = values[np.isfinite(values)]
    if finite.size == 0 or 2 * finite.size < values.size:
        return None
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(finite, [tail, 1.0 - tail])
    return float(low), float(high)
