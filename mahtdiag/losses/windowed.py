"""Heatmap losses of an evaluation, without rendering a target.

A Gaussian target is 0 beyond 6σ. There (p−t)² and every focal weight reduce to p², so one pass over the
prediction gives the sum of each piece of each row, and the formula is applied to the pieces around the label
alone.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mahtdiag.losses.heatmap import Emphasis, focal_weight
from mahtdiag.losses.reduction import mean_where

REACH = 6.0
# Share of the heatmaps that the copied windows may take as extra memory on a CPU.
EXTRA_MEMORY = 0.03
# Rows are summed in pieces, of which the windows take whole ones: short enough to copy little beside the
# label, long enough for the sums to run at the speed of memory.
SHORTEST_BLOCK, LONGEST_BLOCK = 16, 64


@dataclass(frozen=True)
class HeatmapLosses:
    """Per-image heatmap losses `[B]`, NaN where no keypoint is labelled.

    `mse` and `focal` equal `HeatmapMSELoss` and `FocalHeatmapLoss` against rendered Gaussians;
    `keypoint_share` is the share of the focal loss from pixels with target > 0.5, the rest is background.
    `finite` `[B, K]` tells which heatmaps hold finite numbers only (whose squares are finite, too).
    """

    mse: Tensor
    focal: Tensor
    keypoint_share: Tensor
    finite: Tensor


@dataclass(frozen=True)
class _Sums:
    """Sums over the pixels of each heatmap, `[B, K]`."""

    squared: Tensor
    focal: Tensor
    focal_at_keypoint: Tensor


def windowed_heatmap_losses(
    heatmaps: Tensor,
    centres: Tensor,
    sigma: float,
    gamma: float = 2.0,
    emphasis: Emphasis = "background",
) -> HeatmapLosses:
    """MSE and focal loss of `[B, K, H, W]` against Gaussians of σ cells at `centres` `[B, K, 2]` (cells).

    Missing keypoints (NaN centres) are left out; a heatmap with a NaN makes its image's losses NaN. Sums are
    taken in float64 where the device has it, and no difference of large sums is ever taken. Raises
    ValueError for other shapes or a σ that is not positive.
    """
    if heatmaps.ndim != 4 or centres.shape != (*heatmaps.shape[:2], 2):
        raise ValueError(
            f"heatmaps [B, K, H, W] and centres [B, K, 2] do not fit: {list(heatmaps.shape)}, "
            f"{list(centres.shape)}"
        )
    if not sigma > 0:
        raise ValueError(f"sigma must be positive, not {sigma}")
    labelled = ~centres.isnan().any(-1)
    known = torch.where(labelled.unsqueeze(-1), centres, torch.zeros_like(centres))
    height, width = heatmaps.shape[-2:]
    window = _Window.of(height, width, sigma)
    step = _keypoints_at_once(heatmaps, window)
    chunks = [
        _sums(heatmaps[:, k : k + step], known[:, k : k + step], window, sigma, gamma, emphasis)
        for k in range(0, heatmaps.shape[1], step)
    ]
    per_keypoint = torch.cat([c.squared for c in chunks], 1)
    squared = mean_where(per_keypoint, labelled)
    focal = mean_where(torch.cat([c.focal for c in chunks], 1), labelled)
    at_keypoint = mean_where(torch.cat([c.focal_at_keypoint for c in chunks], 1), labelled)
    area = height * width
    return HeatmapLosses(squared / area, focal / area, at_keypoint / focal, per_keypoint.isfinite())


def _block_width(width: int) -> int:
    """Length of the pieces into which rows are cut: the longest that fits, or whole rows if none is long."""
    longest = max(n for n in range(1, min(width, LONGEST_BLOCK) + 1) if width % n == 0)
    return longest if longest >= SHORTEST_BLOCK else width


@dataclass(frozen=True)
class _Window:
    """What is cut out around a centre: `rows` of `blocks` pieces of `block` cells."""

    rows: int
    blocks: int
    block: int

    @staticmethod
    def of(height: int, width: int, sigma: float) -> "_Window":
        """The smallest that covers the reach of any centre in the heatmap."""
        reach = 2 * math.ceil(REACH * sigma) + 1
        block = _block_width(width)
        return _Window(min(reach, height), min((reach + block - 2) // block + 1, width // block), block)

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.rows * self.blocks * self.block


def _keypoints_at_once(heatmaps: Tensor, window: _Window) -> int:
    """As many keypoints as the windows, targets and weights, and the norms of all pieces, leave room for."""
    keypoints, height, width = heatmaps.shape[1:]
    if heatmaps.device.type != "cpu":
        return max(1, keypoints)
    each = 3 * window.cells + height * width // window.block
    return max(1, int(EXTRA_MEMORY * keypoints * height * width / max(1, each)))


def _accumulator(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64


def _covering(first: Tensor, length: int, size: int) -> Tensor:
    """`length` consecutive indices below `size`, from `first` `[B, K]` or as near to it as they fit."""
    start = first.clamp(0, size - length).long()
    return start.unsqueeze(-1) + torch.arange(length, device=first.device)


def _sums(
    heatmaps: Tensor, centres: Tensor, window: _Window, sigma: float, gamma: float, emphasis: Emphasis
) -> _Sums:
    batch, keypoints, height, width = heatmaps.shape
    per_row = width // window.block
    first = centres.round() - math.ceil(REACH * sigma)
    rows = _covering(first[..., 1], window.rows, height)
    blocks = _covering((first[..., 0] / window.block).floor(), window.blocks, per_row)

    pieces = heatmaps.reshape(-1, window.block)
    first_row = torch.arange(batch * keypoints, device=heatmaps.device).view(batch, keypoints, 1) * height
    index = (((first_row + rows) * per_row).unsqueeze(-1) + blocks.unsqueeze(-2)).flatten()
    norms = torch.linalg.vector_norm(pieces, dim=-1).index_fill_(0, index, 0.0)
    outside = _total(norms.square_().view(batch, keypoints, height * per_row))

    columns = blocks.unsqueeze(-1) * window.block + torch.arange(window.block, device=heatmaps.device)
    target = _profile(rows, centres[..., 1], sigma).to(heatmaps.dtype).unsqueeze(-1) * _profile(
        columns.flatten(2), centres[..., 0], sigma
    ).to(heatmaps.dtype).unsqueeze(-2)
    squared = pieces.index_select(0, index).view(target.shape).sub_(target).square_()
    inside = _total(squared)
    focal = squared.mul_(focal_weight(target, gamma, emphasis))
    focal_inside = _total(focal)
    at_keypoint = _total(focal.mul_(target.gt_(0.5)))
    return _Sums(outside + inside, outside + focal_inside, at_keypoint)


def _total(values: Tensor) -> Tensor:
    """Sum over all but the first two axes; torch adds in a cascade, so that few digits get lost on the way."""
    return values.flatten(2).sum(-1).to(_accumulator(values.device))


def _profile(index: Tensor, centre: Tensor, sigma: float) -> Tensor:
    """exp(−(i−c)²/(2σ²)) for the given indices `[B, K, n]`, in the precision of the sums."""
    precise = _accumulator(index.device)
    return torch.exp(-((index - centre.to(precise).unsqueeze(-1)) ** 2) / (2 * sigma**2))
