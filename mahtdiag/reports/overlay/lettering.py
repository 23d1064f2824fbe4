"""Text on overlays: measured, shortened to fit, and never read as mathematics."""

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

import numpy as np
from matplotlib import ft2font
from matplotlib.colors import to_rgba
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.path import Path
from matplotlib.textpath import text_to_path
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray

from mahtdiag.reports import palette
from mahtdiag.reports.overlay.sheet import Sheet, rgb_bytes

ELLIPSIS: Final = "…"
UNKNOWN_GLYPH: Final = "□"
HALO_ALPHA: Final = 0.85
# Most texts of a page stand on the next one too.
REMEMBERED: Final = 512


@cache
def _font(bold: bool) -> FontProperties:
    # Every property is given: what is left out would come from the user's matplotlibrc.
    return FontProperties(
        family="DejaVu Sans",
        style="normal",
        variant="normal",
        weight="bold" if bold else "normal",
        stretch="normal",
        size=10.0,
    )


@cache
def _font_file(bold: bool) -> str:
    return findfont(_font(bold))


@dataclass(frozen=True, slots=True)
class _Line:
    """A text without colour: its size, how much of each pixel its letters cover, and where these begin.

    `left` and `top` count whole pixels from the start of the baseline, right and down.
    """

    width_px: float
    ascent_px: float
    cover: NDArray[np.uint8]
    left: int
    top: int


@lru_cache(REMEMBERED)
def _typeset(text: str, size_px: float, bold: bool) -> _Line:
    # matplotlib keeps one font object per thread.
    font = get_font(_font_file(bold))
    font.set_size(size_px, 72)
    if hasattr(ft2font, "LoadFlags"):
        # The font's own hinting, whatever the user's matplotlibrc says.
        font.set_text(text, 0.0, flags=ft2font.LoadFlags.DEFAULT)
    else:  # matplotlib before 3.10
        font.set_text(text, 0.0)
    font.draw_glyphs_to_bitmap(antialiased=True)
    # A copy: some releases hand out the font's own memory, which the next text overwrites.
    cover = np.array(font.get_image(), dtype=np.uint8)
    below = round(font.get_descent() / 64) + 1
    left = round(font.get_bitmap_offset()[0] / 64)
    width, height = font.get_width_height()
    ascent = height - font.get_descent()
    return _Line(width / 64, ascent / 64, cover, left, below - len(cover))


@cache
def _drawable() -> frozenset[int]:
    return frozenset(get_font(_font_file(False)).get_charmap())


def printable(text: str) -> str:
    """The text with □ for each control character and each character the font lacks (no warning, no gap)."""
    return "".join(c if c.isprintable() and ord(c) in _drawable() else UNKNOWN_GLYPH for c in text)


def width_px(text: str, size_px: float, *, bold: bool = False) -> float:
    """Width of a printable text in pixels."""
    return _typeset(text, size_px, bold).width_px if text else 0.0


def shorten(text: str, limit_px: float, size_px: float, *, bold: bool = False, keep_end: bool = False) -> str:
    """The text in printable characters, or as much of it as fits in `limit_px`.

    An ellipsis stands for what is left out: the end, or with `keep_end` the middle (a file name is recognised
    by both ends).
    """
    text = printable(text)
    if width_px(text, size_px, bold=bold) <= limit_px:
        return text
    fits, too_long = 0, len(text)
    while too_long - fits > 1:
        kept = (fits + too_long) // 2
        if width_px(_cut(text, kept, keep_end), size_px, bold=bold) <= limit_px:
            fits = kept
        else:
            too_long = kept
    return _cut(text, fits, keep_end)


def _cut(text: str, kept: int, keep_end: bool) -> str:
    tail = kept // 2 if keep_end else 0
    return text[: kept - tail] + ELLIPSIS + text[len(text) - tail :]


class Lettering:
    """Writes on one sheet."""

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet

    def write(
        self,
        text: str,
        x: float,
        y: float,
        size_px: float,
        colour: str = palette.INK,
        *,
        bold: bool = False,
        align: str = "left",
        halo_px: float = 0.0,
        zorder: float = 20.0,
    ) -> None:
        """One line of text; (x, y) is its left end, centre or right end, at half its height."""
        text = printable(text)
        if not text:
            return
        line = _typeset(text, size_px, bold)
        x -= {"left": 0.0, "center": 0.5, "right": 1.0}[align] * line.width_px
        # The middle of tall letters, whatever letters this line has.
        baseline = y + _typeset("l", size_px, bold).ascent_px / 2
        if halo_px:
            outline = _outline(text, size_px, bold).transformed(Affine2D().translate(x, baseline))
            self._sheet.stroke(outline, to_rgba(palette.HALO, HALO_ALPHA), 2 * halo_px, zorder)
            self._sheet.shape(outline, to_rgba(colour), to_rgba(colour), 0.0, zorder)
        else:
            letters = _inked(text, size_px, bold, colour)
            self._sheet.stamp(letters, round(x) + line.left, round(baseline) + line.top, zorder)


@lru_cache(REMEMBERED)
def _inked(text: str, size_px: float, bold: bool, colour: str) -> NDArray[np.uint8]:
    """A line as RGBA pixels."""
    cover = _typeset(text, size_px, bold).cover
    rgba = np.empty((*cover.shape, 4), dtype=np.uint8)
    rgba[..., :3] = rgb_bytes(colour)
    rgba[..., 3] = cover
    return rgba


@lru_cache(REMEMBERED)
def _outline(text: str, size_px: float, bold: bool) -> Path:
    """The outlines of a line's letters in pixels, from the start of its baseline, y growing downwards."""
    vertices, codes = text_to_path.get_text_path(_font(bold), text, ismath=False)
    scale = size_px / text_to_path.FONT_SCALE
    return Path(np.asarray(vertices) * [scale, -scale], codes)
