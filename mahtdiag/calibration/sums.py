"""The numbers as functions of sums over images, so that one formula serves the estimate and its resamples."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mahtdiag.calibration.scores import (
    COVERAGE_LEVELS,
    LEVELS,
    FloatArray,
    IntArray,
    Points,
    area_between,
    crps_px,
    ellipse_limit,
    half_width,
    mahalanobis_squared,
    mean_absolute_gap,
    nll,
    quantile_scores,
    root_mean_square_gap,
)
from mahtdiag.statistics.intervals import SumsByUnit

ALL_LEVELS: FloatArray = np.union1d(LEVELS, COVERAGE_LEVELS)
"""Levels of the curve and of the named coverages, sorted."""

CURVE = np.searchsorted(ALL_LEVELS, LEVELS)
NAMED = np.searchsorted(ALL_LEVELS, COVERAGE_LEVELS)

_TERMS = ("points", "nll", "crps", "check", "interval", "sigma2", "z2", "z_x", "z_y", "d2")
_Z_X = _TERMS.index("z_x")
_AXIS = slice(len(_TERMS), len(_TERMS) + len(ALL_LEVELS))
_RADIAL = slice(_AXIS.stop, _AXIS.stop + len(ALL_LEVELS))
COLUMNS = len(_TERMS) + 2 * len(ALL_LEVELS)
"""How many sums there are of each group."""

POINTS = _TERMS.index("points")
"""The column of the number of keypoints."""

AXIS_COLUMNS, RADIAL_COLUMNS = (tuple(range(*of.indices(COLUMNS))) for of in (_AXIS, _RADIAL))
"""Columns of how many residuals lie within each level but not the one before: of axes, and of ellipses."""

SCORE_COLUMNS = np.arange(len(_TERMS))
"""Columns of sums that scores and σ are functions of."""

COUNT_COLUMNS = np.append(_TERMS.index("points"), np.arange(len(_TERMS), COLUMNS))
"""Columns of sums that curves and coverages are functions of: whole numbers."""

_BLOCK = 2**16


_ROWS = 4096


class SumsByImage:
    """Sums of each image, or unit, `[N, columns]`, in little memory: most columns are small whole numbers."""

    def __init__(self, images: int, most: int) -> None:
        """`most`: what no count exceeds."""
        self._terms = np.zeros((images, len(_TERMS)))
        self._counts = np.zeros((images, COLUMNS - len(_TERMS)), dtype=np.min_scalar_type(most))
        self._most = most

    def __len__(self) -> int:
        return len(self._terms)

    def rows(self, part: slice) -> FloatArray:
        """The sums of some images, [n, columns]."""
        return np.concatenate([self._terms[part], self._counts[part]], axis=1, dtype=np.float64)

    def put(self, part: slice, sums: FloatArray) -> None:
        """Other sums for some images."""
        self._terms[part] = sums[:, : len(_TERMS)]
        self._counts[part] = sums[:, len(_TERMS) :]

    def column(self, number: int) -> FloatArray:
        """One column, [N]."""
        of = len(_TERMS)
        return self._terms[:, number] if number < of else self._counts[:, number - of].astype(np.float64)

    def blocks(self) -> Iterator[FloatArray]:
        """The sums of some thousand images after another."""
        for first in range(0, len(self), _ROWS):
            yield self.rows(slice(first, first + _ROWS))

    def sum(self) -> FloatArray:
        """Of all images, [columns]."""
        total = np.zeros(COLUMNS)
        for block in self.blocks():
            total = np.concatenate([total[np.newaxis], block]).sum(axis=0)
        return total

    def by_unit(self, units: IntArray) -> "SumsByImage":
        """The same of units; a number `[N]` that no image has is no unit."""
        if np.array_equal(units, np.arange(len(self))):
            return self
        images = np.unique(units, return_counts=True)[1]
        found = SumsByImage(len(images), self._most * int(images.max(initial=1)))
        sums = SumsByUnit(units)
        sums.add(self._terms)
        found._terms = sums.total
        np.add.at(found._counts, np.unique(units, return_inverse=True)[1], self._counts)
        return found


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of everything the numbers need, [groups, columns]; the columns are private to this file.

    `by_image` [images], `by_keypoint` [K], `by_axis` [2] (radial columns 0), `by_other`: one per asked one.
    """

    by_image: SumsByImage
    by_keypoint: FloatArray
    by_axis: FloatArray
    by_other: tuple[FloatArray, ...]


def sums_of(points: Points, others: Sequence[tuple[IntArray, int]] = ()) -> Sums:
    """Score every residual once and add up by image, keypoint, axis, and by each of `others` (codes, groups).

    Works through blocks that stay in the processor's cache; nothing per residual is kept.
    """
    groupings = [(points.keypoint, points.kept.shape[1]), *others]
    totals = [np.zeros((groups, COLUMNS)) for _, groups in groupings]
    by_image = SumsByImage(points.n_images, 2 * points.kept.shape[1])
    by_axis = np.zeros((2, COLUMNS))
    for start in range(0, points.n, _BLOCK):
        part = slice(start, start + _BLOCK)
        scores = _score(points, part)
        by_axis += _axis_sums(scores)
        _add_to_images(by_image, scores, points.image[part])
        for total, (codes, _) in zip(totals, groupings, strict=True):
            _add_block(total, scores, codes[part])
    return Sums(by_image, totals[0], by_axis, tuple(totals[1:]))


def _add_to_images(sums: SumsByImage, scores: "_Scores", image: IntArray) -> None:
    """`image`: of each residual, ascending."""
    part = slice(int(image[0]), int(image[-1]) + 1)
    rows = sums.rows(part)
    _add_block(rows, scores, image - part.start)
    sums.put(part, rows)


def total_sums(points: Points) -> FloatArray:
    """The sums of all images together, [columns]."""
    total, first, rows = np.zeros(COLUMNS), 0, np.zeros((0, COLUMNS))
    for start in range(0, points.n, _BLOCK):
        part = slice(start, start + _BLOCK)
        image = points.image[part]
        # Images after the last block are done with.
        done = int(image[0]) - first
        total = np.concatenate([total[np.newaxis], rows[:done]]).sum(axis=0)
        first += done
        rows = np.concatenate(
            [rows[done:], np.zeros((int(image[-1]) + 1 - first - len(rows[done:]), COLUMNS))]
        )
        _add_block(rows, _score(points, part), image - first)
    return np.asarray(np.concatenate([total[np.newaxis], rows]).sum(axis=0), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _Scores:
    """Of one block: `terms` [2, M] by name, z [2, M], d² [M], and the bins, which index `ALL_LEVELS`.

    A residual lies inside level ALL_LEVELS[b] exactly if its bin is ≤ b.
    """

    terms: tuple[FloatArray, ...]
    z: FloatArray
    d_squared: FloatArray
    axis_bin: IntArray
    radial_bin: IntArray


def _score(points: Points, part: slice) -> _Scores:
    residual, sigma = points.residual_px[part].T, points.sigma_px[part].T
    z = residual / sigma
    if points.covariance_px2 is None:
        d_squared = mahalanobis_squared(residual.T, sigma.T)
    else:
        d_squared = mahalanobis_squared(residual.T, covariance_px2=points.covariance_px2[part])
    check, interval = quantile_scores(residual, sigma)
    return _Scores(
        terms=(nll(residual, sigma), crps_px(residual, sigma), check, interval, sigma * sigma, z * z),
        z=z,
        d_squared=d_squared,
        axis_bin=np.searchsorted(half_width(ALL_LEVELS), np.abs(z), side="left"),
        radial_bin=np.searchsorted(ellipse_limit(ALL_LEVELS), d_squared, side="left"),
    )


def _add_block(total: FloatArray, scores: _Scores, codes: IntArray) -> None:
    first = int(codes.min())
    group, groups = codes.astype(np.intp) - first, int(codes.max()) - first + 1
    target = total[first : first + groups]
    columns = [None, *(term[0] + term[1] for term in scores.terms), *scores.z, scores.d_squared]
    for i, values in enumerate(columns):
        target[:, i] += np.bincount(group, weights=values, minlength=groups)
    target[:, _AXIS] += _histogram(group, scores.axis_bin[0], groups)
    target[:, _AXIS] += _histogram(group, scores.axis_bin[1], groups)
    target[:, _RADIAL] += _histogram(group, scores.radial_bin, groups)


def _axis_sums(scores: _Scores) -> FloatArray:
    sums = np.zeros((2, COLUMNS))
    sums[:, 0] = scores.z.shape[1]
    # The numbers divide by two residuals per keypoint, so that one axis alone weighs double.
    for i, term in enumerate(scores.terms, start=1):
        sums[:, i] = 2.0 * term.sum(axis=1)
    sums[[0, 1], [_Z_X, _Z_X + 1]] = scores.z.sum(axis=1)
    for axis in (0, 1):
        sums[axis, _AXIS] = 2.0 * np.bincount(scores.axis_bin[axis], minlength=len(ALL_LEVELS))
    return sums


def _histogram(group: IntArray, level: IntArray, groups: int) -> IntArray:
    width = len(ALL_LEVELS)
    counts = np.bincount(group * width + level, minlength=groups * width)
    return counts.reshape(groups, width)


@dataclass(frozen=True, slots=True)
class Numbers:
    """Every number that is a function of sums; each of the shape of the sums without their last axis."""

    n: FloatArray
    mace: FloatArray
    rmsce: FloatArray
    miscalibration_area: FloatArray
    sharpness_px: FloatArray
    nll: FloatArray
    crps_px: FloatArray
    check: FloatArray
    interval: FloatArray
    sigma_scale: FloatArray
    bias_x: FloatArray
    bias_y: FloatArray
    observed: FloatArray
    coverage: FloatArray
    radial_mace: FloatArray
    radial_observed: FloatArray
    radial_coverage: FloatArray
    radial_sigma_scale: FloatArray

    def floats(self, *names: str, group: int | tuple[()] = ()) -> dict[str, float]:
        """Some of the numbers by name; of one `group` where the sums were [groups, columns]."""
        return {name: float(getattr(self, name)[group]) for name in names}


def numbers(sums: FloatArray) -> Numbers:
    """The numbers behind sums [..., columns]; NaN where a group has no keypoint."""
    part = {name: sums[..., i] for i, name in enumerate(_TERMS)}
    n = part["points"]
    with np.errstate(divide="ignore", invalid="ignore"):
        per_axis = 0.5 / n
        axis = np.cumsum(sums[..., _AXIS], axis=-1) * per_axis[..., np.newaxis]
        radial = np.cumsum(sums[..., _RADIAL], axis=-1) / n[..., np.newaxis]
        return Numbers(
            n=n,
            mace=mean_absolute_gap(axis[..., CURVE]),
            rmsce=root_mean_square_gap(axis[..., CURVE]),
            miscalibration_area=area_between(axis[..., CURVE]),
            sharpness_px=np.sqrt(part["sigma2"] * per_axis),
            nll=part["nll"] * per_axis,
            crps_px=part["crps"] * per_axis,
            check=part["check"] * per_axis,
            interval=part["interval"] * per_axis,
            sigma_scale=np.sqrt(part["z2"] * per_axis),
            bias_x=part["z_x"] / n,
            bias_y=part["z_y"] / n,
            observed=axis[..., CURVE],
            coverage=axis[..., NAMED],
            radial_mace=mean_absolute_gap(radial[..., CURVE]),
            radial_observed=radial[..., CURVE],
            radial_coverage=radial[..., NAMED],
            radial_sigma_scale=np.sqrt(part["d2"] * per_axis),
        )


def image_sums(points: Points) -> FloatArray:
    """The sums of `sums_of` by image alone, [images, columns]."""
    total = np.zeros((points.n_images, COLUMNS))
    for start in range(0, points.n, _BLOCK):
        part = slice(start, start + _BLOCK)
        _add_block(total, _score(points, part), points.image[part])
    return total


def numbers_of(sums: FloatArray, columns: IntArray) -> Numbers:
    """The numbers behind some columns [..., len(columns)]; those of other columns mean nothing."""
    whole = np.zeros((*sums.shape[:-1], COLUMNS))
    whole[..., columns] = sums
    return numbers(whole)


def mean_scores(sums: FloatArray) -> dict[str, FloatArray]:
    """Mean NLL, CRPS, check and interval score behind sums [..., columns]; NaN where there is no keypoint."""
    with np.errstate(divide="ignore", invalid="ignore"):
        per_axis = 0.5 / sums[..., _TERMS.index("points")]
        means = {name: sums[..., _TERMS.index(name)] * per_axis for name in ("nll", "check", "interval")}
        return means | {"crps_px": sums[..., _TERMS.index("crps")] * per_axis}


def adversarial_mace(
    sums: FloatArray, *, sizes: int = 10, trials: int = 10, draws: int = 10, seed: int = 0
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Worst MACE over random subgroups of each of `sizes` sizes: adversarial group calibration.

    A subgroup is a random share r of the residuals (r = 0 … 1 in equal steps, at least 2 residuals); the
    worst of `draws` is kept, with mean and spread over `trials`. The level counts of a random subset of known
    size follow a multivariate hypergeometric law, so the subset itself is never formed.
    `sums`: [columns] of all keypoints. Out: shares [sizes], mean and spread of the worst MACE [sizes].
    Raises ValueError with fewer than 2 residuals.
    Source: Zhao, Ma, Ermon, Individual Calibration with Randomized Forecasting, ICML 2020.
    """
    counts = sums[_AXIS].astype(np.int64)
    total = int(counts.sum())
    if total < 2:
        raise ValueError("fewer than 2 residuals: there is no subgroup to draw")
    rng = np.random.default_rng(seed)
    share = np.linspace(0.0, 1.0, sizes)
    worst = np.empty((sizes, trials))
    for i, ratio in enumerate(share):
        size = max(round(total * float(ratio)), 2)
        drawn = rng.multivariate_hypergeometric(counts, size, size=(trials, draws), method="marginals")
        observed = np.cumsum(drawn, axis=-1)[..., CURVE] / size
        worst[i] = mean_absolute_gap(observed).max(axis=1)
    spread = worst.std(axis=1, ddof=1) if trials > 1 else np.zeros(sizes)
    return share, worst.mean(axis=1), spread
