"""Pixels as a PNG file, written for speed."""

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
BITS: Final = 8
TRUE_COLOUR: Final = 2
# Each byte less the one above it: nearly as small for radiographs as the best filter of each row, which
# costs as much time to find as the compression itself.
UP_FILTER: Final = 2
COMPRESSION: Final = 1
BAND: Final = 256
# Signature and header chunk, which are equally long in every PNG.
HEAD_BYTES: Final = 33


def png_bytes(rgba: Pixels) -> bytes:
    """An opaque picture `[H, W, 4]` as PNG (ISO/IEC 15948), RGB; the same pixels give the same bytes."""
    height, width, _ = rgba.shape
    header = struct.pack(">IIBBBBB", width, height, BITS, TRUE_COLOUR, 0, 0, 0)
    packer = zlib.compressobj(COMPRESSION)
    body = b"".join([*(packer.compress(rows) for rows in _filtered(rgba)), packer.flush()])
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def signed(png: bytes, command: str) -> bytes:
    """The same picture, which now says that this command drew it, so that the command may remove it later."""
    return png[:HEAD_BYTES] + _mark(command) + png[HEAD_BYTES:]


def is_signed(file: BinaryIO, command: str) -> bool:
    """Whether a file is a picture that this command signed."""
    mark = _mark(command)
    start = file.read(HEAD_BYTES + len(mark))
    return start.startswith(SIGNATURE) and start[HEAD_BYTES:] == mark


def _mark(command: str) -> bytes:
    return _chunk(b"tEXt", b"Software\0mahtdiag " + command.encode("latin-1"))


def _filtered(rgba: Pixels) -> Iterator[memoryview]:
    """The rows as PNG stores them, a few at a time: these stay in the processor's cache."""
    height, width, _ = rgba.shape
    above = np.zeros((1, 3 * width), dtype=np.uint8)
    for first in range(0, height, BAND):
        rgb = np.ascontiguousarray(cv2.cvtColor(rgba[first : first + BAND], cv2.COLOR_RGBA2RGB))
        band = np.concatenate([above, rgb.reshape(-1, 3 * width)], dtype=np.uint8)
        rows = np.empty((len(band) - 1, 1 + 3 * width), dtype=np.uint8)
        rows[:, 0] = UP_FILTER
        np.subtract(band[1:], band[:-1], out=rows[:, 1:])
        yield rows.data
        above = band[-1:]


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(data, zlib.crc32(kind))
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)
