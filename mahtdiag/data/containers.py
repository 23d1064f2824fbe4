"""What an image file says of itself before it is decoded: format, size, completeness.

The decoder alone cannot be relied on: depending on its version it accepts truncated files, turns TIFFs by
their orientation tag, takes the first of several pages, and lets its libraries write to the terminal.
"""

import struct
import zlib
from dataclasses import dataclass
from typing import Final

from mahtdiag.data.tiff import read_tiff
from mahtdiag.errors import DataError
from mahtdiag.schema.frames import Size

LARGEST_IMAGE_PIXELS: Final = 2**28
SMALLEST_SIDE_PX: Final = 16
_PNG_START: Final = b"\x89PNG\r\n\x1a\n"
_PNG_PIXEL_CHUNKS: Final = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND"))
_TIFF_STARTS: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JPEG_START, _JPEG_END, _JPEG_SCAN = b"\xff\xd8\xff", 0xD9, 0xDA
# Start-of-frame markers carry the size; C4, C8 and CC of the same range mean something else.
_JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_WITHOUT_LENGTH: Final = frozenset((0x01, *range(0xD0, 0xD8)))


@dataclass(frozen=True, slots=True)
class Container:
    """An image file that is complete as far as its own structure tells.

    `content` is what to give to the decoder: the file without what must not influence the pixels.
    `white_is_zero`: the grey values are stored inverted (TIFF only).
    """

    kind: str
    size: Size
    content: bytes
    white_is_zero: bool = False


def open_container(content: bytes, name: str) -> Container:
    """Check an image file and read its size from its header, without decoding it.

    Raises DataError, one line, for an empty file, another format, a truncated or damaged file, an image
    smaller than 16 pixels on a side or larger than 2**28 pixels, and a TIFF with several pages or colours
    that are not grey, palette, RGB or YCbCr.
    """
    container = _open(content, name)
    size = container.size
    if min(size.height, size.width) < SMALLEST_SIDE_PX:
        raise DataError(
            f"{name}: {size.width}x{size.height} pixels (width x height), an image has at least"
            f" {SMALLEST_SIDE_PX} on each side"
        )
    if size.height * size.width > LARGEST_IMAGE_PIXELS:
        raise DataError(
            f"{name}: {size.width}x{size.height} pixels (width x height), more than the"
            f" {LARGEST_IMAGE_PIXELS} an image may have"
        )
    return container


def _open(content: bytes, name: str) -> Container:
    if not content:
        raise DataError(f"{name}: the file is empty (0 bytes)")
    if content.startswith(_JPEG_START):
        return _open_jpeg(content, name)
    if content.startswith(_PNG_START):
        return _open_png(content, name)
    if content.startswith(_TIFF_STARTS):
        tiff = read_tiff(content, name)
        return Container("TIFF", tiff.size, tiff.content, tiff.white_is_zero)
    if content.startswith(b"BM"):
        return _open_bmp(content, name)
    raise DataError(f"{name}: not a PNG, JPEG, TIFF or BMP image")


def _open_png(content: bytes, name: str) -> Container:
    """Walk the chunks and check their sums; keep only those that make the pixels.

    Colour profiles, gamma, transparency, orientation and animation frames are left out: none may change a
    grey value, and the PNG library prints warnings about some of them.
    """
    kept: list[bytes] = [_PNG_START]
    place = len(_PNG_START)
    complete = False
    while not complete and place + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        end = place + 12 + length
        if end > len(content):
            break
        kind = content[place + 4 : place + 8]
        (checksum,) = struct.unpack_from(">I", content, end - 4)
        if zlib.crc32(memoryview(content)[place + 4 : end - 4]) != checksum:
            raise DataError(f"{name}: the PNG is damaged (wrong checksum at byte {place}): copy it again")
        if kind in _PNG_PIXEL_CHUNKS:
            kept.append(content[place:end])
        complete = kind == b"IEND"
        place = end
    if not complete:
        raise DataError(f"{name}: the PNG is truncated after {len(content)} bytes: copy it again")
    if kept[1][4:8] != b"IHDR" or len(kept[1]) != 25:
        raise DataError(f"{name}: the PNG is damaged (no header)")
    width, height = struct.unpack_from(">II", kept[1], 8)
    return Container("PNG", Size(height, width), b"".join(kept))


def _open_jpeg(content: bytes, name: str) -> Container:
    """Walk the segments to the first scan; the end marker must follow it.

    Inside a scan FF is never followed by D9, and a thumbnail lies in a segment before the scan, so an end
    marker behind the scan's start is the image's own.
    """
    truncated = DataError(f"{name}: the JPEG is truncated after {len(content)} bytes: copy it again")
    size: Size | None = None
    place = 2
    while True:
        while content[place : place + 2] == b"\xff\xff":
            place += 1
        if place + 4 > len(content):
            raise truncated
        if content[place] != 0xFF or content[place + 1] == _JPEG_END:
            raise DataError(f"{name}: the JPEG is damaged (no image data): copy it again")
        marker = content[place + 1]
        place += 2
        if marker in _JPEG_WITHOUT_LENGTH:
            continue
        if marker in _JPEG_FRAMES:
            if place + 7 > len(content):
                raise truncated
            size = Size(*struct.unpack_from(">HH", content, place + 3))
        place += struct.unpack_from(">H", content, place)[0]
        if marker == _JPEG_SCAN:
            break
    if content.rfind(bytes((0xFF, _JPEG_END)), place) < 0:
        raise truncated
    if size is None:
        raise DataError(f"{name}: the JPEG is damaged (no frame header): copy it again")
    return Container("JPEG", size, content)


def _open_bmp(content: bytes, name: str) -> Container:
    if len(content) < 26:
        raise DataError(f"{name}: the BMP is truncated after {len(content)} bytes: copy it again")
    (header_bytes,) = struct.unpack_from("<I", content, 14)
    width, height = struct.unpack_from("<HH" if header_bytes == 12 else "<ii", content, 18)
    # A negative height means rows from the top; a negative width means nothing.
    return Container("BMP", Size(abs(height), width), content)
