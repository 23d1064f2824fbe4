"""Text on figures: measured, shortened to fit, and never read as mathematics."""

from functools import lru_cache
from typing import Final

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patheffects import AbstractPathEffect, withStroke
from matplotlib.text import Text
from matplotlib.transforms import Transform

from mahtdiag.reports import palette

ELLIPSIS: Final = "…"
UNKNOWN_GLYPH: Final = "□"


def _font(size_px: float, *, bold: bool = False) -> FontProperties:
    # Every property is given: what is left out would come from the user's matplotlibrc.
    return FontProperties(
        family="DejaVu Sans",
        style="normal",
        variant="normal",
        weight="bold" if bold else "normal",
        stretch="normal",
        size=size_px,
    )


@lru_cache(maxsize=1)
def _drawable() -> frozenset[int]:
    return frozenset(get_font(findfont(_font(10))).get_charmap())


def printable(text: str) -> str:
    """The text with □ for each control character and each character the font lacks (no warning, no gap)."""
    return "".join(c if c.isprintable() and ord(c) in _drawable() else UNKNOWN_GLYPH for c in text)


def width_px(text: str, size_px: float, *, bold: bool = False) -> float:
    """Width of a printable text in pixels."""
    if not text:
        return 0.0
    # matplotlib keeps one font object per thread.
    font = get_font(findfont(_font(size_px, bold=bold)))
    font.set_size(size_px, 72)
    font.set_text(text, 0.0)
    width, _ = font.get_width_height()
    return width / 64


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


class Lettering:
    """Writes on one figure whose unit is the pixel (72 dots per inch), y growing downwards.

    `to_display` maps figure pixels (x right, y down) to matplotlib's display coordinates.
    """

    def __init__(self, figure: Figure, to_display: Transform) -> None:
        self._figure = figure
        self._to_display = to_display

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
        effects: list[AbstractPathEffect] = (
            [withStroke(linewidth=2 * halo_px, foreground=palette.HALO, alpha=0.85)] if halo_px else []
        )
        artist = Text(
            x,
            y,
            printable(text),
            color=colour,
            fontproperties=_font(size_px, bold=bold),
            horizontalalignment="center" if align == "center" else "right" if align == "right" else "left",
            verticalalignment="center_baseline",
            parse_math=False,
            usetex=False,
            antialiased=True,
            zorder=zorder,
            transform=self._to_display,
            path_effects=effects,
        )
        self._figure.add_artist(artist)


def _cut(text: str, kept: int, keep_end: bool) -> str:
    tail = kept // 2 if keep_end else 0
    return text[: kept - tail] + ELLIPSIS + text[len(text) - tail :]
