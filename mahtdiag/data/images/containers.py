"""What an image file says of itself before it is decoded: format, size, completeness.

The decoder alone cannot be relied on: depending on its version OpenCV accepts truncated files, turns TIFFs by
their orientation tag, takes the first of several pages, and lets its libraries write to the terminal. Pillow
does not help: it takes 16-bit colours for 8-bit ones, passes over the checksums of PNG pixels, refuses images
that are not too large, and warns of damaged metadata, which cannot be silenced in one thread alone.
"""

import struct
from collections.abc import Iterator
from typing import Final

from mahtdiag.data.images.container import Container
from mahtdiag.data.images.dicom import is_dicom
from mahtdiag.data.images.jpeg import JPEG_START, open_jpeg
from mahtdiag.data.images.png import PNG_START, open_png
from mahtdiag.data.images.room import require_bounded
from mahtdiag.data.images.tiff import ORIENTATION, TIFF_STARTS, open_tiff
from mahtdiag.errors import DataError
from mahtdiag.schema.frames import Size

SMALLEST_SIDE_PX: Final = 16
_JP2_BOX: Final = b"\0\0\0\x0cjP  \r\n\x87\n"
_J2K_START, _J2K_END = b"\xff\x4f\xff\x51", b"\xff\xd9"
_JP2_STARTS: Final = (_JP2_BOX, _J2K_START)
_MOVES: Final = 0x02
_MOST_ENTRIES: Final = 4096
_MOST_WEBP_CHUNKS: Final = 10_000
# Codes of one sign alone take no bits at all.
_VP8L_ZEROS: Final = bytes(256)


def open_container(content: bytes, name: str) -> Container:
    """Check an image file and read its size from its header, without decoding it.

    Raises DataError, one line, for an empty file, another format, a truncated or damaged file, an image
    smaller than 16 pixels on a side or larger than 2**28 pixels or 512 MiB, a TIFF with several pages or
    colours that are not grey, palette, RGB or YCbCr, a WebP that moves, and a JPEG 2000 of signed values.
    """
    container = _open(content, name)
    size = container.size
    if min(size.height, size.width) < SMALLEST_SIDE_PX:
        raise DataError(
            f"{name}: {size.width}x{size.height} pixels (width x height), an image has at least"
            f" {SMALLEST_SIDE_PX} on each side"
        )
    require_bounded(size, container.pixel_bytes, name)
    return container


def _open(content: bytes, name: str) -> Container:
    if not content:
        raise DataError(f"{name}: the file is empty (0 bytes)")
    if content.startswith(JPEG_START):
        return open_jpeg(content, name)
    if content.startswith(PNG_START):
        return open_png(content, name)
    if content.startswith(TIFF_STARTS):
        return open_tiff(content, name)
    if content.startswith(b"BM"):
        return _open_bmp(content, name)
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return _open_webp(content, name)
    if content.startswith(_JP2_STARTS):
        return _open_jpeg2000(content, name)
    raise DataError(f"{name}: not a PNG, JPEG, TIFF, BMP, WebP, JPEG 2000 or DICOM image")


def _open_bmp(content: bytes, name: str) -> Container:
    if len(content) < 26:
        raise DataError(f"{name}: the BMP is truncated after {len(content)} bytes: copy it again")
    (header_bytes,) = struct.unpack_from("<I", content, 14)
    width, height = struct.unpack_from("<HH" if header_bytes == 12 else "<ii", content, 18)
    # A negative height means rows from the top; a negative width means nothing.
    return Container("BMP", Size(abs(height), width), content, pixel_bytes=4)


def _open_webp(content: bytes, name: str) -> Container:
    """Read the size from the first chunk of pixels or, in a file with more than these, of the canvas.

    Source: RFC 9649, sections 2.4 to 2.7.
    """
    (length,) = struct.unpack_from("<I", content, 4)
    if 8 + length > len(content):
        raise DataError(f"{name}: the WebP is truncated after {len(content)} bytes: copy it again")
    for kind, start in _webp_chunks(content):
        head = content[start : start + 10]
        if len(head) < 10:
            break
        if kind == b"VP8X":
            if head[0] & _MOVES:
                raise DataError(f"{name}: a WebP that moves: save the radiograph as a still image")
            width, height = (1 + int.from_bytes(head[at : at + 3], "little") for at in (4, 7))
        elif kind == b"VP8L" and head[0] == 0x2F:
            packed = int.from_bytes(head[1:5], "little")
            width, height = 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
        elif kind == b"VP8 " and head[3:6] == b"\x9d\x01\x2a":
            width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", head, 6))
        else:
            break
        if kind == b"VP8L" and _VP8L_ZEROS in content:
            raise DataError(f"{name}: the WebP is damaged (zeros in the place of data): copy it again")
        return Container("WebP", Size(height, width), content, pixel_bytes=4)
    raise DataError(f"{name}: the WebP is damaged (no header): copy it again")


def _webp_chunks(content: bytes) -> Iterator[tuple[bytes, int]]:
    """The kind of every chunk, and where what it holds begins."""
    place = 12
    for _ in range(_MOST_WEBP_CHUNKS):
        if place + 8 > len(content):
            return
        (length,) = struct.unpack_from("<I", content, place + 4)
        yield content[place : place + 4], place + 8
        place += 8 + length + length % 2


def _open_jpeg2000(content: bytes, name: str) -> Container:
    """Read size and depth from the head of the stream, which may lie in boxes.

    No marker but the last, which says that the stream is complete, is FF D9: its packets hold no FF before
    more than 8F. Source: ISO/IEC 15444-1, A.5.1 and B.10.1.
    """
    start = content.find(_J2K_START)
    try:
        x1, y1, x0, y0 = struct.unpack_from(">IIII", content, start + 8)
        (channels,) = struct.unpack_from(">H", content, start + 40)
        depths = {content[start + 42 + 3 * channel] for channel in range(min(channels, 4))}
    except (struct.error, IndexError):
        start = -1
    if start < 0 or x1 <= x0 or y1 <= y0 or len(depths) != 1:
        raise DataError(f"{name}: the JPEG 2000 is damaged (no header): copy it again")
    if content.find(_J2K_END, start) < 0:
        raise DataError(f"{name}: the JPEG 2000 is truncated after {len(content)} bytes: copy it again")
    depth = depths.pop()
    bits = 1 + (depth & 0x7F)
    if depth & 0x80 or bits > 16:
        wrong = "signed values" if depth & 0x80 else f"{bits} bits"
        raise DataError(f"{name}: a JPEG 2000 of {wrong}: save it with 8 or 16 bit per channel")
    size = Size(y1 - y0, x1 - x0)
    # Its decoder computes with 32 bits.
    return Container("JPEG 2000", size, content, bits=bits, pixel_bytes=4 * channels)


_EXIF_STARTS: Final = (b"Exif\0\0", b"eXIf")
_EXIF_LATEST: Final = 2**18
_SHORT: Final = 3


def orientation_of(content: bytes) -> int:
    """The orientation tag of an image file, 1 to 8; 1 where there is none that can be read.

    Source: Exif 2.32, tag 0x0112, in a JPEG's APP1 segment, a PNG's eXIf or a WebP's EXIF chunk, or a TIFF
    itself.
    """
    if content.startswith(b"RIFF"):
        found = next((start for kind, start in _webp_chunks(content) if kind == b"EXIF"), len(content))
        return _orientation_in(content[found : found + _EXIF_LATEST].removeprefix(_EXIF_STARTS[0]))
    if content.startswith(TIFF_STARTS[:2]):
        return _orientation_in(content)
    if is_dicom(content):
        return 1
    head = memoryview(content)[:_EXIF_LATEST].tobytes()
    for start in _EXIF_STARTS:
        place = head.find(start)
        if place >= 0:
            return _orientation_in(head[place + len(start) :])
    return 1


def _orientation_in(tags: bytes) -> int:
    """That of the first directory of a TIFF structure."""
    order = {b"II": "<", b"MM": ">"}.get(tags[:2])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(f"{order}I", tags, 4)
        (count,) = struct.unpack_from(f"{order}H", tags, directory)
        for entry in range(min(count, _MOST_ENTRIES)):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tags, directory + 2 + 12 * entry)
            if tag == ORIENTATION:
                return int(value) if kind == _SHORT and 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1
