"""Intervals that respect that keypoints of one image are not independent: whole images are resampled.

Every number here is a function of sums over images. A resample draws images with replacement, so its sums are
a weighted sum of the per-image sums, with multinomial weights: one matrix product per block of resamples.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mahtdiag.calibration.ranking import Ranked, rank_bins, spearman_influence
from mahtdiag.calibration.scores import FloatArray, IntArray, Points
from mahtdiag.calibration.sums import Numbers, numbers

Interval = tuple[float, float]

_BLOCK_BYTES = 64 * 2**20
_SMOOTH = (
    "sharpness_px", "nll", "crps_px", "check", "interval", "sigma_scale", "radial_sigma_scale",
    "bias_x", "bias_y",
)  # fmt: skip
_PUSHED_UP = ("mace", "rmsce", "miscalibration_area", "radial_mace")
_ENCE_BINS = 10
_AUSE_BINS = 20


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


@dataclass(frozen=True, slots=True)
class Intervals:
    """95 % intervals by number, by coverage level, and a pointwise band [2, levels] for each curve."""

    by_name: dict[str, Interval | None]
    coverage: tuple[Interval | None, ...]
    radial_coverage: tuple[Interval | None, ...]
    band: FloatArray
    radial_band: FloatArray


def find_intervals(
    points: Points,
    sums: FloatArray,
    ranking: dict[str, float | None],
    sigma: Ranked,
    error: Ranked,
    *,
    resamples: int,
    seed: int,
) -> Intervals | None:
    """Resample images once and read every interval from it; None with fewer than 2 images.

    `sums`: [images, columns] from `sums.sums_of`. `ranking`: estimates of spearman, ause and ence.
    `sigma`, `error`: per keypoint [M], as the ranking numbers saw them.
    MACE, RMSCE, areas and ENCE get the reflected interval, all else the percentile interval.
    """
    if points.n_images < 2:
        return None
    columns, extra = [sums], _ranking_sums(points, sigma, error)
    columns += extra.values()
    drawn = resampled_sums(np.concatenate(columns, axis=1), resamples, seed)
    stops = np.cumsum([part.shape[1] for part in columns])
    parts = np.split(drawn, stops[:-1], axis=1)
    result, estimate = numbers(parts[0]), numbers(sums.sum(axis=0))
    by_name = _number_intervals(result, estimate)
    with np.errstate(divide="ignore", invalid="ignore"):
        for name, part in zip(extra, parts[1:], strict=True):
            by_name[name] = _ranking_interval(name, part, extra[name], result.n, ranking[name])
    return Intervals(
        by_name=by_name,
        coverage=tuple(percentile_interval(column) for column in result.coverage.T),
        radial_coverage=tuple(percentile_interval(column) for column in result.radial_coverage.T),
        band=np.quantile(result.observed, [0.025, 0.975], axis=0),
        radial_band=np.quantile(result.radial_observed, [0.025, 0.975], axis=0),
    )


def _number_intervals(drawn: Numbers, estimate: Numbers) -> dict[str, Interval | None]:
    found: dict[str, Interval | None] = {}
    for name in _SMOOTH:
        found[name] = percentile_interval(getattr(drawn, name))
    for name in _PUSHED_UP:
        found[name] = reflected_interval(getattr(drawn, name), float(getattr(estimate, name)))
    return found


def _ranking_sums(points: Points, sigma: Ranked, error: Ranked) -> dict[str, FloatArray]:
    """Per-image sums whose functions follow the ranking numbers under resampling."""
    images = points.n_images
    residual2 = points.residual_px.ravel(order="F") ** 2
    sigma2 = points.sigma_px.ravel(order="F") ** 2
    by_axis = rank_bins(sigma2, _ENCE_BINS)
    twice = np.tile(points.image, 2)
    ones = np.ones(points.n)
    found = {
        "ence": np.concatenate(
            [_binned(twice, images, by_axis, _ENCE_BINS, v) for v in (residual2, sigma2)]
            + [_binned(twice, images, by_axis, _ENCE_BINS, np.ones(2 * points.n))],
            axis=1,
        ),
        "ause": np.concatenate(
            [
                _binned(points.image, images, rank_bins(by, _AUSE_BINS), _AUSE_BINS, v)
                for by in (sigma, error)
                for v in (error.values, ones)
            ],
            axis=1,
        ),
    }
    influence = spearman_influence(sigma, error)
    if influence is not None:
        found["spearman"] = np.bincount(points.image, weights=influence, minlength=images)[:, np.newaxis]
    return found


def _binned(image: IntArray, images: int, which: IntArray, bins: int, values: FloatArray) -> FloatArray:
    sums = np.bincount(image * bins + which, weights=values, minlength=images * bins)
    return np.asarray(sums.reshape(images, bins), dtype=np.float64)


def _ranking_interval(
    name: str, drawn: FloatArray, per_image: FloatArray, n: FloatArray, estimate: float | None
) -> Interval | None:
    """Interval of a ranking number: how its binned or linear stand-in moves, put around the estimate."""
    if estimate is None:
        return None
    if name == "spearman":
        interval = percentile_interval(estimate + drawn[:, 0] / n)
        if interval is None:
            return None
        # Where nothing varies, rounding would put the estimate beside its interval.
        return max(-1.0, min(interval[0], estimate)), min(1.0, max(interval[1], estimate))
    stand_in = _binned_ence if name == "ence" else _binned_ause
    moved = stand_in(drawn) - float(stand_in(per_image.sum(axis=0))) + estimate
    if name == "ence":
        return reflected_interval(moved, estimate)
    interval = percentile_interval(moved)
    return None if interval is None else (max(0.0, interval[0]), interval[1])


def _binned_ence(sums: FloatArray) -> FloatArray:
    """ENCE with fixed bins from sums [..., 3·bins] of residual², σ² and count; empty bins are left out."""
    residual2, sigma2, count = (sums[..., i * _ENCE_BINS : (i + 1) * _ENCE_BINS] for i in range(3))
    rmse, rmv = np.sqrt(residual2 / count), np.sqrt(sigma2 / count)
    filled = count > 0
    gap = np.where(filled, np.abs(rmse - rmv) / rmv, 0.0)
    return np.asarray(gap.sum(axis=-1) / filled.sum(axis=-1), dtype=np.float64)


def _binned_ause(sums: FloatArray) -> FloatArray:
    """AUSE on a grid of shares kept, from sums [..., 4·bins]: error and count by σ bin, then by error bin."""
    blocks = [np.cumsum(sums[..., i * _AUSE_BINS : (i + 1) * _AUSE_BINS], axis=-1) for i in range(4)]
    kept = np.where(blocks[1] > 0, blocks[0] / blocks[1], 0.0)
    oracle = np.where(blocks[3] > 0, blocks[2] / blocks[3], 0.0)
    return np.asarray((kept - oracle).mean(axis=-1) / kept[..., -1], dtype=np.float64)
