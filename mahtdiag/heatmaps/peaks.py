"""Peaks of heatmaps and the windows around them."""

from dataclasses import dataclass
from enum import IntFlag
from functools import cached_property

import torch
from torch import Tensor

# Cells of a row whose maximum is kept: few enough for a second look to be cheap, enough to be few themselves.
STRETCH = 128


class HeatmapFlag(IntFlag):
    """What is unusual about a heatmap; 0 means nothing is."""

    OK = 0
    NOT_FINITE = 1
    FLAT = 2
    NOT_POSITIVE = 4
    AT_BORDER = 8


@dataclass(frozen=True)
class Peaks:
    """Highest cell of each heatmap.

    `column`, `row` integer places `[B, K]` (of equal cells the first in reading order), `value` `[B, K]`,
    `flags` bits of `HeatmapFlag` `[B, K]`. A heatmap with a NaN has value NaN and its middle as place.
    `height`, `width` are those of the heatmaps.
    """

    height: int
    width: int
    column: Tensor
    row: Tensor
    value: Tensor
    flags: Tensor

    @cached_property
    def points(self) -> Tensor:
        """Places (x, y) in cells `[B, K, 2]`."""
        return torch.stack([self.column, self.row], -1).to(self.value.dtype)

    @cached_property
    def room(self) -> Tensor:
        """Cells between the place and the nearer border, along x and y `[B, K, 2]`."""
        place = torch.stack([self.column, self.row], -1)
        return torch.minimum(place, place.new_tensor([self.width - 1, self.height - 1]) - place)

    @cached_property
    def middle(self) -> Tensor:
        """The middle (x, y) of the heatmaps `[2]`, which stands for a place where there is none."""
        return self.value.new_tensor([(self.width - 1) / 2, (self.height - 1) / 2])

    @cached_property
    def flat(self) -> Tensor:
        """Which heatmaps have equal cells throughout, `[B, K]`."""
        return (self.flags & int(HeatmapFlag.FLAT)) != 0

    @cached_property
    def broken(self) -> Tensor:
        """Which heatmaps hold a NaN or +∞, `[B, K]`."""
        return (self.flags & int(HeatmapFlag.NOT_FINITE)) != 0

    def settled(self, points: Tensor) -> Tensor:
        """Places `[B, K, 2]` with the defined answers: the middle of a flat heatmap, NaN for a broken one."""
        points = torch.where(self.flat.unsqueeze(-1), self.middle, points)
        return points.masked_fill(self.broken.unsqueeze(-1), torch.nan)


def stretch_maxima(heatmaps: Tensor) -> Tensor:
    """Maxima `[B, K, H, S]` of S equal stretches of each row, in one read of the heatmaps.

    Stretches have 128 cells, or the whole row where that does not divide it.
    """
    width = heatmaps.shape[-1]
    length = width if width % STRETCH else STRETCH
    return heatmaps.reshape(*heatmaps.shape[:-1], width // length, length).amax(-1)


def find_peaks(heatmaps: Tensor, maxima: Tensor) -> Peaks:
    """Highest cell of each heatmap `[B, K, H, W]`, with flags.

    `maxima`: those of `stretch_maxima`, which cost one read of the heatmaps; the search for the place then
    touches one row each. A peak in an outermost row or column is flagged; a heatmap whose cells are all equal
    is flagged flat and has no peak, so its middle is given. Values and places are at least float32, whatever
    the heatmaps are: bf16 has no cell between 256 and 258.
    """
    height, width = heatmaps.shape[-2:]
    row_maxima = maxima.amax(-1)
    value, row = row_maxima.max(-1)
    finite = value.isfinite()
    best_row = heatmaps.gather(2, row[..., None, None].expand(-1, -1, 1, width)).squeeze(2)
    column = best_row.argmax(-1)
    flat = finite & (best_row.amin(-1) == value) & (row_maxima.amin(-1) == value)
    if bool(flat.any()):
        flat = flat & (heatmaps.amin((-2, -1)) == value)
    placed = finite & ~flat
    column = torch.where(placed, column, (width - 1) // 2)
    row = torch.where(placed, row, (height - 1) // 2)
    at_border = (column < 1) | (row < 1) | (column >= width - 1) | (row >= height - 1)
    flags = (
        (~finite).long() * HeatmapFlag.NOT_FINITE
        + flat.long() * HeatmapFlag.FLAT
        + (finite & (value <= 0)).long() * HeatmapFlag.NOT_POSITIVE
        + (placed & at_border).long() * HeatmapFlag.AT_BORDER
    )
    return Peaks(height, width, column, row, value.to(reading_dtype(heatmaps)), flags)


def reading_dtype(heatmaps: Tensor) -> torch.dtype:
    """The dtype in which heatmaps are read: their own, or float32 for half precisions and integers."""
    return torch.promote_types(heatmaps.dtype, torch.float32)


@dataclass(frozen=True)
class Windows:
    """Square cut-outs around cells.

    `values` `[B, K, n, n]`, zero outside the heatmap; `offset` `[n]` cells from the centre; `inside_x`,
    `inside_y` `[B, K, n]` tell which columns and rows lie in the heatmap.
    """

    values: Tensor
    offset: Tensor
    inside_x: Tensor
    inside_y: Tensor

    @property
    def inside(self) -> Tensor:
        """Which cells lie in the heatmap, `[B, K, n, n]`."""
        return self.inside_y.unsqueeze(-1) & self.inside_x.unsqueeze(-2)

    def within(self, radius: int) -> "Windows":
        """The middle of the windows, (2·radius+1)² cells."""
        margin = (self.offset.shape[0] - 1) // 2 - radius
        part = slice(margin, margin + 2 * radius + 1)
        return Windows(
            self.values[..., part, part],
            self.offset[part],
            self.inside_x[..., part],
            self.inside_y[..., part],
        )


def cut_windows(heatmaps: Tensor, peaks: Peaks, radius: int) -> Windows:
    """Windows of (2·radius+1)² cells of `[B, K, H, W]` around the highest cells."""
    height, width = heatmaps.shape[-2:]
    offset = torch.arange(-radius, radius + 1, device=heatmaps.device)
    columns, rows = peaks.column.unsqueeze(-1) + offset, peaks.row.unsqueeze(-1) + offset
    inside_x = (columns >= 0) & (columns < width)
    inside_y = (rows >= 0) & (rows < height)
    index = rows.clamp(0, height - 1).unsqueeze(-1) * width + columns.clamp(0, width - 1).unsqueeze(-2)
    values = heatmaps.flatten(2).gather(2, index.flatten(2)).view(index.shape).to(reading_dtype(heatmaps))
    windows = Windows(values, offset.to(values.dtype), inside_x, inside_y)
    if bool(inside_x.all()) and bool(inside_y.all()):
        return windows
    return Windows(values.masked_fill(~windows.inside, 0.0), windows.offset, inside_x, inside_y)


def weighted_sums(rows: Tensor, values: Tensor, columns: Tensor) -> Tensor:
    """Σ rows·values·columns over windows `[B, K, n, n]`: `[B, K, r, n]`, `[B, K, c, n]` -> `[B, K, r, c]`.

    On a CPU image by image: there the number of matrices changes the order of sums, and with it the last bit.
    """
    if values.device.type != "cpu" or len(values) < 2:
        return rows @ values @ columns.mT
    images = zip(rows, values, columns, strict=True)
    return torch.stack([row @ value @ column.mT for row, value, column in images])
