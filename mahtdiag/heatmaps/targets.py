"""Gaussian target heatmaps."""

import torch
from torch import Tensor


def gaussian_profile(centre: Tensor, sigma: float, length: int) -> Tensor:
    """exp(−(i−c)²/(2σ²)) for i = 0 … length−1. Centres `[...]` in cells -> `[..., length]`; NaN stays NaN."""
    index = torch.arange(length, device=centre.device, dtype=centre.dtype)
    return torch.exp(-((index - centre.unsqueeze(-1)) ** 2) / (2 * sigma**2))


def gaussian_targets(points: Tensor, sigma: float, height: int, width: int) -> Tensor:
    """Gaussian heatmaps with peak 1: exp(−((x−cx)² + (y−cy)²)/(2σ²)).

    Points `[..., 2]` (x, y) and σ in heatmap cells -> `[..., height, width]`. A missing point (NaN) gives a
    heatmap of NaN, which every loss leaves out. Points need not lie on a cell or inside the map. Raises
    ValueError unless σ is positive and the points have two coordinates.
    """
    if points.shape[-1:] != (2,):
        raise ValueError(f"points must be [..., 2], not {list(points.shape)}")
    if not sigma > 0:
        raise ValueError(f"sigma must be positive, not {sigma}")
    columns = gaussian_profile(points[..., 0], sigma, width)
    rows = gaussian_profile(points[..., 1], sigma, height)
    return rows.unsqueeze(-1) * columns.unsqueeze(-2)
