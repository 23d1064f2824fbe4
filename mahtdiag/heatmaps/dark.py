"""DARK: distribution-aware coordinate representation of keypoints."""

import math

import torch
from torch import Tensor

from mahtdiag.heatmaps.peaks import Peaks, Windows, weighted_sums

SMALLEST = 1e-10


def _difference(**weights: float) -> list[float]:
    """Weights of the 5×5 cells around a place, named by column and row: `x3y2=0.5`."""
    return [weights.get(f"x{x}y{y}", 0.0) for y in range(5) for x in range(5)]


# Gradient (x, y) and Hessian (xx, yy, xy) at the middle: central differences, of two cells for the Hessian.
_DIFFERENCES = [
    _difference(x3y2=0.5, x1y2=-0.5),
    _difference(x2y3=0.5, x2y1=-0.5),
    _difference(x4y2=0.25, x2y2=-0.5, x0y2=0.25),
    _difference(x2y4=0.25, x2y2=-0.5, x2y0=0.25),
    _difference(x3y3=0.25, x1y3=-0.25, x3y1=-0.25, x1y1=0.25),
]


def blur_radius(sigma: float) -> int:
    """Radius of the modulation kernel: 5 cells (11 taps) at σ = 2 and 8 (17 taps) at σ = 3, as published."""
    return max(1, round(3 * sigma) - 1)


def window_radius(sigma: float, longest: int) -> int:
    """Radius of the window that `dark` needs in heatmaps of at most `longest` cells a side."""
    return min(blur_radius(sigma), longest) + 2


def dark(windows: Windows, peaks: Peaks, sigma: float) -> Tensor:
    """Sub-pixel places `[B, K, 2]` by a Newton step on the log of the smoothed heatmap around its peak.

    m − H⁻¹·g at the highest cell m, with gradient g and Hessian H of ln(heatmap ∗ Gaussian(σ)) by central
    differences (steps of one cell for g, of two for H). Only the cells that enter are smoothed. No step is
    taken within two cells of the border or where H is not negative definite; a step is at most one cell per
    axis. A flat heatmap gives its middle, one with a NaN gives NaN. Two departures from the source: near the
    border the kernel is cut to what lies inside on both sides, because smoothing with the nothing beyond it
    pulls the place inwards by more than a cell; and cells are taken relative to the peak, so that the scale
    of the heatmap has no say. Zhang et al., Distribution-Aware Coordinate Representation for Human Pose
    Estimation, CVPR 2020.
    """
    values = windows.values / torch.where(peaks.value > 0, peaks.value, 1.0)[..., None, None]
    values = values.masked_fill(values == -math.inf, 0.0)
    columns, rows = _smoothing(peaks.room, sigma, windows.offset).unbind(2)
    smooth = weighted_sums(rows, values, columns)
    logs = smooth.clamp(min=SMALLEST).log()
    # Not as a matrix product, whose sums depend on how many images there are.
    gx, gy, hxx, hyy, hxy = (logs.flatten(2).unsqueeze(2) * logs.new_tensor(_DIFFERENCES)).sum(-1).unbind(-1)
    determinant = hxx * hyy - hxy**2
    step = -torch.stack([hyy * gx - hxy * gy, hxx * gy - hxy * gx], -1) / determinant.unsqueeze(-1)
    usable = (hxx < 0) & (determinant > 0) & (peaks.room > 1).all(-1)
    step = torch.where(usable.unsqueeze(-1), step.clamp(-1.0, 1.0), 0.0)
    return peaks.settled(peaks.points + step)


def _smoothing(room: Tensor, sigma: float, offset: Tensor) -> Tensor:
    """Smoothing along each axis as a matrix: room to the border `[B, K, 2]` -> `[B, K, 2, 5, n]`.

    Row r gives the smoothed cell r−2 of the window; each kernel sums to 1 and ends where the outermost of the
    five cells would meet the border.
    """
    taps = offset - torch.arange(-2, 3, device=offset.device).unsqueeze(-1)
    radius = (offset.shape[0] - 5) // 2
    reached = taps.abs() <= (room - 2).clamp(0, radius)[..., None, None]
    kernel = torch.exp(-(taps**2) / (2 * sigma**2)) * reached
    return kernel / kernel.sum(-1, keepdim=True)
