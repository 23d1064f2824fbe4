"""Predictions and labels of any number of images, a few thousand at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.geometry import known_points

Floats = NDArray[np.float64]
Block = tuple[Floats, Floats]

IMAGES_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class PointPairs:
    """Predictions and labels of N images.

    `blocks` gives those of consecutive images, `[n, K, 2]` each, from the first each time that it is called.
    """

    images: int
    blocks: Callable[[], Iterator[Block]]

    @staticmethod
    def of(pred: Floats, label: Floats) -> "PointPairs":
        """Those of two arrays `[N, K, 2]`."""
        firsts = range(0, max(len(pred), 1), IMAGES_AT_ONCE)
        parts = [slice(first, first + IMAGES_AT_ONCE) for first in firsts]
        return PointPairs(len(pred), lambda: ((pred[part], label[part]) for part in parts))

    def known(self) -> Iterator[Block]:
        """The blocks, with NaN for points that are none."""
        return ((known_points(pred), known_points(label)) for pred, label in self.blocks())

    def placed(self) -> Iterator[tuple[slice, Floats, Floats]]:
        """The same, each with the rows of its images."""
        first = 0
        for pred, label in self.known():
            yield slice(first, first + len(pred)), pred, label
            first += len(pred)
