"""A401–A404: each outline is a convex quadrangle with its corners where their names say."""

import numpy as np

from mahtdiag.anatomy.checks.measure import (
    Measure,
    bits_per_vertebra,
    peaks,
    vertebra_bits,
    vertebra_rows,
)
from mahtdiag.anatomy.geometry import SMALLEST, Bools, Floats, Geometry, Vectors
from mahtdiag.anatomy.limits import Limits
from mahtdiag.schema.views import CORNERS_PER_VERTEBRA, LL, LR, LUMBAR, LUMBAR_KEYPOINTS, UL, UR

_AROUND = (UL, UR, LR, LL)


def _standing_out(geometry: Geometry) -> Floats:
    """How far each corner stands out from the line between its neighbours, `[corner in file order, 5, n]`.

    Positive for an outline drawn clockwise on screen, as UL, UR, LR, LL is.
    """
    corners = {corner: geometry.corner(corner) for corner in _AROUND}
    out = np.empty((4, *geometry.heights.shape))
    for place, corner in enumerate(_AROUND):
        before, after = corners[_AROUND[place - 1]], corners[_AROUND[(place + 1) % 4]]
        chord = after - before
        out[corner] = (corners[corner] - before).cross(chord) / np.maximum(chord.length(), SMALLEST)
    # Rounding must not decide on which side of a straight line a corner lies.
    out[np.abs(out) < SMALLEST] = 0.0
    return out


def _crossed(out: Floats) -> Bools:
    """Two corners on either side: only a self-intersecting quadrangle is like that."""
    crossed: Bools = ((out > 0).sum(axis=0) == 2) & ((out < 0).sum(axis=0) == 2)
    return crossed


def outline_simple(geometry: Geometry, limits: Limits) -> tuple[Measure, ...]:
    """A401: depth of the crossing in heights, 0 where the outline does not cross itself."""
    out = _standing_out(geometry)
    depth = np.minimum(out.max(axis=0), -out.min(axis=0)) / geometry.height
    depth = np.where(np.isnan(depth) | _crossed(out), depth, 0.0)
    return (Measure("A401", depth, vertebra_rows(len(LUMBAR)), vertebra_bits(len(LUMBAR))),)


def _axes_of(geometry: Geometry, rows_per_vertebra: int) -> Vectors:
    """The local axis of every endplate (2 a vertebra) or of every keypoint (4), in file order."""
    count = geometry.view.endplates * rows_per_vertebra // 2
    vertebrae = np.arange(count) // rows_per_vertebra
    return Vectors(geometry.axes.x[vertebrae], geometry.axes.y[vertebrae])


def left_is_left(geometry: Geometry, limits: Limits) -> tuple[Measure, ...]:
    """A402: extent from left to right across the spine in widths, the larger of a vertebra's endplates.

    One exchanged endplate alone is a crossed outline (A401).
    """
    across = geometry.endplates.cross(_axes_of(geometry, rows_per_vertebra=2))
    reach = np.fmax.reduceat(across, np.arange(0, across.shape[0], 2), axis=0) / geometry.width
    count = reach.shape[0]
    return (Measure("A402", reach, vertebra_rows(count), vertebra_bits(count)),)


def outline_convex(geometry: Geometry, limits: Limits) -> tuple[Measure, ...]:
    """A403: how far the least prominent corner stands out, in heights; crossed outlines are A401's.

    Unknown for four equal points, which are A602's.
    """
    out = _standing_out(geometry)
    clockwise = (out > 0).sum(axis=0) >= (out < 0).sum(axis=0)
    oriented = np.where(clockwise, out, -out)
    least = oriented.min(axis=0)
    has_size = geometry.widths + geometry.heights > SMALLEST
    values = np.where(has_size & ~_crossed(out), least / geometry.height, np.nan)
    blamed = np.swapaxes(oriented == least, 0, 1).reshape(LUMBAR_KEYPOINTS, -1)
    return (Measure("A403", values, vertebra_rows(len(LUMBAR)), bits_per_vertebra(blamed)),)


def sides_smooth(geometry: Geometry, limits: Limits) -> tuple[Measure, ...]:
    """A404: distance of a corner, across the spine, from the middle of the corners above and below it on its
    side, in heights, the largest of a vertebra; a corner less far off than one of those two does not count.
    The first and the last endplate have no such neighbours.
    """
    points, axes = geometry.points, _axes_of(geometry, rows_per_vertebra=4)
    expected = points[slice(None, -4)].middle(points[slice(4, None)])
    inner = slice(2, -2)
    off = np.full_like(points.x, np.nan)
    off[inner] = np.abs((points[inner] - expected).cross(axes[inner])) / geometry.height
    off = peaks(off, step=2)
    starts = list(range(0, off.shape[0], CORNERS_PER_VERTEBRA))
    largest = np.fmax.reduceat(off, starts, axis=0)
    blamed = bits_per_vertebra(off > limits["A404"])
    return (Measure("A404", largest, vertebra_rows(len(starts)), blamed),)
