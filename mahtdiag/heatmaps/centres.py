"""Vertebrae by their centres: the peaks of one heatmap, and where the corners of each lie from there."""

import torch
from torch import Tensor
from torch.nn import functional as F

from mahtdiag.schema.skeleton import CORNERS_PER_VERTEBRA

NEIGHBOURHOOD = 3
"""A centre is the highest of so many cells in both directions."""


def corners_of_centres(
    centres: Tensor, centre_offsets: Tensor | None, corner_offsets: Tensor, vertebrae: int
) -> tuple[Tensor, Tensor]:
    """The corners `[B, 4·V, 2]` (x, y) of the V highest centres from above to below, and heights `[B, 4·V]`.

    A corner is the centre minus its offset: (x, y) = cell + o(cell) − w_c(cell), in heatmap cells; corners in
    the order upper left, upper right, lower left, lower right. `centres` `[B, 1, h, w]`; `centre_offsets` o
    `[B, 2, h, w]`, 0 where None; `corner_offsets` w `[B, 8, h, w]`. Where fewer than V cells are the highest
    of their neighbourhood, the rest are NaN, with heights of 0: it is not known which vertebrae these are, so
    that all V are. Raises ValueError for other shapes.

    Yi et al., Vertebra-Focused Landmark Detection for Scoliosis Assessment, ISBI 2020.
    """
    batch, _, height, width = centres.shape
    wanted = {"centres": (batch, 1, height, width), "corner_offsets": (batch, 8, height, width)}
    if tuple(centres.shape) != wanted["centres"] or tuple(corner_offsets.shape) != wanted["corner_offsets"]:
        raise ValueError(f"centres {list(centres.shape)}, corner_offsets {list(corner_offsets.shape)}")
    maps = centres.float()
    highest = F.max_pool2d(maps, NEIGHBOURHOOD, stride=1, padding=NEIGHBOURHOOD // 2)
    peaks = torch.where(maps == highest, maps, torch.zeros(())).flatten(1)
    found, at = peaks.topk(min(vertebrae, peaks.shape[1]), dim=1)
    x, y = (at % width).float(), (at // width).float()
    if centre_offsets is not None:
        step = _at(centre_offsets, at)
        x, y = x + step[..., 0], y + step[..., 1]
    corners = torch.stack([x, y], -1)[:, :, None] - _at(corner_offsets, at).reshape(batch, -1, 4, 2)
    order = y.argsort(dim=1)
    corners = corners.gather(1, order[:, :, None, None].expand(-1, -1, CORNERS_PER_VERTEBRA, 2))
    found = found.gather(1, order)
    lacking = (found <= 0).any(1) | (found.shape[1] < vertebrae)
    corners = torch.where(lacking[:, None, None, None], torch.nan, corners)
    heights = torch.where(lacking[:, None], 0.0, found)
    if corners.shape[1] < vertebrae:
        corners = corners.new_full((batch, vertebrae, CORNERS_PER_VERTEBRA, 2), torch.nan)
        heights = heights.new_zeros((batch, vertebrae))
    return corners.flatten(1, 2), heights.repeat_interleave(CORNERS_PER_VERTEBRA, 1)


def _at(maps: Tensor, at: Tensor) -> Tensor:
    """The values `[B, V, C]` of maps `[B, C, h, w]` in these cells."""
    return maps.float().flatten(2).gather(2, at[:, None].expand(-1, maps.shape[1], -1)).transpose(1, 2)
