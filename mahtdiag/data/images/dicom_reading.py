"""DICOM files taken apart within bounds: what a small file unpacks to, and how many elements it has."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, BinaryIO, Final

from mahtdiag.errors import DataError
from mahtdiag.opening import open_file

if TYPE_CHECKING:
    from pydicom import Dataset

_DEFLATED: Final = b"1.2.840.10008.1.2.1.99"
# The same length, and what the file is once its elements are unpacked; UIDs may end in zeros.
_EXPLICIT: Final = b"1.2.840.10008.1.2.1\0\0\0"
_HEAD_BYTES: Final = 4096
_PREAMBLE_BYTES: Final = 132
_META_GROUP: Final = 2
_LONG: Final = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
# No radiograph has more; those of dull ones pack to a hundredth or less.
_LEAST_UNPACKED_BYTES: Final = 2**26
_MOST_UNPACKED_TIMES: Final = 20
# A radiograph has about a hundred, and ten thousand with all that devices note.
_MOST_ELEMENTS: Final = 20_000
_PIXEL_TAGS: Final = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))


def read_elements(pydicom: ModuleType, file: BinaryIO, name: str, *, pixels: bool) -> "Dataset":
    """The elements of a file, those of the pixels only with `pixels`.

    Raises DataError, one line, for what unpacks to more than 64 MB and 20 times its size, and for more than
    20,000 elements, which damaged files seem to have; whatever pydicom raises for others.
    """
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    if _DEFLATED in head:
        file = io.BytesIO(_unpacked(file.read(), name))
    read: Dataset = pydicom.filereader.read_partial(file, stop_when=_stop(name, pixels=pixels))
    return read


def read_header(pydicom: ModuleType, path: Path, name: str) -> "Dataset":
    """The elements of a file before its pixels. Raises as `read_elements`."""
    with open_file(path) as file:
        return read_elements(pydicom, file, name, pixels=False)


def _stop(name: str, *, pixels: bool) -> Callable[[int, str | None, int], bool]:
    """Whether reading is to stop before an element. Raises DataError where there are too many."""
    seen = 0

    def stop(tag: int, kind: str | None, length: int) -> bool:
        nonlocal seen
        seen += 1
        if seen > _MOST_ELEMENTS:
            most = f"more than {_MOST_ELEMENTS} elements"
            raise DataError(f"{name}: the DICOM is damaged ({most}): copy it again")
        return not pixels and int(tag) in _PIXEL_TAGS

    return stop


def _unpacked(content: bytes, name: str) -> bytes:
    """A deflated file as it was before, told so in its header."""
    start = _end_of_meta(content)
    if _DEFLATED not in content[:start]:
        raise DataError(f"{name}: the DICOM is damaged (its header): copy it again")
    most = max(_LEAST_UNPACKED_BYTES, _MOST_UNPACKED_TIMES * len(content))
    elements = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content[start:], most + 1)
    if len(elements) > most:
        raise DataError(f"{name}: the DICOM unpacks to more than {most} bytes: export it without compression")
    return content[:start].replace(_DEFLATED, _EXPLICIT) + elements


def _end_of_meta(content: bytes) -> int:
    """Where group 0002, which is never packed, ends (DICOM PS3.10, 7.1)."""
    at = _PREAMBLE_BYTES
    while at + 12 <= len(content):
        group, _, kind, length = struct.unpack_from("<HH2sH", content, at)
        if group != _META_GROUP:
            break
        if kind in _LONG:
            (length,) = struct.unpack_from("<I", content, at + 8)
            at += 4
        at += 8 + length
    return min(at, len(content))
