"""The hot path: one pass over a batch of heatmaps on their device, a few hundred floats per image back."""

import torch
from torch import Tensor

from mahtdiag.heatmaps import HeatmapFlag, HeatmapReading, SecondPeaks, read_heatmaps
from mahtdiag.losses.heatmap import PUBLISHED_WEIGHT, FocalWeight
from mahtdiag.losses.windowed import HeatmapLosses, sum_outside, windowed_heatmap_losses
from mahtdiag.schema.model_spec import Decoding, UncertaintyFrame, UncertaintyKind
from mahtdiag.schema.outputs import ModelOutputs
from mahtdiag.schema.readings import BatchReading, Floats, PeakPlaces

# On a CPU heatmaps of so many cells are analysed together: enough to make the calls themselves cheap, few
# enough for a processor's cache.
CELLS_AT_ONCE = 2**19


def as_sigma(values: Tensor, kind: UncertaintyKind) -> Tensor:
    """Standard deviation from what a head emits: exp(v), v, or exp(v/2)."""
    match kind:
        case UncertaintyKind.LOG_SIGMA:
            return values.exp()
        case UncertaintyKind.SIGMA:
            return values
        case UncertaintyKind.LOG_VAR:
            return (0.5 * values).exp()


def sigma_in_input_pixels(
    values: Tensor,
    kind: UncertaintyKind,
    frame: UncertaintyFrame,
    input_size: tuple[int, int],
    heatmap_size: tuple[int, int],
) -> Tensor:
    """σ per axis `[B, K, 2]` in model-input pixels from a head's `[B, K]` or `[B, K, 2]`."""
    sigma = as_sigma(values.float(), kind)
    if sigma.ndim == 2:
        sigma = sigma.unsqueeze(-1).expand(-1, -1, 2)
    if frame is UncertaintyFrame.HEATMAP:
        stride = [input_size[1] / heatmap_size[1], input_size[0] / heatmap_size[0]]
        sigma = sigma * sigma.new_tensor(stride)
    return sigma


def analyse(
    outputs: ModelOutputs,
    centres: Tensor,
    decoding: Decoding,
    *,
    input_size: tuple[int, int],
    uncertainty_kind: UncertaintyKind | None,
    uncertainty_frame: UncertaintyFrame,
    weight: FocalWeight = PUBLISHED_WEIGHT,
) -> BatchReading:
    """Losses, peaks, places, spread and σ of a batch.

    `centres` `[B, K, 2]`: the labels in heatmap cells, NaN where missing, on the heatmaps' device. `weight`:
    how the heatmap loss weighs a pixel. With
    `uncertainty_kind` None the head is not read; without `own_coords` neither are the network's coordinates.
    On a CPU few images are analysed at a time, large ones singly, so that the extra memory stays a small
    part of one image's heatmaps.
    """
    heatmaps = outputs.heatmaps.float()
    size = _images_at_once(heatmaps)
    readings, losses = [], []
    for start in range(0, len(heatmaps), size):
        part = heatmaps[start : start + size]
        labels = centres[start : start + size]
        # Both passes over all cells come first: they empty the processor's cache for what follows.
        outside = sum_outside(part, labels, decoding.heatmap_sigma)
        readings.append(read_heatmaps(part, decoding))
        losses.append(
            windowed_heatmap_losses(
                part, labels, decoding.heatmap_sigma, weight.gamma, weight.emphasis, outside=outside
            )
        )
    sigma = None
    if outputs.uncertainty is not None and uncertainty_kind is not None:
        sigma = sigma_in_input_pixels(
            outputs.uncertainty,
            uncertainty_kind,
            uncertainty_frame,
            input_size,
            (heatmaps.shape[2], heatmaps.shape[3]),
        )
    return _to_host(outputs, _joined(readings), _joined_losses(losses), sigma, decoding.own_coords)


def _images_at_once(heatmaps: Tensor) -> int:
    if heatmaps.device.type != "cpu":
        return max(1, len(heatmaps))
    return max(1, CELLS_AT_ONCE // max(1, heatmaps[:1].numel()))


def _joined(parts: list[HeatmapReading]) -> HeatmapReading:
    if len(parts) == 1:
        return parts[0]
    return HeatmapReading(
        torch.cat([p.points for p in parts]),
        torch.cat([p.peak for p in parts]),
        torch.cat([p.spread for p in parts]),
        torch.cat([p.flags for p in parts]),
        torch.cat([p.argmax for p in parts]),
        torch.cat([p.local for p in parts]),
        SecondPeaks(torch.cat([p.second.share for p in parts]), torch.cat([p.second.points for p in parts])),
    )


def _joined_losses(parts: list[HeatmapLosses]) -> HeatmapLosses:
    if len(parts) == 1:
        return parts[0]
    return HeatmapLosses(
        torch.cat([p.mse for p in parts]),
        torch.cat([p.focal for p in parts]),
        torch.cat([p.keypoint_share for p in parts]),
        torch.cat([p.finite for p in parts]),
    )


def _floats(values: Tensor) -> Floats:
    host: Floats = values.detach().cpu().double().numpy()
    return host


def _to_host(
    outputs: ModelOutputs,
    reading: HeatmapReading,
    losses: HeatmapLosses,
    sigma: Tensor | None,
    own_coords: bool,
) -> BatchReading:
    finite = losses.finite & ((reading.flags & int(HeatmapFlag.NOT_FINITE)) == 0)
    finite = finite & reading.points.isfinite().all(-1)
    coords = outputs.coords.float() if own_coords and outputs.coords is not None else None
    if coords is not None:
        finite = finite & coords.isfinite().all(-1)
    if sigma is not None:
        finite = finite & ~sigma.isnan().any(-1)
    height, width = outputs.heatmaps.shape[-2:]
    return BatchReading(
        heatmap_size=(height, width),
        points=_floats(reading.points),
        spread=_floats(reading.spread),
        peak=_floats(reading.peak),
        flags=reading.flags.cpu().numpy(),
        finite=finite.cpu().numpy(),
        loss_mse=_floats(losses.mse),
        loss_focal=_floats(losses.focal),
        keypoint_share=_floats(losses.keypoint_share),
        coords=None if coords is None else _floats(coords),
        sigma=None if sigma is None else _floats(sigma),
        peaks=PeakPlaces(
            second_share=_floats(reading.second.share),
            second=_floats(reading.second.points),
            argmax=_floats(reading.argmax),
            local=_floats(reading.local),
        ),
    )
