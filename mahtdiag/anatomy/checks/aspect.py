"""A301–A302: bodies are neither needles nor planks, and neighbours resemble each other."""

import numpy as np

from mahtdiag.anatomy.checks.measure import Measure, Places
from mahtdiag.anatomy.geometry import SMALLEST, Floats, Geometry
from mahtdiag.anatomy.limits import Limits

_LARGEST_RATIO = 1000.0


def width_over_height(geometry: Geometry, limits: Limits) -> tuple[Measure, ...]:
    """A301: width/height of each vertebra, between 1/1000 and 1000; unknown where it has neither."""
    width, height = geometry.widths, geometry.heights
    ratio = width / np.maximum(height, width / _LARGEST_RATIO)
    ratio = np.where(width + height > SMALLEST, np.maximum(ratio, 1 / _LARGEST_RATIO), np.nan)
    bodies = Places.bodies(geometry.skeleton)
    return (Measure("A301-min", ratio, bodies), Measure("A301-max", ratio, bodies))


def sizes_alike(geometry: Geometry, limits: Limits) -> tuple[Measure, ...]:
    """A302: change of width and of height from each vertebra to the next, over their mean (0…2)."""
    pairs = Places.pairs(geometry.skeleton)[slice(0, len(geometry.skeleton.bodies) - 1)]
    return (
        Measure("A302-width", _relative_change(geometry.widths), pairs),
        Measure("A302-height", _relative_change(geometry.heights), pairs),
    )


def _relative_change(sizes: Floats) -> Floats:
    total = sizes[1:] + sizes[:-1]
    return np.where(total > SMALLEST, 2 * np.abs(sizes[1:] - sizes[:-1]) / total, np.nan)
