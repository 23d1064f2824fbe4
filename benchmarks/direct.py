"""The numbers of the hot path computed the direct way: rendered targets, whole maps, formulas as written.

Losses, peaks, sub-pixel places and spread, and nothing else: what the product gives besides (the keypoints'
share of the focal loss, whether all cells are finite, second peaks, flags for odd heatmaps) is not timed
here. Plain code, neither tuned nor slowed down.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mahtdiag.heatmaps.decoding import FLOOR, SMALLEST, blur_radius, centroid_radius, spread_radius
from mahtdiag.losses import FocalHeatmapLoss, HeatmapMSELoss
from mahtdiag.schema.choices import DecodeMethod


@dataclass(frozen=True, slots=True)
class DirectReading:
    """Losses `[B]`, places `[B, K, 2]`, peak values `[B, K]`, second moments (xx, xy, yy) `[B, K, 3]`."""

    mse: Tensor
    focal: Tensor
    points: Tensor
    peak: Tensor
    moments: Tensor


def read_directly(heatmaps: Tensor, centres: Tensor, sigma: float, method: DecodeMethod) -> DirectReading:
    """Losses against rendered targets, argmax, centroid or DARK, and second moments, on whole maps."""
    height, width = heatmaps.shape[-2:]
    targets = rendered(centres, sigma, height, width)
    mse = HeatmapMSELoss(reduction="none")(heatmaps, targets)
    focal = FocalHeatmapLoss(reduction="none")(heatmaps, targets)
    peak, place = heatmaps.flatten(2).max(-1)
    column, row = place % width, place // width
    weights = F.relu(heatmaps / peak[..., None, None] - FLOOR)
    centroid, _ = centroid_and_moments(weights, column, row, centroid_radius(sigma))
    _, moments = centroid_and_moments(weights, column, row, spread_radius(sigma), centroid)
    points = dark(heatmaps, column, row, sigma) if method is DecodeMethod.DARK else centroid
    return DirectReading(mse, focal, points, peak, moments)


def rendered(centres: Tensor, sigma: float, height: int, width: int) -> Tensor:
    """Targets `[B, K, H, W]`, each pixel by its formula: exp(−((x−cx)² + (y−cy)²)/(2σ²))."""
    x = torch.arange(width, dtype=centres.dtype)
    y = torch.arange(height, dtype=centres.dtype).unsqueeze(-1)
    squared = (x - centres[..., 0, None, None]) ** 2 + (y - centres[..., 1, None, None]) ** 2
    return torch.exp(-squared / (2 * sigma**2))


def centroid_and_moments(
    weights: Tensor, column: Tensor, row: Tensor, radius: int, about: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Weighted mean place and second moments (about it or another place) of the cells within a radius."""
    x = torch.arange(weights.shape[-1], dtype=weights.dtype)
    y = torch.arange(weights.shape[-2], dtype=weights.dtype)
    near_x = ((x - column.unsqueeze(-1)).abs() <= radius).unsqueeze(-2)
    near_y = ((y - row.unsqueeze(-1)).abs() <= radius).unsqueeze(-1)
    weights = weights * (near_x & near_y)
    total = weights.sum((-2, -1))
    centroid = torch.stack([(weights.sum(-2) * x).sum(-1), (weights.sum(-1) * y).sum(-1)], -1)
    centroid = centroid / total.unsqueeze(-1)
    centre = centroid if about is None else about
    dx, dy = x - centre[..., :1], y - centre[..., 1:]
    xx = (weights.sum(-2) * dx**2).sum(-1)
    yy = (weights.sum(-1) * dy**2).sum(-1)
    xy = (torch.einsum("bkyx,bkx->bky", weights, dx) * dy).sum(-1)
    return centroid, torch.stack([xx, xy, yy], -1) / total.unsqueeze(-1)


def dark(heatmaps: Tensor, column: Tensor, row: Tensor, sigma: float) -> Tensor:
    """DARK as published: smooth the whole map, take its logarithm, one Newton step at the highest cell."""
    radius = blur_radius(sigma)
    taps = torch.arange(-radius, radius + 1, dtype=heatmaps.dtype)
    kernel = torch.exp(-(taps**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    batch, keypoints, height, width = heatmaps.shape
    smooth = F.conv2d(heatmaps.view(-1, 1, height, width), kernel.view(1, 1, -1, 1), padding=(radius, 0))
    smooth = F.conv2d(smooth, kernel.view(1, 1, 1, -1), padding=(0, radius))
    logs = smooth.clamp(min=SMALLEST).log().flatten(1)
    index = (row * width + column).flatten()
    heatmap = torch.arange(batch * keypoints)

    def at(dx: int, dy: int) -> Tensor:
        return logs[heatmap, index + dy * width + dx]

    gradient = 0.5 * torch.stack([at(1, 0) - at(-1, 0), at(0, 1) - at(0, -1)], -1)
    hxx = 0.25 * (at(2, 0) - 2 * at(0, 0) + at(-2, 0))
    hyy = 0.25 * (at(0, 2) - 2 * at(0, 0) + at(0, -2))
    hxy = 0.25 * (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1))
    hessian = torch.stack([torch.stack([hxx, hxy], -1), torch.stack([hxy, hyy], -1)], -2)
    step: Tensor = torch.linalg.solve(hessian, -gradient).view(batch, keypoints, 2)
    return torch.stack([column, row], -1) + step
