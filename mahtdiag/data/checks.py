"""Whether annotated keypoints can belong to their image."""

import numpy as np
from numpy.typing import NDArray

from mahtdiag.schema.frames import Size
from mahtdiag.schema.skeleton import Skeleton


def outside_image(keypoints_px: NDArray[np.float64], size: Size, skeleton: Skeleton) -> tuple[str, ...]:
    """One line for each keypoint more than a pixel outside the image: x < −1 or x > width, y likewise.

    The rule leaves room for annotation tools that count from 1 or mark the far edge of a pixel. Missing
    keypoints (NaN) are not outside.
    """
    below = (keypoints_px < -1.0).any(axis=-1)
    above = (keypoints_px > size.xy).any(axis=-1)
    return tuple(
        f"{skeleton.keypoint_names[k]} (x {keypoints_px[k, 0]:g}, y {keypoints_px[k, 1]:g}) lies outside the"
        f" image ({size.width} wide, {size.height} high)"
        for k in np.flatnonzero(below | above)
    )


def is_normalised(keypoints_px: NDArray[np.float64], size: Size) -> bool:
    """Whether `[K, 2]` keypoints seem to be shares of the image, 0 to 1, where pixels are wanted.

    All lie within the first pixel or so, apart from each other, in an image of more than 10 pixels a side.
    """
    known = keypoints_px[np.isfinite(keypoints_px).all(axis=-1)]
    if known.size == 0 or min(size.width, size.height) <= 10:
        return False
    return bool((np.abs(known) <= 1.5).all() and np.ptp(known, axis=0).max() > 0.0)
