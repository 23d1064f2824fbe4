"""A101–A103: the vertebrae, and the endplates of each, follow one another down the spine."""

import numpy as np

from mahtdiag.anatomy.checks.measure import Measure, Places
from mahtdiag.anatomy.geometry import Geometry
from mahtdiag.anatomy.limits import Limits
from mahtdiag.schema.skeleton import LL, LR, UL, UR


def centres_descend(geometry: Geometry, limits: Limits) -> tuple[Measure, ...]:
    """A101: how far each centre lies below the one above, in heights."""
    y = geometry.centres.y
    drop = (y[1:] - y[:-1]) / geometry.height
    return (Measure("A101", drop, Places.pairs(geometry.skeleton)),)


def endplates_apart(geometry: Geometry, limits: Limits) -> tuple[Measure, ...]:
    """A102: gap between neighbouring endplates, in heights, negative where they overlap."""
    return (Measure("A102", geometry.gaps / geometry.height, Places.discs(geometry.skeleton)),)


def endplates_in_order(geometry: Geometry, limits: Limits) -> tuple[Measure, ...]:
    """A103: extent from the upper to the lower endplate along the spine, in heights; the larger side counts.

    One crossed side alone is a crossed outline (A401), not an exchange.
    """
    axes = geometry.axes[slice(0, geometry.heights.shape[0])]
    left = (geometry.corner(LL) - geometry.corner(UL)).dot(axes)
    right = (geometry.corner(LR) - geometry.corner(UR)).dot(axes)
    down = np.fmax(left, right) / geometry.height
    return (Measure("A103", down, Places.bodies(geometry.skeleton)),)
