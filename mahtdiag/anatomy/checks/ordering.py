"""A101–A103: the vertebrae, and the endplates of each, follow one another down the spine."""

import numpy as np

from mahtdiag.anatomy.checks.measure import (
    Measure,
    disc_bits,
    pair_bits,
    pair_rows,
    vertebra_bits,
    vertebra_rows,
)
from mahtdiag.anatomy.geometry import Geometry
from mahtdiag.anatomy.limits import Limits
from mahtdiag.schema.skeleton import LL, LR, UL, UR


def centres_descend(geometry: Geometry, limits: Limits) -> tuple[Measure, ...]:
    """A101: how far each centre lies below the one above, in heights."""
    y = geometry.centres.y
    drop = (y[1:] - y[:-1]) / geometry.height
    pairs = drop.shape[0]
    return (Measure("A101", drop, pair_rows(geometry.view, pairs), pair_bits(pairs)),)


def endplates_apart(geometry: Geometry, limits: Limits) -> tuple[Measure, ...]:
    """A102: gap between neighbouring endplates, in heights, negative where they overlap."""
    gap = geometry.gaps / geometry.height
    pairs = gap.shape[0]
    return (Measure("A102", gap, pair_rows(geometry.view, pairs), disc_bits(pairs)),)


def endplates_in_order(geometry: Geometry, limits: Limits) -> tuple[Measure, ...]:
    """A103: extent from the upper to the lower endplate along the spine, in heights; the larger side counts.

    One crossed side alone is a crossed outline (A401), not an exchange.
    """
    axes = geometry.axes[slice(0, geometry.heights.shape[0])]
    left = (geometry.corner(LL) - geometry.corner(UL)).dot(axes)
    right = (geometry.corner(LR) - geometry.corner(UR)).dot(axes)
    down = np.fmax(left, right) / geometry.height
    count = down.shape[0]
    return (Measure("A103", down, vertebra_rows(count), vertebra_bits(count)),)
