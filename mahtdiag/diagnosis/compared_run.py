"""What is known of the images that two runs have in common, and how numbers are summed over them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.findings import Findings
from mahtdiag.diagnosis.paired import PairedReading, Reading
from mahtdiag.schema.skeleton import View

Floats = NDArray[np.float64]
Number = TypeVar("Number", np.float64, np.int64, np.bool_)

_IMAGES_AT_ONCE = 2048


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """One run on N images, K keypoints each, original pixels; NaN where there is no value.

    Points and σ `[N, K, 2]`, `error_px` `[N, K]`, `spacing_mm` `[N]`, losses by name `[N]`. `covariance_px2`
    `[N, K, 2, 2]` where σ is the heatmap's spread, else None. `findings` are those of the predictions.
    """

    view: View
    gt_px: Floats
    pred_px: Floats
    error_px: Floats
    spacing_mm: Floats
    losses: Mapping[str, Floats]
    findings: Findings
    sigma_px: Floats
    covariance_px2: Floats | None

    @property
    def images(self) -> int:
        """Number of images."""
        return len(self.error_px)


def image_blocks(images: int) -> list[slice]:
    """All images, a few at a time: what is computed of them stays in the processor's cache."""
    return [slice(first, first + _IMAGES_AT_ONCE) for first in range(0, images, _IMAGES_AT_ONCE)]


class Ratios:
    """Means, shares and counts over images, gathered for both runs: values where both runs have one."""

    def __init__(self, images: int) -> None:
        self._images = images
        self._names: list[str] = []
        self._sums: list[tuple[Floats, Floats]] = []
        self._counts: list[Floats] = []
        self._count_of: list[int | None] = []

    def mean(self, name: str, a: Floats, b: Floats) -> None:
        """The mean of values `[N, ...]`; an image alone has the mean of its own."""
        a, b = (values.reshape(self._images, -1) for values in (a, b))
        known = np.isfinite(a) & np.isfinite(b)
        sums = [np.where(known, values, 0.0).sum(axis=1) for values in (a, b)]
        self.quotient(name, sums[0], sums[1], known.sum(axis=1))

    def quotient(self, name: str, a: NDArray[Number], b: NDArray[Number], count: NDArray[np.integer]) -> None:
        """Sums `[N]` of both runs over the same count `[N]`."""
        self._add(name, a, b, self._index_of(count.astype(np.float64)))

    def total(self, name: str, a: NDArray[Number], b: NDArray[Number]) -> None:
        """The sum of values `[N]` over all images."""
        self._add(name, a, b, None)

    def leave_out_absent(self, names: Iterable[str]) -> None:
        """Forget those of these numbers that are 0 in every image of both runs."""
        asked = set(names)
        kept = [
            i
            for i, (name, sums) in enumerate(zip(self._names, self._sums, strict=True))
            if name not in asked or sums[0].any() or sums[1].any()
        ]
        self._names, self._sums, self._count_of = (
            [self._names[i] for i in kept],
            [self._sums[i] for i in kept],
            [self._count_of[i] for i in kept],
        )

    def reading(self) -> PairedReading | None:
        """All that was gathered; None if that is nothing."""
        if not self._names:
            return None
        # Column by column in memory, as they were gathered.
        a, b = (np.stack([pair[side] for pair in self._sums] + self._counts).T for side in (0, 1))
        return PairedReading(tuple(self._names), self._side(a), self._side(b))

    def _add(self, name: str, a: NDArray[Number], b: NDArray[Number], count: int | None) -> None:
        self._names.append(name)
        self._sums.append((a.astype(np.float64), b.astype(np.float64)))
        self._count_of.append(count)

    def _index_of(self, count: Floats) -> int:
        """Most numbers are means over the same keypoints: their counts are summed once."""
        for index, known in enumerate(self._counts):
            if np.array_equal(known, count):
                return index
        self._counts.append(count)
        return len(self._counts) - 1

    def _side(self, per_image: Floats) -> Reading:
        numbers = _Quotients(len(self._names), tuple(self._count_of))
        return Reading(per_image, numbers, lambda i: numbers.column(per_image, i))


@dataclass(frozen=True, slots=True)
class _Quotients:
    """Sums `[..., C]` to sums over their counts `[..., M]`; a sum without a count stands for itself."""

    numbers: int
    count_of: Sequence[int | None]

    def __call__(self, sums: Floats) -> Floats:
        return np.stack([self.column(sums, i) for i in range(self.numbers)], axis=-1)

    def column(self, sums: Floats, i: int) -> Floats:
        """The i-th number alone, `[...]`."""
        count = self.count_of[i]
        if count is None:
            return sums[..., i]
        divisor = sums[..., self.numbers + count]
        quotient = np.full(divisor.shape, np.nan)
        np.divide(sums[..., i], divisor, out=quotient, where=divisor > 0)
        return quotient
