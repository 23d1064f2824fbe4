"""From points to heatmaps, and from heatmaps to what is kept: places, peak values, spreads, flags."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mahtdiag.heatmaps.peaks import cut_windows, find_peaks, reading_dtype, stretch_maxima
from mahtdiag.heatmaps.second_peak import SecondPeaks, find_second_peaks
from mahtdiag.heatmaps.subpixel import dark, dark_radius, local_moments, moments_radius
from mahtdiag.schema.model_spec import DecodeMethod, Decoding


@dataclass(frozen=True)
class HeatmapReading:
    """What a heatmap says, in heatmap cells.

    `points` `[B, K, 2]` (x, y) by the chosen method, `peak` value `[B, K]`, `spread` (xx, xy, yy) in cells²
    `[B, K, 3]`, `flags` bits of `HeatmapFlag` `[B, K]`. NaN where the heatmap holds a NaN or +∞; a cell of −∞
    is background. `argmax` and `local` `[B, K, 2]` are the places that those two methods give, whatever the
    chosen one is; `second` is the second peak.
    """

    points: Tensor
    peak: Tensor
    spread: Tensor
    flags: Tensor
    argmax: Tensor
    local: Tensor
    second: SecondPeaks


def read_heatmaps(heatmaps: Tensor, decoding: Decoding) -> HeatmapReading:
    """Decode `[B, K, H, W]`, the heatmaps being read once (and once more for soft-argmax).

    Works in the heatmaps' own dtype, in float32 for half precisions. Raises ValueError for another shape, for
    heatmaps without cells, or for a σ or β that is not positive.
    """
    if heatmaps.ndim != 4 or 0 in heatmaps.shape[2:]:
        raise ValueError(f"heatmaps must be [B, K, H, W] with cells, not {list(heatmaps.shape)}")
    if not decoding.heatmap_sigma > 0:
        raise ValueError(f"heatmap_sigma must be positive, not {decoding.heatmap_sigma}")
    maxima = stretch_maxima(heatmaps)
    peaks = find_peaks(heatmaps, maxima)
    second = find_second_peaks(heatmaps, peaks, maxima, decoding.heatmap_sigma)
    del maxima
    sigma, longest = decoding.heatmap_sigma, max(heatmaps.shape[2:])
    near, wide = dark_radius(sigma, longest), moments_radius(sigma, longest)
    windows = cut_windows(heatmaps, peaks, max(near, wide))
    centroid, spread = local_moments(windows.within(wide), peaks, sigma)
    highest = peaks.settled(peaks.points)
    match decoding.method:
        case DecodeMethod.LOCAL:
            points = centroid
        case DecodeMethod.DARK:
            points = dark(windows.within(near), peaks, sigma)
        case DecodeMethod.SOFT_ARGMAX:
            points = torch.empty_like(highest)
            # Image by image: this one needs a copy of what it reads.
            for image, part in enumerate(heatmaps):
                points[image] = soft_argmax(part, decoding.softargmax_beta)
        case DecodeMethod.ARGMAX:
            points = highest
    return HeatmapReading(points, peaks.value, spread, peaks.flags, highest, centroid, second)


def decode(
    heatmaps: Tensor, method: DecodeMethod | str = DecodeMethod.DARK, sigma: float = 2.0, beta: float = 1.0
) -> Tensor:
    """Places `[B, K, 2]` (x, y) in heatmap cells; see `read_heatmaps` for what else a heatmap says."""
    return read_heatmaps(heatmaps, Decoding(sigma, DecodeMethod(method), beta)).points


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
    cells = (torch.arange(side, device=points.device, dtype=points.dtype) for side in (width, height))
    centres = points.unsqueeze(-1).unbind(-2)
    columns, rows = (torch.exp(-((i - c) ** 2) / (2 * sigma**2)) for i, c in zip(cells, centres, strict=True))
    return rows.unsqueeze(-1) * columns.unsqueeze(-2)
