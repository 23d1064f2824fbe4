"""Peaks of heatmaps and the windows around them; the second peak: another place where the keypoint may be."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mahtdiag.schema.choices import HeatmapFlag

# Cells of a row whose maximum is kept: few enough for a second look to be cheap, enough to be few themselves.
STRETCH = 128


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


# Peaks nearer to the first than so many σ belong to it.
APART_SIGMAS = 3.0
# What does not reach this share of the first peak is no peak worth the name.
LEAST_SHARE = 0.25
# Cells that are looked at together: at least so many, at most this part of all.
LEAST_CELLS, PART = 2**15, 2**6


@dataclass(frozen=True)
class SecondPeaks:
    """The second peak of each heatmap: its value over that of the first `[B, K]`, its place `[B, K, 2]`.

    The share is 0 and the place NaN where there is none; both are NaN where there is no first peak: a
    heatmap that is flat, not finite or nowhere positive.
    """

    share: Tensor
    points: Tensor


def find_second_peaks(heatmaps: Tensor, peaks: Peaks, maxima: Tensor, sigma: float) -> SecondPeaks:
    """The highest local maximum of each heatmap `[B, K, H, W]` more than 3 σ (Euclid) from its first peak.

    `maxima` `[B, K, H, S]` are those of S equal stretches of each row (`stretch_maxima`). A local maximum is
    higher than the neighbours before it in reading order and not lower than those after it, so that of two
    equal cells side by side one counts; it reaches a quarter of the first peak. Other stretches are never
    looked at again, which leaves a few cells of a sharp heatmap.
    """
    usable = (peaks.value > 0) & ((peaks.flags & int(HeatmapFlag.NOT_FINITE | HeatmapFlag.FLAT)) == 0)
    least = (LEAST_SHARE * peaks.value).masked_fill(~usable, math.inf)
    length = heatmaps.shape[-1] // maxima.shape[-1]
    step = max(1, max(LEAST_CELLS, heatmaps.numel() // PART) // length)
    share = torch.where(usable, 0.0, math.nan).to(peaks.value.dtype)
    points = torch.full_like(peaks.points, math.nan)
    reaching = maxima >= least[..., None, None]
    for images in _groups(reaching, step):
        # Stretches `[n, 4]`: batch, keypoint, row, number along the row.
        found = reaching[images].nonzero()
        found[:, 0] += images.start
        tops = []
        for part in torch.split(found, step):
            beyond = part[_reaches(heatmaps, part, peaks, length, least, sigma)]
            few = torch.split(beyond, max(1, step // 16))
            tops += [
                _highest(heatmaps, stretches, peaks, length, sigma) for stretches in few if len(stretches)
            ]
        if tops:
            _choose(share, points, peaks, tops, least)
    return SecondPeaks(share, points)


def _groups(reaching: Tensor, step: int) -> list[slice]:
    """Images that are looked at together: all, or so few that their stretches are about `step`."""
    counts = reaching.flatten(1).sum(1).cumsum(0).tolist()
    groups, first, before = [], 0, 0
    for image, count in enumerate(counts):
        if count - before > step and image > first:
            groups.append(slice(first, image))
            first, before = image, counts[image - 1]
    return [*groups, slice(first, len(counts))] if counts else []


def _choose(
    share: Tensor, points: Tensor, peaks: Peaks, tops: list[tuple[Tensor, Tensor, Tensor]], least: Tensor
) -> None:
    """Fill in the highest of each heatmap's local maxima, of equal ones the first in reading order."""
    heatmap, value, place = (torch.cat(parts) for parts in zip(*tops, strict=True))
    enough = value >= least.flatten()[heatmap]
    heatmap, value, place = heatmap[enough], value[enough], place[enough]
    count, maps = len(value), least.numel()
    highest = value.new_full((maps,), -math.inf).scatter_reduce(0, heatmap, value, "amax")
    wins = value == highest[heatmap]
    order = torch.arange(count, device=value.device)
    first = order.new_full((maps,), count).scatter_reduce(0, heatmap[wins], order[wins], "amin")
    known = first < count
    chosen = first[known]
    share.view(-1)[known] = value[chosen] / peaks.value.flatten()[known]
    points.view(-1, 2)[known] = place[chosen].to(points.dtype)


def _near(stretches: Tensor, peaks: Peaks, sigma: float) -> tuple[Tensor, Tensor]:
    """Column of the first peak and how far along the row 3 σ reach, `[n, 1]` each; −1 where they do not."""
    batch, keypoint, row, _ = stretches.unbind(-1)
    at = batch, keypoint
    dy = row - peaks.row[at]
    left = (APART_SIGMAS * sigma) ** 2 - dy * dy
    reach = torch.where(left >= 0, left.clamp(min=0).sqrt(), -1.0)
    return peaks.column[at].unsqueeze(-1), reach.unsqueeze(-1)


def _reaches(
    heatmaps: Tensor, stretches: Tensor, peaks: Peaks, length: int, least: Tensor, sigma: float
) -> Tensor:
    """Which stretches `[n]` have a cell that is high enough and far enough from the first peak."""
    batch, keypoint, row, number = stretches.unbind(-1)
    keypoints, height, width = heatmaps.shape[1:]
    line = (batch * keypoints + keypoint) * height + row
    cells = heatmaps.reshape(-1, length).index_select(0, line * (width // length) + number)
    column, reach = _near(stretches, peaks, sigma)
    start = (number * length).unsqueeze(-1) - column
    offset = torch.arange(length, device=start.device, dtype=reach.dtype) + start
    far = offset.abs_() > reach
    return (far & (cells >= least[batch, keypoint].unsqueeze(-1))).any(-1)


def _highest(
    heatmaps: Tensor, stretches: Tensor, peaks: Peaks, length: int, sigma: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The highest local maximum in each of n stretches, −∞ where there is none.

    Number of its heatmap in the batch `[n]`, value `[n]`, place (x, y) `[n, 2]`.
    """
    height, width = heatmaps.shape[-2:]
    batch, keypoint, middle, number = stretches.unbind(-1)
    columns = torch.arange(-1, length + 1, device=number.device) + (number * length).unsqueeze(-1)
    outside = (columns < 0) | (columns >= width)
    columns = columns.clamp(0, width - 1)
    at = batch.unsqueeze(-1), keypoint.unsqueeze(-1)

    def row(shift: int) -> Tensor:
        shifted = middle + shift
        beside = (shifted < 0) | (shifted >= height)
        cells = heatmaps[*at, shifted.clamp(0, height - 1).unsqueeze(-1), columns]
        return cells.to(reading_dtype(heatmaps)).masked_fill(outside | beside.unsqueeze(-1), -math.inf)

    here, before, after = row(0), _three(row(-1)), _three(row(1))
    cells = here[:, 1:-1]
    top = (cells > torch.maximum(before, here[:, :-2])) & (cells >= torch.maximum(after, here[:, 2:]))
    column, reach = _near(stretches, peaks, sigma)
    top = top & ((columns[:, 1:-1] - column).abs() > reach)
    value, place = cells.masked_fill(~top, -math.inf).max(-1)
    heatmap = batch * heatmaps.shape[1] + keypoint
    return heatmap, value, torch.stack([number * length + place, middle], -1)


def _three(cells: Tensor) -> Tensor:
    """The highest of each cell and the two beside it, without the outermost."""
    return torch.maximum(torch.maximum(cells[:, :-2], cells[:, 1:-1]), cells[:, 2:])
