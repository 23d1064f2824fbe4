"""Annotations of BUU-LSPINE and AASCE, written."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

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


def aasce_matlab(keypoints_px: NDArray[np.float64]) -> bytes:
    """The MATLAB file of an image: `p2`, a row of x and y for each keypoint, to a tenth of a pixel."""
    file = BytesIO()
    savemat(file, {"p2": np.round(keypoints_px, 1)})  # type: ignore[arg-type]
    return _without_date(file.getvalue())


def aasce_row(keypoints_px: NDArray[np.float64], height: int, width: int) -> str:
    """The line of an image in `landmarks.csv`: all x, then all y, shares of the image."""
    shares = np.round(keypoints_px, 1) / (width, height)
    return ",".join(f"{value:.8f}" for value in shares.T.ravel()) + "\n"


def _without_date(file: bytes) -> bytes:
    """The file with a description that is the same every day, in its first 116 bytes."""
    text = b"MATLAB 5.0 MAT-file, synthetic radiograph"
    return text.ljust(116) + file[116:]
