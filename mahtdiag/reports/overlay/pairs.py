"""Two radiographs that show the same exposure, side by side as one picture."""

import numpy as np

from mahtdiag.diagnosis.copies import CopyPair
from mahtdiag.reports import palette
from mahtdiag.reports.overlay.draw import FONT_PX, GAP_PX, HEADER_PX, Image, for_display, png_bytes
from mahtdiag.reports.overlay.lettering import Lettering, shorten
from mahtdiag.reports.overlay.sheet import Sheet, rgb_bytes
from mahtdiag.reports.tables.copies import of_copy
from mahtdiag.schema.frames import Size

HEIGHT_PX = 800
_WIDEST_PX, _NARROWEST_PX = 1200, 320


def draw_pair(a: Image, b: Image, pair: CopyPair) -> bytes:
    """Both images at one height as PNG, each below its name; what kind of copy stands at the bottom.

    `a`, `b`: `[H, W]` or `[H, W, 3]`, uint8 or uint16. The same input gives the same bytes.
    """
    shown = [for_display(image, _size(image))[0] for image in (a, b)]
    widths = [max(picture.shape[1], _NARROWEST_PX) for picture in shown]
    lefts = 0, widths[0] + GAP_PX
    sheet = Sheet(Size(HEIGHT_PX + 2 * HEADER_PX, lefts[1] + widths[1]), palette.PAPER)
    lettering = Lettering(sheet)
    for name, picture, left, width in zip((pair.image, pair.other), shown, lefts, widths, strict=True):
        sheet.show(picture, left, HEADER_PX)
        text = shorten(name, width - 28, FONT_PX, bold=True, keep_end=True)
        lettering.write(text, left + 14, HEADER_PX / 2, FONT_PX, bold=True)
    sheet.show(np.tile(rgb_bytes(palette.RULE), (HEIGHT_PX + HEADER_PX, GAP_PX, 1)), widths[0], 0)
    words = shorten(of_copy(pair), sum(widths) - 28, FONT_PX)
    lettering.write(words, 14, HEIGHT_PX + 1.5 * HEADER_PX, FONT_PX)
    return png_bytes(sheet.pixels())


def _size(image: Image) -> Size:
    height, width = image.shape[:2]
    return Size(HEIGHT_PX, max(1, min(_WIDEST_PX, round(width * HEIGHT_PX / height))))
