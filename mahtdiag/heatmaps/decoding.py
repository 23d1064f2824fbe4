"""From points to heatmaps, and from heatmaps to what is kept: places, peak values, spreads, flags.

Places finer than a cell follow from the cells around a peak: local centroid with spread, and DARK.
"""

import math
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from mahtdiag.heatmaps.expected_error import distance_above_cut, distance_by_weights
from mahtdiag.heatmaps.peaks import (
    Peaks,
    SecondPeaks,
    Windows,
    are_diffuse,
    cut_windows,
    find_peaks,
    find_second_peaks,
    reaching_stretches,
    reading_dtype,
    stretch_maxima,
    weighted_sums,
)
from mahtdiag.schema.choices import DecodeMethod, HeatmapFlag
from mahtdiag.schema.model_spec import Decoding
from mahtdiag.schema.precision import most_precise


@dataclass(frozen=True)
class HeatmapReading:
    """What a heatmap says, in heatmap cells.

    `points` `[B, K, 2]` (x, y) by the chosen method, `peak` value `[B, K]`, `spread` (xx, xy, yy) in cells²
    `[B, K, 3]`, `flags` bits of `HeatmapFlag` `[B, K]`. NaN where the heatmap holds a NaN or +∞; a cell of −∞
    is background. `argmax` and `local` `[B, K, 2]` are the places that those two methods give, whatever the
    chosen one is; `second` is the second peak. `averaged` (xx, xy, yy) `[B, K, 3]` is the spread of the whole
    map that soft-argmax or the expectation averages, about the place; None for the other methods, which read
    the peak alone.
    `expected_error` `[B, K]`: the expected radial error, in the unit of the `cell_size` that was given; None
    where none was (see `heatmaps.expected_error`).
    """

    points: Tensor
    peak: Tensor
    spread: Tensor
    flags: Tensor
    argmax: Tensor
    local: Tensor
    second: SecondPeaks
    averaged: Tensor | None = None
    expected_error: Tensor | None = None


def read_heatmaps(heatmaps: Tensor, decoding: Decoding, cell_size: Tensor | None = None) -> HeatmapReading:
    """Decode `[B, K, H, W]`, the heatmaps being read once (and once more for soft-argmax and expectation).

    `cell_size` `[B, 2]` (x, y): what a cell measures in the unit of the expected radial error, which is
    computed only where it is given: all cells that weigh anything are then read a second time.
    Works in the heatmaps' own dtype, in float32 for half precisions; means of whole maps are summed in
    float64. Raises ValueError for another shape, for heatmaps without cells, or for a σ or β that is not
    positive.
    """
    if heatmaps.ndim != 4 or 0 in heatmaps.shape[2:]:
        raise ValueError(f"heatmaps must be [B, K, H, W] with cells, not {list(heatmaps.shape)}")
    if not decoding.heatmap_sigma > 0:
        raise ValueError(f"heatmap_sigma must be positive, not {decoding.heatmap_sigma}")
    maxima = stretch_maxima(heatmaps)
    peaks = find_peaks(heatmaps, maxima)
    sigma, longest = decoding.heatmap_sigma, max(heatmaps.shape[2:])
    reaching = reaching_stretches(peaks, maxima)
    peaks = peaks.flagged(are_diffuse(reaching, peaks, sigma), HeatmapFlag.DIFFUSE)
    second = find_second_peaks(heatmaps, peaks, maxima, reaching, sigma)
    if cell_size is None:
        del maxima
    del reaching
    near, wide = dark_radius(sigma, longest), moments_radius(sigma, longest)
    windows = cut_windows(heatmaps, peaks, max(near, wide))
    centroid, spread = local_moments(windows.within(wide), peaks, sigma)
    highest = peaks.settled(peaks.points)
    averaged = expected = None
    match decoding.method:
        case DecodeMethod.LOCAL:
            points = centroid
        case DecodeMethod.DARK:
            points = dark(windows.within(near), peaks, sigma)
        case DecodeMethod.SOFT_ARGMAX:
            points, averaged, expected = _by_image(heatmaps, decoding.softargmax_beta, cell_size)
        case DecodeMethod.EXPECTATION:
            points, averaged, expected = _by_image(heatmaps, None, cell_size)
        case DecodeMethod.ARGMAX:
            points = highest
    if cell_size is not None and expected is None:
        expected = distance_above_cut(heatmaps, peaks, maxima, points, cell_size)
    return HeatmapReading(
        points, peaks.value, spread, peaks.flags, highest, centroid, second, averaged, expected
    )


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
    return _averaged(heatmaps, beta)[0].to(reading_dtype(heatmaps))


def expectation(heatmaps: Tensor) -> Tensor:
    """Σ (x, y)·h / Σ h over the cells above 0, differentiable. `[..., H, W]` -> `[..., 2]` in heatmap cells.

    The mean place of a map of probabilities. A map without a cell above 0 is counted from its lowest one, a
    flat one gives its middle, one with a NaN or +∞ gives NaN. Half precisions are read as float32. Nibali et
    al., Numerical Coordinate Regression with Convolutional Neural Networks, 2018.
    """
    return _averaged(heatmaps, None)[0].to(reading_dtype(heatmaps))


def soft_moments(heatmaps: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """Place `[..., 2]` of soft-argmax and the spread (xx, xy, yy) `[..., 3]` of what it averages, about it.

    Σ (x−x̄)², (x−x̄)·(y−ȳ), (y−ȳ)² · softmax(β·h) over the whole map: two peaks are as wide as they lie apart.
    Cells, cells²; no variance is below that of one cell, 1/12. Otherwise as `soft_argmax`.
    """
    place, spread, _ = _soft_moments(heatmaps, beta, None)
    return place.to(reading_dtype(heatmaps)), spread.to(reading_dtype(heatmaps))


def _by_image(
    heatmaps: Tensor, beta: float | None, cell_size: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The same of a batch, one image at a time: a copy is needed of what is read."""
    found = heatmaps.new_empty((*heatmaps.shape[:2], 6), dtype=most_precise(heatmaps.device))
    for image, part in enumerate(heatmaps):
        size = None if cell_size is None else cell_size[image]
        place, spread, distance = _soft_moments(part, beta, size)
        found[image, :, :2], found[image, :, 2:5] = place, spread
        if distance is not None:
            found[image, :, 5] = distance
    return found[..., :2], found[..., 2:5], None if cell_size is None else found[..., 5]


def _soft_moments(
    heatmaps: Tensor, beta: float | None, cell_size: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The same, and the mean distance from the place by the same weights where `cell_size` gives its unit."""
    place, weights, columns, rows = _averaged(heatmaps, beta)
    total = rows.sum(-1, keepdim=True)
    from_x, from_y = (
        torch.arange(side, device=place.device, dtype=place.dtype) - place[..., axis, None]
        for axis, side in enumerate((columns.shape[-1], rows.shape[-1]))
    )
    # About the place before they are multiplied: differences of large sums would cancel.
    xy = (torch.einsum("...yx,...x->...y", weights, from_x.to(weights.dtype)) * from_y).sum(-1)
    sums = torch.stack([(columns * from_x**2).sum(-1), xy, (rows * from_y**2).sum(-1)], -1)
    least = sums.new_tensor([LEAST_VARIANCE, -math.inf, LEAST_VARIANCE])
    distance = None if cell_size is None else distance_by_weights(weights, place.to(weights.dtype), cell_size)
    return place, torch.maximum(sums / total, least), distance


def _averaged(heatmaps: Tensor, beta: float | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Place of soft-argmax, or of the expectation without a β, and the weights that it averages with.

    Also their sums over columns and rows.
    """
    height, width = heatmaps.shape[-2:]
    heatmaps = heatmaps.to(reading_dtype(heatmaps))
    weights = _shares(heatmaps) if beta is None else _soft_shares(heatmaps, beta)
    # In float32 the places of the same network in two libraries would differ by 1e-4 px.
    precise = most_precise(heatmaps.device)
    rows, columns = weights.sum(-1).to(precise), weights.sum(-2).to(precise)
    total = rows.sum(-1)
    x = torch.arange(width, device=heatmaps.device, dtype=precise)
    y = torch.arange(height, device=heatmaps.device, dtype=precise)
    place = torch.stack([(columns * x).sum(-1) / total, (rows * y).sum(-1) / total], -1)
    return place, weights, columns, rows


def _soft_shares(heatmaps: Tensor, beta: float) -> Tensor:
    if not beta > 0:
        raise ValueError(f"beta must be positive, not {beta}")
    shifted = (heatmaps - heatmaps.detach().amax((-2, -1), keepdim=True)) * beta
    # What is smaller has no weight either, but would be a subnormal number, which processors are slow at.
    return shifted.clamp_(min=LEAST_EXPONENT).exp()


def _shares(heatmaps: Tensor) -> Tensor:
    """Cells above 0 as shares of the highest; where none is, above the lowest. Flat maps weigh all alike."""
    highest = heatmaps.detach().amax((-2, -1), keepdim=True)
    endless = heatmaps == -math.inf
    lowest = heatmaps.detach().masked_fill(endless, math.inf).amin((-2, -1), keepdim=True)
    base = torch.where(highest > 0, torch.zeros_like(highest), lowest)
    weights = (heatmaps - base).clamp(min=0.0) / (highest - base)
    # Of nothing but −∞ there is no place: NaN, as of a cell that is NaN.
    return torch.where(highest == base, (~endless).to(weights.dtype), weights)


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


Number = TypeVar("Number", float, Tensor)

# Cells below this share of the peak are background: they carry no weight.
FLOOR = 0.02
# The place inside its cell is never known better than a uniform density over the cell.
LEAST_VARIANCE = 1 / 12
# DARK takes the logarithm of no less than this.
SMALLEST = 1e-10
# Soft-argmax gives no cell less weight than e to this.
LEAST_EXPONENT = -80.0


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
    """Window radius of the spread, never below the centroid's: it holds a blob of twice the trained width."""
    return max(3, math.ceil(5.0 * sigma))


def moments_radius(sigma: float, longest: int) -> int:
    """Radius of the window that `local_moments` needs in heatmaps of at most `longest` cells a side."""
    return min(spread_radius(sigma), longest)


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


def blur_radius(sigma: float) -> int:
    """Radius of the modulation kernel: 5 cells (11 taps) at σ = 2 and 8 (17 taps) at σ = 3, as published."""
    return max(1, round(3 * sigma) - 1)


def dark_radius(sigma: float, longest: int) -> int:
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
