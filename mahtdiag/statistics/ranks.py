"""Ranks, and whether two quantities rise together."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

Floats = NDArray[np.float64]


def mean_ranks(values: Floats) -> Floats:
    """Ranks `[N]`, from 1; equal values share the mean of theirs."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count - 1) / 2)[place], dtype=np.float64)


def rising_p(first: Floats, second: Floats) -> float:
    """Two-sided p-value of Spearman's rank correlation where it is positive; else, or where one is flat, 1.

    Student's t with n − 2 degrees of freedom. Spearman, Am J Psychol 15:72, 1904.
    """
    if first.size < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return 1.0
    correlation = float(np.corrcoef(mean_ranks(first), mean_ranks(second))[0, 1])
    if correlation <= 0:
        return 1.0
    degrees = first.size - 2
    rest = max((1 + correlation) * (1 - correlation), 0.0)
    t = np.inf if rest == 0 else correlation * np.sqrt(degrees / rest)
    return float(2 * stdtr(degrees, -t))
