"""A401–A405: each outline is a convex quadrangle with its corners where their names say."""

import numpy as np

from mahtdiag.anatomy.checks.measure import (
    END_STRENGTH,
    Measure,
    Places,
    peaks,
)
from mahtdiag.anatomy.geometry import SMALLEST, Bools, Floats, Geometry, Vectors
from mahtdiag.anatomy.limits import Limits
from mahtdiag.schema.skeleton import CORNERS_PER_VERTEBRA, LL, LR, UL, UR

_AROUND = (UL, UR, LR, LL)


def _standing_out(geometry: Geometry) -> Floats:
    """How far each corner stands out from the line between its neighbours, `[corner in file order, B, n]`.

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
    return (Measure("A401", depth, Places.bodies(geometry.skeleton)),)


def _axes_of(geometry: Geometry, rows_per_vertebra: int) -> Vectors:
    """The local axis of every endplate (2 a vertebra) or of every keypoint (4), in file order."""
    count = geometry.skeleton.endplates * rows_per_vertebra // 2
    vertebrae = np.arange(count) // rows_per_vertebra
    return Vectors(geometry.axes.x[vertebrae], geometry.axes.y[vertebrae])


def left_is_left(geometry: Geometry, limits: Limits) -> tuple[Measure, ...]:
    """A402: extent from left to right across the spine in widths, the larger of a vertebra's endplates.

    One exchanged endplate alone is a crossed outline (A401).
    """
    across = geometry.endplates.cross(_axes_of(geometry, rows_per_vertebra=2))
    reach = np.fmax.reduceat(across, np.arange(0, across.shape[0], 2), axis=0) / geometry.width
    return (Measure("A402", reach, Places.vertebrae(geometry.skeleton)),)


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
    dented = np.zeros_like(geometry.missing)
    of_bodies = geometry.skeleton.body_keypoints
    dented[:of_bodies] = np.swapaxes(oriented == least, 0, 1).reshape(of_bodies, -1)
    return (Measure("A403", values, Places.bodies(geometry.skeleton), dented),)


def sides_smooth(geometry: Geometry, limits: Limits) -> tuple[Measure, ...]:
    """A404: distance of a corner, across the spine, from the middle of the corners above and below it on its
    side, in heights, the largest of a vertebra; a corner less far off than one of those two does not count.
    The first and the last endplate have no such neighbours.
    """
    off = np.abs(_off_line(geometry))
    # An end corner moves the expected place of the next one by half as much as itself.
    ends = np.where(np.isnan(off), END_STRENGTH * _off_alone(geometry), off)
    return (_largest("A404", geometry, peaks(off, 2, ends), limits),)


def corners_in_step(geometry: Geometry, limits: Limits) -> tuple[Measure, ...]:
    """A405: how far a corner steps out of its side by itself, in heights, the largest of a vertebra; a corner
    that does so less than the one above or below it does not count.
    """
    alone = _off_alone(geometry)
    # A corner next to an end corner moves what that is held against by as much as itself.
    strengths = alone.copy()
    strengths[[0, 1, -2, -1]] *= END_STRENGTH
    return (_largest("A405", geometry, peaks(alone, 2, strengths), limits),)


def _largest(key: str, geometry: Geometry, distances: Floats, limits: Limits) -> Measure:
    """The largest distance of each vertebra's corners, `[K, n]`, blamed on those beyond the limit."""
    starts = list(range(0, distances.shape[0], CORNERS_PER_VERTEBRA))
    largest = np.fmax.reduceat(distances, starts, axis=0)
    return Measure(key, largest, Places.vertebrae(geometry.skeleton), distances > limits[key])


def _off_line(geometry: Geometry) -> Floats:
    """Signed distance of each corner, across the spine, from the middle of the corners above and below it on
    its side, in heights `[K, n]`; NaN at the first and the last endplate, which lack a neighbour.
    """
    points, axes = geometry.points, _axes_of(geometry, rows_per_vertebra=4)
    expected = points[slice(None, -4)].middle(points[slice(4, None)])
    inner = slice(2, -2)
    off = np.full_like(points.x, np.nan)
    off[inner] = (points[inner] - expected).cross(axes[inner]) / geometry.height
    return off


def _off_alone(geometry: Geometry) -> Floats:
    """How far each corner steps out of its side without its partner on the other side, in heights `[K, n]`.

    An inner corner: what its distance from the line of its side exceeds its partner's by. A corner of the
    first or last endplate: the side that ends in it, held against the opposite side and against the same
    side one vertebra (from a last endplate: one disc) further on; the smaller difference, 0 where the two
    differ in direction.
    """
    off = np.abs(_off_line(geometry))
    alone = np.maximum(off - _partners(off), 0.0)
    points, axes = geometry.points, _axes_of(geometry, rows_per_vertebra=4)
    count = points.x.shape[0]
    for end, after, then, last in ((0, 2, 4, 6), (count - 2, count - 4, count - 6, count - 8)):
        across = axes[_pair(end)]
        side = (points[_pair(end)] - points[_pair(after)]).cross(across)
        further = (points[_pair(then)] - points[_pair(last)]).cross(across)
        opposite, next_ = side - _partners(side), side - further
        both = np.minimum(np.abs(opposite), np.abs(next_)) / geometry.height
        alone[_pair(end)] = np.where(opposite * next_ < 0, 0.0, both)
    return alone


def _pair(left: int) -> slice:
    """Both corners of the endplate whose left corner this is."""
    return slice(left, left + 2)


def _partners(values: Floats) -> Floats:
    """Values `[K, n]` of the other corner of the same endplate."""
    return values.reshape(-1, 2, values.shape[1])[:, ::-1].reshape(values.shape)
