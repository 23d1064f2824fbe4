"""Bytes that were zeroed among stored pixels, of which nothing else in a file tells."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.errors import DataError

_LEAST_BYTES: Final = 256
"""Blocks of disks and networks have 512 bytes or more, of which a part may fall on black pixels."""
_MOST_ZERO_AROUND: Final = 0.02


def require_no_lost_block(pixels: NDArray[Any], name: str) -> None:
    """Raise DataError, one line, where a block of stored pixels was zeroed (see `lost_block`)."""
    found = lost_block(pixels)
    if found is not None:
        start, length = found
        row, column = divmod(start, pixels.shape[1])
        raise DataError(
            f"{name}: {length} pixels from row {row}, column {column} on are zero, and those above and below"
            " are not: a part of the file is lost: copy it again"
        )


def lost_block(pixels: NDArray[Any]) -> tuple[int, int] | None:
    """Where a run of zeros, in the order of the rows, begins, and how many pixels it has; None without one.

    Pixels `[H, W]` or `[H, W, C]` as they are stored. A run counts from 256 bytes on where it begins or ends
    within a row, and of the pixels above its beginning and below its end hardly one is zero: borders,
    collimators and burned-in marks end where the rows beside them do. What falls on black pixels is not told.
    """
    zero = pixels == 0 if pixels.ndim == 2 else (pixels == 0).all(axis=2)
    width, flat = zero.shape[1], zero.ravel()
    least = _LEAST_BYTES * pixels.shape[0] * width // max(pixels.nbytes, 1)
    edges = np.flatnonzero(np.diff(flat.view(np.int8), prepend=np.int8(0), append=np.int8(0)))
    starts, ends = edges[::2], edges[1::2]
    long = (ends - starts >= max(least, 1)) & ((starts % width != 0) | (ends % width != 0))
    for start, end in zip(starts[long].tolist(), ends[long].tolist(), strict=True):
        if _stands_alone(flat, start, end, width):
            return start, end - start
    return None


def _stands_alone(zero: NDArray[np.bool_], start: int, end: int, width: int) -> bool:
    """Whether pixels right above the beginning of a run and right below its end are not zero."""
    length = min(end - start, width)
    above = zero[start - width : start - width + length] if start >= width else zero[:0]
    around = np.concatenate([above, zero[end + width - length : end + width]])
    return bool(2 * around.size >= length and around.mean() <= _MOST_ZERO_AROUND)
