"""A501: the levels follow each other in this spine's own rhythm."""

import numpy as np

from mahtdiag.anatomy.checks.measure import Measure, Places
from mahtdiag.anatomy.geometry import Floats, Geometry, median_of_rows
from mahtdiag.anatomy.limits import Limits

_FEWEST_GAPS = 3
_SMALLEST_HEIGHTS = 0.1


def spacing_regular(geometry: Geometry, limits: Limits) -> tuple[Measure, ...]:
    """A501: centre spacing over what this spine's bodies and discs lead one to expect, and disc gap in
    heights (also above a last endplate).
    """
    inner = slice(0, len(geometry.skeleton.bodies) - 1)
    ratio = geometry.spacings[inner] / _expected_spacings(geometry)
    gap = geometry.gaps / geometry.height
    discs = Places.discs(geometry.skeleton)
    return (
        Measure("A501-min", ratio, discs[inner]),
        Measure("A501-max", ratio, discs[inner]),
        Measure("A501-gap", gap, discs),
    )


def _expected_spacings(geometry: Geometry) -> Floats:
    """Half of each body's height, and the image's median gap between bodies `[B−1, n]`; NaN where fewer than
    three gaps are known. A body whose height is unknown has the median height.
    """
    heights = np.where(np.isnan(geometry.heights), geometry.height, geometry.heights)
    gaps = geometry.gaps[: len(geometry.skeleton.bodies) - 1]
    usual = median_of_rows(gaps)
    expected = (heights[:-1] + heights[1:]) / 2 + usual
    enough = (np.isfinite(gaps).sum(axis=0) >= _FEWEST_GAPS) & (
        expected > _SMALLEST_HEIGHTS * geometry.height
    )
    return np.where(enough, expected, np.nan)
