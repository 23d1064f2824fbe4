"""What clinicians read from the keypoints.

Angles need no pixel spacing; lengths are relative.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.geometry import known_points, tilt_deg, within_half_turn_deg
from mahtdiag.schema.skeleton import CORNERS_PER_ENDPLATE, CORNERS_PER_VERTEBRA, LL, LR, UL, UR, Skeleton

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LORDOSIS = ("L1", "S1")


@dataclass(frozen=True, slots=True)
class LateralMeasurements:
    """Measurements of N lateral images of V vertebrae, B of them bodies; NaN where a keypoint is missing.

    `slip_percent` `[N, V−1]` (L1/L2 … L5/S1): displacement of the upper vertebra's posterior-inferior corner
    along the lower vertebra's upper endplate, in percent of that endplate; anterolisthesis positive.
    `lordosis_deg` `[N]`: L1 upper to S1 upper endplate, lordosis positive; NaN without these two.
    `segmental_deg` `[N, V−1]`: upper endplate to the next upper endplate; from L1 on they add up to the
    lordosis. `disc_height_index` `[N, V−1]`: mean distance of the corners across the disc over the mean
    height of the bodies around it (L5's alone for L5/S1). `wedging` `[N, B]`: anterior over posterior height.
    Where the facing is unknown the right side is taken for the anterior one, and a slip is the mean of those
    of both corners: such numbers have a size, but no sign (see `sizes_alone`).
    """

    slip_percent: Floats
    lordosis_deg: Floats
    segmental_deg: Floats
    disc_height_index: Floats
    wedging: Floats


@dataclass(frozen=True, slots=True)
class FrontalMeasurements:
    """Measurements of N AP images of V vertebrae, B of them bodies; NaN where a keypoint is missing.

    `cobb_deg` `[N]`: see `cobb_deg`. `lateral_slip_percent` `[N, V−1]`: mean
    displacement of the two lower corners against the ends of the next upper endplate, along it, in percent of
    its length, positive to the right of the image. `tilt_deg` `[N, B]`: line through the middles of the left
    and the right side against the horizontal, positive where the right side is lower.
    """

    cobb_deg: Floats
    lateral_slip_percent: Floats
    tilt_deg: Floats


M = TypeVar("M", LateralMeasurements, FrontalMeasurements)


def chain_measurements(parts: Sequence[M]) -> M:
    """Measurements of consecutive images, as of one set."""
    first = parts[0]
    joined = {of.name: np.concatenate([getattr(part, of.name) for part in parts]) for of in fields(first)}
    return replace(first, **joined)


def _endplate_tilt_deg(points_px: Floats) -> Floats:
    """Slope of every endplate `[N, E]`, right end lower positive; NaN where it has no direction."""
    return tilt_deg(points_px[:, 0::2], points_px[:, 1::2])


def _upper_tilt_deg(points_px: Floats, skeleton: Skeleton) -> Floats:
    """Slope of every vertebra's upper endplate `[N, V]`; NaN of a first one that has none."""
    tilt = _endplate_tilt_deg(points_px)
    if skeleton.first_endplate is None:
        return tilt[:, 0::2]
    return np.concatenate([np.full((len(tilt), 1), np.nan), tilt[:, 1::2]], axis=1)


def lordosis_bend_deg(points_px: Floats, skeleton: Skeleton) -> Floats:
    """Angle from L1's to S1's upper endplate `[N]`, positive clockwise on screen; NaN without one of them."""
    if not set(LORDOSIS) <= set(skeleton.vertebrae):
        return np.full(len(points_px), np.nan)
    tilt = _endplate_tilt_deg(points_px)
    above, below = (skeleton.endplate_names.index(f"{name} upper") for name in LORDOSIS)
    return within_half_turn_deg(tilt[:, below] - tilt[:, above])


def _along_endplate(moved: Floats, start: Floats, end: Floats) -> Floats:
    """Component of `moved` along start→end over its length; NaN for an endplate without length."""
    endplate = end - start
    square = (endplate**2).sum(axis=-1)
    share: Floats = (moved * endplate).sum(axis=-1) / np.where(square > 0, square, np.nan)
    return share


def _across_discs(points_px: Floats, skeleton: Skeleton) -> tuple[Floats, ...]:
    """Left and right end of the lower and of the next upper endplate of each pair, `[N, V−1, 2]` each."""
    first = LL if skeleton.first_endplate is None else 0
    lower, upper = slice(first, -CORNERS_PER_ENDPLATE), slice(first + CORNERS_PER_ENDPLATE, None)
    each = slice(None, None, CORNERS_PER_VERTEBRA)
    rows = (points_px[:, of] for of in (lower, upper))
    return tuple(row[:, end:][:, each] for row in rows for end in (0, 1))


def _slip_left_and_right(points_px: Floats, skeleton: Skeleton) -> tuple[Floats, Floats]:
    """Displacement at the left and the right corner along the next upper endplate, towards the right."""
    lower_left, lower_right, upper_left, upper_right = _across_discs(points_px, skeleton)
    left = _along_endplate(lower_left - upper_left, upper_left, upper_right)
    right = _along_endplate(lower_right - upper_right, upper_left, upper_right)
    return left, right


def shift_to_the_right(points_px: Floats, skeleton: Skeleton) -> Floats:
    """How far each vertebra lies to the right of the next, `[N, V−1]`, in percent of that one's endplate."""
    left, right = _slip_left_and_right(points_px, skeleton)
    return 50.0 * (left + right)


def _corners(points_px: Floats, skeleton: Skeleton) -> tuple[Floats, ...]:
    """Upper left, upper right, lower left and lower right corners of the bodies, `[N, B, 2]` each."""
    bodies = points_px[:, skeleton.of_bodies]
    return tuple(bodies[:, corner::CORNERS_PER_VERTEBRA] for corner in (UL, UR, LL, LR))


def measure_lateral(points_px: Floats, skeleton: Skeleton, facing: Ints) -> LateralMeasurements:
    """All lateral measurements of `[N, K, 2]` points; `facing` `[N]`: +1 anterior right, −1 left, 0 unknown.

    Compare a prediction with its label under one facing, the label's.
    """
    points_px = known_points(points_px)
    side = np.where(facing < 0, -1.0, 1.0)[:, None]
    left_slip, right_slip = _slip_left_and_right(points_px, skeleton)
    # Facing right, the posterior corner is the left one and forwards is rightwards.
    slip = np.where(side > 0, left_slip, -right_slip)
    slip = np.where(facing[:, None] == 0, (left_slip + right_slip) / 2, slip)
    upper_left, upper_right, lower_left, lower_right = _corners(points_px, skeleton)
    left = np.linalg.norm(lower_left - upper_left, axis=-1)
    right = np.linalg.norm(lower_right - upper_right, axis=-1)
    return LateralMeasurements(
        slip_percent=100.0 * slip,
        lordosis_deg=side[:, 0] * lordosis_bend_deg(points_px, skeleton),
        segmental_deg=side * within_half_turn_deg(np.diff(_upper_tilt_deg(points_px, skeleton), axis=1)),
        disc_height_index=_disc_height_index(points_px, (left + right) / 2, skeleton),
        wedging=np.where(side > 0, _ratio(right, left), _ratio(left, right)),
    )


_WITHOUT_SIGN = ("disc_height_index", "wedging")


def sizes_alone(
    labelled: LateralMeasurements, predicted: LateralMeasurements
) -> tuple[LateralMeasurements, LateralMeasurements]:
    """The same without sign: each label counts as positive, and its prediction as positive where it agrees.

    So a prediction that bends or slips the other way is as far from its label as it was. Ratios of heights
    are turned over where the label's is above 1.
    """
    found: list[dict[str, Floats]] = [{}, {}]
    for name in (of.name for of in fields(labelled) if of.name not in _WITHOUT_SIGN):
        turned = np.where(getattr(labelled, name) < 0, -1.0, 1.0)
        for values, measured in zip(found, (labelled, predicted), strict=True):
            values[name] = turned * getattr(measured, name)
    for values, measured in zip(found, (labelled, predicted), strict=True):
        ratio = measured.wedging
        values["wedging"] = np.where(labelled.wedging > 1, _ratio(np.ones_like(ratio), ratio), ratio)
    return replace(labelled, **found[0]), replace(predicted, **found[1])


def _ratio(one: Floats, other: Floats) -> Floats:
    return one / np.where(other > 0, other, np.nan)


def _disc_height_index(points_px: Floats, heights: Floats, skeleton: Skeleton) -> Floats:
    """After Masuda et al., Spine 30:5, 2005: mean of the two corner distances over the mean body height."""
    lower_left, lower_right, upper_left, upper_right = _across_discs(points_px, skeleton)
    lower, upper = np.stack([lower_left, lower_right], axis=-2), np.stack([upper_left, upper_right], axis=-2)
    disc = np.linalg.norm(upper - lower, axis=-1).mean(axis=-1)
    # Of a vertebra that is marked by one endplate no height is known: that of its neighbour stands for both.
    first = heights[:, : 0 if skeleton.first_endplate is None else 1]
    last = heights[:, len(skeleton.bodies) - (0 if skeleton.last_endplate is None else 1) :]
    heights = np.concatenate([first, heights, last], axis=1)
    return _ratio(disc, (heights[:, :-1] + heights[:, 1:]) / 2)


def measure_frontal(points_px: Floats, skeleton: Skeleton) -> FrontalMeasurements:
    """All AP measurements of `[N, K, 2]` points."""
    points_px = known_points(points_px)
    upper_left, upper_right, lower_left, lower_right = _corners(points_px, skeleton)
    return FrontalMeasurements(
        cobb_deg=cobb_deg(tilt_deg(upper_left, upper_right), tilt_deg(lower_left, lower_right)),
        lateral_slip_percent=shift_to_the_right(points_px, skeleton),
        tilt_deg=tilt_deg((upper_left + lower_left) / 2, (upper_right + lower_right) / 2),
    )


def cobb_deg(upper_tilt_deg: Floats, lower_tilt_deg: Floats) -> Floats:
    """Cobb angle `[N]` of the tilts of the B upper and the B lower endplates, `[N, B]` each.

    Largest angle between the upper endplate of a vertebra and the lower endplate of one below it: those two,
    tilted most against each other, are the end vertebrae. NaN with an endplate missing that could be one of
    the two, as the largest angle is then unknown, and of a single vertebra. Source: Cobb, Outline for the
    study of scoliosis, Instructional Course Lectures of the American Academy of Orthopaedic Surgeons 5, 1948.
    """
    between = np.abs(within_half_turn_deg(upper_tilt_deg[:, :, None] - lower_tilt_deg[:, None, :]))
    cranial, caudal = np.triu_indices(upper_tilt_deg.shape[1], k=1)
    if not cranial.size:
        return np.full(len(between), np.nan)
    largest: Floats = between[:, cranial, caudal].max(axis=1)
    return largest


def meyerding_grade(slip_percent: Floats) -> Ints:
    """Grade of a slip by its size: 1 below 25 %, 2 below 50, 3 below 75, 4 up to 100, 5 above; 0 if unknown.

    Meyerding, Surgery, Gynecology & Obstetrics 54:371, 1932; V is spondyloptosis.
    """
    size = np.abs(slip_percent)
    grade = 1 + (size >= 25).astype(np.int64) + (size >= 50) + (size >= 75) + (size > 100)
    return np.where(np.isnan(size), 0, grade)
