"""The three angles that the AASCE 2019 set publishes of every radiograph, and the score that ranks by them.

The set comes with three numbers of each image and no word on what they are. They are those of the rule below,
as its labels show: it gives them back in all 481 training images (`validation.aasce_angles`).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.coronal import body_corners, midline_cobb, midline_tilt_deg
from mahtdiag.anatomy.geometry import within_half_turn_deg
from mahtdiag.schema.skeleton import LL, LR, LUMBAR, THORACIC, UL, UR, Levels, Skeleton, View

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

BODIES: Final = (*THORACIC, *LUMBAR)
"""The vertebrae that the rule is made for."""
_T1_TO_L5: Final = Skeleton.of(View.AP, Levels(BODIES[0], BODIES[-1]))


def has_aasce_angles(skeleton: Skeleton) -> bool:
    """Whether the set's angles are defined: AP, with T1 to L5; other levels do not enter."""
    return skeleton.view is View.AP and set(BODIES) <= set(skeleton.bodies)


@dataclass(frozen=True, slots=True)
class AasceAngles:
    """The set's three angles of N images, `[N, 3]` each in the order of its columns.

    `angle_deg`: each between the midlines of the vertebrae `upper` and `lower`, indices into `BODIES`. NaN
    and −1 where a corner is missing.
    """

    angle_deg: Floats
    upper: Ints
    lower: Ints


def aasce_angles(points_px: Floats, skeleton: Skeleton, image_height_px: Floats) -> AasceAngles:
    """The three angles of `[N, K, 2]` points in images of heights `[N]`.

    1. The largest angle between two midlines, wherever it lies; u and l are the upper and the lower of them.
    2. Of a spine that is not S-shaped the angle between T1 and u; else the largest between u and one above.
    3. Of a spine that is not S-shaped the angle between l and L5. Else, if u and l lie in the upper half of
       the image, the largest between l and one below; if in the lower half, the largest between the vertebra
       that was found for 2. and one above that.

    S-shaped: the middles of the endplates lie on both sides of the straight line from the first to the last
    (L5's upper one is not asked), or that line is exactly vertical. Upper half: the middles of the lower
    endplates of u and l are at less than half of the image's height on average.
    """
    first = int(skeleton.keypoints_of(BODIES[0])[0])
    points_px = points_px[:, first : first + _T1_TO_L5.keypoints]
    tilts = midline_tilt_deg(points_px, _T1_TO_L5)
    largest = midline_cobb(tilts)
    known = (largest.upper >= 0) & np.isfinite(image_height_px)
    top, bottom = np.maximum(largest.upper, 0), np.maximum(largest.lower, 0)
    image, body = np.arange(len(tilts)), np.arange(tilts.shape[1])
    middles = _endplate_middles(points_px)
    bent_twice, lower_plates_y = _s_shaped(middles), middles[:, 1::2, 1]
    low = lower_plates_y[image, top] + lower_plates_y[image, bottom] >= image_height_px

    above = _most_tilted_against(tilts, top, body <= top[:, None])
    second = np.where(bent_twice, above, 0)
    farther = _most_tilted_against(tilts, above, body <= above[:, None])
    below = np.where(
        bent_twice, _most_tilted_against(tilts, bottom, body >= bottom[:, None]), len(BODIES) - 1
    )
    from_above = bent_twice & low
    upper = np.stack([top, second, np.where(from_above, farther, bottom)], axis=1)
    lower = np.stack([bottom, top, np.where(from_above, above, below)], axis=1)
    angles = np.abs(within_half_turn_deg(tilts[image[:, None], upper] - tilts[image[:, None], lower]))
    known = known[:, None]
    return AasceAngles(
        np.where(known, angles, np.nan), np.where(known, upper, -1), np.where(known, lower, -1)
    )


def _most_tilted_against(tilts_deg: Floats, body: Ints, asked: Bools) -> Ints:
    """Of those asked `[N, B]` the body tilted most against a given one `[N]`; of equal ones the upper."""
    between = np.abs(within_half_turn_deg(tilts_deg - tilts_deg[np.arange(len(tilts_deg)), body][:, None]))
    most: Ints = np.argmax(np.where(asked & np.isfinite(between), between, -1.0), axis=1)
    return most


def _endplate_middles(points_px: Floats) -> Floats:
    """Middles of all endplates from above, `[N, 34, 2]`."""
    corners = body_corners(points_px, _T1_TO_L5)
    middles = np.stack([corners[:, :, [UL, UR]].mean(axis=2), corners[:, :, [LL, LR]].mean(axis=2)], axis=2)
    return middles.reshape(len(points_px), _T1_TO_L5.endplates, 2)


def _s_shaped(middles: Floats) -> Bools:
    chord, moved = middles[:, :1] - middles[:, -1:], middles[:, :-2] - middles[:, -1:]
    side = moved[..., 0] * chord[..., 1] - moved[..., 1] * chord[..., 0]
    both = (side > 0).any(axis=1) & (side < 0).any(axis=1)
    return np.asarray(both | (chord[:, 0, 0] == 0))


def smape_percent(predicted_deg: Floats, labelled_deg: Floats) -> Floats:
    """Symmetric mean absolute percentage error of every image `[N]`, of angles `[N, A]`; NaN where one is.

    100 · Σ|p − l| / Σ(p + l), sums over the A angles of an image, 0 to 100; 0 where all angles are 0. The
    score of the AASCE challenge is the mean over images. Source: Wang et al., Evaluation and comparison of
    accurate automated spinal curvature estimation algorithms with spinal anterior-posterior X-ray images: the
    AASCE2019 challenge, Medical Image Analysis 72:102115, 2021.
    """
    apart, total = (
        np.abs(predicted_deg - labelled_deg).sum(axis=1),
        (predicted_deg + labelled_deg).sum(axis=1),
    )
    return np.where(total == 0, 0.0, 100.0 * apart / np.where(total == 0, 1.0, total))
