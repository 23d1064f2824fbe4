"""95 % intervals of all calibration numbers, from the same sums over units that the numbers are read from."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mahtdiag.calibration.ranking import Ranked, rank_bins, spearman_influence
from mahtdiag.calibration.scores import (
    LEVELS,
    FloatArray,
    IntArray,
    Points,
    area_between,
    mean_absolute_gap,
    root_mean_square_gap,
    summed,
)
from mahtdiag.calibration.sums import (
    AXIS_COLUMNS,
    CURVE,
    NAMED,
    POINTS,
    RADIAL_COLUMNS,
    Numbers,
    SumsByImage,
    numbers,
)
from mahtdiag.statistics.intervals import (
    FEWEST_OF_SQUARES,
    Interval,
    SumsByUnit,
    by_unit,
    estimate_interval,
    gap_interval,
    gap_interval_of,
    jackknife,
    mean_interval,
    share_interval,
)

_BLOCK = 2**16
_IMAGES_AT_ONCE, _UNITS_AT_ONCE = 4096, 256
_ENCE_BINS = 10
_AUSE_BINS = 20
_MEANS = ("crps_px", "check", "interval", "bias_x", "bias_y")
_ROOTS = ("sharpness_px", "sigma_scale", "radial_sigma_scale")
_DISTANCES: dict[str, tuple[str, Callable[[FloatArray], FloatArray]]] = {
    "mace": ("observed", mean_absolute_gap),
    "rmsce": ("observed", root_mean_square_gap),
    "miscalibration_area": ("observed", area_between),
    "radial_mace": ("radial_observed", mean_absolute_gap),
}


@dataclass(frozen=True, slots=True)
class Intervals:
    """95 % intervals by number, by coverage level, and a pointwise band [2, levels] for each curve.

    None where there are too few units.
    """

    by_name: dict[str, Interval | None]
    coverage: tuple[Interval | None, ...]
    radial_coverage: tuple[Interval | None, ...]
    band: FloatArray
    radial_band: FloatArray


def find_intervals(
    points: Points, sums: SumsByImage, of_ranking: dict[str, Interval | None], *, seed: int = 0
) -> Intervals | None:
    """The interval of every number over units, patients or images; None with fewer than 2.

    `sums`: by image, from `sums.sums_of`. `of_ranking`: those of `ranking_intervals`. Means, roots of means
    and shares have the intervals of `mean_interval` and `share_interval`, distances between curves that of
    `gap_interval`.
    """
    of_unit, whole = sums.by_unit(points.units_of_images), numbers(sums.sum())
    if len(of_unit) < 2:
        return None
    n, values = of_unit.column(POINTS), _values(of_unit)
    by_name: dict[str, Interval | None] = {name: mean_interval(values[name] * n, n) for name in _MEANS}
    by_name["nll"] = mean_interval(values["nll"] * n, n, FEWEST_OF_SQUARES)
    squares = {name: values[name] ** 2 * n for name in _ROOTS}
    by_name |= {name: _root(mean_interval(of, n, FEWEST_OF_SQUARES)) for name, of in squares.items()}
    by_name |= {name: _distance(name, of_unit, whole, seed) for name in _DISTANCES}
    by_name |= of_ranking
    per_axis = 0.5 / n
    axis = _shares(of_unit, AXIS_COLUMNS, lambda inside: inside * per_axis, 2 * n)
    radial = _shares(of_unit, RADIAL_COLUMNS, lambda inside: inside / n, n)
    return Intervals(
        by_name=by_name,
        coverage=tuple(axis[i] for i in NAMED),
        radial_coverage=tuple(radial[i] for i in NAMED),
        band=_band([axis[i] for i in CURVE]),
        radial_band=_band([radial[i] for i in CURVE]),
    )


def _values(of_unit: SumsByImage) -> dict[str, FloatArray]:
    """The numbers of each unit whose means are asked for, [U] by name."""
    names = ("nll", *_MEANS, *_ROOTS)
    some = (part for block in of_unit.blocks() for part in _few(block))
    found = [[getattr(of_few, name) for name in names] for of_few in map(numbers, some)]
    return {name: np.concatenate(parts) for name, parts in zip(names, zip(*found, strict=True), strict=True)}


def _few(sums: FloatArray) -> Iterator[FloatArray]:
    """Sums of some units after another: all numbers take ten times the memory of their sums."""
    for first in range(0, len(sums), _UNITS_AT_ONCE):
        yield sums[first : first + _UNITS_AT_ONCE]


def _root(interval: Interval | None) -> Interval | None:
    if interval is None:
        return None
    low, high = np.sqrt(np.maximum(interval, 0.0))
    return float(low), float(high)


def _shares(
    of_unit: SumsByImage,
    columns: Sequence[int],
    share: Callable[[FloatArray], FloatArray],
    counts: FloatArray,
) -> list[Interval | None]:
    """The interval of the share within each level; `columns` say how many lie between it and the last."""
    inside, found = np.zeros(len(of_unit)), []
    for column in columns:
        inside += of_unit.column(column)
        found.append(share_interval(share(inside) * counts, counts))
    return found


def _band(bounds: Sequence[Interval | None]) -> FloatArray:
    """Pointwise intervals [2, levels]."""
    return np.array([(np.nan, np.nan) if each is None else each for each in bounds]).T


def _distance(name: str, of_unit: SumsByImage, whole: Numbers, seed: int) -> Interval | None:
    curve, distance = _DISTANCES[name]
    observed, n = getattr(whole, curve), of_unit.column(POINTS)
    total, units = n.sum(), len(n)

    def influence() -> Iterator[FloatArray]:
        for block in of_unit.blocks():
            yield np.concatenate(
                [
                    (getattr(found, curve) - observed) * found.n[:, np.newaxis] * units / total
                    for found in map(numbers, _few(block))
                ]
            )

    return gap_interval_of(observed - LEVELS, units, influence, lambda gaps: distance(LEVELS + gaps), seed)


def ence_interval(points: Points, ence: float | None, seed: int = 0) -> Interval | None:
    """That of ENCE by `gap_interval`: how a stand-in with fixed bins moves, put around the estimate."""
    if ence is None or points.n_units < FEWEST_OF_SQUARES:
        return None
    sums = by_unit(_ence_sums(points), points.units_of_images)
    gaps = _ence_gaps(sums.sum(axis=0))
    return _around(ence, float(_size(gaps)), gap_interval(gaps, jackknife(_ence_gaps, sums), _size, seed))


def ranking_intervals(
    points: Points, ause: float | None, rho: float | None, sigma: Ranked, error: Ranked
) -> dict[str, Interval | None]:
    """Those of AUSE and of the rank correlation by `estimate_interval`, from stand-ins in the same way.

    `sigma`, `error`: per keypoint [M], as the ranking numbers saw them.
    """
    found: dict[str, Interval | None] = {"ause": None, "spearman": None}
    units = points.units_of_images
    if ause is not None:
        influence = jackknife(_binned_ause, _ause_sums(points, sigma, error, units))
        found["ause"] = _within(estimate_interval(ause, influence), 0.0, np.inf)
    each = None if rho is None else spearman_influence(sigma, error)
    if rho is not None and each is not None:
        of_images = summed(points.image, each, points.n_images)
        of_units = by_unit(of_images, units)
        found["spearman"] = _within(estimate_interval(rho, of_units * len(of_units) / points.n), -1.0, 1.0)
    return found


def _around(estimate: float, stand_in: float, interval: Interval | None) -> Interval | None:
    """The interval of a stand-in put around the estimate, never below 0."""
    if interval is None:
        return None
    return max(0.0, interval[0] + estimate - stand_in), interval[1] + estimate - stand_in


def _within(interval: Interval | None, least: float, most: float) -> Interval | None:
    return None if interval is None else (max(least, interval[0]), min(most, interval[1]))


def _size(gaps: FloatArray) -> FloatArray:
    """Mean absolute value over bins, [..., bins] to [...]."""
    return np.asarray(np.abs(gaps).mean(axis=-1), dtype=np.float64)


def _ence_sums(points: Points) -> FloatArray:
    """Sums by image of residual², σ² and their number in bins of σ, [images, 3·bins]."""
    bins = rank_bins(points.sigma_px.ravel(order="F") ** 2, _ENCE_BINS)
    sums = np.zeros((3, points.n_images * _ENCE_BINS))
    for axis, of_axis in enumerate((bins[: points.n], bins[points.n :])):
        for start in range(0, points.n, _BLOCK):
            part = slice(start, start + _BLOCK)
            cell = points.image[part].astype(np.intp) * _ENCE_BINS + of_axis[part]
            np.add.at(sums[0], cell, points.residual_px[part, axis] ** 2)
            np.add.at(sums[1], cell, points.sigma_px[part, axis] ** 2)
            np.add.at(sums[2], cell, 1.0)
    return np.concatenate([of.reshape(points.n_images, _ENCE_BINS) for of in sums], axis=1)


def _ence_gaps(sums: FloatArray) -> FloatArray:
    """(RMSE − RMV)/RMV of fixed bins from sums [..., 3·bins], [..., bins]; 0 where a bin is empty."""
    residual2, sigma2, count = (sums[..., i * _ENCE_BINS : (i + 1) * _ENCE_BINS] for i in range(3))
    filled = (count > 0) & (sigma2 > 0)
    ratio = np.divide(residual2, sigma2, out=np.ones_like(sigma2), where=filled)
    return np.sqrt(np.maximum(ratio, 0.0)) - 1.0


def _ause_sums(points: Points, sigma: Ranked, error: Ranked, units: IntArray) -> FloatArray:
    """Sums by unit of errors and their number in bins of σ, then in bins of error, [units, 4·bins]."""
    bins, sums = [rank_bins(by, _AUSE_BINS) for by in (sigma, error)], SumsByUnit(units)
    for first in range(0, points.n_images, _IMAGES_AT_ONCE):
        images = min(_IMAGES_AT_ONCE, points.n_images - first)
        ends = np.searchsorted(points.image, np.array([first, first + images], dtype=points.image.dtype))
        part = slice(*ends.tolist())
        image, errors = points.image[part].astype(np.intp) - first, error.values[part]
        columns = [
            _binned(image, images, of[part], _AUSE_BINS, v)
            for of in bins
            for v in (errors, np.ones(len(errors)))
        ]
        sums.add(np.concatenate(columns, axis=1))
    return sums.total


def _binned(image: IntArray, images: int, which: IntArray, bins: int, values: FloatArray) -> FloatArray:
    sums = np.bincount(image * bins + which, weights=values, minlength=images * bins)
    return np.asarray(sums.reshape(images, bins), dtype=np.float64)


def _binned_ause(sums: FloatArray) -> FloatArray:
    """AUSE on a grid of shares kept, from sums [..., 4·bins]: error and count by σ bin, then by error bin."""
    blocks = [np.cumsum(sums[..., i * _AUSE_BINS : (i + 1) * _AUSE_BINS], axis=-1) for i in range(4)]
    kept, oracle = (
        np.divide(errors, count, out=np.zeros_like(errors), where=count > 0)
        for errors, count in (blocks[:2], blocks[2:])
    )
    return np.asarray((kept - oracle).mean(axis=-1) / kept[..., -1], dtype=np.float64)
