"""How many millimetres 3D Slicer takes a pixel for, in images whose file is no DICOM."""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.errors import DataError
from mahtdiag.opening import open_file

# Slicer (by ITK) gives images of these kinds 1 mm per pixel and the origin 0.
_MM_IS_PX: Final = frozenset((".png", ".bmp"))
# A JPEG too, unless it says dots per inch or centimetre: then its pixels are that large.
_JPEG: Final = frozenset((".jpg", ".jpeg"))
_DENSITY_MM: Final = {1: 25.4, 2: 10.0}


def slicer_mm_per_px(image: Path, *, there: bool = False) -> NDArray[np.float64]:
    """Millimetres per pixel (x, y) of an image in Slicer.

    Raises DataError: a kind of image for which that is not known, or, with `there`, a JPEG that is gone.
    """
    kind = image.suffix.lower()
    if kind in _MM_IS_PX:
        return np.ones(2)
    if kind in _JPEG:
        return _jpeg_spacing(image, there)
    raise DataError(
        f"millimetres on a {kind or 'file without ending'}, whose spacing in Slicer is not known: save the"
        " image as PNG and its points on that"
    )


def _jpeg_spacing(image: Path, there: bool) -> NDArray[np.float64]:
    """By the JFIF header, 1 where it says none."""
    try:
        with open_file(image) as opened:
            head = opened.read(18)
    except (OSError, ValueError) as error:
        if there:
            raise DataError("the JPEG is gone, and its dots per inch, which Slicer heeds, with it") from error
        # Who reads the pixels says so.
        head = b""
    if len(head) == 18 and head.startswith(b"\xff\xd8\xff\xe0") and head[6:11] == b"JFIF\0":
        unit, density = head[13], np.frombuffer(head[14:18], ">u2").astype(np.float64)
        if unit in _DENSITY_MM and (density > 0).all():
            return _DENSITY_MM[unit] / density
    return np.ones(2)
