"""DICOM files taken apart within bounds: what a small file unpacks to, and how many elements it has."""

import io
import struct
import zlib
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
_NO_LENGTH: Final = 0xFFFFFFFF
_HEAD_BYTES: Final = 4096
_PREAMBLE_BYTES: Final = 132
_META_GROUP: Final = 2
_LONG: Final = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
# No radiograph has more; those of dull ones pack to a hundredth or less.
_LEAST_UNPACKED_BYTES: Final = 2**26
_MOST_UNPACKED_TIMES: Final = 20
# A radiograph has about a hundred, and ten thousand with all that devices note.
_MOST_ELEMENTS: Final = 20_000
# An element takes two reads or three, those within sequences as well.
_MOST_READS: Final = 5 * _MOST_ELEMENTS
_PIXEL_TAGS: Final = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))
# What pydicom keeps as bytes until it is asked for, and then makes a value for each number and each element.
_LONGEST_SEQUENCE_BYTES: Final = 2**20
_LONGEST_VALUE_BYTES: Final = 2**16
_LOOKUP_TABLES: Final = frozenset((0x00283000, 0x00283010))
_BYTES_ALONE: Final = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "UN"))


def read_elements(pydicom: ModuleType, file: BinaryIO, name: str, *, pixels: bool) -> "Dataset":
    """The elements of a file, those of the pixels only with `pixels`.

    Without sequences of more than 1 MiB and other values of more than 64 KiB, which no header needs, but for
    the bytes of tables. Raises DataError, one line, for what unpacks to more than 64 MB and 20 times its
    size, for more than 20,000 elements, which damaged files seem to have, and for a lookup table of such a
    size; whatever pydicom raises for others.
    """
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    if _DEFLATED in head:
        file = io.BytesIO(_unpacked(file.read(), name))
    stop = _Stop(pydicom, name, pixels=pixels)
    read: Dataset = pydicom.filereader.read_partial(_Counted(file, name), stop_when=stop)
    for tag in stop.too_long:
        del read[tag]
    return read


def read_header(pydicom: ModuleType, path: Path, name: str) -> "Dataset":
    """The elements of a file before its pixels. Raises as `read_elements`."""
    with open_file(path) as file:
        return read_elements(pydicom, file, name, pixels=False)


def _too_many(name: str) -> DataError:
    return DataError(f"{name}: the DICOM is damaged (more than {_MOST_ELEMENTS} elements): copy it again")


class _Counted:
    """A file of which so much can be read and no more: sequences without a length are read at once."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name, self._left = file, name, _MOST_READS

    def read(self, size: int = -1) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise _too_many(self._name)
        return self._file.read(size)

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)


class _Stop:
    """Whether reading is to stop before an element; notes those that are too long to be looked at.

    Raises DataError where there are too many.
    """

    def __init__(self, pydicom: ModuleType, name: str, *, pixels: bool) -> None:
        self._kind_of = pydicom.datadict.dictionary_VR
        self._name, self._pixels, self._seen = name, pixels, 0
        self.too_long: list[int] = []

    def __call__(self, tag: int, kind: str | None, length: int) -> bool:
        self._seen += 1
        if self._seen > _MOST_ELEMENTS:
            raise _too_many(self._name)
        if int(tag) in _PIXEL_TAGS:
            return not self._pixels
        if length > _LONGEST_VALUE_BYTES and length != _NO_LENGTH:
            self._long(int(tag), kind, length)
        return False

    def _long(self, tag: int, kind: str | None, length: int) -> None:
        if kind is None:
            try:
                kind = str(self._kind_of(tag))
            except KeyError:
                kind = "UN"
        if tag in _LOOKUP_TABLES and length > _LONGEST_SEQUENCE_BYTES:
            raise DataError(f"{self._name}: a lookup table of {length} bytes: export it without one")
        longest = _LONGEST_SEQUENCE_BYTES if kind == "SQ" else _LONGEST_VALUE_BYTES
        if length > longest and not any(each in _BYTES_ALONE for each in kind.split(" or ")):
            self.too_long.append(tag)


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
