"""Keypoints with a place for four corners of every vertebra, for what counts vertebrae by fours."""

import numpy as np
from numpy.typing import NDArray

from mahtdiag.schema.skeleton import CORNERS_PER_ENDPLATE, CORNERS_PER_VERTEBRA, Skeleton

Floats = NDArray[np.float64]


def hidden_keypoints(skeleton: Skeleton | None) -> int:
    """How many corners the first vertebra lacks: two of an endplate by itself, none of a body."""
    alone = skeleton is not None and skeleton.first_endplate is not None
    return CORNERS_PER_VERTEBRA - CORNERS_PER_ENDPLATE if alone else 0


def whole_vertebrae(points: Floats, skeleton: Skeleton | None) -> Floats:
    """Points `[N, K, 2]`, NaN in the place of corners that the first vertebra lacks; None: it lacks none.

    The corners of vertebra v then begin at 4·v, the last vertebra being cut off after its upper endplate
    where it has no other.
    """
    hidden = hidden_keypoints(skeleton)
    if not hidden:
        return points
    return np.concatenate([np.full((len(points), hidden, 2), np.nan), points], axis=1)
