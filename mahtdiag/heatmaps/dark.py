"""DARK: distribution-aware coordinate representation of keypoints."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from mahtdiag.heatmaps.peaks import HeatmapFlag, Peaks, cut_windows

SMALLEST = 1e-10


def blur_radius(sigma: float) -> int:
    """Radius of the modulation kernel: 5 cells (11 taps) at σ = 2 and 8 (17 taps) at σ = 3, as published."""
    return max(1, round(3 * sigma) - 1)


def dark(heatmaps: Tensor, peaks: Peaks, sigma: float) -> Tensor:
    """Sub-pixel places by a Newton step on the log of the smoothed heatmap. `[B, K, H, W]` -> `[B, K, 2]`.

    m − H⁻¹·g at the highest cell m, with gradient g and Hessian H of ln(heatmap ∗ Gaussian(σ)) by central
    differences (steps of one cell for g, of two for H). Only the cells that enter are smoothed. No step is
    taken within two cells of the border or where H is not negative definite; a step is at most one cell per
    axis. A flat heatmap gives its middle, one with a NaN gives NaN. Two departures from the source: near the
    border the kernel is cut to what lies inside on both sides, because smoothing with the nothing beyond it
    pulls the place inwards by more than a cell; and cells are taken relative to the peak, so that the scale
    of the heatmap has no say. Zhang et al., Distribution-Aware Coordinate Representation for Human Pose
    Estimation, CVPR 2020.
    """
    height, width = heatmaps.shape[-2:]
    radius = min(blur_radius(sigma), max(height, width))
    windows = cut_windows(heatmaps, peaks.column, peaks.row, radius + 2)
    values = windows.values / torch.where(peaks.value > 0, peaks.value, 1.0)[..., None, None]
    values = values.masked_fill(values == -math.inf, 0.0)
    rows = _band(torch.minimum(peaks.row, height - 1 - peaks.row), sigma, radius, values.dtype)
    columns = _band(torch.minimum(peaks.column, width - 1 - peaks.column), sigma, radius, values.dtype)
    smooth = rows @ values @ columns.mT
    logs = smooth.clamp(min=SMALLEST).log()
    gx = 0.5 * (logs[..., 2, 3] - logs[..., 2, 1])
    gy = 0.5 * (logs[..., 3, 2] - logs[..., 1, 2])
    centre = logs[..., 2, 2]
    hxx = 0.25 * (logs[..., 2, 4] - 2 * centre + logs[..., 2, 0])
    hyy = 0.25 * (logs[..., 4, 2] - 2 * centre + logs[..., 0, 2])
    hxy = 0.25 * (logs[..., 3, 3] - logs[..., 1, 3] - logs[..., 3, 1] + logs[..., 1, 1])
    determinant = hxx * hyy - hxy**2
    step = -torch.stack([hyy * gx - hxy * gy, hxx * gy - hxy * gx], -1) / determinant.unsqueeze(-1)
    usable = (hxx < 0) & (determinant > 0) & ~peaks.has(HeatmapFlag.FLAT)
    usable &= (peaks.column > 1) & (peaks.column < width - 2) & (peaks.row > 1) & (peaks.row < height - 2)
    step = torch.where(usable.unsqueeze(-1), step.clamp(-1.0, 1.0), 0.0)
    middle = step.new_tensor([(width - 1) / 2, (height - 1) / 2])
    points = torch.where(peaks.has(HeatmapFlag.FLAT).unsqueeze(-1), middle, peaks.points + step)
    return points.masked_fill(peaks.has(HeatmapFlag.NOT_FINITE).unsqueeze(-1), torch.nan)


def _band(room: Tensor, sigma: float, radius: int, dtype: torch.dtype) -> Tensor:
    """Smoothing along one axis as a matrix: room to the border `[B, K]` -> `[B, K, 5, 2·radius+5]`.

    Row r gives the smoothed cell r−2 of the window; each kernel sums to 1 and ends where the outermost of the
    five cells would meet the border.
    """
    taps = torch.arange(-radius, radius + 1, device=room.device)
    kernel = torch.exp(-(taps.to(dtype) ** 2) / (2 * sigma**2)) * (
        taps.abs() <= (room - 2).clamp(min=0)[..., None]
    )
    kernel = kernel / kernel.sum(-1, keepdim=True)
    return torch.stack([F.pad(kernel, (cell, 4 - cell)) for cell in range(5)], -2)
