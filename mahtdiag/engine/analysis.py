"""The hot path: one pass over a batch of heatmaps on their device, a few hundred floats per image back."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mahtdiag.engine.transfer import Transfer
from mahtdiag.heatmaps.decoding import HeatmapReading, read_heatmaps
from mahtdiag.losses.heatmap import (
    PUBLISHED_WEIGHT,
    REACH,
    FocalWeight,
    HeatmapLosses,
    sum_outside,
    windowed_heatmap_losses,
)
from mahtdiag.schema.choices import DecodeMethod, HeatmapFlag, UncertaintyFrame, UncertaintyKind
from mahtdiag.schema.frames import Size
from mahtdiag.schema.model_spec import Decoding
from mahtdiag.schema.records import BatchReading, Floats, ModelOutputs, PeakPlaces


def as_sigma(values: Tensor, kind: UncertaintyKind) -> Tensor:
    """Standard deviation from what a head emits: exp(v), v, exp(v/2) or √v; of a covariance, per axis.

    A negative variance gives a negative σ, as no σ is, and is told by it.
    """
    match kind:
        case UncertaintyKind.LOG_SIGMA:
            return values.exp()
        case UncertaintyKind.SIGMA:
            return values
        case UncertaintyKind.LOG_VAR:
            return (0.5 * values).exp()
        case UncertaintyKind.VAR:
            return values.sign() * values.abs().sqrt()
        case UncertaintyKind.COV:
            return as_sigma(as_covariance(values)[..., [0, 2]], UncertaintyKind.VAR)


def as_covariance(values: Tensor) -> Tensor:
    """(xx, xy, yy) `[B, K, 3]` of the same, or of matrices `[B, K, 2, 2]`: NaN for xy where not symmetric."""
    if values.shape[-2:] != (2, 2) or values.ndim == 3:
        return values
    xx, xy, yx, yy = values.flatten(-2).unbind(-1)
    agree = (xy - yx).abs() <= ASYMMETRY * (xx * yy).abs().sqrt()
    return torch.stack([xx, torch.where(agree, (xy + yx) / 2, torch.nan), yy], -1)


ASYMMETRY = 1e-3
"""A covariance may differ from its transpose by this share of both σ multiplied."""


def sigma_in_input_pixels(
    values: Tensor,
    kind: UncertaintyKind,
    frame: UncertaintyFrame,
    input_size: tuple[int, int],
    heatmap_size: tuple[float, float] | None,
) -> Tensor:
    """σ per axis `[B, K, 2]` in model-input pixels from what a head emits, original pixels left as they are.

    See `ModelOutputs.uncertainty` for its shapes. Raises ValueError for cells where there are no heatmaps.
    """
    sigma = as_sigma(values.float(), kind)
    if sigma.ndim == 2:
        sigma = sigma.unsqueeze(-1).expand(-1, -1, 2)
    scale = unit_in_input_pixels(frame, input_size, heatmap_size)
    return sigma if scale is None else sigma * sigma.new_tensor(scale)


def unit_in_input_pixels(
    frame: UncertaintyFrame, input_size: tuple[int, int], heatmap_size: tuple[float, float] | None
) -> tuple[float, float] | None:
    """(x, y) of one unit of σ in model-input pixels; None where that is 1, or a matter of each image."""
    height, width = input_size
    match frame:
        case UncertaintyFrame.HEATMAP:
            if heatmap_size is None:
                raise ValueError("without heatmaps there are no cells")
            return width / heatmap_size[1], height / heatmap_size[0]
        case UncertaintyFrame.UNIT:
            return float(width), float(height)
        case UncertaintyFrame.SIGNED_UNIT:
            return width / 2, height / 2
    return None


Later = Callable[[], BatchReading]
"""A reading that may still be computed on its device, and is waited for when it is called for."""


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
    step: tuple[float, float] | None = None,
) -> Later:
    """Losses, peaks, places, spread and σ of a batch.

    `centres` `[B, K, 2]`: the labels in heatmap cells, NaN where missing, on the heatmaps' device. `weight`:
    how the heatmap loss weighs a pixel. `cell_px` `[B, 2]` (x, y): original pixels per heatmap cell of each
    image, for the expected radial error, which is not computed without them. With `uncertainty_kind` None the
    head is not read; without `own_coords` neither are the network's coordinates. `step`: input pixels per
    heatmap cell, (x, y), None where cells fill the input.
    All images of the batch are read together: a call costs more than what it does for one image. Only numbers
    leave the device, in one transfer; on CUDA they are not waited for where Triton's kernels read the
    heatmaps (`heatmaps.fused`), which need no memory afterwards.
    """
    grid: tuple[float, float] | None = None
    if outputs.heatmaps is not None:
        grid = outputs.heatmaps.shape[2], outputs.heatmaps.shape[3]
        if step is not None:
            # As many cells as would fill the input.
            grid = input_size[0] / step[1], input_size[1] / step[0]
    extra = _beside(outputs, uncertainty_kind, uncertainty_frame, input_size, grid, decoding.own_coords)
    if outputs.heatmaps is None:
        return partial(_of_coordinates, Transfer.begin(extra))
    rows = None if cell_px is not None else _by_kernels(outputs.heatmaps, centres, decoding, weight)
    if rows is not None:
        transfer = Transfer.begin({"rows": rows, **extra})
        return partial(_of_rows, transfer, Size(*outputs.heatmaps.shape[-2:]), decoding.method)
    found = _in_pytorch(outputs.heatmaps, extra, centres, decoding, weight, cell_px)
    return lambda: found


MOST_OF_A_REASON = 200
_unusable: list[str] = []
"""Why Triton's kernels cannot run in this process, once that is known."""


def kernels_fault(cells: Size, decoding: Decoding, device: torch.device) -> str | None:
    """Why it is PyTorch that reads the heatmaps of a CUDA device; None where Triton's kernels do.

    They are compiled for maps of this size, so that it is known, and done, before the first image.
    """
    if device.type != "cuda":
        return None
    heatmaps = torch.zeros(1, 1, cells.height, cells.width, device=device)
    _by_kernels(heatmaps, torch.zeros(1, 1, 2, device=device), decoding, PUBLISHED_WEIGHT)
    return _unusable[0] if _unusable else None


def _by_kernels(heatmaps: Tensor, centres: Tensor, decoding: Decoding, weight: FocalWeight) -> Tensor | None:
    """The rows of `heatmaps.fused`; None without CUDA or Triton, or where it does not take the heatmaps."""
    if heatmaps.device.type != "cuda" or _unusable:
        return None
    try:
        from mahtdiag.heatmaps import fused

        if not fused.can_read(heatmaps, decoding):
            return None
        background = weight.emphasis == "background"
        return fused.read(heatmaps, centres, decoding, gamma=weight.gamma, background=background, reach=REACH)
    except torch.OutOfMemoryError:
        raise
    except ModuleNotFoundError:
        _unusable.append("Triton is not installed")
    except Exception as error:  # whatever a compiler that is not there or does not fit makes of it
        told = " ".join(str(error).split())[-MOST_OF_A_REASON:]
        _unusable.append(f"Triton cannot compile its kernels ({type(error).__name__}: {told})")
    return None


def _of_rows(transfer: Transfer, grid: Size, method: DecodeMethod) -> BatchReading:
    """The reading that the rows of `heatmaps.fused` hold."""
    from mahtdiag.heatmaps.fused import COLUMNS

    host = transfer.arrays()
    rows, start, found = host.pop("rows"), 0, {}
    for name, count in COLUMNS:
        found[name] = rows[..., start] if count == 1 else rows[..., start : start + count]
        start += count
    soft = method in (DecodeMethod.SOFT_ARGMAX, DecodeMethod.EXPECTATION)
    places = found["soft"] if soft else found[str(method)]
    host = {
        "points": places,
        "finite": np.isfinite(found["squared"]),
        **{name: found[name] for name in ("spread", "peak", "flags", "second_share", "second")},
        **{name: found[name] for name in ("argmax", "local")},
        **({"averaged": found["averaged"]} if soft else {}),
        **host,
    }
    unknown = np.full(len(rows), np.nan)
    losses = {"loss_mse": unknown, "loss_focal": unknown, "keypoint_share": unknown}
    reading = _reading(host | losses, found["empty"] != 0, grid)
    # Keypoints without a label have no say, and neither have those that the network does not find.
    counted = (found["labelled"] != 0) & ~(reading.finite & np.isnan(reading.points).all(-1))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        squared, focal, at_keypoint = (
            np.where(counted, found[name], 0.0).sum(-1) for name in ("squared", "focal", "at_keypoint")
        )
        cells = np.where(counted.any(-1), counted.sum(-1) * float(grid.height * grid.width), np.nan)
        return replace(
            reading,
            loss_mse=squared / cells,
            loss_focal=focal / cells,
            keypoint_share=np.where(counted.any(-1), at_keypoint / focal, np.nan),
        )


def _in_pytorch(
    heatmaps: Tensor,
    extra: dict[str, Tensor],
    centres: Tensor,
    decoding: Decoding,
    weight: FocalWeight,
    cell_px: Tensor | None,
) -> BatchReading:
    """The same by PyTorch alone, on any device."""
    grid = Size(*heatmaps.shape[-2:])
    heatmaps = heatmaps.float()
    # Both passes over all cells come first: they empty the processor's cache for what follows.
    outside = sum_outside(heatmaps, centres, decoding.heatmap_sigma)
    reading = read_heatmaps(heatmaps, decoding, cell_px)
    losses = windowed_heatmap_losses(
        heatmaps, centres, decoding.heatmap_sigma, weight.gamma, weight.emphasis, outside=outside
    )
    host = Transfer.begin(_of_heatmaps(reading, losses) | extra).arrays()
    empty = _empty(heatmaps, host["flags"].astype(np.int64))
    return _without_empty(_reading(host, empty, grid), heatmaps, centres, decoding, weight)


def _empty(heatmaps: Tensor, flags: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which heatmaps `[B, K, h, w]` are NaN as a whole, `[B, K]`; only those with a flag are looked at."""
    broken = np.asarray((flags & int(HeatmapFlag.NOT_FINITE)) != 0)
    if broken.any():
        places = torch.from_numpy(broken).to(heatmaps.device)
        broken[broken] = heatmaps[places].isnan().all(-1).all(-1).cpu().numpy()
    return broken


def _without_empty(
    found: BatchReading, heatmaps: Tensor, centres: Tensor, decoding: Decoding, weight: FocalWeight
) -> BatchReading:
    """The heatmap losses over the keypoints that the network finds, as those without a label are left out."""
    empty = torch.from_numpy(found.finite & np.isnan(found.points).all(-1))
    rows = empty.any(-1)
    if not bool(rows.any()):
        return found
    on_device = rows.to(heatmaps.device)
    kept = centres[on_device].masked_fill(empty[rows].to(centres.device)[..., None], torch.nan)
    losses = windowed_heatmap_losses(
        heatmaps[on_device], kept, decoding.heatmap_sigma, weight.gamma, weight.emphasis
    )
    changed = {}
    for name, values in (
        ("loss_mse", losses.mse),
        ("loss_focal", losses.focal),
        ("keypoint_share", losses.keypoint_share),
    ):
        changed[name] = getattr(found, name).copy()
        changed[name][rows.numpy()] = values.detach().cpu().double().numpy()
    return replace(found, **changed)


def _of_head(
    outputs: ModelOutputs,
    kind: UncertaintyKind | None,
    frame: UncertaintyFrame,
    input_size: tuple[int, int],
    heatmap_size: tuple[float, float] | None,
) -> tuple[Tensor | None, Tensor | None]:
    """σ `[B, K, 2]` and covariance `[B, K, 3]` of the head, each None where it is not emitted or not read."""
    values = outputs.uncertainty
    if values is None or kind is None:
        return None, None
    sigma = sigma_in_input_pixels(values, kind, frame, input_size, heatmap_size)
    if kind is not UncertaintyKind.COV:
        return sigma, None
    x, y = unit_in_input_pixels(frame, input_size, heatmap_size) or (1.0, 1.0)
    covariance = as_covariance(values.float())
    return sigma, covariance * covariance.new_tensor([x * x, x * y, y * y])


def _beside(
    outputs: ModelOutputs,
    kind: UncertaintyKind | None,
    frame: UncertaintyFrame,
    input_size: tuple[int, int],
    grid: tuple[float, float] | None,
    own_coords: bool,
) -> dict[str, Tensor]:
    """What is read beside the heatmaps, by the names of `BatchReading`."""
    sigma, covariance = _of_head(outputs, kind, frame, input_size, grid)
    coords = outputs.coords if own_coords or grid is None else None
    known = {
        "coords": None if coords is None else coords.float(),
        "peak": outputs.scores,
        "sigma": sigma,
        "covariance": covariance,
    }
    return {name: values for name, values in known.items() if values is not None}


def _of_coordinates(transfer: Transfer) -> BatchReading:
    """What there is to know of a batch that comes without heatmaps."""
    host = transfer.arrays()
    coords = host["coords"]
    images, k = coords.shape[:2]
    missed = np.asarray(np.isnan(coords).all(-1))
    finite = np.asarray(np.isfinite(coords).all(-1))
    if "sigma" in host:
        finite &= ~np.isnan(host["sigma"]).any(-1)
    finite |= missed
    unknown = np.full(images, np.nan)
    return BatchReading(
        heatmap_size=None,
        points=np.full_like(coords, np.nan),
        spread=np.full((images, k, 3), np.nan),
        peak=host.get("peak", np.full((images, k), np.nan)),
        flags=np.zeros((images, k), dtype=np.int64),
        finite=finite,
        loss_mse=unknown,
        loss_focal=unknown,
        keypoint_share=unknown,
        coords=coords,
        sigma=host.get("sigma"),
        covariance=host.get("covariance"),
    )


def _of_heatmaps(reading: HeatmapReading, losses: HeatmapLosses) -> dict[str, Tensor]:
    """By the names of `BatchReading` and `PeakPlaces`."""
    known = {
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
        "expected_error": reading.expected_error,
        "averaged": reading.averaged,
    }
    return {name: values for name, values in known.items() if values is not None}


def _reading(host: dict[str, Floats], empty: NDArray[np.bool_], grid: Size) -> BatchReading:
    """The reading of heatmaps `grid` large; `empty` `[B, K]` tells which of them are NaN as a whole."""
    peaks = PeakPlaces(**{name: host.pop(name) for name in ("second_share", "second", "argmax", "local")})
    flags = host.pop("flags").astype(np.int64)
    finite = (host.pop("finite") != 0) & ((flags & int(HeatmapFlag.NOT_FINITE)) == 0)
    finite &= np.isfinite(host["points"]).all(-1)
    coords, own_sigma = host.pop("coords", None), host.pop("sigma", None)
    missed = empty
    if coords is not None:
        missed = np.isnan(coords).all(-1) & (finite | empty)
        finite &= np.isfinite(coords).all(-1)
    if own_sigma is not None:
        finite &= ~np.isnan(own_sigma).any(-1)
    finite |= missed
    return BatchReading(
        heatmap_size=(grid.height, grid.width),
        flags=flags,
        finite=finite,
        coords=coords,
        sigma=own_sigma,
        peaks=peaks,
        **host,
    )
