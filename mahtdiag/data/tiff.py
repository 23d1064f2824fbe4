"""The few TIFF tags that decide whether and how a TIFF is to be decoded."""

import struct
from dataclasses import dataclass
from typing import Final

from mahtdiag.errors import DataError
from mahtdiag.schema.frames import Size

_SUBFILE, _WIDTH, _HEIGHT, _PHOTOMETRIC, _ORIENTATION, _ALPHA = 254, 256, 257, 262, 274, 338
_KNOWN: Final = frozenset((_SUBFILE, _WIDTH, _HEIGHT, _PHOTOMETRIC, _ORIENTATION, _ALPHA))
_REDUCED_COPY: Final = 1
_FORMATS: Final = {1: "B", 3: "H", 4: "I", 16: "Q"}
_WHITE_IS_ZERO: Final = 0
_HARMLESS: Final = {_ORIENTATION: (1,), _ALPHA: (0, 1)}
# White is zero, black is zero, RGB, palette, YCbCr.
_PHOTOMETRICS_READ: Final = frozenset((0, 1, 2, 3, 6))
_MOST_DIRECTORIES: Final = 4096


@dataclass(frozen=True, slots=True)
class Tiff:
    """Size and grey scale of a single-page TIFF; `content` is what to decode to get the stored pixels."""

    size: Size
    white_is_zero: bool
    content: bytes


@dataclass(frozen=True, slots=True)
class _Tag:
    value: int
    place: int
    code: str


@dataclass(frozen=True, slots=True)
class _Layout:
    """Byte order, and the widths in which classic TIFF and BigTIFF differ."""

    order: str
    first: int
    count: str
    offset: str
    entry_bytes: int
    value_at: int

    def number(self, content: bytes, place: int, code: str) -> int:
        if place >= len(content):
            raise struct.error("number behind the end of the file")
        return int(struct.unpack_from(self.order + code, content, place)[0])


def read_tiff(content: bytes, name: str) -> Tiff:
    """Read the directories of a classic or big TIFF.

    Reduced copies (previews, pyramid levels) behind the image are not pages. Raises DataError where the file
    is truncated, has several pages, or holds colours other than grey, palette, RGB or YCbCr.
    """
    try:
        pages = _directories(content, _layout(content))
    except struct.error:
        raise DataError(f"{name}: the TIFF is truncated or damaged: copy it again") from None
    full = [page for page in pages if not (_SUBFILE in page and page[_SUBFILE].value & _REDUCED_COPY)]
    if len(full) > 1:
        raise DataError(f"{name}: a TIFF with {len(full)} pages: save the radiograph as a file of its own")
    first = pages[0]
    if not full or full[0] is not first or _WIDTH not in first or _HEIGHT not in first:
        raise DataError(f"{name}: the TIFF does not begin with a full image: save it again")
    photometric = first[_PHOTOMETRIC].value if _PHOTOMETRIC in first else 1
    if photometric not in _PHOTOMETRICS_READ:
        raise DataError(f"{name}: a TIFF that is neither grey nor RGB: save it as greyscale")
    return Tiff(
        Size(first[_HEIGHT].value, first[_WIDTH].value),
        photometric == _WHITE_IS_ZERO,
        _as_stored(content, first),
    )


def _layout(content: bytes) -> _Layout:
    order = "<" if content.startswith(b"II") else ">"
    if struct.unpack_from(order + "H", content, 2)[0] == 43:
        return _Layout(order, 8, "Q", "Q", 20, 12)
    return _Layout(order, 4, "H", "I", 12, 8)


def _directories(content: bytes, layout: _Layout) -> list[dict[int, _Tag]]:
    """The known tags of every directory. Raises struct.error where the chain of them is broken."""
    pages: list[dict[int, _Tag]] = []
    seen: set[int] = set()
    place = layout.number(content, layout.first, layout.offset)
    while place:
        if place in seen or len(seen) == _MOST_DIRECTORIES:
            raise struct.error("directories without an end")
        seen.add(place)
        entries = layout.number(content, place, layout.count)
        start = place + struct.calcsize("<" + layout.count)
        end = start + entries * layout.entry_bytes
        if end > len(content):
            raise struct.error("directory behind the end of the file")
        pages.append(_tags(content, layout, range(start, end, layout.entry_bytes)))
        place = layout.number(content, end, layout.offset)
    if not pages:
        raise struct.error("no directory")
    return pages


def _tags(content: bytes, layout: _Layout, places: range) -> dict[int, _Tag]:
    tags: dict[int, _Tag] = {}
    for place in places:
        number = layout.number(content, place, "H")
        code = _FORMATS.get(layout.number(content, place + 2, "H"))
        if number in _KNOWN and code is not None:
            value_at = place + layout.value_at
            tags[number] = _Tag(layout.number(content, value_at, code), value_at, layout.order + code)
    return tags


def _as_stored(content: bytes, page: dict[int, _Tag]) -> bytes:
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
