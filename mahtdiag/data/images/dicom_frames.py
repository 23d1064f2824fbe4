"""Compressed frames of DICOM files, checked before they are decoded: decoders fill what is missing."""

import struct
from types import ModuleType
from typing import TYPE_CHECKING, Final

from mahtdiag.data.images.jpeg import JPEG_START, check_jpeg, is_common
from mahtdiag.data.images.packbits import is_packed
from mahtdiag.errors import DataError
from mahtdiag.schema.frames import Size

if TYPE_CHECKING:
    from pydicom import Dataset

_JPEG: Final = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
_RLE: Final = "1.2.840.10008.1.2.5"
_RLE_HEAD: Final = 64


def check_frame(pydicom: ModuleType, data: "Dataset", size: Size, name: str) -> None:
    """Whether the only frame is whole: JPEG of 8 bits and RLE; others are left to their decoders.

    Raises DataError, one line, where it is not, and whatever pydicom raises for broken fragments.
    """
    frame: bytes = next(pydicom.encaps.generate_frames(data.PixelData, number_of_frames=1))
    syntax = data.file_meta.TransferSyntaxUID
    # JPEG-LS and JPEG without loss begin like it, and are written in other ways.
    if syntax in _JPEG and frame.startswith(JPEG_START) and is_common(frame, name):
        check_jpeg(frame, name)
    if syntax == _RLE and not _is_rle(frame, size.height * size.width):
        raise DataError(f"{name}: the DICOM is damaged (its packed pixels): copy it again")


def _is_rle(frame: bytes, expected: int) -> bool:
    """Whether every segment comes to a byte per pixel (DICOM PS3.5, G.3 to G.5)."""
    if len(frame) < _RLE_HEAD:
        return False
    count, *starts = struct.unpack_from("<16I", frame)
    ends = [*starts[1:count], len(frame)]
    return 0 < count < 16 and all(
        is_packed(frame[start:end], expected) for start, end in zip(starts[:count], ends, strict=True)
    )
