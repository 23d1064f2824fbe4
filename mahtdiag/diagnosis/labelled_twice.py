"""Images that a set holds twice, with labels of their own: what their two labellings say of each other.

The labels of one image of a pair are mapped onto the other one. Labels that were copied with the image, and
at most rounded, are no second labelling and would pull the readers' distance to zero: they are left out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.diagnosis.copies import CopyKind, CopyPair
from mahtdiag.diagnosis.label_noise import CopiedPairs, LabelNoise, label_noise
from mahtdiag.schema.skeleton import CORNERS_PER_ENDPLATE, Skeleton

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FEWEST_KEYPOINTS: Final = 8
"""Below so many keypoints in both labellings, copied labels cannot be told from a second reading."""
_EXACT_PX: Final = 0.01


def mapped_labels(pair: CopyPair, other_px: Floats, skeleton: Skeleton) -> Floats:
    """Labels of `pair.other`, `[K, 2]`, in pixels of `pair.image`.

    Where one is mirrored, left and right corners change places, as they are named by their side in the image.
    NaN stays.
    """
    points = other_px
    if pair.mirrored:
        points = points.reshape(-1, CORNERS_PER_ENDPLATE, 2)[:, ::-1].reshape(skeleton.keypoints, 2)
    to_image = np.array(pair.to_image)
    mapped: Floats = points @ to_image[:, :2].T + to_image[:, 2]
    return mapped


def are_same_labels(pair: CopyPair, first_px: Floats, second_px: Floats) -> bool:
    """Whether labels `[n, 2]` of both images, in pixels of `image`, are one labelling that was copied.

    So it is where more than half of the keypoints differ along x and y by no more than coordinates rounded
    to whole pixels in both images would. A map that was found by registration is off by parts of a pixel:
    what an affine map explains is no difference there.
    """
    difference = second_px - first_px
    if pair.kind is not CopyKind.IDENTICAL:
        terms = np.column_stack([np.ones(len(first_px)), first_px])
        difference = difference - terms @ np.linalg.lstsq(terms, difference)[0]
    rounding_px = 0.5 + 0.5 / np.array(pair.scale) + _EXACT_PX
    return bool(2 * (np.abs(difference) <= rounding_px).all(axis=1).sum() > len(first_px))


def noise_of_copies(
    pairs: Iterable[CopyPair],
    ours: Mapping[str, Floats],
    theirs: Mapping[str, Floats],
    skeleton: Skeleton,
    units: Mapping[str, int],
    spacing_mm: Mapping[str, Floats],
) -> LabelNoise | None:
    """Label noise by images that are labelled twice, in pixels of `image`; None where there are none.

    `ours`, `theirs`: labels `[K, 2]` by name of the judged set and of the one it was held against; a pair of
    which either is not there is left out. `units`, `spacing_mm` `[2]`: of `ours`. No image is in two pairs,
    so that none counts twice; the likeliest pairs come first.
    """
    used: set[tuple[bool, str]] = set()
    kept: list[tuple[str, Floats, Floats]] = []
    same = too_few = 0
    for pair in sorted(pairs, key=lambda p: (-p.likeness, p.image, p.other)):
        others = theirs if pair.across else ours
        if pair.image not in ours or pair.other not in others:
            continue
        first, second = ours[pair.image], mapped_labels(pair, others[pair.other], skeleton)
        known = np.isfinite(first + second).all(axis=1)
        if known.sum() < FEWEST_KEYPOINTS:
            too_few += 1
        elif are_same_labels(pair, first[known], second[known]):
            same += 1
        elif used.isdisjoint(both := {(False, pair.image), (pair.across, pair.other)}):
            used |= both
            kept.append((pair.image, first, second))
    if not kept:
        return None
    names, first_px, second_px = zip(*sorted(kept, key=lambda each: each[0]), strict=True)
    codes: Ints = np.unique([units[name] for name in names], return_inverse=True)[1]
    spacings = np.stack([spacing_mm[name] for name in names])
    noise = label_noise("", np.stack(first_px), np.stack(second_px), skeleton, codes, spacings)
    return replace(noise, copies=CopiedPairs(same, too_few))
