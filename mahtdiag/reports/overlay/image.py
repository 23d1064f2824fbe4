"""A radiograph as it is shown: its size, and grey values that a screen can tell apart."""

import math
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from mahtdiag.schema.frames import Size

Image = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.uint8 | np.uint16]

# Stretched radiographs show grey values beyond these percentiles as black and white.
PERCENTILES: Final = (0.5, 99.5)
# An 8-bit radiograph is stretched where it uses less than half of the scale, and not so far that noise shows.
NARROW: Final = 128
MAX_GAIN: Final = 3.0


def for_display(image: Image, size: Size) -> tuple[NDArray[np.uint8], bool]:
    """The image in this size as 8-bit RGB, and whether its grey values were stretched.

    Those of 16-bit images always are. Area averaging when shrinking, cubic interpolation when enlarging.
    """
    smaller = size.height * size.width < image.shape[0] * image.shape[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    shown = np.asarray(
        cv2.resize(np.ascontiguousarray(image), (size.width, size.height), interpolation=method)
    )
    low, high = _percentiles(shown[::2, ::2])
    deep = image.dtype == np.uint16
    stretched = deep or 0 < high - low < NARROW
    if stretched:
        table = _stretch(np.arange(np.iinfo(image.dtype).max + 1), low, high, np.inf if deep else MAX_GAIN)
        shown = table[shown]
    rgb = shown if shown.ndim == 3 else cv2.cvtColor(shown, cv2.COLOR_GRAY2RGB)
    return np.asarray(rgb, dtype=np.uint8), stretched


def _percentiles(image: NDArray[np.generic]) -> tuple[float, float]:
    """The grey values below which PERCENTILES of the pixels lie, as numpy interpolates them, by counting."""
    below = np.bincount(image.ravel()).cumsum()
    low, high = (share / 100 * (image.size - 1) for share in PERCENTILES)
    return _ranked(below, low), _ranked(below, high)


def _ranked(below: NDArray[np.int64], rank: float) -> float:
    """The value of this rank, between two pixels a mean of theirs."""
    first, second = np.searchsorted(below, [math.floor(rank), math.ceil(rank)], side="right").tolist()
    return float(first + (rank - math.floor(rank)) * (second - first))


def _stretch(values: NDArray[np.int64], low: float, high: float, max_gain: float) -> NDArray[np.uint8]:
    """What each grey value becomes."""
    gain = 255 / max(high - low, 1.0)
    black = 0.0
    if gain > max_gain:
        # The rest of the scale is shared out so that a dark radiograph stays dark and a bright one bright.
        gain = max_gain
        black = (255 - gain * (high - low)) * low / (low + 255 - high)
    return np.asarray(np.clip((values - low) * gain + black, 0, 255), dtype=np.uint8)
