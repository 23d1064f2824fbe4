"""A checkpoint file in, a network out whose outputs are named and checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from mahtdiag.errors import ModelOutputError, UsageError
from mahtdiag.models.checkpoint import Checkpoint, CheckpointFormat
from mahtdiag.models.formats import format_of
from mahtdiag.schema.choices import UncertaintyKind
from mahtdiag.schema.model_spec import ModelSpec
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


@dataclass(frozen=True)
class LoadedModel:
    """A network ready to run, and what its checkpoint says about itself (`spec`, None if it says nothing).

    `weights`: which of the file's sets of weights it has, None where they lie in no wrapper; `notes`: what of
    the file was not read, a line each.
    """

    network: nn.Module
    format: CheckpointFormat
    sha256: str
    spec: ModelSpec | None
    weights: str | None = None
    notes: tuple[str, ...] = ()

    def predict(self, images: Tensor) -> ModelOutputs:
        """Named and checked outputs for `[B, C, H, W]`."""
        return read_outputs(self.network(images), len(images))


def load_model(
    path: Path, *, factory: str | None = None, weights: str | None = None, trust: bool = False
) -> LoadedModel:
    """Load a checkpoint on the CPU, in evaluation mode.

    What runs code (a format that carries it, a user's factory) needs `trust`; `weights` names one of several
    sets of a file. Raises CheckpointError or UsageError, one line per problem.
    """
    checkpoint = Checkpoint(path, factory, weights)
    # The digest first: a file that cannot be read is refused before anything is said about options.
    digest = checkpoint.sha256
    if factory is not None and not trust:
        raise UsageError(f"--model {factory} runs code of yours: add --trust if you trust it")
    found = format_of(checkpoint)
    if found.carries_code and factory is not None:
        raise UsageError(f"{path}: a {found.title} carries its own network: leave out --model")
    if found.carries_code and not trust:
        raise UsageError(f"{path}: a {found.title} runs code of its own: add --trust if you trust it")
    if weights is not None and not found.needs_factory:
        raise UsageError(f"{path}: --weights {weights}: a {found.title} has one set of weights: leave it out")
    spec = found.inspect(checkpoint)
    network = found.load(checkpoint).eval()
    return LoadedModel(network, found, digest, spec, checkpoint.told.weights, tuple(checkpoint.told.notes))


def activate_dropout(network: nn.Module) -> int:
    """Switch every dropout layer to training mode and nothing else; returns how many there are.

    A layer counts by the name of its class, in TorchScript by that of the class it was made of. Dropout that
    a forward pass calls as a function, in attention layers for instance, stays as it is. Gal & Ghahramani,
    Dropout as a Bayesian Approximation, ICML 2016.
    """
    names = {m: str(getattr(m, "original_name", type(m).__name__)) for m in network.modules()}
    layers = [module for module, name in names.items() if "dropout" in name.lower()]
    for layer in layers:
        # Not `train()`, which would reach what lies inside of a layer, normalisation for example.
        layer.training = True
    return len(layers)


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
    unread = tuple(f"{name} ({describe(left)})" for name, left in output.items() if name not in known)
    return ModelOutputs(tensors["heatmaps"], coords[0] if coords else None, value, kind, unread)


def _fits(outputs: ModelOutputs, batch: int) -> bool:
    heatmaps, coords, uncertainty = outputs.heatmaps, outputs.coords, outputs.uncertainty
    if heatmaps.ndim != 4 or heatmaps.shape[0] != batch or 0 in heatmaps.shape:
        return False
    points = (batch, heatmaps.shape[1], 2)
    if not torch.is_floating_point(heatmaps) or (coords is not None and coords.shape != points):
        return False
    return uncertainty is None or uncertainty.shape in (points, points[:2])
