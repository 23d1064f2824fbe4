"""How well two sets of measurements of the same images agree."""

from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, fdtri, nctdtrit, stdtrit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class BlandAltman:
    """Differences prediction − label of n images of so many units: bias, limits of agreement, mean |d|.

    Intervals count units: patients, or images. That of the bias is Student's, that of a limit is exact for
    normal differences. Numbers that need two units are NaN with one, all with none.
    """

    n: int
    units: int
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
    """ICC(A,1) with its 95 % interval over units; NaN where it is undefined (one image, no variation)."""

    n: int
    value: float
    low: float
    high: float


_Z = 1.959963984540054
_TAILS = (0.025, 0.975)


def bland_altman(predicted: Floats, labelled: Floats, units: Ints | None = None) -> BlandAltman:
    """Bias with 95 % limits of agreement, `[N]` each, NaN pairs left out; `units` `[N]` as in `RunTable`.

    bias ± 1.96 s, s the standard deviation of the differences (n − 1). Bland and Altman, Lancet 327:307,
    1986. Interval of the upper limit: bias + s·t/√U, t the 2.5 % and 97.5 % quantiles of the noncentral t law
    with U − 1 degrees of freedom and noncentrality 1.96·√U, U the number of units (Carkeet, Optometry and
    Vision Science 92:e71, 2015); with several images of a unit it is wider than need be.
    """
    difference = predicted - labelled
    known = np.isfinite(difference)
    difference, codes = difference[known], _codes(known, units)
    n, count = difference.size, int(codes.max(initial=-1)) + 1
    nan = float("nan")
    bias = float(difference.mean()) if n else nan
    sd = float(difference.std(ddof=1)) if count > 1 else nan
    half, near, far = nan, nan, nan
    if count > 1:
        by_unit = np.bincount(codes, difference - bias)
        error = float(np.sqrt((by_unit**2).sum() * count / (count - 1))) / n
        half = float(stdtrit(count - 1, 0.975)) * error
        near, far = (float(nctdtrit(count - 1, _Z * np.sqrt(count), q)) / np.sqrt(count) for q in _TAILS)
    lower, upper = bias - _Z * sd, bias + _Z * sd
    return BlandAltman(
        n=n,
        units=count,
        bias=bias,
        bias_ci95=(bias - half, bias + half),
        sd=sd,
        lower=lower,
        lower_ci95=(bias - far * sd, bias - near * sd),
        upper=upper,
        upper_ci95=(bias + near * sd, bias + far * sd),
        mean_absolute=float(np.abs(difference).mean()) if n else nan,
    )


def _codes(known: NDArray[np.bool_], units: Ints | None) -> Ints:
    """The units of what is known, numbered from 0 without gaps."""
    units = np.arange(known.size) if units is None else units
    codes: Ints = np.unique(units[known], return_inverse=True)[1].astype(np.int64)
    return codes


def icc_a1(ratings: Floats, units: Ints | None = None) -> Icc:
    """Absolute agreement of single ratings, two-way random effects: ICC(A,1).

    (MSR − MSE) / (MSR + (k − 1) MSE + k (MSC − MSE)/n) with the mean squares of rows (images), columns (the
    k raters) and error. `ratings` is `[N, k]`; rows with a NaN are left out; `units` `[N]` as in `RunTable`.
    Value and interval: McGraw and Wong, Psychological Methods 1:30, 1996, tables 4 and 7 (the value is
    ICC(2,1) of Shrout and Fleiss, 1979). With several images of a unit the degrees of freedom are those of as
    many images as there are units. The interval is NaN where nothing but the raters' means differs, and with
    a single unit.
    """
    known = np.asarray(np.isfinite(ratings).all(axis=1))
    ratings, codes = ratings[known], _codes(known, units)
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
    count = int(codes.max(initial=-1)) + 1
    low, high = _icc_interval(value, msr, msc, mse, n, k, count) if count > 1 else (nan, nan)
    return Icc(n, value, low, high)


def _icc_interval(
    value: float, msr: float, msc: float, mse: float, n: int, k: int, units: int
) -> tuple[float, float]:
    """95 % interval of ICC(A,1): McGraw and Wong, table 7, Satterthwaite's degrees of freedom v."""
    a = k * value / (n * (1 - value))
    b = 1 + k * value * (n - 1) / (n * (1 - value))
    if mse == 0 and a * msc == 0:
        return float("nan"), float("nan")
    pooled = (a * msc) ** 2 / (k - 1) + (b * mse) ** 2 / ((units - 1) * (k - 1))
    v = (a * msc + b * mse) ** 2 / pooled
    above, below = float(fdtri(units - 1, v, 0.975)), float(fdtri(v, units - 1, 0.975))
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


@dataclass(frozen=True, slots=True)
class Share:
    """A share of cases in so many units, with its exact 95 % interval; NaN, and 0 to 1, without a case."""

    hits: int
    cases: int
    units: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share."""
        return self.hits / self.cases if self.cases else float("nan")


@dataclass(frozen=True, slots=True)
class Detection:
    """Sensitivity and specificity of a yes or no against what readers said."""

    sensitivity: Share
    specificity: Share


def detection(said: Ints, found: Ints, units: Ints) -> Detection:
    """Sensitivity and specificity of `found` against `said`, `[N, L]` each: 1 yes, 0 no, −1 unknown.

    The intervals are Clopper and Pearson's (1934) of as many cases as there are units with one: those of a
    patient are not independent. That is wider than need be, and never too short or empty.
    """
    known = (said >= 0) & (found >= 0)
    return Detection(
        _share(found == 1, known & (said == 1), units), _share(found == 0, known & (said == 0), units)
    )


def _share(hit: NDArray[np.bool_], case: NDArray[np.bool_], units: Ints) -> Share:
    hits, cases = int((hit & case).sum()), int(case.sum())
    count = len(np.unique(units[case.any(axis=1)]))
    if not cases:
        return Share(0, 0, 0, 0.0, 1.0)
    told = hits / cases * count
    low = 0.0 if hits == 0 else float(betaincinv(told, count - told + 1, _TAILS[0]))
    high = 1.0 if hits == cases else float(betaincinv(told + 1, count - told, _TAILS[1]))
    return Share(hits, cases, count, low, high)


@dataclass(frozen=True, slots=True)
class Kappa:
    """Weighted kappa of two gradings of so many cases; NaN where it is undefined or too little is graded."""

    cases: int
    value: float
    low: float
    high: float


FEWEST_TOLD = 10
"""Units with a grade other than the lowest, below which kappa has no interval that would hold."""


def weighted_kappa(labelled: Ints, predicted: Ints, units: Ints, grades: tuple[int, ...]) -> Kappa:
    """Agreement of two gradings beyond chance, `[N, L]` each; pairs with a grade not listed are left out.

    κ = 1 − Σ w·observed / Σ w·expected, w the squared distance of the grades, expected from the margins. Its
    95 % interval is Student's on the scale artanh κ, with the standard error of a jackknife over units; none
    where all agree, which says nothing about those not seen, nor below `FEWEST_TOLD` units with a grade other
    than the lowest. Sources: Cohen, Psychological Bulletin 70:213, 1968; Efron and Tibshirani, An
    Introduction to the Bootstrap, 1993, ch. 11.
    """
    rows, columns = (np.searchsorted(grades, each) for each in (labelled, predicted))
    known = np.isin(labelled, grades) & np.isin(predicted, grades)
    codes = np.unique(units, return_inverse=True)[1]
    tables = np.zeros((int(codes.max(initial=-1)) + 1, len(grades), len(grades)))
    image = np.broadcast_to(codes[:, None], labelled.shape)
    np.add.at(tables, (image[known], rows[known], columns[known]), 1.0)
    tables = tables[tables.any(axis=(1, 2))]
    total, nan = tables.sum(axis=0), float("nan")
    value = float(_kappa(total))
    told = int((tables.sum(axis=(1, 2)) > tables[:, 0, 0]).sum())
    count = len(tables)
    if told < FEWEST_TOLD or not isfinite(value) or value >= 1:
        return Kappa(int(total.sum()), value, nan, nan)
    without = _kappa(total - tables)
    error = float(np.sqrt((count - 1) / count * ((without - without.mean()) ** 2).sum()))
    half = float(stdtrit(min(count, told) - 1, 0.975)) * error / (1 - value**2)
    middle = np.arctanh(value)
    return Kappa(int(total.sum()), value, float(np.tanh(middle - half)), float(np.tanh(middle + half)))


def _kappa(table: Floats) -> Floats:
    """Quadratically weighted kappa of `[..., G, G]` counts; NaN where chance alone agrees fully."""
    grades = np.arange(table.shape[-1])
    weight = (grades[:, None] - grades) ** 2.0
    size = table.sum(axis=(-2, -1))
    expected = table.sum(axis=-1)[..., :, None] * table.sum(axis=-2)[..., None, :]
    observed, chance = (weight * table).sum(axis=(-2, -1)), (weight * expected).sum(axis=(-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(1.0 - observed * size / np.where(chance > 0, chance, np.nan))
