"""From whatever a network returns to named outputs, checked."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mahtdiag.errors import ModelOutputError
from mahtdiag.schema.choices import UncertaintyKind
from mahtdiag.schema.records import ModelOutputs

ACCEPTED = (
    "accepted are a tensor [B,K,h,w], a tuple (heatmaps, log_sigma) or (heatmaps, coords, log_sigma), or a "
    "dict with heatmaps and optionally coords or keypoints [B,K,2] and one of log_sigma, sigma, uncertainty, "
    "log_var [B,K] or [B,K,2]"
)
_COORDS_NAMES = ("coords", "keypoints")
_UNCERTAINTY_NAMES = {
    "log_sigma": UncertaintyKind.LOG_SIGMA,
    "sigma": UncertaintyKind.SIGMA,
    "uncertainty": UncertaintyKind.SIGMA,
    "log_var": UncertaintyKind.LOG_VAR,
}


def describe(output: object) -> str:
    """The form of an output in words: nested types and shapes."""
    if isinstance(output, Tensor):
        kind = "" if output.is_floating_point() else f" of {str(output.dtype).removeprefix('torch.')}"
        return f"tensor {list(output.shape)}{kind}"
    if isinstance(output, Mapping):
        return "dict {" + ", ".join(f"{name}: {describe(value)}" for name, value in output.items()) + "}"
    if isinstance(output, (tuple, list)):
        return f"{type(output).__name__} ({', '.join(map(describe, output))})"
    return type(output).__name__


def read_outputs(output: object, batch: int) -> ModelOutputs:
    """Name and check the outputs of a batch of `batch` images.

    Raises ModelOutputError that prints what was returned and what is accepted.
    """
    outputs = _named(output)
    if outputs is None or not _fits(outputs, batch):
        raise ModelOutputError(f"the network returned {describe(output)} for {batch} image(s); {ACCEPTED}")
    return outputs


def _named(output: object) -> ModelOutputs | None:
    if isinstance(output, Tensor):
        return ModelOutputs(output)
    if isinstance(output, Mapping):
        return _from_mapping(output)
    if isinstance(output, Sequence) and all(isinstance(part, Tensor) for part in output):
        match output:
            case [heatmaps]:
                return ModelOutputs(heatmaps)
            case [heatmaps, log_sigma]:
                return ModelOutputs(heatmaps, None, log_sigma, UncertaintyKind.LOG_SIGMA)
            case [heatmaps, coords, log_sigma]:
                return ModelOutputs(heatmaps, coords, log_sigma, UncertaintyKind.LOG_SIGMA)
    return None


def _from_mapping(output: Mapping[str, object]) -> ModelOutputs | None:
    known = [name for name in ("heatmaps", *_COORDS_NAMES, *_UNCERTAINTY_NAMES) if name in output]
    tensors = {name: value for name in known if isinstance(value := output[name], Tensor)}
    coords = [tensors[name] for name in _COORDS_NAMES if name in tensors]
    uncertainty = [(tensors[name], kind) for name, kind in _UNCERTAINTY_NAMES.items() if name in tensors]
    if "heatmaps" not in tensors or len(tensors) < len(known) or len(coords) > 1 or len(uncertainty) > 1:
        return None
    value, kind = uncertainty[0] if uncertainty else (None, None)
    return ModelOutputs(tensors["heatmaps"], coords[0] if coords else None, value, kind)


def _fits(outputs: ModelOutputs, batch: int) -> bool:
    heatmaps, coords, uncertainty = outputs.heatmaps, outputs.coords, outputs.uncertainty
    if heatmaps.ndim != 4 or heatmaps.shape[0] != batch or 0 in heatmaps.shape:
        return False
    points = (batch, heatmaps.shape[1], 2)
    if not torch.is_floating_point(heatmaps) or (coords is not None and coords.shape != points):
        return False
    return uncertainty is None or uncertainty.shape in (points, points[:2])
