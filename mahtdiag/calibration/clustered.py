"""Means and quantiles of values that depend on one another within units: images, or patients where known."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from types import MappingProxyType

import numpy as np
from scipy import special

from mahtdiag.calibration.scores import FloatArray, IntArray, summed

NORMAL_CORE = float(special.ndtri(0.75))
"""Half of the errors of a normal lie within so many σ, 0.6745."""


@dataclass(frozen=True, slots=True)
class ValueWithError:
    """A value with its standard error over units."""

    value: float
    standard_error: float

    def is_off(self, expected: float, tolerance: float, critical: float) -> bool:
        """True if it is away from `expected` by more than `tolerance` and by more than chance."""
        gap = abs(self.value - expected)
        return gap > tolerance and gap > critical * self.standard_error


def critical_value(false_alarm: float, clusters: int) -> float:
    """Two-sided Student quantile with clusters − 1 degrees of freedom."""
    return float(-special.stdtrit(clusters - 1, 0.5 * false_alarm))


def clustered_mean(values: FloatArray, cluster: IntArray, clusters: int) -> ValueWithError:
    """Mean of [M] values and its standard error when values of one cluster depend on one another.

    SE = sqrt(C/(C−1)·Σ_c (Σ_{i in c} (v_i − mean))²)/M. Source: Liang, Zeger, Biometrika 73 (1986).
    """
    mean = float(values.mean())
    sums = summed(cluster, values - mean, clusters)
    variance = float(np.dot(sums, sums)) * clusters / (clusters - 1)
    return ValueWithError(mean, sqrt(variance) / len(values))


FEWEST_UNITS: Mapping[float, int] = MappingProxyType({0.5: 10, 0.95: 150})
"""Units that the interval of a factor needs to hold in 92 % of simulated sets and more, by share."""


@dataclass(frozen=True, slots=True)
class ScaleFactor:
    """A factor on σ with its 95 % interval over units; None where the set is too small for one."""

    value: float
    ci95: tuple[float, float] | None


def quantile_factor(size: FloatArray, unit: IntArray, units: int, share: float) -> ScaleFactor:
    """The factor on σ at which the central normal interval of `share` holds that share of the errors.

    Quantile of |z| over that of a standard normal. `size`: |z| [M, axes], `unit`: [M]. The interval is read
    from the quantiles at share ± t·SE, SE being the clustered error of the share of |z| below its quantile:
    no density has to be known. None where it would not hold: below `FEWEST_UNITS`, 10 for a share
    of one half and 150 for 95 %, or where share ± t·SE leaves 0 to 1.
    Source: Woodruff, J. Am. Stat. Assoc. 47 (1952); Francisco, Fuller, Ann. Statist. 19 (1991).
    """
    normal = float(special.ndtri(0.5 + 0.5 * share))
    value = float(np.quantile(size.T, share))
    if units < FEWEST_UNITS[share]:
        return ScaleFactor(value / normal, None)
    below = (size <= value).mean(axis=1)
    margin = critical_value(0.05, units) * clustered_mean(below, unit, units).standard_error
    if not 0.0 < share - margin < share + margin < 1.0:
        return ScaleFactor(value / normal, None)
    low, high = np.quantile(size.T, [share - margin, share + margin])
    return ScaleFactor(value / normal, (float(low) / normal, float(high) / normal))
