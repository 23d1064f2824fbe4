"""Curves of the spine in an AP image: the largest Cobb angle, and the curves from above with end and apex.

A tilt is that of a midline, from the middle of a vertebra's left side (UL, LL) to that of its right side
(UR, LR), or of an endplate. Left and right are those of the image; whether the image's left is the patient's
depends on how the film is displayed.
"""

from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.geometry import known_points, tilt_deg, within_half_turn_deg
from mahtdiag.anatomy.measurements import cobb_deg
from mahtdiag.schema.skeleton import CORNERS_PER_VERTEBRA, LL, LR, UL, UR, Skeleton

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

SMALLEST_CURVE_DEG: Final = 10.0
"""Bends of fewer degrees are no curve: scoliosis begins at a Cobb angle of 10° (SRS)."""


class CurveRegion(IntEnum):
    """Where the apex of a curve lies; a curve in none of the three is `OTHER`."""

    OTHER = -1
    PROXIMAL_THORACIC = 0
    MAIN_THORACIC = 1
    THORACOLUMBAR = 2


REGION_TITLES: Final = {
    CurveRegion.PROXIMAL_THORACIC: "proximal thoracic",
    CurveRegion.MAIN_THORACIC: "main thoracic",
    CurveRegion.THORACOLUMBAR: "thoracolumbar/lumbar",
}
REGIONS: Final = tuple(REGION_TITLES)


@dataclass(frozen=True, slots=True)
class LargestCobb:
    """The two vertebrae of N images that are tilted most against each other.

    `angle_deg` `[N]`, 0 to 180, NaN with a body whose tilt is unknown; `upper`, `lower` `[N]`: the end
    vertebrae as indices into `skeleton.bodies`, −1 where unknown.
    """

    angle_deg: Floats
    upper: Ints
    lower: Ints


@dataclass(frozen=True, slots=True)
class CoronalCurves:
    """C curves of a set of images, ordered by image and from above, `[C]` each.

    `image`; `upper` and `lower`: end vertebrae, indices into `skeleton.bodies`, the lower one being the next
    curve's upper one. `apex`: 2·index of the apical vertebra, or that plus 1 of the vertebra above the apical
    disc. `midline_deg`: angle between the midlines of the end vertebrae; `endplate_deg`: between the upper
    endplate of the upper and the lower endplate of the lower one; both positive where the curve is convex to
    the image's right, negative where to its left. `region`: a `CurveRegion`.
    """

    image: Ints
    upper: Ints
    lower: Ints
    apex: Ints
    midline_deg: Floats
    endplate_deg: Floats
    region: Ints


@dataclass(frozen=True, slots=True)
class RegionalCurves:
    """The largest curve of each region to the left and to the right of the image, by its midlines.

    `midline_deg` and `endplate_deg` `[N, 3, 2]`, regions in the order of `REGIONS`: positive where convex to
    that side, NaN where there is no such curve. `known` `[N]`: whether the image's curves are known at all.
    """

    midline_deg: Floats
    endplate_deg: Floats
    known: Bools


def body_corners(points_px: Floats, skeleton: Skeleton) -> Floats:
    """Corners of the bodies `[N, B, 4, 2]`, in the order `CORNERS`; what is no place is NaN."""
    shape = (len(points_px), len(skeleton.bodies), CORNERS_PER_VERTEBRA, 2)
    return known_points(points_px[:, skeleton.of_bodies]).reshape(shape)


def midline_tilt_deg(points_px: Floats, skeleton: Skeleton) -> Floats:
    """Tilt of every body's midline `[N, B]`, right side lower positive; NaN without one of its corners."""
    corners = body_corners(points_px, skeleton)
    left, right = (corners[:, :, UL] + corners[:, :, LL]) / 2, (corners[:, :, UR] + corners[:, :, LR]) / 2
    return tilt_deg(left, right)


def midline_cobb(tilts_deg: Floats) -> LargestCobb:
    """Largest angle between any two midlines, of their tilts `[N, B]`.

    max |θᵢ − θⱼ| over i < j; of equal ones the pair that begins, then ends highest. NaN with a tilt missing,
    as the largest angle is then unknown, and for fewer than two bodies.
    """
    count, bodies = tilts_deg.shape
    cranial, caudal = np.triu_indices(bodies, k=1)
    none = np.full(count, -1, dtype=np.int64)
    if not cranial.size:
        return LargestCobb(np.full(count, np.nan), none, none)
    between = np.abs(within_half_turn_deg(tilts_deg[:, cranial] - tilts_deg[:, caudal]))
    known = np.asarray(np.isfinite(tilts_deg).all(axis=1))
    pair = np.argmax(np.where(known[:, None], between, 0.0), axis=1)
    largest = np.where(known, between[np.arange(count), pair], np.nan)
    return LargestCobb(largest, np.where(known, cranial[pair], -1), np.where(known, caudal[pair], -1))


def endplate_cobb_deg(points_px: Floats, skeleton: Skeleton) -> Floats:
    """Largest angle `[N]` between a body's upper and the lower endplate of one below it: see `cobb_deg`."""
    return cobb_deg(*_endplate_tilts_deg(points_px, skeleton))


def _endplate_tilts_deg(points_px: Floats, skeleton: Skeleton) -> tuple[Floats, Floats]:
    corners = body_corners(points_px, skeleton)
    return tilt_deg(corners[:, :, UL], corners[:, :, UR]), tilt_deg(corners[:, :, LL], corners[:, :, LR])


def _from_own_axis_deg(tilts_deg: Floats) -> Floats:
    """Tilts against the mean direction of the image's midlines, so that a turned image has the same ones."""
    turn = np.radians(tilts_deg)
    own = np.degrees(np.arctan2(np.sin(turn).sum(axis=1), np.cos(turn).sum(axis=1)))
    return within_half_turn_deg(tilts_deg - own[:, None])


def turning_vertebrae(tilts_deg: Floats, smallest_deg: float = SMALLEST_CURVE_DEG) -> Bools:
    """Which bodies are ends of curves, `[N, B]` of tilts `[N, B]`: none in an image with a NaN.

    From above, an extreme of the tilt counts once the tilt has come back from it by `smallest_deg`; the last
    extreme ends the last curve. So neighbouring ends differ by `smallest_deg` at least, and bends that are
    smaller part no curve. Of equal tilts the upper one is the extreme.
    """
    tilts_deg = np.where(np.isfinite(tilts_deg).all(axis=1, keepdims=True), tilts_deg, np.nan)
    count = len(tilts_deg)
    ends, image = np.zeros(tilts_deg.shape, dtype=np.bool_), np.arange(count)
    # The highest and the lowest tilt since the last end; whether tilts rise (+1), fall (−1) or neither yet.
    high, low = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    heading = np.zeros(count, dtype=np.int64)
    for v in range(1, tilts_deg.shape[1]):
        tilt = tilts_deg[:, v]
        falls = (heading >= 0) & (tilts_deg[image, high] - tilt >= smallest_deg)
        rises = (heading <= 0) & (tilt - tilts_deg[image, low] >= smallest_deg)
        ends[image[falls], high[falls]] = True
        ends[image[rises], low[rises]] = True
        heading = np.where(falls, -1, np.where(rises, 1, heading))
        high = np.where(rises | (tilt > tilts_deg[image, high]), v, high)
        low = np.where(falls | (tilt < tilts_deg[image, low]), v, low)
    ends[image[heading > 0], high[heading > 0]] = True
    ends[image[heading < 0], low[heading < 0]] = True
    return ends


def coronal_curves(points_px: Floats, skeleton: Skeleton) -> CoronalCurves:
    """The curves of `[N, K, 2]` points: between bodies where the midlines' tilt turns (`turning_vertebrae`).

    The apex is the vertebra or disc farthest from the straight line between the centres of the end vertebrae.
    Images with a body that lacks a corner have none. Terms: O'Brien, Kuklo, Blanke and Lenke, Spinal
    Deformity Study Group Radiographic Measurement Manual, 2004.
    """
    midlines = midline_tilt_deg(points_px, skeleton)
    above, below = _endplate_tilts_deg(points_px, skeleton)
    image, end = np.nonzero(turning_vertebrae(_from_own_axis_deg(midlines)))
    same = image[1:] == image[:-1]
    image, upper, lower = image[:-1][same], end[:-1][same], end[1:][same]
    apex = _apexes(_half_levels(points_px, skeleton)[image], upper, lower)
    return CoronalCurves(
        image=image,
        upper=upper,
        lower=lower,
        apex=apex,
        midline_deg=within_half_turn_deg(midlines[image, lower] - midlines[image, upper]),
        endplate_deg=within_half_turn_deg(below[image, lower] - above[image, upper]),
        region=region_of_apex(skeleton)[apex],
    )


def _half_levels(points_px: Floats, skeleton: Skeleton) -> Floats:
    """Centres of body, disc, body, … `[N, 2B − 1, 2]`."""
    corners = body_corners(points_px, skeleton)
    found = np.empty((len(points_px), len(half_level_names(skeleton)), 2))
    found[:, 0::2] = corners.mean(axis=2)
    found[:, 1::2] = (corners[:, :-1, [LL, LR]].mean(axis=2) + corners[:, 1:, [UL, UR]].mean(axis=2)) / 2
    return found


def _apexes(centres: Floats, upper: Ints, lower: Ints) -> Ints:
    """Half level between the ends that is farthest from their chord, `[C]`; of equal ones the upper one."""
    curve, half = np.arange(len(upper)), np.arange(centres.shape[1])
    start, end = centres[curve, 2 * upper], centres[curve, 2 * lower]
    chord, moved = (end - start)[:, None], centres - start[:, None]
    away = np.abs(chord[..., 0] * moved[..., 1] - chord[..., 1] * moved[..., 0])
    within = (half > 2 * upper[:, None]) & (half < 2 * lower[:, None])
    apex: Ints = np.argmax(np.where(within, away, -1.0), axis=1)
    return apex


def half_level_names(skeleton: Skeleton) -> tuple[str, ...]:
    """Names of body, disc, body, …: `T1`, `T1/T2`, `T2`."""
    bodies = skeleton.bodies
    names = [name for pair in pairwise(bodies) for name in (pair[0], "/".join(pair))]
    return (*names, *bodies[-1:])


def region_of_apex(skeleton: Skeleton) -> Ints:
    """The `CurveRegion` of a curve with its apex there, of every half level.

    Main thoracic: T6 to the disc T11/T12; thoracolumbar or lumbar: T12 and below; proximal thoracic: from
    the disc T1/T2 to the disc T5/T6. After Lenke et al., Journal of Bone and Joint Surgery 83-A:1169, 2001,
    who name T3 to T5 for the proximal thoracic curve and T12 to L4 for the last: here those above and below
    count as well, as does the disc T5/T6. Apexes at T1 and above belong to none.
    """
    found = []
    for name in half_level_names(skeleton):
        part, number = name[0], int(name.partition("/")[0][1:])
        if part == "C" or name == "T1":
            found.append(CurveRegion.OTHER)
        elif part == "T" and number < 12:
            found.append(CurveRegion.PROXIMAL_THORACIC if number < 6 else CurveRegion.MAIN_THORACIC)
        else:
            found.append(CurveRegion.THORACOLUMBAR)
    return np.array(found, dtype=np.int64)


def regional_curves(points_px: Floats, skeleton: Skeleton) -> RegionalCurves:
    """The largest curves with their apex in each region, of `[N, K, 2]` points."""
    curves = coronal_curves(points_px, skeleton)
    midline, endplate = np.full((2, len(points_px), len(REGIONS), 2), np.nan)
    # The largest is written last. Of equal ones that is the upper one.
    order = np.lexsort((-np.arange(curves.image.size), np.abs(curves.midline_deg)))
    order = order[curves.region[order] >= 0]
    right = (curves.midline_deg[order] > 0).astype(np.int64)
    place, side = (curves.image[order], curves.region[order], right), 2.0 * right - 1.0
    midline[place], endplate[place] = side * curves.midline_deg[order], side * curves.endplate_deg[order]
    known = np.asarray(np.isfinite(midline_tilt_deg(points_px, skeleton)).all(axis=1))
    return RegionalCurves(midline, endplate, known)
