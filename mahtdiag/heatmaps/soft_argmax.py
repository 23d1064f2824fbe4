"""Soft-argmax: the expectation of the place under the softmax of the whole heatmap."""

import torch
from torch import Tensor

from mahtdiag.heatmaps.peaks import reading_dtype


def soft_argmax(heatmaps: Tensor, beta: float = 1.0) -> Tensor:
    """Σ (x, y)·softmax(β·h), differentiable. `[..., H, W]` -> `[..., 2]` in heatmap cells.

    β is the inverse temperature: the larger, the closer to argmax. A flat heatmap gives its middle, one with
    a NaN or +∞ gives NaN. Half precisions are read as float32. Raises ValueError unless β is positive. Sun et
    al., Integral Human Pose Regression, ECCV 2018.
    """
    if not beta > 0:
        raise ValueError(f"beta must be positive, not {beta}")
    height, width = heatmaps.shape[-2:]
    heatmaps = heatmaps.to(reading_dtype(heatmaps))
    shifted = (heatmaps - heatmaps.detach().amax((-2, -1), keepdim=True)) * beta
    weights = shifted.exp()
    rows, columns = weights.sum(-1), weights.sum(-2)
    total = rows.sum(-1)
    x = torch.arange(width, device=heatmaps.device, dtype=heatmaps.dtype)
    y = torch.arange(height, device=heatmaps.device, dtype=heatmaps.dtype)
    return torch.stack([(columns * x).sum(-1) / total, (rows * y).sum(-1) / total], -1)
