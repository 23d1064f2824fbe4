"""The panel of an overlay: its blocks in one column beside the radiograph, or several below it."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from mahtdiag.reports import palette
from mahtdiag.reports.overlay.lettering import Lettering, shorten, width_px
from mahtdiag.reports.overlay.marks import draw_swatch
from mahtdiag.reports.overlay.sheet import LABEL_Z, Brush
from mahtdiag.reports.overlay.words import Block, Row, Style

COLUMN_PX: Final = 370
MARGIN_PX: Final = 18
BLOCK_GAP_PX: Final = 16
SWATCH_PX: Final = 58
ROW_PX: Final = {Style.TITLE: 30, Style.HEAD: 27, Style.PLAIN: 22, Style.DETAIL: 20}
FONT_PX: Final = {Style.TITLE: 18.0, Style.HEAD: 15.5, Style.PLAIN: 14.5, Style.DETAIL: 13.0}
LEGEND_ROW_PX: Final = 26


@dataclass(frozen=True, slots=True)
class PanelLayout:
    """Blocks by column, and the size they need in pixels."""

    columns: tuple[tuple[Block, ...], ...]
    height: int

    @property
    def width(self) -> int:
        return COLUMN_PX * len(self.columns)


def lay_out(blocks: list[Block], column_count: int) -> PanelLayout:
    """Spread the blocks over columns in reading order, each in one piece, the columns about equally tall."""
    heights = [block_height(block) for block in blocks]
    limit = max(max(heights), -(-sum(heights) // column_count))
    while len(columns := _fill(blocks, heights, limit)) > column_count:
        limit += 4
    tallest = max(sum(block_height(block) for block in column) for column in columns)
    return PanelLayout(tuple(map(tuple, columns)), tallest - BLOCK_GAP_PX + 2 * MARGIN_PX)


def _fill(blocks: list[Block], heights: list[int], limit: int) -> list[list[Block]]:
    columns: list[list[Block]] = [[]]
    used = 0
    for block, height in zip(blocks, heights, strict=True):
        if used and used + height > limit:
            columns.append([])
            used = 0
        columns[-1].append(block)
        used += height
    return columns


def block_height(block: Block) -> int:
    """Height of a block with the gap after it."""
    return sum(map(_row_height, block)) + BLOCK_GAP_PX


def _row_height(row: Row) -> int:
    return LEGEND_ROW_PX if row.mark else ROW_PX[row.style]


def draw_panel(lettering: Lettering, brush: Brush, layout: PanelLayout, left: int, top: int) -> None:
    """Write all columns; (left, top) is the panel's corner in figure pixels."""
    for place, column in enumerate(layout.columns):
        x = left + place * COLUMN_PX + MARGIN_PX
        y = top + MARGIN_PX
        for block in column:
            for row in block:
                _draw_row(lettering, brush, row, x, y + _row_height(row) / 2)
                y += _row_height(row)
            y += BLOCK_GAP_PX


def _draw_row(lettering: Lettering, brush: Brush, row: Row, x: float, y: float) -> None:
    width = COLUMN_PX - 2 * MARGIN_PX
    size = FONT_PX[row.style]
    bold = row.style in (Style.TITLE, Style.HEAD)
    colour = palette.MUTED_INK if row.style is Style.DETAIL else palette.INK
    if row.mark:
        draw_swatch(brush, row.mark, x, y)
        x, width = x + SWATCH_PX, width - SWATCH_PX
    right = shorten(row.right, 0.72 * width, size)
    room = width - width_px(right, size) - (12 if right else 0)
    keep_end = row.style in (Style.TITLE, Style.DETAIL)
    text = shorten(row.left, room, size, bold=bold, keep_end=keep_end)
    lettering.write(text, x, y, size, colour, bold=bold)
    if right:
        lettering.write(right, x + width, y, size, colour, align="right")
    if row.style is Style.HEAD:
        below = y + ROW_PX[Style.HEAD] / 2 - 2
        brush.lines(np.array([[[x, below], [x + width, below]]]), palette.RULE, 1.0, LABEL_Z)
