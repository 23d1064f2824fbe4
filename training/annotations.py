"""Annotations of BUU-LSPINE, written."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mahtdiag.schema.records import LISTHESIS_NAMES
from mahtdiag.schema.skeleton import skeleton_with


def format_annotation(keypoints_px: NDArray[np.float64], listhesis: Sequence[int], decimals: int = 2) -> str:
    """Write an annotation as `parse_annotation` reads it, coordinates rounded to `decimals` places.

    `keypoints_px` is `[K, 2]` with the K of a skeleton, `listhesis` one code per endplate. Raises ValueError
    for another shape, a missing keypoint (the format cannot leave one out) or an unknown code.
    """
    skeleton = skeleton_with(len(keypoints_px))
    if skeleton is None or keypoints_px.shape[1:] != (2,) or len(listhesis) != skeleton.endplates:
        raise ValueError(f"no view has keypoints {keypoints_px.shape} and {len(listhesis)} labels")
    if not np.isfinite(keypoints_px).all():
        raise ValueError("BUU-LSPINE cannot express a missing keypoint")
    if not set(listhesis) <= set(range(len(LISTHESIS_NAMES))):
        raise ValueError(f"listhesis codes are 0 to {len(LISTHESIS_NAMES) - 1}, got {sorted(set(listhesis))}")
    # Adding zero turns the -0.0 that rounding may leave into 0.0.
    endplates = (np.round(keypoints_px, decimals) + 0.0).reshape(skeleton.endplates, 4)
    rows = zip(endplates, listhesis, strict=True)
    return "".join(",".join(f"{value:.{decimals}f}" for value in ends) + f",{code}\n" for ends, code in rows)
