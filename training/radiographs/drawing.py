"""Painting primitives: shapes in image-height units, painted on layers of any size.

One unit is the height of the image, so that the same shape drawn at two sizes is the same picture.
"""

import math
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Plane = NDArray[np.float32]

_SHIFT = 4
_FULL = 160.0
"""Grey value of a layer that stands for 1.0; the rest is headroom for thin bright strokes."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """Size of the image being drawn, in pixels, and the random source of its textures."""

    height: int
    width: int
    rng: np.random.Generator

    def pixels(self, points: Points) -> Points:
        """Place of points in pixels, the centre of the top-left pixel being (0, 0)."""
        return points * self.height - 0.5

    def blurred(self, plane: Plane, sigma: float) -> Plane:
        """Gaussian blur of standard deviation `sigma` image heights; wide blurs work on a smaller plane."""
        sigma_px = sigma * self.height
        if sigma_px < 0.25:
            return plane
        if sigma_px > 6.0:
            shrink = 3.0 / sigma_px
            size = (max(8, round(self.width * shrink)), max(8, round(self.height * shrink)))
            small = cv2.GaussianBlur(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), (0, 0), 3.0)
            return self._stretched(np.asarray(small, dtype=np.float32), cv2.INTER_CUBIC)
        return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma_px), dtype=np.float32)

    def noise(self, rows: int, columns: int) -> Plane:
        """Smooth random field of unit variance on a grid of cells, stretched over the image."""
        grid = self.rng.standard_normal((rows, columns), dtype=np.float32)
        return self._stretched(grid, cv2.INTER_AREA if rows > self.height else cv2.INTER_CUBIC)

    def spots(self, centres: Points, radii: Points, weights: NDArray[np.float64], ceiling: float) -> Plane:
        """Sum of Gaussian spots (centre, radius along x and y, weight), clipped to 0..`ceiling`."""
        rows, columns = 64, max(8, round(64 * self.width / self.height))
        y = (np.arange(rows) + 0.5) / rows
        x = (np.arange(columns) + 0.5) / columns * self.width / self.height
        field = np.zeros((rows, columns))
        for (cx, cy), (rx, ry), weight in zip(centres, radii, weights, strict=True):
            field += weight * np.outer(
                np.exp(-0.5 * ((y - cy) / ry) ** 2), np.exp(-0.5 * ((x - cx) / rx) ** 2)
            )
        return self._stretched(np.clip(field, 0.0, ceiling).astype(np.float32), cv2.INTER_LINEAR)

    def _stretched(self, plane: Plane, interpolation: int) -> Plane:
        stretched = cv2.resize(plane, (self.width, self.height), interpolation=interpolation)
        return np.asarray(stretched, dtype=np.float32)


class Layer:
    """An 8-bit sheet on which later shapes cover earlier ones; sheets are added up to make the film."""

    def __init__(self, canvas: Canvas) -> None:
        self._canvas = canvas
        self._sheet = np.zeros((canvas.height, canvas.width), dtype=np.uint8)

    def fill(self, outline: Points, value: float) -> None:
        """Fill a closed outline."""
        cv2.fillPoly(self._sheet, [self._fixed(outline)], _grey(value), cv2.LINE_AA, _SHIFT)

    def stroke(self, line: Points, width: float, value: float, closed: bool = False) -> None:
        """Draw a line `width` image heights wide; below one pixel it fades instead of getting thinner."""
        width_px = width * self._canvas.height
        thickness = max(1, round(width_px))
        grey = _grey(value * width_px / thickness)
        cv2.polylines(self._sheet, [self._fixed(line)], closed, grey, thickness, cv2.LINE_AA, _SHIFT)

    def plane(self, softness: float = 0.0) -> Plane:
        """The sheet as floats, blurred by `softness` image heights."""
        return self._canvas.blurred(self._sheet * np.float32(1.0 / _FULL), softness)

    def _fixed(self, points: Points) -> NDArray[np.int32]:
        return np.rint(self._canvas.pixels(points) * (1 << _SHIFT)).astype(np.int32)


def _grey(value: float) -> tuple[float]:
    return (float(min(255, max(0, round(value * _FULL)))),)


def smooth(outline: tuple[tuple[float, float], ...], closed: bool = True) -> Points:
    """Rounded version of a polygon: two rounds of corner cutting (Chaikin, 1974)."""
    points = np.asarray(outline, dtype=np.float64)
    for _ in range(2):
        ahead = np.roll(points, -1, axis=0) if closed else points[1:]
        here = points if closed else points[:-1]
        cut = np.stack([0.75 * here + 0.25 * ahead, 0.25 * here + 0.75 * ahead], axis=1).reshape(-1, 2)
        points = cut if closed else np.concatenate([points[:1], cut, points[-1:]])
    return points


@cache
def _circle(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    angle = np.linspace(0.0, 2.0 * math.pi, count, endpoint=False)
    return np.cos(angle), np.sin(angle)


def ellipse(centre: tuple[float, float], radii: tuple[float, float], count: int = 24) -> Points:
    """Outline of an ellipse with axes along x and y."""
    cosine, sine = _circle(count)
    return np.stack([centre[0] + radii[0] * cosine, centre[1] + radii[1] * sine], axis=1)


def blob(rng: np.random.Generator, centre: Points, radius: float, stretch: float, wobble: float) -> Points:
    """Outline of a lumpy blob: a circle whose radius has three random harmonics."""
    angle = np.linspace(0.0, 2.0 * math.pi, 32, endpoint=False)
    size = np.ones_like(angle)
    for order in (2, 3, 5):
        size += wobble / order * rng.normal() * np.cos(order * angle + rng.uniform(0.0, 2.0 * math.pi))
    size = np.maximum(size, 0.3)
    return centre + radius * size[:, None] * np.stack(
        [stretch * np.cos(angle), np.sin(angle) / stretch], axis=1
    )


def arc(start: Points, end: Points, bulge: Points, count: int = 9) -> Points:
    """Parabola from `start` to `end` whose middle is moved by the vector `bulge`."""
    t, hump = _parabola(count)
    return start + (end - start) * t + bulge * hump


@cache
def _parabola(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    t = np.linspace(0.0, 1.0, count)[:, None]
    return t, 4.0 * t * (1.0 - t)
