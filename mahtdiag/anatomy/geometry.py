"""The quantities that the rules judge, for many images at once.

Arrays are component first, `[row, image]`: one row per vertebra, pair of neighbours, endplate or keypoint.
Each image is moved and scaled into the unit square first, so no product can overflow.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mahtdiag.schema.skeleton import CORNERS_PER_ENDPLATE, CORNERS_PER_VERTEBRA, LL, LR, UL, UR, Skeleton

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

LARGEST_PX = 1e9
"""A coordinate beyond this is no place in an image: it counts as infinite."""

SMALLEST = 1e-9
"""A length below this share of the spine's extent has no direction."""

AROUND = 5
"""Bodies, or gaps, that say what is usual at a place: from T1 to L5 bodies grow by half and more."""


@dataclass(frozen=True, slots=True)
class Vectors:
    """Plane vectors, x and y apart, `[row, image]` each."""

    x: Floats
    y: Floats

    def __getitem__(self, rows: slice) -> "Vectors":
        return Vectors(self.x[rows], self.y[rows])

    def __sub__(self, other: "Vectors") -> "Vectors":
        return Vectors(self.x - other.x, self.y - other.y)

    def middle(self, other: "Vectors") -> "Vectors":
        """Half-way points."""
        return Vectors((self.x + other.x) / 2, (self.y + other.y) / 2)

    def dot(self, other: "Vectors") -> Floats:
        """Inner product."""
        return self.x * other.x + self.y * other.y

    def cross(self, other: "Vectors") -> Floats:
        """Outer product, positive where `other` points clockwise of this one as seen on screen (y down)."""
        return self.x * other.y - self.y * other.x

    def length(self) -> Floats:
        """Euclidean length."""
        return np.sqrt(self.x * self.x + self.y * self.y)

    def unit(self) -> "Vectors":
        """Directions; NaN where there is none."""
        length = self.length()
        length = np.where(length > SMALLEST, length, np.nan)
        return Vectors(self.x / length, self.y / length)


@dataclass(frozen=True, slots=True)
class Geometry:
    """What the rules look at. V vertebrae, B of them with four corners, n images.

    `centres` `[V, n]`: mean of the corners; of an endplate by itself its middle. `endplates`: from the left
    to the right end, `L1 upper`, `L1 lower`, …  `tilt_changes_deg` `[E−1, n]`: signed angle (−90…90) from
    each endplate to the next. `heights`, `widths` `[B, n]` and `gaps`, `spacings` `[V−1, n]` share the unit
    of `points`; `height` and `width` `[V, n]` are the medians of the five bodies nearest to each vertebra, to
    which lengths are relative. `axes` `[V, n]`: unit vectors down the spine. `outside` `[K, n]`: distance
    beyond the image's edge, None where its size is unknown. NaN wherever a keypoint needed is missing.
    """

    skeleton: Skeleton
    points: Vectors
    missing: Bools
    centres: Vectors
    endplates: Vectors
    tilt_changes_deg: Floats
    heights: Floats
    widths: Floats
    height: Floats
    width: Floats
    spacings: Floats
    gaps: Floats
    axes: Vectors
    outside: Floats | None

    def corner(self, corner: int) -> Vectors:
        """One corner of the bodies, `[B, n]`."""
        return self.points[self.skeleton.of_bodies][slice(corner, None, CORNERS_PER_VERTEBRA)]

    @property
    def between_bodies(self) -> slice:
        """The pairs of neighbours that both have four corners, of all `V − 1`."""
        first = endplates_above(self.skeleton)
        return slice(first, first + len(self.skeleton.bodies) - 1)

    def of_bodies(self, values: Floats) -> Floats:
        """Values of all vertebrae `[V, n]`: those of bodies alone, `[B, n]`."""
        first = endplates_above(self.skeleton)
        return values[first : first + len(self.skeleton.bodies)]

    def of_body_wedges(self, changes: Floats) -> Floats:
        """Of `tilt_changes_deg` those within bodies, `[B, n]`."""
        return changes[endplates_above(self.skeleton) :: 2]

    def of_disc_wedges(self, changes: Floats) -> Floats:
        """Of `tilt_changes_deg` those across discs, `[V−1, n]`."""
        return changes[1 - endplates_above(self.skeleton) :: 2]

    def of_pairs(self, values: Floats) -> Floats:
        """The mean of those of two neighbours, `[V−1, n]`."""
        mean: Floats = (values[:-1] + values[1:]) / 2
        return mean

    def of_keypoints(self, values: Floats) -> Floats:
        """That of the vertebra of each keypoint, `[K, n]`."""
        return values[self.skeleton.vertebra_index]


def endplates_above(skeleton: Skeleton) -> int:
    """How many endplates stand above the first body: 1 where the lower one of C2 comes first, else 0."""
    return 0 if skeleton.first_endplate is None else 1


def known_points(points_px: Floats) -> Floats:
    """The same `[..., 2]` points, both coordinates NaN where one is not finite or beyond ±10⁹."""
    known = (np.abs(points_px) <= LARGEST_PX).all(axis=-1, keepdims=True)
    return np.where(known, points_px, np.nan)


def tilt_deg(left: Floats, right: Floats) -> Floats:
    """Slope of the lines between `[..., 2]` points, right end lower positive; NaN where the two are one."""
    along = right - left
    tilt = np.degrees(np.arctan2(along[..., 1], along[..., 0]))
    return np.where((along == 0).all(axis=-1), np.nan, tilt)


def within_half_turn_deg(angle_deg: Floats) -> Floats:
    """The same angle from −180° to below 180°."""
    return (angle_deg + 180.0) % 360.0 - 180.0


def median_of_rows(values: Floats) -> Floats:
    """Median over the rows that are not NaN, `[R, n]` to `[1, n]`; NaN where there is none."""
    if not values.shape[0]:
        return np.full((1, values.shape[1]), np.nan)
    ordered = np.sort(values, axis=0)
    count = np.isfinite(ordered).sum(axis=0, keepdims=True)
    low = np.take_along_axis(ordered, np.maximum(count - 1, 0) // 2, axis=0)
    high = np.take_along_axis(ordered, np.minimum(count // 2, values.shape[0] - 1), axis=0)
    return (low + high) / 2


def around(values: Floats) -> Floats:
    """Median of the five rows nearest to each row, of all where there are no more, `[R, n]` to `[R, n]`.

    Rows that are NaN are left out; NaN where there is no other.
    """
    rows = values.shape[0]
    if not rows:
        return values
    last = max(rows - AROUND, 0)
    medians = np.concatenate([median_of_rows(values[first : first + AROUND]) for first in range(last + 1)])
    return medians[np.clip(np.arange(rows) - AROUND // 2, 0, last)]


def _normalised(points_px: Floats) -> tuple[Vectors, Bools, Floats, Floats]:
    """Points in the unit square, which are missing `[K, n]`; the shift `[2, n]` and scale `[1, n]` used."""
    x, y = np.ascontiguousarray(points_px[..., 0].T), np.ascontiguousarray(points_px[..., 1].T)
    present = (np.abs(x) <= LARGEST_PX) & (np.abs(y) <= LARGEST_PX)
    x, y = np.where(present, x, np.nan), np.where(present, y, np.nan)
    shift = np.stack([np.fmin.reduce(x, axis=0), np.fmin.reduce(y, axis=0)])
    extent = np.fmax(np.fmax.reduce(x, axis=0) - shift[0], np.fmax.reduce(y, axis=0) - shift[1])
    scale = np.where(extent > 0, extent, 1.0)[None]
    return Vectors((x - shift[0]) / scale, (y - shift[1]) / scale), ~present, shift, scale


def _centres(points: Vectors, skeleton: Skeleton) -> Vectors:
    """Centres `[V, n]`: the mean of the diagonals' middles, of one diagonal where the other is incomplete."""
    four = points[skeleton.of_bodies]
    falling = four[slice(UL, None, 4)].middle(four[slice(LR, None, 4)])
    rising = four[slice(UR, None, 4)].middle(four[slice(LL, None, 4)])
    both = falling.middle(rising)
    x = np.where(np.isnan(both.x), np.where(np.isnan(falling.x), rising.x, falling.x), both.x)
    y = np.where(np.isnan(both.y), np.where(np.isnan(falling.y), rising.y, falling.y), both.y)
    if skeleton.first_endplate is not None:
        first = points[slice(0, 1)].middle(points[slice(1, 2)])
        x, y = np.concatenate([first.x, x]), np.concatenate([first.y, y])
    if skeleton.last_endplate is not None:
        last = points[slice(-2, -1)].middle(points[slice(-1, None)])
        x, y = np.concatenate([x, last.x]), np.concatenate([y, last.y])
    return Vectors(x, y)


def _axes(steps: Vectors, count: int) -> Vectors:
    """Unit vectors down the spine at each of `count` vertebrae, from the steps between centres.

    The local direction is that from the upper to the lower neighbour's centre (one-sided at the ends). Where
    it points against the spine's own (the median step, which a few misplaced vertebrae do not move), or is
    unknown, the spine's own is taken; image-down for a single vertebra.
    """
    own_x, own_y = median_of_rows(steps.x), median_of_rows(steps.y)
    own_length = np.sqrt(own_x * own_x + own_y * own_y)
    # Radiographs are upright: a median step that climbs steeply means vertebrae in reverse order, not a
    # patient upside down.
    known = own_length > SMALLEST
    turn = np.where(own_y < -0.5 * own_length, -1.0, 1.0)
    own_x = np.where(known, turn * own_x / own_length, 0.0)
    own_y = np.where(known, turn * own_y / own_length, 1.0)
    above_x, above_y = np.full((1, steps.x.shape[1]), np.nan), np.full((1, steps.x.shape[1]), np.nan)
    step_x, step_y = (np.concatenate([a, s, a]) for a, s in ((above_x, steps.x), (above_y, steps.y)))
    local_x = _sum_of_known(step_x[:-1], step_x[1:])
    local_y = _sum_of_known(step_y[:-1], step_y[1:])
    length = np.sqrt(local_x * local_x + local_y * local_y)
    trusted = (local_x * own_x + local_y * own_y > 0) & (length > SMALLEST)
    shape = (count, steps.x.shape[1])
    return Vectors(
        np.where(trusted, local_x / length, np.broadcast_to(own_x, shape)),
        np.where(trusted, local_y / length, np.broadcast_to(own_y, shape)),
    )


def _sum_of_known(one: Floats, other: Floats) -> Floats:
    """Sum, or the one that is known."""
    both = one + other
    return np.where(np.isnan(both), np.where(np.isnan(one), other, one), both)


def _tilt_changes_deg(endplates: Vectors) -> Floats:
    """Signed angle between the lines of consecutive endplates, −90…90°; NaN where one has no direction."""
    unit = endplates.unit()
    upper, lower = unit[slice(None, -1)], unit[slice(1, None)]
    dot = upper.dot(lower)
    return np.degrees(np.arctan2(upper.cross(lower) * np.where(dot < 0, -1.0, 1.0), np.abs(dot)))


def _gaps(steps: Vectors, left: Vectors, right: Vectors, above: int) -> Floats:
    """Distance from lower to next upper endplate along the line of centres (pointing down), `[V−1, n]`.

    `above`: how many endplates stand above the first body.
    """
    middle = left.middle(right)
    lower, upper = middle[slice(1 - above, -1, 2)], middle[slice(2 - above, None, 2)]
    along = steps.unit()
    return (upper - lower).dot(along) * np.where(along.y < 0, -1.0, 1.0)


def _outside(points: Vectors, shift: Floats, scale: Floats, size_px: Floats | None) -> Floats | None:
    """Distance beyond the outer edges of the image's pixels (centres at 0 … size − 1), 0 inside."""
    if size_px is None:
        return None
    low = (-0.5 - shift) / scale
    high = (size_px.T - 0.5 - shift) / scale
    over_x = np.maximum(low[0] - points.x, points.x - high[0])
    over_y = np.maximum(low[1] - points.y, points.y - high[1])
    beyond: Floats = np.maximum(np.maximum(over_x, over_y), 0.0)
    return beyond


def _scales(heights: Floats, widths: Floats) -> tuple[Floats, Floats]:
    """Median height and width around each body `[B, n]`; where unknown that of the image, then the other,
    then the points' extent (1) stands in.
    """
    height, width = (_around_or_all(np.where(sizes > SMALLEST, sizes, np.nan)) for sizes in (heights, widths))
    height, width = np.where(np.isnan(height), width, height), np.where(np.isnan(width), height, width)
    # A millionth of the extent at least: values stay finite however degenerate the outlines are.
    height, width = np.maximum(height, 1e-6), np.maximum(width, 1e-6)
    return np.where(np.isnan(height), 1.0, height), np.where(np.isnan(width), 1.0, width)


def _around_or_all(sizes: Floats) -> Floats:
    nearby = around(sizes)
    return nearby if len(sizes) <= AROUND else np.where(np.isnan(nearby), median_of_rows(sizes), nearby)


def _at_vertebrae(sizes: Floats, skeleton: Skeleton) -> Floats:
    """Sizes of bodies `[B, n]` at all vertebrae `[V, n]`: an endplate by itself has its neighbour's."""
    ends = (slice(0, endplates_above(skeleton)), slice(-1, None) if skeleton.last_endplate else slice(0, 0))
    return np.concatenate([sizes[ends[0]], sizes, sizes[ends[1]]])


def measure_geometry(points_px: Floats, skeleton: Skeleton, image_size_px: Floats | None) -> Geometry:
    """All quantities of `[n, K, 2]` points; `image_size_px` is `[n, 2]` (width, height) or None."""
    points, missing, shift, scale = _normalised(points_px)
    centres = _centres(points, skeleton)
    steps = centres[slice(1, None)] - centres[slice(None, -1)]
    left, right = points[slice(0, None, 2)], points[slice(1, None, 2)]
    endplates = right - left
    of_bodies = skeleton.of_bodies
    lengths = endplates.length()[of_bodies.start // CORNERS_PER_ENDPLATE :][: 2 * len(skeleton.bodies)]
    sides = points[of_bodies]
    left_side = (sides[slice(LL, None, 4)] - sides[slice(UL, None, 4)]).length()
    right_side = (sides[slice(LR, None, 4)] - sides[slice(UR, None, 4)]).length()
    heights, widths = (left_side + right_side) / 2, (lengths[0::2] + lengths[1::2]) / 2
    height, width = _scales(heights, widths)
    return Geometry(
        skeleton=skeleton,
        points=points,
        missing=missing,
        centres=centres,
        endplates=endplates,
        tilt_changes_deg=_tilt_changes_deg(endplates),
        heights=heights,
        widths=widths,
        height=_at_vertebrae(height, skeleton),
        width=_at_vertebrae(width, skeleton),
        spacings=steps.length(),
        gaps=_gaps(steps, left, right, endplates_above(skeleton)),
        axes=_axes(steps, centres.x.shape[0]),
        outside=_outside(points, shift, scale, image_size_px),
    )
