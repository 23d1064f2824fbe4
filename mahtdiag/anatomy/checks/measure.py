"""What every check delivers: values by row and image, and whom to blame."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.geometry import Floats, Geometry
from mahtdiag.anatomy.limits import Limits
from mahtdiag.schema.skeleton import CORNERS_PER_VERTEBRA, LUMBAR_KEYPOINTS, View

Bits = NDArray[np.int64]

ROUNDING = 1e-9
"""Values that differ by less than this share are the same."""

END_STRENGTH = 0.75
"""What a value at the end of the spine counts against its neighbours' in `peaks`.

An end that is off adds half of that to its neighbour's value; a neighbour that is off adds all of it to the
end's.
"""


@dataclass(frozen=True, slots=True)
class Measure:
    """One quantity, to be held against the limit `key`.

    `values` `[R, n]`, NaN where it cannot be measured; `levels` `[R]`: index into `level_names`; `blamed`
    `[R, 1]` or `[R, n]`: the keypoints it concerns, as bits.
    """

    key: str
    values: Floats
    levels: NDArray[np.int64]
    blamed: Bits


Check = Callable[[Geometry, Limits], tuple[Measure, ...]]


def level_names(view: View) -> tuple[str, ...]:
    """Names a finding can carry: the vertebrae, then the pairs of neighbours (`L4/L5`)."""
    names = view.vertebrae
    return names + tuple(f"{a}/{b}" for a, b in pairwise(names))


def vertebra_rows(count: int) -> NDArray[np.int64]:
    """Level indices of the first `count` vertebrae."""
    return np.arange(count, dtype=np.int64)


def pair_rows(view: View, count: int) -> NDArray[np.int64]:
    """Level indices of the first `count` pairs of neighbours."""
    return len(view.vertebrae) + np.arange(count, dtype=np.int64)


def _vertebra_bits(vertebra: int) -> int:
    first = CORNERS_PER_VERTEBRA * vertebra
    return (0b1111 if first < LUMBAR_KEYPOINTS else 0b11) << first


def vertebra_bits(count: int) -> Bits:
    """All keypoints of each of the first `count` vertebrae, `[count, 1]`."""
    return np.array([[_vertebra_bits(v)] for v in range(count)], dtype=np.int64)


def pair_bits(count: int) -> Bits:
    """All keypoints of both vertebrae of each of the first `count` pairs, `[count, 1]`."""
    return np.array([[_vertebra_bits(p) | _vertebra_bits(p + 1)] for p in range(count)], dtype=np.int64)


def disc_bits(count: int) -> Bits:
    """The four keypoints around each of the first `count` discs, `[count, 1]`."""
    return np.array([[0b1111 << CORNERS_PER_VERTEBRA * p + 2] for p in range(count)], dtype=np.int64)


def _as_bits(blamed: NDArray[np.bool_]) -> Bits:
    bits: Bits = blamed * (np.int64(1) << np.arange(blamed.shape[0], dtype=np.int64))[:, None]
    return bits


def bits_of(blamed: NDArray[np.bool_]) -> Bits:
    """Keypoints `[K, n]` that are true, as bits `[n]`."""
    bits: Bits = np.add.reduce(_as_bits(blamed), axis=0)
    return bits


def bits_per_vertebra(blamed: NDArray[np.bool_]) -> Bits:
    """Keypoints `[K, n]` that are true, as bits, gathered by vertebra `[V, n]`."""
    return np.add.reduceat(_as_bits(blamed), np.arange(0, blamed.shape[0], CORNERS_PER_VERTEBRA), axis=0)


def peaks(values: Floats, step: int, strengths: Floats | None = None) -> Floats:
    """Values `[R, n]` whose strength none `step` rows before or after exceeds; NaN in place of the others.

    A point that is off by d moves what its neighbours are held against: without this it would accuse them
    too. `strengths` are the values themselves where not given. Those that differ by rounding alone are equal.
    """
    strengths = values if strengths is None else strengths
    kept = values.copy()
    beaten = strengths * (1.0 + ROUNDING)
    kept[step:][strengths[:-step] > beaten[step:]] = np.nan
    kept[:-step][strengths[step:] > beaten[:-step]] = np.nan
    return kept
