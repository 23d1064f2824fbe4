"""Whether the limits of agreement hold, which assume normal differences of one size; and other limits."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, stdtr

from mahtdiag.statistics.normality import normal_p
from mahtdiag.statistics.ranks import rising_p

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FEWEST_TESTED = 10
"""Units below which nothing is said about the shape of differences."""

FEWEST_OF_PERCENTILES = 39
"""Units from which the 2.5th percentile is the smallest of them or more."""

_Z = 1.959963984540054


@dataclass(frozen=True, slots=True)
class DifferenceShape:
    """p-values, NaN where there are too few units or nothing varies.

    `p_normal`: of normal differences; `p_bias`: of a bias, `p_spread`: of a spread that does not grow with
    the size of what is measured.
    """

    p_normal: float
    p_bias: float
    p_spread: float


@dataclass(frozen=True, slots=True)
class PercentileLimits:
    """2.5th and 97.5th percentile of the differences, each with its 95 % interval, None where it has none."""

    lower: float
    lower_ci95: tuple[float, float] | None
    upper: float
    upper_ci95: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class RegressionLimits:
    """Limits that depend on the mean m of both: bias + slope·m ± (spread + spread_slope·|m|)."""

    bias: float
    slope: float
    spread: float
    spread_slope: float

    def at(self, mean: float) -> tuple[float, float]:
        """The limits where the mean of label and prediction is so much."""
        middle = self.bias + self.slope * mean
        half = max(0.0, self.spread + self.spread_slope * abs(mean))
        return middle - half, middle + half


def difference_shape(predicted: Floats, labelled: Floats, units: Ints) -> DifferenceShape:
    """Tests of what limits of agreement assume, `[N]` each, on the means of each unit.

    Normal: Shapiro and Wilk, Biometrika 52:591, 1965. Either of label and prediction may be the noisier, and
    differences then depend on the other by that alone. So a bias grows where its slope on labels is positive
    and falls where its slope on predictions is negative (Student's t with the standard error HC3 of MacKinnon
    and White, 1985): noise of labels cannot make the first, noise of predictions not the second. A spread
    grows where the distance from the regression has a positive rank correlation (Spearman) with the size of
    the label, of the prediction and of their mean: the largest of the three p-values counts.
    """
    known = np.isfinite(predicted - labelled)
    codes = np.unique(units[known], return_inverse=True)[1]
    count, nan = int(codes.max(initial=-1)) + 1, float("nan")
    if count < FEWEST_TESTED:
        return DifferenceShape(nan, nan, nan)
    images = np.bincount(codes)
    label, prediction = (np.bincount(codes, each[known]) / images for each in (labelled, predicted))
    difference = prediction - label
    if np.ptp(difference) <= 1e-9 * max(1.0, float(np.abs(label).max())):
        return DifferenceShape(nan, nan, nan)
    rising, falling = _slope_t(label, difference), _slope_t(prediction, difference)
    tail = min(float(stdtr(count - 2, -rising)), float(stdtr(count - 2, falling)))
    mean = (label + prediction) / 2
    away = np.abs(difference - _line(mean, difference))
    spread = max(rising_p(np.abs(size), away) for size in (label, prediction, mean))
    return DifferenceShape(normal_p(difference), min(1.0, 2 * tail), spread)


def _line(x: Floats, y: Floats) -> Floats:
    slope, start = _fit(x, y)
    return start + slope * x


def _fit(x: Floats, y: Floats) -> tuple[float, float]:
    """Slope and intercept of the least-squares line; a flat one where x does not vary."""
    away = x - x.mean()
    square = float((away**2).sum())
    slope = float((away * y).sum()) / square if square > 0 else 0.0
    return slope, float(y.mean()) - slope * float(x.mean())


def _slope_t(x: Floats, y: Floats) -> float:
    """Slope over its standard error, HC3; 0 where x does not vary."""
    away = x - x.mean()
    square = float((away**2).sum())
    if square == 0:
        return 0.0
    leverage = 1 / x.size + away**2 / square
    rest = (y - _line(x, y)) / np.maximum(1 - leverage, 1e-9)
    error = float(np.sqrt(((away * rest) ** 2).sum())) / square
    return _fit(x, y)[0] / error if error > 0 else 0.0


def percentile_limits(predicted: Floats, labelled: Floats, units: Ints) -> PercentileLimits | None:
    """Limits that hold whatever the shape of the differences; None below `FEWEST_OF_PERCENTILES` units.

    Percentiles by ranks over n + 1, between which 95 % of all differences lie on average. Their intervals are
    order statistics (binomial), which few units do not have: 146 for both ends. Bland and Altman, Stat
    Methods Med Res 8:135, 1999, section 4.
    """
    difference = predicted - labelled
    known = np.isfinite(difference)
    count = len(np.unique(units[known]))
    if count < FEWEST_OF_PERCENTILES:
        return None
    difference = difference[known]
    lower, upper = (float(each) for each in np.quantile(difference, [0.025, 0.975], method="weibull"))
    first, last = _binomial_quantiles(count, 0.025, (0.025, 0.975))
    if first < 1:
        return PercentileLimits(lower, None, upper, None)
    shares = np.array([first, last + 1]) / (count + 1)
    low = np.quantile(difference, shares, method="weibull")
    high = np.quantile(difference, 1 - shares[::-1], method="weibull")
    return PercentileLimits(lower, (float(low[0]), float(low[1])), upper, (float(high[0]), float(high[1])))


def _binomial_quantiles(count: int, chance: float, shares: tuple[float, ...]) -> list[int]:
    """The fewest successes of `count` that so large a share of all draws has at most."""
    # Ten standard deviations above the mean hold all but nothing.
    most = min(count, int(count * chance + 10 * np.sqrt(count * chance)) + 10)
    cumulative = bdtr(np.arange(most + 1.0), count, chance)
    return [int(place) for place in np.searchsorted(cumulative, shares)]


def regression_limits(predicted: Floats, labelled: Floats) -> RegressionLimits:
    """Limits by two regressions: of the differences on the mean of both, of their distances on its size.

    The distance of a normal variable from its mean is √(2/π) σ on average, so 1.96·√(π/2) of it is the half
    width. Bland and Altman, Stat Methods Med Res 8:135, 1999, section 3.2.
    """
    known = np.isfinite(predicted - labelled)
    mean, difference = (predicted[known] + labelled[known]) / 2, (predicted - labelled)[known]
    slope, bias = _fit(mean, difference)
    growth, start = _fit(np.abs(mean), np.abs(difference - bias - slope * mean))
    factor = _Z * float(np.sqrt(np.pi / 2))
    return RegressionLimits(bias, slope, factor * start, factor * growth)
