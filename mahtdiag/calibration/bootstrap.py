"""Intervals that respect that keypoints of one image are not independent: whole images are resampled.

Every number here is a function of sums over images. A resample draws images with replacement, so its sums are
a weighted sum of the per-image sums, with multinomial weights: one matrix product per block of resamples.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from mahtdiag.calibration.samples import FloatArray

Interval = tuple[float, float]

_BLOCK_BYTES = 64 * 2**20


def resampled_sums(per_image: FloatArray, resamples: int, seed: int) -> FloatArray:
    """Sums over images drawn with replacement, `resamples` times.

    Shape [images, columns] in, [resamples, columns] out. The same seed gives the same draws.
    Raises ValueError with no images or fewer than one resample.
    Source: Efron, Tibshirani, An Introduction to the Bootstrap (1993), the cluster bootstrap.
    """
    images = len(per_image)
    if images == 0:
        raise ValueError("no images to resample")
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}, give 1 or more")
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
    if images == 0:
        raise ValueError("no images to resample")
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}, give 1 or more")
    rng = np.random.default_rng(seed)
    # Memory that is touched for the first time costs more than drawing into it.
    held = np.empty((max(1, min(resamples, _BLOCK_BYTES // images)), images), dtype=np.uint8)
    for start in range(0, resamples, len(held)):
        weights = held[: resamples - start]
        for row in weights:
            row[:] = np.bincount(rng.integers(images, size=images), minlength=images)
        yield weights


def bootstrap_interval(
    per_image: FloatArray,
    statistic: Callable[[FloatArray], FloatArray],
    *,
    resamples: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval | None:
    """Percentile interval of `statistic`, a function of sums over images.

    `statistic` maps sums [resamples, columns] to values [resamples]. None with fewer than 2 images.
    """
    if len(per_image) < 2:
        return None
    return percentile_interval(statistic(resampled_sums(per_image, resamples, seed)), confidence)


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


def reflected_interval(values: FloatArray, estimate: float, confidence: float = 0.95) -> Interval | None:
    """Interval of a number that cannot fall below 0 and that noise pushes up, such as MACE or ENCE.

    Resampling adds noise, so the resampled values lie too high by about as much as the estimate does itself;
    reflecting them at the estimate takes that off twice: [2·estimate − upper, 2·estimate − lower], cut at 0
    and widened, if need be, to hold the estimate. None where `percentile_interval` is.
    Source: the basic bootstrap, Davison, Hinkley, Bootstrap Methods and their Application (1997), ch. 5.
    """
    interval = percentile_interval(values, confidence)
    if interval is None:
        return None
    low, high = 2.0 * estimate - interval[1], 2.0 * estimate - interval[0]
    return max(0.0, min(low, estimate)), max(high, estimate)
