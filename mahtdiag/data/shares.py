"""Coordinates that a file gives as shares of the image."""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.errors import DataError
from mahtdiag.schema.safe_text import shown

# A point may lie a little outside its image; pixels, taken for shares, lie further.
_LARGEST_SHARE: Final = 2.0


def shares_to_px(image: Path, shares: NDArray[np.float64], *, upright: bool = False) -> NDArray[np.float64]:
    """Points `[n, 2]` (x, y) as shares of the image's width and height, in its pixels; NaN stays NaN.

    `upright`: the image as its orientation tag turns it.

    Raises DataError where the size of the image cannot be read.
    """
    # Loads OpenCV, which a set of another format does not need to be listed.
    from mahtdiag.data.images import read_image_size

    return shares * read_image_size(image, shown(image.name), upright=upright).xy


def require_shares(shares: NDArray[np.float64]) -> None:
    """Raises DataError where a number is infinite, or so large that it can only be pixels. NaN is passed."""
    known = shares[~np.isnan(shares)]
    if known.size and (worst := float(np.abs(known).max())) > _LARGEST_SHARE:
        raise DataError(f"{worst:g} is no share of the image, 0 to 1: divide pixels by its width and height")
