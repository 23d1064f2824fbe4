"""How well two sets of measurements of the same images agree."""

from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtri, stdtrit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class BlandAltman:
    """Differences prediction − label: bias, limits of agreement, mean absolute error.

    The intervals are those of Bland and Altman: Student's t, standard error of a limit
    s·√(1/n + 1.96²/(2(n−1))). Numbers that need two pairs are NaN with one, all with none.
    """

    n: int
    bias: float
    bias_ci95: tuple[float, float]
    sd: float
    lower: float
    lower_ci95: tuple[float, float]
    upper: float
    upper_ci95: tuple[float, float]
    mean_absolute: float


@dataclass(frozen=True, slots=True)
class Icc:
    """ICC(A,1) with its 95 % interval; NaN where it is undefined (fewer than two images, no variation)."""

    n: int
    value: float
    low: float
    high: float


_Z = 1.959963984540054


def bland_altman(predicted: Floats, labelled: Floats) -> BlandAltman:
    """Bias with 95 % limits of agreement, `[N]` each, NaN pairs left out.

    bias ± 1.96 s, s the standard deviation of the differences (n − 1). Bland and Altman, Lancet 327:307,
    1986; intervals: Bland and Altman, Stat Methods Med Res 8:135, 1999.
    """
    difference = predicted - labelled
    difference = difference[np.isfinite(difference)]
    n = difference.size
    nan = float("nan")
    bias = float(difference.mean()) if n else nan
    absolute = float(np.abs(difference).mean()) if n else nan
    sd = float(difference.std(ddof=1)) if n > 1 else nan
    t = float(stdtrit(n - 1, 0.975)) if n > 1 else nan
    bias_half = t * sd / np.sqrt(n) if n > 1 else nan
    limit_half = t * sd * np.sqrt(1 / n + _Z**2 / (2 * (n - 1))) if n > 1 else nan
    lower, upper = bias - _Z * sd, bias + _Z * sd
    return BlandAltman(
        n=n,
        bias=bias,
        bias_ci95=_around(bias, bias_half),
        sd=sd,
        lower=lower,
        lower_ci95=_around(lower, limit_half),
        upper=upper,
        upper_ci95=_around(upper, limit_half),
        mean_absolute=absolute,
    )


def _around(middle: float, half: float) -> tuple[float, float]:
    return float(middle - half), float(middle + half)


def icc_a1(ratings: Floats) -> Icc:
    """Absolute agreement of single ratings, two-way random effects: ICC(A,1).

    (MSR − MSE) / (MSR + (k − 1) MSE + k (MSC − MSE)/n) with the mean squares of rows (images), columns (the
    k raters) and error. `ratings` is `[N, k]`; rows with a NaN are left out. Value and interval: McGraw and
    Wong, Psychological Methods 1:30, 1996, tables 4 and 7 (the value is ICC(2,1) of Shrout and Fleiss, 1979).
    The interval is NaN where nothing but the raters' means differs.
    """
    ratings = ratings[np.isfinite(ratings).all(axis=1)]
    n, k = ratings.shape
    nan = float("nan")
    if n < 2 or k < 2:
        return Icc(n, nan, nan, nan)
    mean, rows, columns = ratings.mean(), ratings.mean(axis=1), ratings.mean(axis=0)
    msr = k * float(((rows - mean) ** 2).sum()) / (n - 1)
    msc = n * float(((columns - mean) ** 2).sum()) / (k - 1)
    mse = float(((ratings - rows[:, None] - columns + mean) ** 2).sum()) / ((n - 1) * (k - 1))
    total = msr + (k - 1) * mse + k * (msc - mse) / n
    noise = 1e-20 * float((ratings**2).mean())
    if total <= noise:
        return Icc(n, nan, nan, nan)
    value = (msr - mse) / total
    if (mse <= noise and msc <= noise) or value >= 1:
        return Icc(n, 1.0, 1.0, 1.0)
    low, high = _icc_interval(value, msr, msc, mse, n, k)
    return Icc(n, value, low, high)


def _icc_interval(value: float, msr: float, msc: float, mse: float, n: int, k: int) -> tuple[float, float]:
    """95 % interval of ICC(A,1): McGraw and Wong, table 7, Satterthwaite's degrees of freedom v."""
    a = k * value / (n * (1 - value))
    b = 1 + k * value * (n - 1) / (n * (1 - value))
    if mse == 0 and a * msc == 0:
        return float("nan"), float("nan")
    pooled = (a * msc) ** 2 / (k - 1) + (b * mse) ** 2 / ((n - 1) * (k - 1))
    v = (a * msc + b * mse) ** 2 / pooled
    above, below = float(fdtri(n - 1, v, 0.975)), float(fdtri(v, n - 1, 0.975))
    rest = k * msc + (k * n - k - n) * mse
    # With hardly any degrees of freedom a quantile overflows; the bounds then are its limits.
    low = n * (msr - above * mse) / (above * rest + n * msr) if isfinite(above) else -n * mse / rest
    high = n * (below * msr - mse) / (rest + n * below * msr) if isfinite(below) else 1.0
    return low, high


def confusion_table(labelled: Ints, predicted: Ints, classes: tuple[int, ...]) -> Ints:
    """Counts `[class of label, class of prediction]`; pairs with a class that is not listed are left out."""
    table = np.zeros((len(classes), len(classes)), dtype=np.int64)
    for row, one in enumerate(classes):
        for column, other in enumerate(classes):
            table[row, column] = int(((labelled == one) & (predicted == other)).sum())
    return table
