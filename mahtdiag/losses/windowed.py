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
# Rows are summed in pieces, and windows are made of whole pieces: short enough for the windows to hold little
# beside the reach of a label, long enough for the sums to run at the speed of memory.
SHORTEST_PIECE, LONGEST_PIECE = 16, 64
# Share of the heatmaps that windows, targets and weights may take as extra memory on a CPU; so many cells
# they may take in any case.
EXTRA_MEMORY = 0.04
EXTRA_CELLS = 2**18


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


def windowed_heatmap_losses(
    heatmaps: Tensor,
    centres: Tensor,
    sigma: float,
    gamma: float = 2.0,
    emphasis: Emphasis = "background",
    outside: "OutsideWindows | None" = None,
) -> HeatmapLosses:
    """MSE and focal loss of `[B, K, H, W]` against Gaussians of σ cells at `centres` `[B, K, 2]` (cells).

    Missing keypoints (NaN centres) are left out; a heatmap with a NaN makes its image's losses NaN. Sums
    within a heatmap are cascaded, those over heatmaps are in float64 where the device has it, and no
    difference of large sums is ever taken. `outside`: what `sum_outside` gives for the same heatmaps, centres
    and σ, if it is known. Raises ValueError for other shapes or a σ that is not positive.
    """
    outside = sum_outside(heatmaps, centres, sigma) if outside is None else outside
    windows = outside.windows
    pieces = heatmaps.reshape(-1, windows.piece)
    step = _keypoints_at_once(heatmaps, windows)
    parts = [
        _inside(pieces, windows.of_keypoints(k, k + step), gamma, emphasis)
        for k in range(0, heatmaps.shape[1], step)
    ]
    squared, focal, at_keypoint = torch.cat(parts, -1)
    squared, focal = squared + outside.squared, focal + outside.squared
    means = mean_where(torch.stack([squared, focal, at_keypoint]), outside.labelled)
    mse, focal_loss = means[:2] / (heatmaps.shape[2] * heatmaps.shape[3])
    return HeatmapLosses(mse, focal_loss, means[2] / means[1], squared.isfinite())


@dataclass(frozen=True)
class OutsideWindows:
    """What heatmaps hold outside the windows of their labels: `squared` = Σp² `[B, K]`.

    `labelled` `[B, K]` tells which keypoints have a label; the windows of the others stand anywhere.
    """

    windows: "_Windows"
    labelled: Tensor
    squared: Tensor


def sum_outside(heatmaps: Tensor, centres: Tensor, sigma: float) -> OutsideWindows:
    """The one pass over all cells of `[B, K, H, W]` that the losses need; labels `[B, K, 2]` in cells.

    Raises ValueError for other shapes or a σ that is not positive.
    """
    if heatmaps.ndim != 4 or centres.shape != (*heatmaps.shape[:2], 2):
        raise ValueError(
            f"heatmaps [B, K, H, W] and centres [B, K, 2] do not fit: {list(heatmaps.shape)}, "
            f"{list(centres.shape)}"
        )
    if not sigma > 0:
        raise ValueError(f"sigma must be positive, not {sigma}")
    labelled = ~centres.isnan().any(-1)
    centres = torch.where(labelled.unsqueeze(-1), centres, torch.zeros_like(centres))
    windows = _Windows.around(centres, heatmaps.shape[2], heatmaps.shape[3], sigma)
    pieces = heatmaps.reshape(-1, windows.piece)
    norms = torch.linalg.vector_norm(pieces, dim=-1).index_fill_(0, windows.index.flatten(), 0.0)
    per_heatmap = heatmaps.shape[2] * heatmaps.shape[3] // windows.piece
    return OutsideWindows(windows, labelled, _total(norms.square_().view(*heatmaps.shape[:2], per_heatmap)))


@dataclass(frozen=True)
class _Windows:
    """The pieces of rows that cover the reach of each label, and the label's Gaussian there.

    `index` `[B, K, rows, pieces]` numbers the pieces through all heatmaps; `profile_y` `[B, K, rows]` and
    `profile_x` `[B, K, columns]` are the factors of the target. A piece has `piece` cells.
    """

    piece: int
    index: Tensor
    profile_y: Tensor
    profile_x: Tensor

    @staticmethod
    def around(centres: Tensor, height: int, width: int, sigma: float) -> "_Windows":
        """Windows of `[B, K, 2]` labels, of the smallest size that covers any place of a label."""
        piece = _piece_length(width)
        per_row = width // piece
        radius = math.ceil(REACH * sigma)
        first = (centres.round() - radius) / centres.new_tensor([piece, 1])
        rows = _consecutive(first[..., 1], min(2 * radius + 1, height), height)
        pieces = _consecutive(first[..., 0].floor(), min((2 * radius - 1) // piece + 2, per_row), per_row)
        columns = (pieces * piece).unsqueeze(-1) + torch.arange(piece, device=centres.device)
        heatmap = torch.arange(centres[..., 0].numel(), device=centres.device).view(*rows.shape[:2], 1)
        index = ((heatmap * height + rows) * per_row).unsqueeze(-1) + pieces.unsqueeze(-2)
        profile_y = _profile(rows, centres[..., 1], sigma)
        return _Windows(piece, index, profile_y, _profile(columns.flatten(2), centres[..., 0], sigma))

    def of_keypoints(self, start: int, stop: int) -> "_Windows":
        """The windows of some keypoints of each image."""
        part = slice(start, stop)
        return _Windows(self.piece, self.index[:, part], self.profile_y[:, part], self.profile_x[:, part])


def _piece_length(width: int) -> int:
    """The longest that divides the rows evenly, or whole rows if none is long enough to be worth it."""
    longest = max((n for n in range(1, min(width, LONGEST_PIECE) + 1) if width % n == 0), default=1)
    return longest if longest >= SHORTEST_PIECE else max(1, width)


def _consecutive(first: Tensor, length: int, size: int) -> Tensor:
    """`length` indices below `size`, from `first` `[B, K]` or as near to it as they fit: `[B, K, length]`."""
    start = first.clamp(0, size - length).long()
    return start.unsqueeze(-1) + torch.arange(length, device=first.device)


def _keypoints_at_once(heatmaps: Tensor, windows: _Windows) -> int:
    keypoints = heatmaps.shape[1]
    if heatmaps.device.type != "cpu":
        return max(1, keypoints)
    cells = 3 * len(heatmaps) * windows.profile_y.shape[-1] * windows.profile_x.shape[-1]
    at_most = max(1, int(max(EXTRA_MEMORY * heatmaps.numel(), EXTRA_CELLS) / max(1, cells)))
    return math.ceil(keypoints / max(1, math.ceil(keypoints / at_most)))


def _inside(pieces: Tensor, windows: _Windows, gamma: float, emphasis: Emphasis) -> Tensor:
    """Σ (p−t)², Σ w·(p−t)² and its part with t > 0.5, over each window: `[3, B, K]`."""
    rows, columns = windows.profile_y.to(pieces.dtype), windows.profile_x.to(pieces.dtype)
    target = rows.unsqueeze(-1) * columns.unsqueeze(-2)
    # The weight before the values: its own temporary is gone when they come.
    weight = focal_weight(target, gamma, emphasis)
    values = pieces.index_select(0, windows.index.flatten()).view(target.shape)
    squared = _total(values.sub_(target).square_())
    focal = _total(values.mul_(weight))
    at_keypoint = _total(values.mul_(target.gt_(0.5)))
    return torch.stack([squared, focal, at_keypoint])


def _total(values: Tensor) -> Tensor:
    """Sum over all but the first two axes, in the precision of sums over heatmaps."""
    return values.flatten(2).sum(-1).to(most_precise(values.device))


def most_precise(device: torch.device) -> torch.dtype:
    """The widest float that a device has: MPS has no float64."""
    return torch.float32 if device.type == "mps" else torch.float64


def _profile(index: Tensor, centre: Tensor, sigma: float) -> Tensor:
    """exp(−(i−c)²/(2σ²)) for the given indices `[B, K, n]`, in the precision of the sums."""
    precise = most_precise(index.device)
    return torch.exp(-((index - centre.to(precise).unsqueeze(-1)) ** 2) / (2 * sigma**2))
