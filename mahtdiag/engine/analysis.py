"""The hot path: one pass over a batch of heatmaps on their device, a few hundred floats per image back."""

import numpy as np
import torch
from torch import Tensor

from mahtdiag.heatmaps.decoding import HeatmapReading, read_heatmaps
from mahtdiag.losses.heatmap import (
    PUBLISHED_WEIGHT,
    FocalWeight,
    HeatmapLosses,
    most_precise,
    sum_outside,
    windowed_heatmap_losses,
)
from mahtdiag.schema.choices import HeatmapFlag, UncertaintyFrame, UncertaintyKind
from mahtdiag.schema.model_spec import Decoding
from mahtdiag.schema.records import BatchReading, Floats, ModelOutputs, PeakPlaces


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
    cell_px: Tensor | None = None,
) -> BatchReading:
    """Losses, peaks, places, spread and σ of a batch.

    `centres` `[B, K, 2]`: the labels in heatmap cells, NaN where missing, on the heatmaps' device. `weight`:
    how the heatmap loss weighs a pixel. `cell_px` `[B, 2]` (x, y): original pixels per heatmap cell of each
    image, for the expected radial error, which is not computed without them. With `uncertainty_kind` None the
    head is not read; without `own_coords` neither are the network's coordinates.
    All images of the batch are read together: a call costs more than what it does for one image. Only numbers
    leave the device, in one transfer.
    """
    heatmaps = outputs.heatmaps.float()
    # Both passes over all cells come first: they empty the processor's cache for what follows.
    outside = sum_outside(heatmaps, centres, decoding.heatmap_sigma)
    reading = read_heatmaps(heatmaps, decoding, cell_px)
    losses = windowed_heatmap_losses(
        heatmaps, centres, decoding.heatmap_sigma, weight.gamma, weight.emphasis, outside=outside
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
    return _to_host(outputs, reading, losses, sigma, decoding.own_coords)


def _to_host(
    outputs: ModelOutputs,
    reading: HeatmapReading,
    losses: HeatmapLosses,
    sigma: Tensor | None,
    own_coords: bool,
) -> BatchReading:
    # By the names of `BatchReading` and `PeakPlaces`.
    on_device = {
        "points": reading.points,
        "spread": reading.spread,
        "peak": reading.peak,
        "flags": reading.flags,
        "finite": losses.finite,
        "loss_mse": losses.mse,
        "loss_focal": losses.focal,
        "keypoint_share": losses.keypoint_share,
        "second_share": reading.second.share,
        "second": reading.second.points,
        "argmax": reading.argmax,
        "local": reading.local,
    }
    if reading.expected_error is not None:
        on_device["expected_error"] = reading.expected_error
    if reading.averaged is not None:
        on_device["averaged"] = reading.averaged
    if own_coords and outputs.coords is not None:
        on_device["coords"] = outputs.coords.float()
    if sigma is not None:
        on_device["sigma"] = sigma
    host = _in_one_transfer(on_device)
    peaks = PeakPlaces(**{name: host.pop(name) for name in ("second_share", "second", "argmax", "local")})
    flags = host.pop("flags").astype(np.int64)
    finite = (host.pop("finite") != 0) & ((flags & int(HeatmapFlag.NOT_FINITE)) == 0)
    finite &= np.isfinite(host["points"]).all(-1)
    coords, own_sigma = host.pop("coords", None), host.pop("sigma", None)
    if coords is not None:
        finite &= np.isfinite(coords).all(-1)
    if own_sigma is not None:
        finite &= ~np.isnan(own_sigma).any(-1)
    height, width = outputs.heatmaps.shape[-2:]
    return BatchReading(
        heatmap_size=(height, width),
        flags=flags,
        finite=finite,
        coords=coords,
        sigma=own_sigma,
        peaks=peaks,
        **host,
    )


def _in_one_transfer(values: dict[str, Tensor]) -> dict[str, Floats]:
    """Tensors that have their first axis in common as arrays of float64, each with its own shape."""
    device = values["points"].device
    # Every one converted by itself: what a mixture of types is joined to is the device's own affair.
    joined = [v.detach().to(most_precise(device)) for v in values.values()]
    rows = torch.cat([v.flatten(1) if v.ndim > 1 else v[:, None] for v in joined], 1)
    ends = np.cumsum([v.shape[1:].numel() for v in values.values()])
    parts = np.split(rows.cpu().double().numpy(), ends[:-1], axis=1)
    return {name: part.reshape(v.shape) for (name, v), part in zip(values.items(), parts, strict=True)}
