"""The losses written out as loops over plain numbers, straight from their definitions."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
PerPixel = Callable[[float, float], float]


def mean(values: Sequence[float]) -> float:
    """Mean, NaN of nothing."""
    return sum(values) / len(values) if values else math.nan


def squared(p: float, t: float) -> float:
    """(p−t)²."""
    return (p - t) ** 2


def focal(gamma: float, emphasis: str) -> PerPixel:
    """(1∓t)^γ·(p−t)²."""
    return lambda p, t: math.pow(1 - t if emphasis == "background" else 1 + t, gamma) * (p - t) ** 2


def adaptive_wing(omega: float, theta: float, epsilon: float, alpha: float) -> PerPixel:
    """Adaptive Wing of one pixel."""

    def value(p: float, t: float) -> float:
        d, power, q = abs(p - t), alpha - t, theta / epsilon
        if d < theta:
            return omega * math.log(1 + math.pow(d / epsilon, power))
        slope = omega / (1 + math.pow(q, power)) * power * math.pow(q, power - 1) / epsilon
        return slope * d - (theta * slope - omega * math.log(1 + math.pow(q, power)))

    return value


def heatmaps(pred: Array, target: Array, value: PerPixel, weight: Array | None = None) -> list[float]:
    """Mean over pixels, times the weight, then over keypoints without NaN; per image."""
    result = []
    for b in range(pred.shape[0]):
        kept = []
        for k in range(pred.shape[1]):
            if np.isnan(target[b, k]).any():
                continue
            total = 0.0
            for y in range(pred.shape[2]):
                for x in range(pred.shape[3]):
                    total += value(float(pred[b, k, y, x]), float(target[b, k, y, x]))
            total /= pred.shape[2] * pred.shape[3]
            kept.append(total if weight is None else total * float(weight[b, k]))
        result.append(mean(kept))
    return result


def wing(omega: float, epsilon: float) -> Callable[[float], float]:
    """Wing of one distance."""
    offset = omega - omega * math.log(1 + omega / epsilon)
    return lambda d: omega * math.log(1 + d / epsilon) if d < omega else d - offset


def smooth_l1(beta: float) -> Callable[[float], float]:
    """Smooth L1 of one distance."""
    return lambda d: 0.5 * d * d / beta if d < beta else d - 0.5 * beta


def coordinates(pred: Array, target: Array, value: Callable[[float], float]) -> list[float]:
    """Mean over labelled keypoints and both axes; per image."""
    result = []
    for b in range(pred.shape[0]):
        kept = []
        for k in range(pred.shape[1]):
            if np.isnan(target[b, k]).any():
                continue
            kept += [value(abs(float(pred[b, k, axis] - target[b, k, axis]))) for axis in range(2)]
        result.append(mean(kept))
    return result


def uncertainty(pred: Array, target: Array, log_sigma: Array, low: float, high: float) -> list[float]:
    """Gaussian negative log-likelihood with a clamped σ, less its constant; per image."""
    result = []
    for b in range(pred.shape[0]):
        kept = []
        for k in range(pred.shape[1]):
            if np.isnan(target[b, k]).any():
                continue
            for axis in range(2):
                own = float(log_sigma[b, k] if log_sigma.ndim == 2 else log_sigma[b, k, axis])
                sigma = min(max(math.exp(min(own, 700.0)), low), high)
                d = float(pred[b, k, axis] - target[b, k, axis])
                kept.append(d * d / (2 * sigma * sigma) + math.log(sigma))
        result.append(mean(kept))
    return result


def _unit(start: Array, end: Array) -> Array:
    edge = end - start
    return np.asarray(edge / (math.hypot(edge[0], edge[1]) + 1e-6))


def _distance(a: Array, b: Array) -> float:
    return math.hypot(float(a[0] - b[0]), float(a[1] - b[1]))


def anatomical(points: Array, above: int = 0) -> dict[str, float]:
    """order, parallel and ratio of one image's `[K, 2]`; an incomplete vertebra enters nothing.

    `above`: keypoints of an endplate before the first body.
    """
    first, rest = points[:above], points[above:]
    bodies: list[Array] = [rest[4 * v : 4 * v + 4] for v in range(len(rest) // 4)]
    levels = [*bodies, rest[-2:]] if len(rest) % 4 else bodies
    levels = [first, *levels] if above else levels
    order, parallel, band, widths, heights = [], [], [], {}, {}
    for upper, lower in pairwise(levels):
        if not np.isnan(upper).any() and not np.isnan(lower).any():
            order.append(max(0.0, -float(lower[:, 1].mean() - upper[:, 1].mean())))
    for v, (ul, ur, ll, lr) in enumerate(bodies):
        if np.isnan(bodies[v]).any():
            continue
        parallel.append(1 - abs(float(_unit(ul, ur) @ _unit(ll, lr))))
        widths[v] = 0.5 * (_distance(ul, ur) + _distance(ll, lr))
        heights[v] = 0.5 * (_distance(ul, ll) + _distance(ur, lr))
        r = widths[v] / (heights[v] + 1e-6)
        band.append(max(0.0, r - 4.0) + max(0.0, 0.5 - r))
    consistency = 0.0
    for sizes in (widths, heights):
        jumps = [abs(sizes[v + 1] - sizes[v]) for v in sizes if v + 1 in sizes]
        if jumps:
            consistency += mean(jumps) / (mean(list(sizes.values())) + 1e-6)
    return {"order": mean(order), "parallel": mean(parallel), "ratio": mean(band) + 0.5 * consistency}
