"""How far from the decoded place a heatmap expects the keypoint to be: its expected radial error.

Σ p·‖cell − place‖ over the cells, p being the heatmap as it is decoded, with a sum of 1. Soft-argmax averages
with softmax(β·h), so that is p; the other decoders read the heatmap above its background, so p is what
reaches `CUT` of the peak, over its sum. McCouat, Voiculescu, Contour-Hugging Heatmaps for Landmark Detection,
CVPR 2022, whose networks are trained to give probabilities; a heatmap that is none gives a number that may
rank keypoints, but is no error to be expected before `calibration` says so.
"""

import torch
from torch import Tensor

from mahtdiag.heatmaps.peaks import Peaks, groups_of_stretches, stretch_cells

CUT = 0.05
"""Cells below this share of the peak have no weight, as in the published program: there are many of them."""


def distance_by_weights(weights: Tensor, places: Tensor, cell_size: Tensor) -> Tensor:
    """Σ w·‖cell − place‖ / Σ w of whole maps: `[K, H, W]`, places (x, y) `[K, 2]` -> `[K]`.

    Places in cells, `cell_size` (x, y) `[2]` the unit of the result per cell.
    """
    across, along = (
        (torch.arange(side, device=weights.device, dtype=weights.dtype) - places[:, axis, None])
        * cell_size[axis]
        for axis, side in ((0, weights.shape[-1]), (1, weights.shape[-2]))
    )
    distance = (across.square().unsqueeze(-2) + along.square().unsqueeze(-1)).sqrt_()
    maps = weights.flatten(1)
    expected: Tensor = torch.linalg.vecdot(maps, distance.flatten(1)) / maps.sum(-1)
    return expected


def distance_above_cut(
    heatmaps: Tensor, peaks: Peaks, maxima: Tensor, places: Tensor, cell_size: Tensor
) -> Tensor:
    """The same of heatmaps `[B, K, H, W]` above the cut -> `[B, K]`, reading only where they reach it.

    `maxima`: those of `stretch_maxima`; `places` `[B, K, 2]`, `cell_size` `[B, 2]`. Heights count from 0, or
    from the lowest finite cell of a heatmap without a positive one; a flat heatmap has equal weights. A
    background above the cut counts as all else does. NaN where a heatmap holds a NaN or +∞.
    """
    base = _bases(heatmaps, peaks)
    height = peaks.value - base
    reaching = maxima >= (base + CUT * height)[..., None, None]
    reaching &= ~peaks.broken[..., None, None]
    sums = peaks.value.new_zeros(2, peaks.value.numel())
    length = heatmaps.shape[-1] // maxima.shape[-1]
    along_row = torch.arange(length, device=heatmaps.device, dtype=peaks.value.dtype)
    for images in groups_of_stretches(reaching, heatmaps):
        found = reaching[images].nonzero()
        found[:, 0] += images.start
        batch, keypoint, row, number = found.unbind(-1)
        place, size = places[batch, keypoint], cell_size[batch]
        share = stretch_cells(heatmaps, found, length).sub_(base[batch, keypoint].unsqueeze(-1))
        share.div_(height[batch, keypoint].unsqueeze(-1))
        # Flat: nothing over nothing, and all cells alike.
        weights = torch.nn.functional.threshold(share.nan_to_num_(1.0, neginf=0.0), CUT, 0.0)
        across = along_row + (number * length - place[:, 0]).unsqueeze(-1)
        across.mul_(size[:, :1]).square_()
        along = (row - place[:, 1]) * size[:, 1]
        distance = across.add_(along.square().unsqueeze(-1)).sqrt_()
        heatmap = batch * heatmaps.shape[1] + keypoint
        sums[0].index_add_(0, heatmap, torch.linalg.vecdot(weights, distance))
        sums[1].index_add_(0, heatmap, weights.sum(-1))
    return (sums[0] / sums[1]).view_as(peaks.value)


def _bases(heatmaps: Tensor, peaks: Peaks) -> Tensor:
    """What heights count from, `[B, K]`: 0, or the lowest finite cell where no cell is positive."""
    base = torch.zeros_like(peaks.value)
    without = peaks.value <= 0
    if bool(without.any()):
        cells = heatmaps[without].to(base.dtype)
        base[without] = cells.masked_fill(~cells.isfinite(), torch.inf).amin((-2, -1))
    return base
