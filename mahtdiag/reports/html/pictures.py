"""From a decoded radiograph to a small JPEG that fits into a page beside a thousand others."""

from typing import Final

import cv2

from mahtdiag.reports.html.gallery import Picture
from mahtdiag.reports.overlay.image import Image, for_display
from mahtdiag.schema.frames import Size

# So many images at most have pictures of this height, in pixels, beside each other.
HEIGHTS: Final = ((60, 1000), (150, 800), (400, 640))
LEAST_HEIGHT: Final = 480
# A page of 60 MB holds 42 MB of JPEG as text (4 signs for 3 bytes) and a few MB of everything else.
ALL_BYTES: Final = 40_000_000
MOST_BYTES: Final = 160_000
QUALITIES: Final = (85, 75, 60, 45, 30)
SHRINK: Final = 0.7
SMALLEST_HEIGHT: Final = 32


def picture_height(count: int) -> int:
    """The height of the pictures of a gallery of so many images, in pixels."""
    return next((height for most, height in HEIGHTS if count <= most), LEAST_HEIGHT)


def picture_bytes(count: int) -> int:
    """How large a picture of such a gallery may be."""
    return min(MOST_BYTES, ALL_BYTES // max(1, count))


def small_picture(image: Image, covers: Size, height: int, most_bytes: int) -> Picture:
    """A grey JPEG of at most this height and so many bytes, in the best quality that fits.

    `covers`: the original pixels that the whole of `image` shows. Grey values are shown as in overlays.
    """
    rows, columns = image.shape[:2]
    height = min(height, rows)
    while True:
        size = Size(height, max(1, round(columns * height / rows)))
        grey = for_display(image, size)[0][:, :, 0]
        for quality in QUALITIES:
            done, encoded = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, quality])
            if not done:
                raise RuntimeError("OpenCV could not encode a JPEG")
            if encoded.size <= most_bytes or (quality == QUALITIES[-1] and height <= SMALLEST_HEIGHT):
                return Picture(encoded.tobytes(), covers)
        height = max(SMALLEST_HEIGHT, int(SHRINK * height))
