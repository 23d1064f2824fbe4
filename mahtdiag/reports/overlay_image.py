"""A radiograph as it is shown: its size, and grey values that a screen can tell apart."""

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
    low, high = (float(value) for value in np.percentile(shown[::2, ::2], PERCENTILES))
    deep = image.dtype == np.uint16
    stretched = deep or 0 < high - low < NARROW
    if stretched:
        shown = _stretch(shown, low, high, np.inf if deep else MAX_GAIN)
    grey = shown.astype(np.uint8)
    return (grey if grey.ndim == 3 else np.repeat(grey[:, :, None], 3, axis=2)), stretched


def _stretch(image: NDArray[np.generic], low: float, high: float, max_gain: float) -> NDArray[np.float32]:
    gain = 255 / max(high - low, 1.0)
    black = 0.0
    if gain > max_gain:
        # The rest of the scale is shared out so that a dark radiograph stays dark and a bright one bright.
        gain = max_gain
        black = (255 - gain * (high - low)) * low / (low + 255 - high)
    stretched = (image.astype(np.float32) - np.float32(low)) * np.float32(gain) + np.float32(black)
    return np.asarray(np.clip(stretched, 0, 255), dtype=np.float32)
