"""One matrix of numbers out of a MATLAB file of version 5, damaged or not.

scipy reads all that such a file can hold, and ends the process on some damaged ones; a matrix of real numbers
is the little of it that annotations need (MAT-File Format, MathWorks, "Level 5 MAT-File Format").
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.errors import DataError

_HEADER_BYTES: Final = 128
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS: Final = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
# Classes of a matrix: 6 to 15 are double, single and the whole numbers; the others hold no numbers.
_CLASSES: Final = {1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse"}
_NUMERIC: Final = range(6, 16)
_COMPLEX: Final = 0x08
_MOST_UNPACKED_BYTES: Final = 2**20
_MOST_ELEMENTS: Final = 1000


class _DamagedError(Exception):
    """The file breaks off, or is not of the form."""


def read_matrix(content: bytes, name: str, shape: tuple[int, int]) -> NDArray[np.float64]:
    """The matrix `name` of this shape. Raises DataError, one line, where the file has none or is damaged."""
    if not content:
        raise DataError("the file is empty (0 bytes)")
    if content.startswith(b"MATLAB 7.3"):
        raise DataError("a MATLAB file of version 7.3: save it with -v7")
    order = {b"IM": "<", b"MI": ">"}.get(content[126:_HEADER_BYTES])
    if order is None or not content.startswith(b"MATLAB"):
        raise DataError("not a MATLAB file")
    try:
        for kind, data in _elements(content[_HEADER_BYTES:], order):
            if kind == _COMPRESSED:
                kind, data = next(_elements(_unpacked(data), order), (0, b""))
            if kind == _MATRIX and (found := _matrix(data, order, name, shape)) is not None:
                return found
    except _DamagedError as error:
        raise DataError("damaged: copy it again") from error
    raise DataError(f"there is no variable {name}")


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """The elements of a run of bytes: type and data, of which up to four bytes lie in the tag itself."""
    at = 0
    for _ in range(_MOST_ELEMENTS):
        if at >= len(content):
            return
        if at + 8 > len(content):
            raise _DamagedError
        kind, size = struct.unpack_from(f"{order}II", content, at)
        if kind >> 16:
            kind, size, start, following = kind & 0xFFFF, kind >> 16, at + 4, at + 8
        else:
            start = at + 8
            following = start + size if kind == _COMPRESSED else start + (size + 7) // 8 * 8
        if start + size > len(content) or (start == at + 4 and size > 4):
            raise _DamagedError
        yield kind, content[start : start + size]
        at = following
    raise _DamagedError


def _unpacked(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, _MOST_UNPACKED_BYTES)
    except zlib.error as error:
        raise _DamagedError from error


def _matrix(data: bytes, order: str, name: str, shape: tuple[int, int]) -> NDArray[np.float64] | None:
    """The matrix if it has this name. Raises DataError where it is of another kind or shape."""
    parts = _elements(data, order)
    flags, dims, called = (next(parts, (0, b"")) for _ in range(3))
    if len(flags[1]) < 8 or flags[0] != 6 or dims[0] != 5 or called[0] != 1:
        raise _DamagedError
    if called[1] != name.encode():
        return None
    (bits,) = struct.unpack_from(f"{order}I", flags[1])
    size = np.frombuffer(dims[1], f"{order}i4") if len(dims[1]) % 4 == 0 else np.empty(0)
    kind = bits & 0xFF
    if kind not in _NUMERIC or tuple(size) != shape:
        by = "x".join(map(str, size.tolist()[:4]))
        what = "numbers" if kind in _NUMERIC else _CLASSES.get(kind, "no matrix")
        raise DataError(f"{name}: {what} of {by}, {shape[0]}x{shape[1]} numbers are expected")
    if bits >> 8 & _COMPLEX:
        raise DataError(f"{name}: complex numbers")
    stored, values = next(parts, (0, b""))
    if stored not in _NUMBERS or len(values) != shape[0] * shape[1] * int(_NUMBERS[stored][1]):
        raise _DamagedError
    numbers = np.frombuffer(values, order + _NUMBERS[stored]).astype(np.float64)
    # MATLAB keeps column after column.
    return numbers.reshape(shape[::-1]).T
