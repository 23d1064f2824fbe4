"""Peaks of heatmaps and the windows around them; the second peak: another place where the keypoint may be."""

import math
from dataclasses import dataclass, replace
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

    def flagged(self, which: Tensor, flag: HeatmapFlag) -> "Peaks":
        """The same with one more flag where `which` `[B, K]` says."""
        return replace(self, flags=self.flags + which.long() * flag)

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
# Rows, in σ, in which two peaks of twice the stated σ reach a quarter: 2·2·2·√(2·ln 4).
ROWS_OF_PEAKS = 13.4
# Cells that are looked at together: at least so many, at most this part of all.
LEAST_CELLS, PART = 2**15, 2**6


@dataclass(frozen=True)
class SecondPeaks:
    """The second peak of each heatmap: its value over that of the first `[B, K]`, its place `[B, K, 2]`.

    The share is 0 and the place NaN where there is none; both are NaN where none is sought: in a heatmap that
    is flat, not finite, nowhere positive or diffuse.
    """

    share: Tensor
    points: Tensor


def reaching_stretches(peaks: Peaks, maxima: Tensor) -> Tensor:
    """Which stretches `[B, K, H, S]` have a cell that reaches a quarter of the peak, none without a peak."""
    usable = (peaks.value > 0) & ((peaks.flags & int(HeatmapFlag.NOT_FINITE | HeatmapFlag.FLAT)) == 0)
    return maxima >= (LEAST_SHARE * peaks.value).masked_fill(~usable, math.inf)[..., None, None]


def are_diffuse(reaching: Tensor, peaks: Peaks, sigma: float) -> Tensor:
    """Heatmaps `[B, K]` with a high level away from their peak: most stretches there reach a quarter of it.

    Of the stretches in rows more than 3 σ above or below the peak, over half do, and in more rows than two
    peaks of twice the stated σ would need. Maps of fewer than about 20 σ rows are therefore never diffuse.
    """
    stretches = reaching.shape[-1]
    most_near = 2 * math.floor(APART_SIGMAS * sigma) + 1
    fewest = max(ROWS_OF_PEAKS * sigma, 0.5 * (peaks.height - most_near) * stretches)
    count = reaching.flatten(2).sum(-1)
    if not bool((count > fewest).any()):
        return torch.zeros_like(count, dtype=torch.bool)
    row = torch.arange(peaks.height, device=reaching.device)
    beyond = (row - peaks.row.unsqueeze(-1)).abs() > APART_SIGMAS * sigma
    pieces = (reaching & beyond.unsqueeze(-1)).flatten(2).sum(-1)
    return (pieces > 0.5 * stretches * beyond.sum(-1)) & (pieces > ROWS_OF_PEAKS * sigma)


def find_second_peaks(
    heatmaps: Tensor, peaks: Peaks, maxima: Tensor, reaching: Tensor, sigma: float
) -> SecondPeaks:
    """The highest local maximum of each heatmap `[B, K, H, W]` more than 3 σ (Euclid) from its first peak.

    `maxima` `[B, K, H, S]` are those of S equal stretches of each row (`stretch_maxima`), `reaching` which of
    them reach a quarter of the first peak, as a second one has to. A local maximum is higher than the
    neighbours before it in reading order and not lower than those after it, so that of two equal cells side
    by side one counts. Other stretches are never looked at again, which leaves a few cells of a sharp
    heatmap.
    """
    none = peaks.flags & int(HeatmapFlag.NOT_FINITE | HeatmapFlag.FLAT | HeatmapFlag.DIFFUSE) != 0
    sought = (peaks.value > 0) & ~none
    share = torch.where(sought, 0.0, math.nan).to(peaks.value.dtype)
    points = torch.full_like(peaks.points, math.nan)
    if bool(none.any()):
        reaching = reaching & sought[..., None, None]
    length = heatmaps.shape[-1] // maxima.shape[-1]
    step = max(1, max(LEAST_CELLS, heatmaps.numel() // PART) // length)
    # Of a stretch that is not read a few numbers are held, where its cells would be many.
    for images in groups_of_stretches(reaching, heatmaps, 8):
        # Stretches `[n, 4]`: batch, keypoint, row, number along the row.
        found = reaching[images].nonzero()
        found[:, 0] += images.start
        beyond = _beyond(heatmaps, found, peaks, maxima, step, sigma)
        enough = beyond >= LEAST_SHARE * peaks.value[found[:, 0], found[:, 1]]
        found, beyond = found[enough], beyond[enough]
        if not len(found):
            continue
        # Nearly always the highest cell is above its neighbours: one stretch of each heatmap decides.
        heatmap = found[:, 0] * share.shape[1] + found[:, 1]
        best = _winners(heatmap, beyond, share.numel())
        tops = _tops(heatmaps, found[best], peaks, length, sigma)
        # Where it leans on the first peak, all are asked.
        highest = torch.full_like(share, -math.inf).view(-1)
        highest[heatmap[best]] = beyond[best]
        leaning = torch.ones_like(highest, dtype=torch.bool)
        leaning[tops[0][tops[1] == highest[tops[0]]]] = False
        rest = torch.split(found[leaning[heatmap]], step)
        others = [_tops(heatmaps, part, peaks, length, sigma) for part in rest]
        _choose(share, points, peaks, [tops, *others])
    return SecondPeaks(share, points)


def _winners(heatmap: Tensor, value: Tensor, maps: int) -> Tensor:
    """Which of n values is the first of the highest of its heatmap, in order of heatmaps that have one."""
    highest = value.new_full((maps,), -math.inf).scatter_reduce(0, heatmap, value, "amax")
    wins = value == highest[heatmap]
    order = torch.arange(len(value), device=value.device)
    first = order.new_full((maps,), len(value)).scatter_reduce(0, heatmap[wins], order[wins], "amin")
    return first[first < len(value)]


def groups_of_stretches(reaching: Tensor, heatmaps: Tensor, numbers: int = 0) -> list[slice]:
    """Images that are looked at together: so few that what is held of their stretches is a small part.

    Held are the cells of each stretch, or so many `numbers`.
    """
    length = heatmaps.shape[-1] // reaching.shape[-1]
    step = max(LEAST_CELLS, heatmaps.numel() // PART) // (numbers or length)
    counts = reaching.flatten(1).sum(1).cumsum(0).tolist()
    groups, first, before = [], 0, 0
    for image, count in enumerate(counts):
        if count - before > step and image > first:
            groups.append(slice(first, image))
            first, before = image, counts[image - 1]
    return [*groups, slice(first, len(counts))] if counts else []


def _choose(share: Tensor, points: Tensor, peaks: Peaks, tops: list[tuple[Tensor, Tensor, Tensor]]) -> None:
    """Fill in the highest of each heatmap's local maxima, of equal ones the first in reading order."""
    heatmap, value, place = (torch.cat(parts) for parts in zip(*tops, strict=True))
    chosen = _winners(heatmap, value, share.numel())
    at = heatmap[chosen]
    share.view(-1)[at] = value[chosen] / peaks.value.flatten()[at]
    points.view(-1, 2)[at] = place[chosen].to(points.dtype)


def _near(stretches: Tensor, peaks: Peaks, sigma: float) -> tuple[Tensor, Tensor]:
    """Column of the first peak and how far along the row 3 σ reach, `[n, 1]` each; −1 where they do not."""
    batch, keypoint, row, _ = stretches.unbind(-1)
    at = batch, keypoint
    dy = row - peaks.row[at]
    left = (APART_SIGMAS * sigma) ** 2 - dy * dy
    reach = torch.where(left >= 0, left.clamp(min=0).sqrt(), -1.0)
    return peaks.column[at].unsqueeze(-1), reach.unsqueeze(-1)


def _beyond(
    heatmaps: Tensor, stretches: Tensor, peaks: Peaks, maxima: Tensor, step: int, sigma: float
) -> Tensor:
    """The highest cell of each stretch `[n]` that is far enough from the first peak, −∞ where there is none.

    Only stretches that come near it are read; of the others the maximum is known.
    """
    length = heatmaps.shape[-1] // maxima.shape[-1]
    batch, keypoint, row, number = stretches.unbind(-1)
    value = maxima[batch, keypoint, row, number].to(reading_dtype(heatmaps))
    column, reach = (v.squeeze(-1) for v in _near(stretches, peaks, sigma))
    start = number * length
    near = (reach >= 0) & (start <= column + reach) & (start + length - 1 >= column - reach)
    for part in torch.split(near.nonzero().squeeze(-1), step):
        cells = stretch_cells(heatmaps, stretches[part], length)
        offset = torch.arange(length, device=part.device, dtype=reach.dtype) + (start - column)[part, None]
        value[part] = cells.masked_fill(offset.abs_() <= reach[part, None], -math.inf).amax(-1)
    return value


def stretch_cells(heatmaps: Tensor, stretches: Tensor, length: int) -> Tensor:
    """The cells of n stretches, `[n, length]`."""
    keypoints, height, width = heatmaps.shape[1:]
    batch, keypoint, row, number = stretches.unbind(-1)
    line = (batch * keypoints + keypoint) * height + row
    cells = heatmaps.reshape(-1, length).index_select(0, line * (width // length) + number)
    return cells.to(reading_dtype(heatmaps))


def _tops(
    heatmaps: Tensor, stretches: Tensor, peaks: Peaks, length: int, sigma: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The m local maxima in n stretches that are high enough and far enough from the first peak.

    Number of their heatmaps in the batch `[m]`, value `[m]`, place (x, y) `[m, 2]`, in order.
    """
    height, width = heatmaps.shape[-2:]
    batch, keypoint, row, number = stretches.unbind(-1)
    column, reach = _near(stretches, peaks, sigma)
    columns = torch.arange(length, device=number.device) + (number * length).unsqueeze(-1)
    cells = stretch_cells(heatmaps, stretches, length)
    high = cells >= LEAST_SHARE * peaks.value[batch, keypoint].unsqueeze(-1)
    top = high & ((columns - column).abs_() > reach)
    # Those beside it in the same stretch leave few whose neighbours have to be read.
    top[:, 1:] &= cells[:, 1:] > cells[:, :-1]
    top[:, :-1] &= cells[:, :-1] >= cells[:, 1:]
    which, along = top.nonzero().unbind(-1)
    heatmap = (batch * heatmaps.shape[1] + keypoint)[which]
    value, row, column = cells[which, along], row[which], columns[which, along]
    step = torch.tensor([-1, 0, 1], device=row.device)
    rows, beside = row.unsqueeze(-1) + step, column.unsqueeze(-1) + step
    outside = ((rows < 0) | (rows >= height)).unsqueeze(-1) | ((beside < 0) | (beside >= width)).unsqueeze(-2)
    at = rows.clamp(0, height - 1).unsqueeze(-1) * width + beside.clamp(0, width - 1).unsqueeze(-2)
    around = heatmaps.reshape(-1)[at + (heatmap * height * width)[:, None, None]].to(value.dtype)
    around = around.masked_fill_(outside, -math.inf).flatten(1)
    is_top = (value > around[:, :4].amax(-1)) & (value >= around[:, 5:].amax(-1))
    return heatmap[is_top], value[is_top], torch.stack([column, row], -1)[is_top]
