"""Pixels as a PNG file, and the mark by which a command knows its own pictures again."""

import struct
import zlib
from typing import BinaryIO, Final

import cv2
import numpy as np
from numpy.typing import NDArray

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
