"""Whether values are normal: Shapiro and Wilk's test, and D'Agostino and Pearson's for many."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]

FEWEST, MOST_RANKED = 8, 5000
"""Values that a test needs, and those up to which the p-value of Shapiro and Wilk's is known."""

# Of the two largest weights, polynomials of 1/√n, constant first; below it their own normal scores.
_LARGEST = (0.0, 0.221157, -0.147981, -2.07119, 4.434685, -2.706056)
_SECOND = (0.0, 0.042981, -0.293762, -1.752461, 5.682633, -3.582633)
# Mean and ln of the deviation of ln(1 − W), polynomials of ln n; of few, of −ln(γ − ln(1 − W)) and of n.
_FEW = 11
_FEW_LIMIT = (-2.273, 0.459)
_FEW_MEAN, _FEW_SPREAD = (0.544, -0.39978, 0.025054, -6.714e-4), (1.3822, -0.77857, 0.062767, -0.0020322)
_MEAN, _SPREAD = (-1.5861, -0.31082, -0.083751, 0.0038915), (-0.4803, -0.082676, 0.0030302)


def normal_p(values: Floats) -> float:
    """p-value of values `[N]`, 8 or more that are not all equal, being a sample of a normal distribution.

    Shapiro and Wilk, Biometrika 52:591, 1965, as Royston computes it, Applied Statistics 44:547, 1995 (AS
    R94); beyond 5,000 values, which he did not look at, D'Agostino and Pearson, Biometrika 60:613, 1973.
    """
    if values.size < FEWEST:
        raise ValueError(f"{values.size} values are too few for a test of normality")
    return _ranked_p(np.sort(values)) if values.size <= MOST_RANKED else _moments_p(values)


def _weights(count: int) -> Floats:
    """Of the ordered values; the first half is the second, reversed and with the other sign."""
    scores = ndtri((np.arange(1, count + 1) - 0.375) / (count + 0.25))
    square, root = float(scores @ scores), 1 / np.sqrt(count)
    ends = [
        float(np.polynomial.polynomial.polyval(root, of)) + scores[-place] / np.sqrt(square)
        for place, of in ((1, _LARGEST), (2, _SECOND))
    ]
    left = square - 2 * float(scores[-1] ** 2 + scores[-2] ** 2)
    weights = scores / np.sqrt(left / (1 - 2 * (ends[0] ** 2 + ends[1] ** 2)))
    weights[-1], weights[-2] = ends
    weights[0], weights[1] = -ends[0], -ends[1]
    return np.asarray(weights, dtype=np.float64)


def _ranked_p(ordered: Floats) -> float:
    count = ordered.size
    away = ordered - ordered.mean()
    away /= np.abs(away).max()
    # W is a squared correlation, 1 for a normal sample.
    missing = 1 - min(1.0, float(_weights(count) @ away) ** 2 / float(away @ away))
    if missing <= 0:
        return 1.0
    polynomial, log_missing = np.polynomial.polynomial.polyval, float(np.log(missing))
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    if count <= _FEW:
        limit = float(polynomial(count, _FEW_LIMIT))
        if log_missing >= limit:
            return 0.0
        found, at, mean, spread = -float(np.log(limit - log_missing)), float(count), _FEW_MEAN, _FEW_SPREAD
    else:
        found, at, mean, spread = log_missing, float(np.log(count)), _MEAN, _SPREAD
    return float(ndtr((polynomial(at, mean) - found) / np.exp(polynomial(at, spread))))


def _moments_p(values: Floats) -> float:
    away = values - values.mean()
    away /= np.abs(away).max()
    square = float((away**2).mean())
    skewness = _skewness_z(float((away**3).mean()) / square**1.5, values.size)
    kurtosis = _kurtosis_z(float((away**4).mean()) / square**2, values.size)
    # χ² with two degrees of freedom.
    return float(np.exp(-(skewness**2 + kurtosis**2) / 2))


def _skewness_z(skewness: float, n: int) -> float:
    """D'Agostino, Biometrika 57:679, 1970."""
    scaled = skewness * np.sqrt((n + 1) * (n + 3) / (6 * (n - 2)))
    fourth = 3 * (n**2 + 27 * n - 70) * (n + 1) * (n + 3) / ((n - 2) * (n + 5) * (n + 7) * (n + 9))
    square = np.sqrt(2 * (fourth - 1)) - 1
    return float(np.arcsinh(scaled / np.sqrt(2 / (square - 1))) / np.sqrt(np.log(square) / 2))


def _kurtosis_z(kurtosis: float, n: int) -> float:
    """Anscombe and Glynn, Biometrika 70:227, 1983."""
    mean = 3 * (n - 1) / (n + 1)
    variance = 24 * n * (n - 2) * (n - 3) / ((n + 1) ** 2 * (n + 3) * (n + 5))
    root = np.sqrt(6 * (n + 3) * (n + 5) / (n * (n - 2) * (n - 3)))
    third = 6 * (n**2 - 5 * n + 2) / ((n + 7) * (n + 9)) * root
    degrees = 6 + 8 / third * (2 / third + np.sqrt(1 + 4 / third**2))
    ratio = 1 + (kurtosis - mean) / np.sqrt(variance) * np.sqrt(2 / (degrees - 4))
    cubic = np.cbrt((1 - 2 / degrees) / ratio)
    return float((1 - 2 / (9 * degrees) - cubic) / np.sqrt(2 / (9 * degrees)))
