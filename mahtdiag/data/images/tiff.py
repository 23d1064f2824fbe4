"""TIFF files: their directories, and whether the data that these point to are there and whole.

Depending on the depth of the pixels OpenCV passes over what libtiff complains of.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mahtdiag.data.images.container import Container
from mahtdiag.data.images.jpeg import check_jpeg
from mahtdiag.data.images.packbits import is_packed
from mahtdiag.data.images.room import LARGEST_IMAGE_BYTES
from mahtdiag.errors import DataError
from mahtdiag.schema.frames import Size

TIFF_STARTS: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
ORIENTATION: Final = 274
_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_OFFSETS, _SAMPLES, _ROWS, _COUNTS, _PLANAR = 273, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS = 322, 323, 324, 325
_ALPHA, _JPEG_TABLES = 338, 347
_KNOWN: Final = frozenset((
    ORIENTATION, _SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _OFFSETS, _SAMPLES, _ROWS,
    _COUNTS, _PLANAR, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS, _ALPHA, _JPEG_TABLES,
))  # fmt: skip
_REDUCED_COPY: Final = 1
_FORMATS: Final = {1: "B", 3: "H", 4: "I", 7: "B", 16: "Q"}
_WHITE_IS_ZERO: Final = 0
_PALETTE, _YCBCR = 3, 6
_HARMLESS: Final = {ORIENTATION: (1,), _ALPHA: (0, 1)}
# White is zero, black is zero, RGB, palette, YCbCr.
_PHOTOMETRICS_READ: Final = frozenset((0, 1, 2, 3, 6))
# All directories together: those of a pyramid are a dozen of twenty entries each.
_MOST_DIRECTORIES, _MOST_ENTRIES = 4096, 100_000
_MOST_PARTS: Final = 2**20
# Some programs point to one tile again where others are alike.
_MOST_SHARED: Final = 8
_STORED, _LZW, _JPEG, _DEFLATE, _PACKBITS = 1, 5, 7, (8, 32946), 32773
# More zeros in a row than the codes of LZW between two of its resets can have.
_LZW_ZEROS: Final = bytes(300)


@dataclass(frozen=True, slots=True)
class _Tag:
    """One entry of a directory: `place` is where its first value lies, `code` the format of one."""

    value: int
    place: int
    code: str
    count: int


_Page = dict[int, _Tag]


def open_tiff(content: bytes, name: str) -> Container:
    """Read the directories of a classic or big TIFF, and check the data of its image.

    Reduced copies (previews, pyramid levels) behind the image are not pages.
    """
    try:
        pages = _directories(content)
        stored = _as_stored(content, pages[0])
        bits = max(_values(content, pages[0][_BITS])) if _BITS in pages[0] else 1
    except struct.error:
        raise DataError(f"{name}: the TIFF is truncated or damaged: copy it again") from None
    full = [page for page in pages if not _value(page, _SUBFILE, 0) & _REDUCED_COPY]
    if len(full) > 1:
        raise DataError(f"{name}: a TIFF with {len(full)} pages: save the radiograph as a file of its own")
    first = pages[0]
    if not full or full[0] is not first or _WIDTH not in first or _HEIGHT not in first:
        raise DataError(f"{name}: the TIFF does not begin with a full image: save it again")
    photometric = _value(first, _PHOTOMETRIC, 1)
    if photometric not in _PHOTOMETRICS_READ:
        raise DataError(f"{name}: a TIFF that is neither grey nor RGB: save it as greyscale")
    size = Size(first[_HEIGHT].value, first[_WIDTH].value)
    palette = 3 if photometric == _PALETTE else 1
    pixel_bytes = max(_value(first, _SAMPLES, 1), palette) * -(-bits // 8)
    return Container("TIFF", size, stored, photometric == _WHITE_IS_ZERO, pixel_bytes=pixel_bytes)


def check_tiff(content: bytes, name: str) -> None:
    """Whether the data of the image are in the file and whole, as far as their compression tells.

    Raises DataError, one line, for what is not; for compressions that tell nothing only what lies outside.
    """
    damaged = f"{name}: the TIFF is damaged"
    try:
        page = _directories(content)[0]
        parts = list(_parts(content, page))
    except struct.error:
        raise DataError(f"{damaged} (its directory): copy it again") from None
    compression = _value(page, _COMPRESSION, _STORED)
    for start, length, expected, most in parts:
        length = expected if compression == _STORED and expected else length
        if start + length > len(content) or not length:
            raise DataError(f"{damaged} or truncated (pixels outside the file): copy it again")
        if compression in _DEFLATE and not _is_deflated(content[start : start + length], expected, most):
            raise DataError(f"{damaged} (wrong sum of the pixels): copy it again")
        if compression == _PACKBITS and not is_packed(content[start : start + length], expected):
            raise DataError(f"{damaged} (its packed pixels): copy it again")
        if compression == _LZW and not _may_be_lzw(content[start : start + length]):
            raise DataError(f"{damaged} (its packed pixels): copy it again")
        if compression == _JPEG:
            check_jpeg(_jpeg_stream(content, page, start, length), name)


def _directories(content: bytes) -> list[_Page]:
    """The known tags of every directory of a classic or big TIFF.

    Raises struct.error where the chain of directories is broken or absurdly long.
    """
    order = "<" if content.startswith(b"II") else ">"

    def number(place: int, code: str) -> int:
        if place >= len(content):
            raise struct.error("number behind the end of the file")
        return int(struct.unpack_from(order + code, content, place)[0])

    is_big = number(2, "H") == 43
    first, count, offset, entry_bytes, value_at = (8, "Q", "Q", 20, 12) if is_big else (4, "H", "I", 12, 8)
    pages: list[_Page] = []
    seen: set[int] = set()
    entries = 0
    place = number(first, offset)
    while place:
        if place in seen or len(seen) == _MOST_DIRECTORIES:
            raise struct.error("directories without an end")
        seen.add(place)
        start = place + struct.calcsize("<" + count)
        here = number(place, count)
        entries += here
        end = start + here * entry_bytes
        if end > len(content) or entries > _MOST_ENTRIES:
            raise struct.error("directory behind the end of the file, or of too many entries")
        pages.append({})
        for entry in range(start, end, entry_bytes):
            tag, code = number(entry, "H"), _FORMATS.get(number(entry + 2, "H"))
            if tag in _KNOWN and code is not None:
                values = number(entry + 4, offset)
                at = entry + value_at
                inside = values * struct.calcsize("<" + code) <= struct.calcsize("<" + offset)
                place_of = at if inside else number(at, offset)
                pages[-1][tag] = _Tag(number(at, code), place_of, order + code, values)
        place = number(end, offset)
    if not pages:
        raise struct.error("no directory")
    return pages


def _value(page: _Page, tag: int, default: int) -> int:
    return page[tag].value if tag in page else default


def _values(content: bytes, tag: _Tag) -> tuple[int, ...]:
    """Raises struct.error where they lie outside the file or are absurdly many."""
    if not 0 < tag.count <= _MOST_PARTS:
        raise struct.error("no values, or too many")
    return struct.unpack_from(f"{tag.code[0]}{tag.count}{tag.code[1]}", content, tag.place)


def _parts(content: bytes, page: _Page) -> Iterator[tuple[int, int, int, int]]:
    """Of every strip or tile: where it begins, how long it is, and to how many bytes it unpacks.

    These are the bytes of its rows in the image and of all its rows: some programs write the last one whole.

    Raises struct.error where the directory says nothing of that.
    """
    width, height = page[_WIDTH].value, page[_HEIGHT].value
    samples, planes = _value(page, _SAMPLES, 1), 1
    bits = _values(content, page[_BITS])[0] if _BITS in page else 1
    if _value(page, _PLANAR, 1) == 2:
        samples, planes = 1, samples
    tiled = _TILE_OFFSETS in page
    offsets, counts = (_TILE_OFFSETS, _TILE_COUNTS) if tiled else (_OFFSETS, _COUNTS)
    if offsets not in page or (tiled and not (_TILE_WIDTH in page and _TILE_HEIGHT in page)):
        raise struct.error("no data")
    across, rows = (page[_TILE_WIDTH].value, page[_TILE_HEIGHT].value) if tiled else (width, height)
    if not tiled:
        rows = min(_value(page, _ROWS, height), height)
    if not across or not rows:
        raise struct.error("strips of no size")
    down = -(-height // rows)
    wanted = planes * down * -(-width // across)
    starts = _values(content, page[offsets])
    if len(starts) < wanted:
        raise struct.error("too few strips")
    # How much of its colours a file of brightness and colours leaves out is not looked into.
    subsampled = _value(page, _PHOTOMETRIC, 1) == _YCBCR
    row_bytes = 0 if subsampled else -(-across * samples * bits // 8)
    lengths = _values(content, page[counts]) if counts in page else (0,) * wanted
    if len(lengths) < wanted or sum(lengths) > _MOST_SHARED * len(content):
        raise struct.error("too few lengths, or strips over each other")
    if row_bytes * rows > LARGEST_IMAGE_BYTES:
        raise struct.error("tiles that are larger than any image")
    for number in range(wanted):
        last = not tiled and number % down == down - 1
        shown = height - rows * (down - 1) if last else rows
        yield starts[number], lengths[number], row_bytes * shown, row_bytes * rows


def _is_deflated(packed: bytes, expected: int, most: int) -> bool:
    """Whether it is a whole stream with the right sum, of so many bytes."""
    unpacker = zlib.decompressobj()
    try:
        # The end and the sum are read with a byte that is not there.
        found = unpacker.decompress(packed, most + 1)
    except zlib.error:
        return False
    return expected <= len(found) <= most and unpacker.eof


def _may_be_lzw(packed: bytes) -> bool:
    """Whether it begins with a reset, in the order of today or of old, and has no zeros instead of data."""
    begins = packed[:1] == b"\x80" or (packed[:1] == b"\0" and packed[1:2] != b"" and packed[1] & 1 == 1)
    return begins and _LZW_ZEROS not in packed


def _jpeg_stream(content: bytes, page: _Page, start: int, length: int) -> bytes:
    """A strip with the tables that all strips share."""
    stream = content[start : start + length]
    if _JPEG_TABLES not in page:
        return stream
    tag = page[_JPEG_TABLES]
    tables = content[tag.place : tag.place + tag.count]
    return tables.removesuffix(b"\xff\xd9") + stream.removeprefix(b"\xff\xd8")


def _as_stored(content: bytes, page: _Page) -> bytes:
    """The file with those tags set to 1 by which the decoder would change the pixels.

    OpenCV turns the image by its orientation, and annotations are made on the stored pixels; libtiff darkens
    colours by an alpha channel that it is not told they were multiplied with (2 instead of 1).
    """
    found = ((page.get(number), harmless) for number, harmless in _HARMLESS.items())
    changing = [tag for tag, harmless in found if tag is not None and tag.value not in harmless]
    if not changing:
        return content
    changed = bytearray(content)
    for tag in changing:
        struct.pack_into(tag.code, changed, tag.place, 1)
    return bytes(changed)
