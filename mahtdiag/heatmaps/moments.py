"""Local weighted centroid and spread, from the cells around a peak."""

import math
from typing import TypeVar

import torch
from torch import Tensor

from mahtdiag.heatmaps.peaks import Peaks, Windows, weighted_sums

Number = TypeVar("Number", float, Tensor)

# Cells below this share of the peak are background: they carry no weight.
FLOOR = 0.02
# The place inside its cell is never known better than a uniform density over the cell.
LEAST_VARIANCE = 1 / 12


def _variance_left(floor: Number, depth: Number) -> Number:
    """Variance of a 2-D Gaussian that is lowered by `floor` of its height and cut at zero, over its σ².

    With depth u = −ln floor: (1 − floor·(1 + u + u²/2)) / (1 − floor·(1 + u)).
    """
    return (1 - floor * (1 + depth + 0.5 * depth * depth)) / (1 - floor * (1 + depth))


def _unfloored(spread: Tensor, shift: Tensor) -> Tensor:
    """Undo what the floor takes from a Gaussian's variance.

    The floor is a share of the highest cell, which lies `shift` below the true peak; the true share is
    smaller by exp(−shift²/2v), with v as a first estimate from the nominal share.
    """
    nominal = -math.log(FLOOR)
    variance = (spread[..., 0] + spread[..., 2]) * (0.5 / _variance_left(FLOOR, nominal))
    depth = nominal + 0.5 * (shift**2).sum(-1) / variance.clamp(min=LEAST_VARIANCE)
    return spread / _variance_left(torch.exp(-depth), depth).unsqueeze(-1)


def centroid_radius(sigma: float) -> int:
    """Window radius of the local centroid: the floored Gaussian ends at 2.8 σ from its centre."""
    return max(2, math.ceil(2.8 * sigma + 0.5))


def spread_radius(sigma: float) -> int:
    """Window radius of the spread: wide enough for a blob of twice the trained width."""
    return max(3, math.ceil(5.0 * sigma))


def window_radius(sigma: float, longest: int) -> int:
    """Radius of the window that `local_moments` needs in heatmaps of at most `longest` cells a side."""
    return min(max(centroid_radius(sigma), spread_radius(sigma)), longest)


def _weights(windows: Windows, peaks: Peaks) -> Tensor:
    """max(0, (h − base)/(peak − base) − FLOOR); base is 0, or the lowest finite cell if no cell is positive.

    Relative to the peak, so that neither tiny nor huge heatmaps leave the range of their dtype. A window that
    is level with its peak has no centre but its middle: every cell counts alike.
    """
    values, height = windows.values, peaks.value[..., None, None]
    if not bool((peaks.value <= 0).any()):
        # Cells outside are 0 and background is at most −∞: the floor leaves nothing of either.
        return (values / height).sub_(FLOOR).relu_()
    usable = values.isfinite() & windows.inside
    lowest = values.masked_fill(~usable, math.inf).amin((-2, -1), keepdim=True)
    base = torch.where(height > 0, 0.0, lowest)
    values, height = values - base, height - base
    share = torch.where(height > 0, values / height, 1.0)
    return share.sub_(FLOOR).relu_().masked_fill_(~usable, 0.0)


def local_moments(windows: Windows, peaks: Peaks, sigma: float) -> tuple[Tensor, Tensor]:
    """Sub-pixel centroid `[B, K, 2]` and spread (xx, xy, yy) `[B, K, 3]` around each peak.

    Weights are the heatmap above 2 % of its peak. The centroid uses a window that is symmetric about the
    peak, so that near the border it does not drift inwards; it then falls back towards argmax. The spread is
    the second moment about the centroid over the larger window, divided by what the floor takes away from a
    Gaussian, so that a clean Gaussian gives σ². Cells, cells². A flat heatmap gives its middle and the
    variance of a uniform density; NaN gives NaN. No variance is below that of one cell, 1/12.
    """
    weights, offset = _weights(windows, peaks), windows.offset
    near = (offset.abs() <= peaks.room.clamp(max=centroid_radius(sigma)).unsqueeze(-1)).to(weights.dtype)
    powers = torch.stack([torch.ones_like(offset), offset, offset * offset])
    # Per axis: powers 0 and 1 in the symmetric window, then powers 0 to 2 in the large one.
    factors = torch.cat([near.unsqueeze(-2) * powers[:2], powers.expand(*near.shape[:-1], 3, -1)], -2)
    sums = weighted_sums(factors[:, :, 1], weights, factors[:, :, 0])
    shift = torch.stack([sums[..., 0, 1], sums[..., 1, 0]], -1) / sums[..., 0, 0, None]
    spread = _unfloored(_about(sums[..., 2:, 2:], shift), shift)
    return _settle(peaks, peaks.points + shift, spread)


def _about(sums: Tensor, place: Tensor) -> Tensor:
    """Second moments (xx, xy, yy) about a place, from Σ w·yⁱ·xʲ `[B, K, 3, 3]` about the window's centre."""
    mean = sums / sums[..., :1, :1]
    # Along both axes at once: (x, y) of the first and of the second moments.
    first = torch.stack([mean[..., 0, 1], mean[..., 1, 0]], -1)
    second = torch.stack([mean[..., 0, 2], mean[..., 2, 0]], -1)
    xx, yy = (second - place * (2 * first - place)).unbind(-1)
    xy = mean[..., 1, 1] + place.prod(-1) - (place * first.flip(-1)).sum(-1)
    return torch.stack([xx, xy, yy], -1)


def _settle(peaks: Peaks, points: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
    """Put the defined answers where there is no peak to measure."""
    least = spread.new_tensor([LEAST_VARIANCE, -math.inf, LEAST_VARIANCE])
    uniform = spread.new_tensor([(peaks.width**2 - 1) / 12, 0.0, (peaks.height**2 - 1) / 12])
    spread = torch.maximum(torch.where(peaks.flat.unsqueeze(-1), uniform, spread), least)
    return peaks.settled(points), spread.masked_fill(peaks.broken.unsqueeze(-1), math.nan)
