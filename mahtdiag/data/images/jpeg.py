"""JPEG files, decoded so that a damaged one is an error.

Most decoders fill what is missing of a JPEG with whatever comes to hand and say so on the terminal at most.
simplejpeg hands out what libjpeg-turbo complains of, and decodes to the same pixels as OpenCV does.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.data.images.container import Container
from mahtdiag.errors import DataError
from mahtdiag.schema.frames import Size

JPEG_START: Final = b"\xff\xd8\xff"
_END: Final = b"\xff\xd9"
_SCAN_START: Final = b"\xff\xda"
_TABLES, _END_MARKER, _SCAN, _QUANTISATION = 0xC4, 0xD9, 0xDA, 0xDB
# Start-of-frame markers carry the size; C4, C8 and CC of the same range mean something else.
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL: Final = frozenset((0xC0, 0xC1))
_BLOCK_ENDS: Final = 0
_LEAST_SCAN_HEAD: Final = 6
_MOST_ZEROS: Final = 63
_COEFFICIENTS: Final = 64
_WITHOUT_LENGTH: Final = frozenset((0x01, *range(0xD0, 0xD8)))
_FILLING: Final = re.compile(rb"\xff*(?=\xff)")
_MOST_SEGMENTS: Final = 10_000
# A progressive JPEG has about ten; each takes a pass over the whole image.
_MOST_SCANS: Final = 100
# Said of headers that are odd but change no pixel.
_ODD_VERSION, _ODD_COLOURS = "Warning: unknown JFIF revision", "Unknown Adobe color transform"
_ODD_SCAN: Final = "Invalid SOS parameters"
_JFIF: Final = b"JFIF\0"
_SCAN_OR_END: Final = re.compile(rb"\xff[\xd9\xda]")
# With one or three components; then come parameters that a sequential file can have only so.
_SCAN_HEAD: Final = re.compile(rb"(\xff\xda\0(?:\x08\x01..|\x0c\x03.{6}))...", re.DOTALL)
_ADOBE: Final = re.compile(rb"(\xff\xee..Adobe.{6}).", re.DOTALL)
_ANY_VERSION: Final = re.compile(_JFIF + b".", re.DOTALL)
_MISSING: Final = "premature end of data segment"
_SURPLUS: Final = "extraneous bytes before marker 0xd9"


@dataclass(frozen=True, slots=True)
class _Head:
    """What the segments before the data say. `scan` is where the first scan begins."""

    size: Size
    sequential: bool
    components: bytes
    first_symbols: dict[int, int]
    scan: int


def open_jpeg(content: bytes, name: str) -> Container:
    """Check segments and scans; what is behind its end is left out, and a missing end put there.

    Raises DataError, one line, for a file without a frame or a scan, one that ends before it or lacks scans,
    one whose quantisation tables have zeros, and one of more than 10,000 segments or 100 scans.
    """
    try:
        head = _head(content, name)
        scans, end = _scans(content, head, name)
        lacking = _lacks_scans(content, scans, head)
    except struct.error:
        raise DataError(f"{name}: the JPEG is truncated after {len(content)} bytes: copy it again") from None
    if lacking:
        raise DataError(f"{name}: the JPEG is truncated or damaged (some data are missing): copy it again")
    content = content[:end]
    if head.sequential and len(scans) == 1 and _zeroed(content, head):
        raise DataError(f"{name}: the JPEG is damaged (zeros in the place of data): copy it again")
    # Of a progressive one, all coefficients, of two bytes, are kept until the last scan.
    pixel_bytes = len(head.components) * (1 if len(scans) == 1 else 3)
    return Container("JPEG", head.size, content + _END, pixel_bytes=pixel_bytes)


def _head(content: bytes, name: str) -> _Head:
    """Raises struct.error where the file ends before its data, DataError where they have no scan or frame."""
    scan: int | None = None
    frame: tuple[Size, bool, bytes] | None = None
    first_symbols: dict[int, int] = {}
    for marker, start, end in _segments(content, name):
        if marker == _TABLES:
            first_symbols |= _first_symbols(content[start + 2 : end])
        elif marker == _QUANTISATION and _divides_by_zero(content[start + 2 : end]):
            raise DataError(f"{name}: the JPEG is damaged (zeros in a quantisation table): copy it again")
        elif marker in _FRAMES:
            height, width, count = struct.unpack_from(">HHB", content, start + 3)
            components = content[start + 8 : start + 8 + 3 * count : 3]
            frame = Size(height, width), marker in _SEQUENTIAL, components
        scan = start if marker == _SCAN else None
    if scan is None:
        raise DataError(f"{name}: the JPEG is damaged (no image data): copy it again")
    if frame is None:
        raise DataError(f"{name}: the JPEG is damaged (no frame header): copy it again")
    return _Head(*frame, first_symbols, scan)


def _scans(content: bytes, head: _Head, name: str) -> tuple[list[int], int]:
    """Where the scans begin, behind their markers, and where the last one ends.

    Inside a scan FF is never followed by DA or D9. Raises DataError where there are too many.
    """
    scans = [head.scan]
    (length,) = struct.unpack_from(">H", content, head.scan)
    for found in _SCAN_OR_END.finditer(content, head.scan + max(length, _LEAST_SCAN_HEAD)):
        if found[0] == _END:
            return scans, found.start()
        scans.append(found.end())
        if len(scans) > _MOST_SCANS:
            raise DataError(f"{name}: the JPEG has more than {_MOST_SCANS} scans: save it again")
    return scans, len(content)


def _lacks_scans(content: bytes, scans: list[int], head: _Head) -> bool:
    """Whether the scans do not hold every bit of every coefficient (ITU-T T.81, B.2.3 and G.1.1.1).

    Raises struct.error where the file ends in the head of a scan.
    """
    missing = {component: [1] * _COEFFICIENTS for component in head.components}
    for scan in scans:
        (count,) = struct.unpack_from("B", content, scan + 2)
        first, last, bits = struct.unpack_from("BBB", content, scan + 3 + 2 * count)
        if head.sequential:
            first, last, bits = 0, _COEFFICIENTS - 1, 0
        for component in content[scan + 3 : scan + 3 + 2 * count : 2]:
            for coefficient in range(first, min(last + 1, _COEFFICIENTS)):
                missing.setdefault(component, [0] * _COEFFICIENTS)[coefficient] = bits & 0x0F
    return any(any(of_component) for of_component in missing.values())


def _segments(content: bytes, name: str) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of every segment to the first scan, or to bytes that are none.

    Raises struct.error where the file ends before, DataError where there are too many.
    """
    place, marker, count = 2, 0, 0
    while marker != _SCAN:
        filling = _FILLING.match(content, place)
        place = filling.end() if filling else place
        first, marker, length = struct.unpack_from(">BBH", content, place)
        if first != 0xFF or marker == _END_MARKER:
            return
        count += 1
        if count > _MOST_SEGMENTS:
            raise DataError(f"{name}: the JPEG has more than {_MOST_SEGMENTS} segments: save it again")
        place += 2
        if marker not in _WITHOUT_LENGTH:
            yield marker, place, place + length
            place += length


def _first_symbols(tables: bytes) -> dict[int, int]:
    """What a code of zeros alone means in each of these Huffman tables (ITU-T T.81, B.2.4.2)."""
    found = {}
    place = 0
    while place + 17 < len(tables):
        found[tables[place]] = tables[place + 17]
        place += 17 + sum(tables[place + 1 : place + 17])
    return found


def _divides_by_zero(tables: bytes) -> bool:
    """Whether an element of these quantisation tables is 0: they are 1 at least (ITU-T T.81, B.2.4.1)."""
    place = 0
    while place < len(tables):
        wide = tables[place] >> 4
        table = tables[place + 1 : place + 1 + _COEFFICIENTS * (2 if wide else 1)]
        if wide:
            found = any(high == low == 0 for high, low in zip(table[::2], table[1::2], strict=False))
        else:
            found = 0 in table
        if found:
            return True
        place += 1 + len(table)
    return False


def _zeroed(content: bytes, head: _Head) -> bool:
    """Whether the only scan, a sequential one, has zeros that no encoder writes.

    Where a code of zeros is a coefficient of the brightness, and not the end of its block, 512 zero bits in
    a row are more than two whole blocks of the finest stripes that there are.
    """
    # How many components the scan has, then number and tables of the first.
    table = 0x10 | content[head.scan + 4] & 0x0F
    meaning = head.first_symbols.get(table, _BLOCK_ENDS)
    zeros = content.find(bytes(_MOST_ZEROS + 1), head.scan)
    # Some writers put zeros before the end.
    return meaning & 0x0F > 0 and 0 <= zeros < len(content.rstrip(b"\0"))


def decode_jpeg(container: Container, name: str) -> NDArray[np.uint8] | None:
    """The stored pixels, `[H, W]` or `[H, W, 3]` RGB; None for CMYK, which is found complete.

    Raises DataError, one line, for data that are damaged or incomplete.
    """
    space = _colour_space(container.content, name)
    if space in ("CMYK", "YCCK"):
        _strictly(container.content, name, colorspace="CMYK")
        return None
    grey = space == "Gray"
    image = _strictly(container.content, name, colorspace="GRAY" if grey else "RGB")
    return image[..., 0] if grey else image


def check_jpeg(content: bytes, name: str) -> None:
    """Raises DataError, one line, for a stream of 8 bits whose data are damaged or incomplete."""
    decode_jpeg(open_jpeg(content, name), name)


def is_common(content: bytes, name: str) -> bool:
    """Whether it has 8 bits and is sequential or progressive, with Huffman codes."""
    try:
        for marker, start, _ in _segments(content, name):
            if marker in _FRAMES:
                return marker in (0xC0, 0xC1, 0xC2) and content[start + 2] == 8
    except (struct.error, IndexError):
        return True
    return True


def decode_jpeg_shrunk(container: Container, name: str, factor: int) -> NDArray[np.uint8] | None:
    """Grey values, each the mean of a square of 2, 4 or 8; None where the decoder does not shrink so.

    Raises DataError, one line, for data that are damaged or incomplete.
    """
    if _colour_space(container.content, name) in ("CMYK", "YCCK"):
        return None
    wanted = (-(-container.size.height // factor), -(-container.size.width // factor))
    # The decoder takes the first size that is larger than these.
    found = _strictly(
        container.content, name, colorspace="GRAY", min_height=wanted[0] - 1, min_width=wanted[1] - 1
    )
    return found[..., 0] if found.shape[:2] == wanted else None


def _colour_space(content: bytes, name: str) -> str:
    import simplejpeg

    try:
        return str(simplejpeg.decode_jpeg_header(content, strict=False)[2])
    except ValueError as error:
        raise _damaged(name, str(error)) from error


def _strictly(content: bytes, name: str, **wanted: Any) -> NDArray[np.uint8]:
    import simplejpeg

    try:
        return np.asarray(simplejpeg.decode_jpeg(content, **wanted))
    except ValueError as error:
        said = str(error)
        other = _otherwise(content, said, cmyk=wanted["colorspace"] == "CMYK")
        if other is not None:
            return _strictly(other, name, **wanted)
        raise _damaged(name, said) from error


def _otherwise(content: bytes, said: str, *, cmyk: bool) -> bytes | None:
    """The file without what is complained of, where that has nothing to do with its pixels; else None."""
    if said.startswith(_ODD_VERSION):
        other = _ANY_VERSION.sub(_JFIF + b"\x01", content, count=1)
    elif said.startswith(_ODD_COLOURS):
        # What libjpeg takes them for.
        other = _ADOBE.sub(b"\\g<1>\x02" if cmyk else b"\\g<1>\x01", content, count=1)
    elif said.startswith(_ODD_SCAN) and content.count(_SCAN_START) == 1:
        other = _SCAN_HEAD.sub(b"\\g<1>\x00\x3f\x00", content, count=1)
    elif _SURPLUS in said:
        # Some writers put zeros before the end marker.
        other = content.removesuffix(_END).rstrip(b"\0") + _END
    else:
        return None
    return other if other != content else None


def _damaged(name: str, said: str) -> DataError:
    if _MISSING in said:
        return DataError(f"{name}: the JPEG is damaged or truncated (its data end early): copy it again")
    reason = said.removeprefix("Corrupt JPEG data: ").removeprefix("Warning: ")
    return DataError(f"{name}: the JPEG is damaged ({reason[:1].lower()}{reason[1:]}): copy it again")
