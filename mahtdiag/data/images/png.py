"""PNG files, checked before they are decoded.

The PNG library prints what it finds wrong, without the name of the file, and nothing can be done about that.

Source: PNG specification, third edition (W3C), sections 5, 7, 8, 9 and 11.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from mahtdiag.data.images.container import Container
from mahtdiag.errors import DataError
from mahtdiag.schema.frames import Size

PNG_START: Final = b"\x89PNG\r\n\x1a\n"
_PIXEL_CHUNKS: Final = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND"))
# Programs write a chunk for every eight kilobytes of a PNG, some for every row.
_MOST_CHUNKS: Final = 2**18
# What the PNG library reads.
_LARGEST_SIDE_PX: Final = 1_000_000
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DECODED_CHANNELS: Final = {0: 1, 2: 3, 3: 3, 4: 4, 6: 4}
_DEPTHS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_PALETTE: Final = 3
_LAST_FILTER: Final = 4
# First row and column of a pass, and the steps to the next.
_ADAM7: Final = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)
_READ_BYTES, _INFLATED_BYTES, _CHUNK_BYTES = 2**16, 2**17, 2**16
# Up to here the decoder is given inflated pixels, so that they are inflated once.
_MOST_STORED_BYTES: Final = 2**26


@dataclass(frozen=True, slots=True)
class _Header:
    size: Size
    depth: int
    colours: int
    interlaced: bool

    def passes(self) -> Iterator[tuple[int, int]]:
        """How many rows each pass has, and how many bytes a row, with that of its filter."""
        height, width = self.size.height, self.size.width
        for top, left, down, right in _ADAM7 if self.interlaced else ((0, 0, 1, 1),):
            rows, columns = -(-(height - top) // down), -(-(width - left) // right)
            if rows > 0 and columns > 0:
                yield rows, 1 + (columns * self.depth * _CHANNELS[self.colours] + 7) // 8


def open_png(content: bytes, name: str) -> Container:
    """Walk the chunks and check their sums; keep only those that make the pixels.

    Colour profiles, gamma, transparency, orientation and animation frames are left out: none may change a
    grey value, and the PNG library prints warnings about some of them.
    """
    kept: list[bytes] = [PNG_START]
    place = len(PNG_START)
    complete, chunks = False, 0
    while not complete and place + 12 <= len(content):
        chunks += 1
        if chunks > _MOST_CHUNKS:
            raise DataError(f"{name}: the PNG has more than {_MOST_CHUNKS} chunks: save it again")
        (length,) = struct.unpack_from(">I", content, place)
        end = place + 12 + length
        if end > len(content):
            break
        kind = content[place + 4 : place + 8]
        (checksum,) = struct.unpack_from(">I", content, end - 4)
        if zlib.crc32(memoryview(content)[place + 4 : end - 4]) != checksum:
            raise DataError(f"{name}: the PNG is damaged (wrong checksum at byte {place}): copy it again")
        if kind in _PIXEL_CHUNKS:
            kept.append(content[place:end])
        complete = kind == b"IEND"
        place = end
    if not complete:
        raise DataError(f"{name}: the PNG is truncated after {len(content)} bytes: copy it again")
    header = _header(kept[1], name)
    pixel_bytes = _DECODED_CHANNELS[header.colours] * (2 if header.depth == 16 else 1)
    return Container("PNG", header.size, b"".join(kept), pixel_bytes=pixel_bytes)


def _header(chunk: bytes, name: str) -> _Header:
    if chunk[4:8] != b"IHDR" or len(chunk) != 25:
        raise DataError(f"{name}: the PNG is damaged (no header)")
    width, height, depth, colours, packing, filtering, interlaced = struct.unpack_from(">IIBBBBB", chunk, 8)
    if depth not in _DEPTHS.get(colours, ()) or packing or filtering or interlaced > 1:
        raise DataError(f"{name}: the PNG is damaged (its header means nothing): copy it again")
    if max(width, height) > _LARGEST_SIDE_PX:
        raise DataError(
            f"{name}: {width}x{height} pixels (width x height), a PNG may have {_LARGEST_SIDE_PX:,} on each"
            " side: make it smaller"
        )
    return _Header(Size(height, width), depth, colours, bool(interlaced))


def sound_png(content: bytes, name: str) -> bytes:
    """The file that is decoded in place of one that `open_png` has kept: the same pixels, nothing else.

    Raises DataError, one line, where the data do not inflate to just these pixels, or a row has a filter that
    does not exist, or there is no palette where one is needed.
    """
    header = _header(content[len(PNG_START) : len(PNG_START) + 25], name)
    palette = b""
    parts: list[memoryview] = []
    for kind, data in _chunks(content):
        if kind == b"PLTE" and not palette and not parts:
            palette = bytes(data)
        elif kind == b"IDAT":
            parts.append(data)
    if header.colours == _PALETTE and (not palette or len(palette) % 3):
        raise DataError(f"{name}: the PNG is damaged (no palette): copy it again")
    try:
        return b"".join(_rewritten(header, palette, _stored(header, parts)))
    except zlib.error:
        raise _damaged(name, "its data do not inflate") from None
    except _WrongDataError as error:
        raise _damaged(name, str(error)) from None


class _WrongDataError(Exception):
    """What is wrong of data that inflate."""


def _damaged(name: str, why: str) -> DataError:
    return DataError(f"{name}: the PNG is damaged ({why}): copy it again")


def _chunks(content: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """The kinds of the chunks of a complete file, and what they hold."""
    place, view = len(PNG_START), memoryview(content)
    while place < len(content):
        (length,) = struct.unpack_from(">I", content, place)
        yield content[place + 4 : place + 8], view[place + 8 : place + 8 + length]
        place += 12 + length


def _stored(header: _Header, parts: list[memoryview]) -> list[bytes | memoryview]:
    """The data, checked; inflated and packed without compression where they are not too large.

    Raises zlib.error and _WrongDataError.
    """
    expected = sum(rows * row_bytes for rows, row_bytes in header.passes())
    packer = zlib.compressobj(0) if expected <= _MOST_STORED_BYTES else None
    packed: list[bytes | memoryview] = []
    read: list[bytes | memoryview] = []
    count = 0
    for piece in _inflated(parts, read):
        if count + len(piece) > expected:
            raise _WrongDataError("it has more data than pixels")
        _check_filters(header, piece, count)
        count += len(piece)
        if packer is not None:
            packed.append(packer.compress(piece))
    if count < expected:
        raise _WrongDataError("its data end early")
    return read if packer is None else [*packed, packer.flush()]


def _cut(parts: Iterable[bytes | memoryview], most: int) -> Iterator[bytes | memoryview]:
    return (part[start : start + most] for part in parts for start in range(0, len(part), most))


def _inflated(parts: list[memoryview], read: list[bytes | memoryview]) -> Iterator[bytes]:
    """What they inflate to, in pieces; `read` is given what makes it, without what is behind its end."""
    unpacker = zlib.decompressobj()
    for part in _cut(parts, _READ_BYTES):
        tail = part
        read.append(part)
        while not unpacker.eof:
            piece = unpacker.decompress(tail, _INFLATED_BYTES)
            tail = unpacker.unconsumed_tail
            if piece:
                yield piece
            elif not tail:
                break
        if unpacker.eof:
            read[-1] = part[: len(part) - len(unpacker.unused_data)]
            return
    raise _WrongDataError("its data end early")


def _check_filters(header: _Header, piece: bytes, start: int) -> None:
    """Raises _WrongDataError where a row that begins in a piece has a filter that does not exist."""
    values = np.frombuffer(piece, np.uint8)
    begin = -start
    for rows, row_bytes in header.passes():
        end = begin + rows * row_bytes
        first = begin if begin >= 0 else begin % row_bytes
        # Where a pass ended before this piece, `end` is not in it.
        filters = values[first : max(end, 0) : row_bytes]
        if filters.size and filters.max() > _LAST_FILTER:
            raise _WrongDataError("a row has a filter that does not exist")
        begin = end


def _rewritten(
    header: _Header, palette: bytes, data: list[bytes | memoryview]
) -> Iterator[bytes | memoryview]:
    size = header.size
    fields = (size.width, size.height, header.depth, header.colours, 0, 0, int(header.interlaced))
    yield PNG_START
    yield from _chunk(b"IHDR", struct.pack(">IIBBBBB", *fields))
    if header.colours == _PALETTE:
        # Indices beyond the palette are black.
        whole = 3 << header.depth
        yield from _chunk(b"PLTE", palette[:whole].ljust(whole, b"\0"))
    for part in _cut(data, _CHUNK_BYTES):
        yield from _chunk(b"IDAT", part)
    yield from _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes | memoryview) -> tuple[bytes | memoryview, ...]:
    checksum = zlib.crc32(data, zlib.crc32(kind))
    return struct.pack(">I", len(data)), kind, data, struct.pack(">I", checksum)
