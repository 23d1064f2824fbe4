"""The same images judged twice: differences with paired intervals, p-values, and their correction.

Keypoints of one image are not independent, so images are what is resampled and ranked. Both runs are
resampled with the same weights: what makes an image hard for both cancels out of the difference.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc, ndtri
from scipy.stats import wilcoxon

from mahtdiag.calibration.bootstrap import image_weights, percentile_interval
from mahtdiag.diagnosis.metrics.measures import Columns, Paired

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Interval = tuple[float, float]

RESAMPLES = 2000
SEED = 0
# Single precision holds every whole number up to this.
_EXACT = 2**24
_IMAGES_AT_ONCE = 1024
_Z95 = float(ndtri(0.975))


class Method(StrEnum):
    """How a p-value was found."""

    WILCOXON = "wilcoxon"
    BOOTSTRAP = "bootstrap"


@dataclass(frozen=True, slots=True)
class PairedNumber:
    """A number by name, read in two runs; `reflected`: noise pushes it up, as it does MACE."""

    name: str
    paired: Paired
    reflected: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """One number in two runs: `difference` is b − a with its 95 % interval, None for a single image.

    `p_value` of no difference, `p_holm` corrected for all that were compared with it.
    """

    name: str
    a: float
    b: float
    difference: float
    ci95: Interval | None
    p_value: float
    p_holm: float
    method: Method


def paired_differences(
    numbers: Sequence[PairedNumber], *, resamples: int = RESAMPLES, seed: int = SEED
) -> tuple[Difference, ...]:
    """Every number that is defined in both runs, in order, with p-values corrected for their number.

    The interval is the percentile interval of the differences under `resamples` resamples of images. p-values
    are those of the Wilcoxon signed-rank test on the differences of each image, or, where an image alone has
    no such number, of the difference over the standard error that its interval tells. The same seed gives the
    same numbers.
    Sources: Efron, Tibshirani, An Introduction to the Bootstrap (1993); Wilcoxon, Biometrics Bulletin 1
    (1945); Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    blocks = {id(columns): columns for number in numbers for columns in number.paired.columns}
    images = next((len(a) for a, _ in blocks.values()), 0)
    drawn: list[list[Floats]] = [[] for _ in numbers]
    if images > 1:
        sums = [_PairedSums.of(*columns) for columns in blocks.values()]
        for weights in image_weights(images, resamples, seed):
            resampled = dict(zip(blocks, _resampled(sums, weights), strict=True))
            for found, number in zip(drawn, numbers, strict=True):
                a, b = _read(number.paired, resampled)
                found.append(b - a)
    totals = {key: (a.sum(axis=0), b.sum(axis=0)) for key, (a, b) in blocks.items()}
    differences = [
        difference
        for number, found in zip(numbers, drawn, strict=True)
        if (difference := _difference(number, totals, np.concatenate(found) if found else None)) is not None
    ]
    corrected = holm([difference.p_value for difference in differences])
    return tuple(
        replace(difference, p_holm=p_holm) for difference, p_holm in zip(differences, corrected, strict=True)
    )


def _read(paired: Paired, sums: Mapping[int, Columns]) -> tuple[Floats, Floats]:
    """A number in runs A and B `[...]` from the sums `[..., C]` of its columns, by their identity."""
    a, b = (_side_by_side([sums[id(columns)][side] for columns in paired.columns]) for side in (0, 1))
    return paired.of_a(a), paired.of_b(b)


def _side_by_side(parts: Sequence[NDArray[np.floating]]) -> Floats:
    """Columns `[..., C]` as one table, a single one without a copy."""
    return np.asarray(parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1), dtype=np.float64)


def _is_exact(per_image: NDArray[np.floating]) -> Bools:
    """Which columns `[C]` single precision adds up exactly in every resample: small whole numbers."""
    whole = np.ones(per_image.shape[1], dtype=np.bool_)
    for first in range(0, len(per_image), _IMAGES_AT_ONCE):
        some = per_image[first : first + _IMAGES_AT_ONCE]
        whole &= (some == np.floor(some)).all(axis=0)
    low, high = per_image.min(axis=0), per_image.max(axis=0)
    return np.asarray(whole & (low >= 0.0) & (high * len(per_image) < _EXACT))


@dataclass(frozen=True, slots=True)
class _PairedSums:
    """What is summed in both runs: columns in single precision, if that is exact, and others.

    Both runs are summed in products of the same shape, so that equal columns have equal sums to the last bit.
    """

    exact: Bools
    single: tuple[NDArray[np.float32], NDArray[np.float32]]
    double: tuple[Floats, Floats]

    @staticmethod
    def of(a: NDArray[np.floating], b: NDArray[np.floating]) -> "_PairedSums":
        """Columns `[N, C]` of both, the exact ones apart."""
        exact = _is_exact(a) & _is_exact(b)
        if exact.all():
            whole = a.astype(np.float32, copy=False), b.astype(np.float32, copy=False)
        else:
            whole = a[:, exact].astype(np.float32), b[:, exact].astype(np.float32)
        return _PairedSums(exact, whole, (a[:, ~exact].astype(np.float64), b[:, ~exact].astype(np.float64)))

    def joined(self, whole: NDArray[np.float32], other: Floats) -> Floats:
        """The columns `[some, C]` in their order again."""
        sums = np.empty((len(whole), self.exact.size))
        sums[:, self.exact], sums[:, ~self.exact] = whole, other
        return sums


def _resampled(sums: Sequence[_PairedSums], weights: NDArray[np.uint8]) -> list[tuple[Floats, Floats]]:
    """Sums of all columns in runs A and B, `[some, C]` each, under weights `[some, N]`.

    A few images at a time: their weights are converted once, and stay in the processor's cache; and all
    columns together, since one wide product costs less than many narrow ones.
    """
    single = [side for each in sums for side in each.single]
    double = [[each.double[side] for each in sums] for side in (0, 1)]
    whole = np.zeros((len(weights), sum(x.shape[1] for x in single)), dtype=np.float32)
    other = [np.zeros((len(weights), sum(x.shape[1] for x in side))) for side in double]
    for first in range(0, weights.shape[1], _IMAGES_AT_ONCE):
        some = slice(first, first + _IMAGES_AT_ONCE)
        whole += weights[:, some].astype(np.float32) @ np.concatenate([x[some] for x in single], axis=1)
        precise = weights[:, some].astype(np.float64)
        for total, side in zip(other, double, strict=True):
            total += precise @ np.concatenate([x[some] for x in side], axis=1)
    apart = iter(np.split(whole, _ends(single), axis=1))
    sides = zip(
        *(np.split(x, _ends(side), axis=1) for x, side in zip(other, double, strict=True)), strict=True
    )
    return [
        (each.joined(next(apart), of_a), each.joined(next(apart), of_b))
        for each, (of_a, of_b) in zip(sums, sides, strict=True)
    ]


def _ends(parts: Sequence[NDArray[np.floating]]) -> NDArray[np.int64]:
    """Where columns side by side come apart again."""
    return np.cumsum([part.shape[1] for part in parts])[:-1]


def _difference(
    number: PairedNumber, totals: Mapping[int, Columns], drawn: Floats | None
) -> Difference | None:
    """The difference of a number, uncorrected; `drawn` [resamples], None for a single image.

    None where the number is not defined in both runs.
    """
    a, b = (float(value) for value in _read(number.paired, totals))
    if not np.isfinite(a) or not np.isfinite(b):
        return None
    difference = b - a
    interval = None if drawn is None else percentile_interval(drawn)
    if interval is not None and number.reflected:
        interval = 2.0 * difference - interval[1], 2.0 * difference - interval[0]
    if number.paired.alone:
        of_a, of_b = _read(number.paired, {id(columns): columns for columns in number.paired.columns})
        method, p_value = Method.WILCOXON, signed_rank_p(of_b - of_a)
    else:
        method, p_value = Method.BOOTSTRAP, _interval_p(difference, interval)
    return Difference(number.name, a, b, difference, interval, p_value, p_value, method)


def signed_rank_p(differences: Floats) -> float:
    """Two-sided p-value of the Wilcoxon signed-rank test; NaN and zero differences are left out.

    Exact for up to 50 differences without ties, otherwise with the normal approximation. 1 where every
    difference is 0.
    """
    kept = differences[np.isfinite(differences) & (differences != 0.0)]
    if kept.size == 0:
        return 1.0
    with warnings.catch_warnings():
        # Older versions warn of small samples, whose p-value is large all the same.
        warnings.simplefilter("ignore")
        return float(wilcoxon(kept, zero_method="wilcox", method="auto").pvalue)


def _interval_p(difference: float, interval: Interval | None) -> float:
    """Two-sided p-value of a difference over the standard error that its 95 % interval has if it is normal.

    The interval's width and not the spread of the resamples, which a few far ones decide. 1 without interval.
    """
    if interval is None or difference == 0.0:
        return 1.0
    error = (interval[1] - interval[0]) / (2.0 * _Z95)
    return float(erfc(abs(difference) / error / np.sqrt(2.0))) if error > 0.0 else 0.0


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number by Holm's step-down method, in the same order.

    The i-th smallest of m becomes the largest of (m − j + 1)·p_j over j ≤ i, at most 1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(steps, 1.0)
    found: list[float] = corrected.tolist()
    return found
