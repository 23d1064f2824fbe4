"""Decoding for small pictures: a JPEG is shrunk while it is decoded, which costs a fraction of the time."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from mahtdiag.data.containers import open_container
from mahtdiag.data.images import decode_image, silence_decoder
from mahtdiag.schema.frames import Size

_JPEG_FLAGS: Final = (
    (8, cv2.IMREAD_REDUCED_GRAYSCALE_8),
    (4, cv2.IMREAD_REDUCED_GRAYSCALE_4),
    (2, cv2.IMREAD_REDUCED_GRAYSCALE_2),
)


@dataclass(frozen=True, slots=True)
class ReducedImage:
    """A grey image `[H, W]`, uint8 or uint16, perhaps shrunk.

    `original`: the size of the file's own image. `covers`: the original pixels that the shrunk one shows from
    the upper left corner; a little more than the image where its sides are no multiples of the shrinking.
    """

    pixels: NDArray[np.uint8 | np.uint16]
    original: Size
    covers: Size


def decode_reduced(content: bytes, name: str, least_height: int) -> ReducedImage:
    """Decode an image to grey, no smaller than `least_height` rows unless it has fewer.

    Pixels as `decode_image` hands them out, colour turned to grey (0.299 R + 0.587 G + 0.114 B); only a JPEG
    is shrunk, each pixel being the mean of a square of 2, 4 or 8. Safe to call from threads.

    Raises DataError, one line, for whatever `decode_image` refuses.
    """
    container = open_container(content, name)
    if container.kind == "JPEG":
        for factor, flag in _JPEG_FLAGS:
            if container.size.height // factor >= least_height:
                shrunk = _shrunk(container.content, container.size, factor, flag)
                if shrunk is not None:
                    return shrunk
    image = decode_image(content, name)
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    size = Size(*grey.shape[:2])
    return ReducedImage(grey.astype(image.dtype, copy=False), size, size)


def _shrunk(content: bytes, size: Size, factor: int, flag: int) -> ReducedImage | None:
    """None where the decoder does not shrink such a file: it is decoded whole then, or refused."""
    silence_decoder()
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None
    if pixels is None or pixels.shape != (-(-size.height // factor), -(-size.width // factor)):
        return None
    covers = Size(pixels.shape[0] * factor, pixels.shape[1] * factor)
    return ReducedImage(pixels.astype(np.uint8, copy=False), size, covers)
