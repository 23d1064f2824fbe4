"""How far differences of two measurements spread, with an interval over patients or images."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FEWEST_UNITS = 10


@dataclass(frozen=True, slots=True)
class Bounded:
    """A number with its 95 % interval over units; NaN bounds where there are too few of them."""

    value: float
    low: float
    high: float


def spread_over_units(values: Floats, units: Ints, factor: float) -> Bounded:
    """`factor` times the standard deviation of values `[N]`, with an interval over units, codes `[N]`.

    Jackknife over units (Tukey, 1958) of 1 / SD, which skewed squares leave nearly symmetric, with Student's
    t; NaN enters nothing. No interval below 10 units, or where it would have no upper end.
    """
    known = np.isfinite(values)
    if known.sum() < 2:
        return Bounded(float("nan"), float("nan"), float("nan"))
    centred = values[known] - values[known].mean()
    codes = np.unique(units[known], return_inverse=True)[1]
    counts = np.bincount(codes)
    sums, squares = np.bincount(codes, centred), np.bincount(codes, centred**2)
    sd = float(np.sqrt((centred**2).sum() / (known.sum() - 1)))
    without = known.sum() - counts
    none = Bounded(factor * sd, float("nan"), float("nan"))
    if len(counts) < FEWEST_UNITS or without.min() < 2:
        return none
    variances = ((centred**2).sum() - squares - sums**2 / without) / (without - 1)
    if variances.min() <= 0:
        return none
    left_out = 1 / np.sqrt(variances)
    error = np.sqrt((len(counts) - 1) * left_out.var())
    reach = float(stdtrit(len(counts) - 1, 0.975) * error * sd)
    return Bounded(factor * sd, factor * sd / (1 + reach), factor * sd / (1 - reach)) if reach < 1 else none
