"""Heatmap losses of an evaluation, without rendering a target.

A Gaussian target is 0 beyond 6σ. There (p−t)² and every focal weight reduce to p², so one pass over the
prediction gives the sum, and the formula is applied in a window around the label alone.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mahtdiag.losses.heatmap import Emphasis, focal_weight
from mahtdiag.losses.reduction import mean_where

REACH = 6.0
# Share of the heatmaps that the copied rows may take as extra memory on a CPU.
EXTRA_MEMORY = 0.01


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
    step = _keypoints_at_once(heatmaps, sigma)
    chunks = [
        _sums(heatmaps[:, k : k + step], known[:, k : k + step], sigma, gamma, emphasis)
        for k in range(0, heatmaps.shape[1], step)
    ]
    area = heatmaps.shape[-2] * heatmaps.shape[-1]
    per_keypoint = torch.cat([c.squared for c in chunks], 1)
    squared = mean_where(per_keypoint, labelled)
    focal = mean_where(torch.cat([c.focal for c in chunks], 1), labelled)
    at_keypoint = mean_where(torch.cat([c.focal_at_keypoint for c in chunks], 1), labelled)
    return HeatmapLosses(squared / area, focal / area, at_keypoint / focal, per_keypoint.isfinite())


def _keypoints_at_once(heatmaps: Tensor, sigma: float) -> int:
    keypoints, height = heatmaps.shape[1:3]
    if heatmaps.device.type != "cpu":
        return max(1, keypoints)
    rows = min(height, 2 * math.ceil(REACH * sigma) + 1)
    return max(1, int(EXTRA_MEMORY * keypoints * height / rows))


def _accumulator(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64


def _start(centre: Tensor, length: int, size: int) -> Tensor:
    """First index of a window of `length` cells that is inside the heatmap and covers the centre's reach."""
    return (centre.round() - length // 2).clamp(0, size - length).long()


def _sums(heatmaps: Tensor, centres: Tensor, sigma: float, gamma: float, emphasis: Emphasis) -> _Sums:
    batch, keypoints, height, width = heatmaps.shape
    precise = _accumulator(heatmaps.device)
    reach = 2 * math.ceil(REACH * sigma) + 1
    rows = _start(centres[..., 1], min(reach, height), height).unsqueeze(-1) + torch.arange(
        min(reach, height), device=heatmaps.device
    )
    columns = _start(centres[..., 0], min(reach, width), width).unsqueeze(-1) + torch.arange(
        min(reach, width), device=heatmaps.device
    )
    row_squares = torch.linalg.vector_norm(heatmaps, dim=-1).to(precise) ** 2
    above_and_below = row_squares.scatter(-1, rows, 0.0).sum(-1)

    first_row = torch.arange(batch * keypoints, device=heatmaps.device).view(batch, keypoints, 1) * height
    band = heatmaps.reshape(-1, width).index_select(0, (first_row + rows).flatten())
    band = band.view(*rows.shape, width)
    index = columns.unsqueeze(-2).expand(*rows.shape, -1)
    window = band.gather(-1, index)
    beside = torch.linalg.vector_norm(band.scatter_(-1, index, 0.0), dim=(-2, -1)).to(precise) ** 2
    outside = above_and_below + beside

    target = _profile(rows, centres[..., 1], sigma).unsqueeze(-1) * _profile(
        columns, centres[..., 0], sigma
    ).unsqueeze(-2)
    target = target.to(window.dtype)
    squared = (window - target) ** 2
    inside = squared.sum((-2, -1), dtype=precise)
    focal = squared.mul_(focal_weight(target, gamma, emphasis))
    focal_inside = focal.sum((-2, -1), dtype=precise)
    at_keypoint = focal.mul_(target > 0.5).sum((-2, -1), dtype=precise)
    return _Sums(outside + inside, outside + focal_inside, at_keypoint)


def _profile(index: Tensor, centre: Tensor, sigma: float) -> Tensor:
    """exp(−(i−c)²/(2σ²)) for the given indices `[B, K, n]`, in the precision of the sums."""
    precise = _accumulator(index.device)
    return torch.exp(-((index - centre.to(precise).unsqueeze(-1)) ** 2) / (2 * sigma**2))
