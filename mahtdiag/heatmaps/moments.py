"""Local weighted centroid and spread, from the cells around a peak."""

import math

import torch
from torch import Tensor

from mahtdiag.heatmaps.peaks import HeatmapFlag, Peaks, cut_windows

# Cells below this share of the peak are background: they carry no weight.
FLOOR = 0.02


# The place inside its cell is never known better than a uniform density over the cell.
LEAST_VARIANCE = 1 / 12


def _floored_variance(floor: Tensor) -> Tensor:
    """Variance of a 2-D Gaussian that is lowered by `floor` of its height and cut at zero, over its σ².

    With u = −ln floor: (1 − floor·(1 + u + u²/2)) / (1 − floor·(1 + u)).
    """
    u = -floor.log()
    return (1 - floor * (1 + u + 0.5 * u * u)) / (1 - floor * (1 + u))


def _unfloored(spread: Tensor, shift: Tensor) -> Tensor:
    """Undo what the floor takes from a Gaussian's variance.

    The floor is a share of the highest cell, which lies `shift` below the true peak; the true share is
    smaller by exp(−shift²/2v), with v as a first estimate from the nominal share.
    """
    nominal = torch.full_like(spread[..., 0], FLOOR)
    variance = 0.5 * (spread[..., 0] + spread[..., 2]) / _floored_variance(nominal)
    ratio = (shift**2).sum(-1) / variance.clamp(min=LEAST_VARIANCE)
    return spread / _floored_variance(FLOOR * torch.exp(-0.5 * ratio)).unsqueeze(-1)


def centroid_radius(sigma: float) -> int:
    """Window radius of the local centroid: the floored Gaussian ends at 2.8 σ from its centre."""
    return max(2, math.ceil(2.8 * sigma + 0.5))


def spread_radius(sigma: float) -> int:
    """Window radius of the spread: wide enough for a blob of twice the trained width."""
    return max(3, math.ceil(5.0 * sigma))


def _weights(values: Tensor, inside: Tensor, peaks: Peaks) -> Tensor:
    """max(0, (h − base)/(peak − base) − FLOOR); base is 0, or the lowest finite cell if no cell is positive.

    Relative to the peak, so that neither tiny nor huge heatmaps leave the range of their dtype. A window that
    is level with its peak has no centre but its middle: every cell counts alike.
    """
    lowest = values.masked_fill(~(inside & values.isfinite()), math.inf).amin((-2, -1))
    base = torch.where(peaks.value > 0, torch.zeros_like(lowest), lowest)
    height = (peaks.value - base)[..., None, None]
    share = torch.where(height > 0, (values - base[..., None, None]) / height, 1.0)
    return torch.relu(share - FLOOR).masked_fill(~(inside & values.isfinite()), 0.0)


def local_moments(heatmaps: Tensor, peaks: Peaks, sigma: float) -> tuple[Tensor, Tensor]:
    """Sub-pixel centroid `[B, K, 2]` and spread (xx, xy, yy) `[B, K, 3]` around each peak.

    Weights are the heatmap above 2 % of its peak. The centroid uses a window that is symmetric about the
    peak, so that near the border it does not drift inwards; it then falls back towards argmax. The spread is
    the second moment about the centroid over the larger window, divided by what the floor takes away from a
    Gaussian, so that a clean Gaussian gives σ². Cells, cells². A flat heatmap gives its middle and the
    variance of a uniform density; NaN gives NaN. No variance is below that of one cell, 1/12.
    """
    height, width = heatmaps.shape[-2:]
    longest = max(height, width)
    near, far = min(centroid_radius(sigma), longest), min(spread_radius(sigma), longest)
    windows = cut_windows(heatmaps, peaks.column, peaks.row, max(near, far))
    weights = _weights(windows.values, windows.inside, peaks)
    offset = windows.offset
    reach_x = torch.minimum(peaks.column, width - 1 - peaks.column).clamp(max=near)
    reach_y = torch.minimum(peaks.row, height - 1 - peaks.row).clamp(max=near)
    near_x = (offset.abs() <= reach_x.unsqueeze(-1)).to(weights.dtype)
    near_y = (offset.abs() <= reach_y.unsqueeze(-1)).to(weights.dtype)
    columns = torch.einsum("bkyx,bky->bkx", weights, near_y) * near_x
    rows = torch.einsum("bkyx,bkx->bky", weights, near_x) * near_y
    shift = torch.stack([columns @ offset, rows @ offset], -1) / columns.sum(-1, keepdim=True)
    spread = _unfloored(_second_moments(weights, offset, shift), shift)
    return _settle(peaks, peaks.points + shift, spread, height, width)


def _second_moments(weights: Tensor, offset: Tensor, about: Tensor) -> Tensor:
    """Weighted second moments (xx, xy, yy) about points given relative to the window's centre."""
    columns, rows = weights.sum(-2), weights.sum(-1)
    dx, dy = offset - about[..., :1], offset - about[..., 1:]
    xx = (columns * dx**2).sum(-1)
    yy = (rows * dy**2).sum(-1)
    xy = ((weights @ dx.unsqueeze(-1)).squeeze(-1) * dy).sum(-1)
    return torch.stack([xx, xy, yy], -1) / rows.sum(-1, keepdim=True)


def _settle(peaks: Peaks, points: Tensor, spread: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Put the defined answers where there is no peak to measure."""
    least = spread.new_tensor([LEAST_VARIANCE, -math.inf, LEAST_VARIANCE])
    flat = peaks.has(HeatmapFlag.FLAT).unsqueeze(-1)
    broken = peaks.has(HeatmapFlag.NOT_FINITE).unsqueeze(-1)
    middle = points.new_tensor([(width - 1) / 2, (height - 1) / 2])
    uniform = points.new_tensor([(width**2 - 1) / 12, 0.0, (height**2 - 1) / 12])
    points = torch.where(flat, middle, points).masked_fill(broken, math.nan)
    spread = torch.maximum(torch.where(flat, uniform, spread), least).masked_fill(broken, math.nan)
    return points, spread
