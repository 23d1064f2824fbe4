"""A radiograph as it is shown, and a picture as a PNG file that its command knows again."""

import math
import struct
import zlib
from typing import BinaryIO, Final

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


Pixels = NDArray[np.uint8]
# Each byte less the one above it: nearly as small for radiographs as the best filter of each row, which
# costs as much time to find as the compression itself. Versions of OpenCV that cannot be told take that time.
_UP_FILTER: Final = (
    [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP] if hasattr(cv2, "IMWRITE_PNG_FILTER") else []
)
_SETTINGS: Final = [cv2.IMWRITE_PNG_COMPRESSION, 1, *_UP_FILTER]
_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
# Signature and header chunk, which are equally long in every PNG.
_HEAD_BYTES: Final = 33


def png_bytes(rgba: Pixels) -> bytes:
    """An opaque picture `[H, W, 4]` as PNG, RGB; the same pixels give the same bytes."""
    done, encoded = cv2.imencode(".png", cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGR), _SETTINGS)
    if not done:
        raise RuntimeError("OpenCV could not encode a PNG")
    return encoded.tobytes()


def signed(png: bytes, command: str) -> bytes:
    """The same picture, which now says that this command drew it, so that the command may remove it later.

    A text chunk (ISO/IEC 15948) behind the header, which OpenCV cannot write; Pillow could only by encoding
    the picture a second time.
    """
    return png[:_HEAD_BYTES] + _mark(command) + png[_HEAD_BYTES:]


def is_signed(file: BinaryIO, command: str) -> bool:
    """Whether a file is a picture that this command signed."""
    mark = _mark(command)
    start = file.read(_HEAD_BYTES + len(mark))
    return start.startswith(_SIGNATURE) and start[_HEAD_BYTES:] == mark


def _mark(command: str) -> bytes:
    text = b"Software\0mahtdiag " + command.encode("latin-1")
    chunk = b"tEXt" + text
    return struct.pack(">I", len(text)) + chunk + struct.pack(">I", zlib.crc32(chunk))
