"""Decoding written out over plain arrays, straight from the definitions; one heatmap `[H, W]` at a time."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float64]


def gaussian(x: float, y: float, sigma: float, height: int, width: int) -> Array:
    """A Gaussian of height 1."""
    return np.array(
        [
            [math.exp(-((i - x) ** 2 + (j - y) ** 2) / (2 * sigma**2)) for i in range(width)]
            for j in range(height)
        ]
    )


def argmax(heatmap: Array) -> tuple[int, int]:
    """(x, y) of the highest cell, of equal cells the first in reading order."""
    best = (0, 0)
    for y in range(heatmap.shape[0]):
        for x in range(heatmap.shape[1]):
            if heatmap[y, x] > heatmap[best[1], best[0]]:
                best = (x, y)
    return best


def soft_argmax(heatmap: Array, beta: float) -> tuple[float, float]:
    """Expectation under the softmax."""
    top, total, sx, sy = heatmap.max(), 0.0, 0.0, 0.0
    for y in range(heatmap.shape[0]):
        for x in range(heatmap.shape[1]):
            weight = math.exp(beta * (heatmap[y, x] - top))
            total, sx, sy = total + weight, sx + weight * x, sy + weight * y
    return sx / total, sy / total


def dark(heatmap: Array, sigma: float) -> tuple[float, float]:
    """DARK as published: smooth the whole map, take the logarithm, one Newton step from the highest cell."""
    radius = max(1, round(3 * sigma) - 1)
    taps = np.arange(-radius, radius + 1)
    kernel = np.exp(-(taps**2) / (2 * sigma**2))
    kernel /= kernel.sum()
    smooth = ndimage.correlate(heatmap, np.outer(kernel, kernel), mode="constant", cval=0.0)
    logs = np.log(np.maximum(smooth / heatmap.max(), 1e-10))
    x, y = argmax(heatmap)
    gx = (logs[y, x + 1] - logs[y, x - 1]) / 2
    gy = (logs[y + 1, x] - logs[y - 1, x]) / 2
    hxx = (logs[y, x + 2] - 2 * logs[y, x] + logs[y, x - 2]) / 4
    hyy = (logs[y + 2, x] - 2 * logs[y, x] + logs[y - 2, x]) / 4
    hxy = (logs[y + 1, x + 1] - logs[y - 1, x + 1] - logs[y + 1, x - 1] + logs[y - 1, x - 1]) / 4
    hessian = np.array([[hxx, hxy], [hxy, hyy]])
    if hxx >= 0 or np.linalg.det(hessian) <= 0:
        return float(x), float(y)
    step = -np.linalg.inv(hessian) @ np.array([gx, gy])
    return x + float(np.clip(step[0], -1, 1)), y + float(np.clip(step[1], -1, 1))


def centroid(heatmap: Array, sigma: float) -> tuple[float, float]:
    """Weighted mean place around the highest cell, in a window that is symmetric about it."""
    px, py = argmax(heatmap)
    height, width = heatmap.shape
    peak = heatmap[py, px]
    radius = max(2, math.ceil(2.8 * sigma + 0.5))
    rx, ry = min(radius, px, width - 1 - px), min(radius, py, height - 1 - py)
    total = sx = sy = 0.0
    for y in range(py - ry, py + ry + 1):
        for x in range(px - rx, px + rx + 1):
            weight = max(0.0, heatmap[y, x] - 0.02 * peak)
            total, sx, sy = total + weight, sx + weight * x, sy + weight * y
    return sx / total, sy / total


def spread(heatmap: Array, sigma: float) -> tuple[float, float, float]:
    """Second moments (xx, xy, yy) about the centroid, corrected for the floor; no variance below 1/12."""
    px, py = argmax(heatmap)
    cx, cy = centroid(heatmap, sigma)
    height, width = heatmap.shape
    radius = max(3, math.ceil(5 * sigma))
    total = xx = xy = yy = 0.0
    for y in range(max(0, py - radius), min(height, py + radius + 1)):
        for x in range(max(0, px - radius), min(width, px + radius + 1)):
            weight = max(0.0, heatmap[y, x] - 0.02 * heatmap[py, px])
            total += weight
            xx += weight * (x - cx) ** 2
            xy += weight * (x - cx) * (y - cy)
            yy += weight * (y - cy) ** 2
    xx, xy, yy = xx / total, xy / total, yy / total

    def lost(floor: float) -> float:
        u = -math.log(floor)
        return (1 - floor * (1 + u + u * u / 2)) / (1 - floor * (1 + u))

    first = max(0.5 * (xx + yy) / lost(0.02), 1 / 12)
    shift = (cx - px) ** 2 + (cy - py) ** 2
    factor = lost(0.02 * math.exp(-0.5 * shift / first))
    return max(xx / factor, 1 / 12), xy / factor, max(yy / factor, 1 / 12)


def diffuse(heatmap: Array, sigma: float, length: int) -> bool:
    """Whether most pieces of rows beyond 3 σ of the peak's row reach a quarter of the peak, and enough."""
    px, py = argmax(heatmap)
    height, width = heatmap.shape
    pieces = reached = 0
    for y in range(height):
        if abs(y - py) <= 3 * sigma:
            continue
        for x in range(0, width, length):
            pieces += 1
            reached += bool(max(heatmap[y, x : x + length]) >= 0.25 * heatmap[py, px])
    return heatmap[py, px] > 0 and reached > pieces / 2 and reached > 13.4 * sigma
