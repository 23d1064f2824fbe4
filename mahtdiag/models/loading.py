"""A checkpoint file in, a network out whose outputs are named and checked; how weights are put into it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from mahtdiag.errors import CheckpointError, ModelOutputError, UsageError
from mahtdiag.models.checkpoint import Checkpoint, CheckpointFormat
from mahtdiag.models.formats import format_of
from mahtdiag.schema.choices import UncertaintyKind
from mahtdiag.schema.model_spec import ModelSpec
from mahtdiag.schema.records import ModelOutputs

WRAPPERS = ("model_state_dict", "state_dict", "model", "net")
PREFIXES = ("module.", "model.")
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
    """A network ready to run, and what its checkpoint says about itself (`spec`, None if it says nothing)."""

    network: nn.Module
    format: CheckpointFormat
    sha256: str
    spec: ModelSpec | None

    def predict(self, images: Tensor) -> ModelOutputs:
        """Named and checked outputs for `[B, C, H, W]`."""
        return read_outputs(self.network(images), len(images))


def load_model(path: Path, *, factory: str | None = None, trust: bool = False) -> LoadedModel:
    """Load a checkpoint on the CPU, in evaluation mode.

    What runs code (a format that carries it, a user's factory) needs `trust`. Raises CheckpointError or
    UsageError, one line per problem.
    """
    checkpoint = Checkpoint(path, factory)
    # The digest first: a file that cannot be read is refused before anything is said about options.
    digest = checkpoint.sha256
    if factory is not None and not trust:
        raise UsageError(f"--model {factory} runs code of yours: add --trust if you trust it")
    found = format_of(checkpoint)
    if found.carries_code and factory is not None:
        raise UsageError(f"{path}: a {found.title} carries its own network: leave out --model")
    if found.carries_code and not trust:
        raise UsageError(f"{path}: a {found.title} runs code of its own: add --trust if you trust it")
    spec = found.inspect(checkpoint)
    return LoadedModel(found.load(checkpoint).eval(), found, digest, spec)


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


def find_state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    """The weights inside a bare or wrapped state dict."""
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, not a state dict")
    wrapped = [content[name] for name in WRAPPERS if isinstance(content.get(name), Mapping)]
    inner = next((part for part in wrapped if tensors_of(part)), wrapped[0] if wrapped else content)
    if "param_groups" in inner and "state" in inner:
        raise CheckpointError(f"{path}: an optimiser's state, not a network's; give the model checkpoint")
    weights = tensors_of(inner)
    if not weights:
        keys = ", ".join(map(str, list(inner)[:5])) or "nothing"
        raise CheckpointError(
            f"{path}: no network weights in it (it holds {keys}); expected a state dict, bare or under "
            + ", ".join(WRAPPERS)
        )
    return weights


def tensors_of(content: Mapping[Any, Any]) -> dict[str, Tensor]:
    """The tensors of a mapping by their names; what else there is, epochs for example, is left out."""
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}


def without_prefixes(weights: dict[str, Tensor], wanted: Collection[str]) -> dict[str, Tensor]:
    """Remove `module.` and `model.` that a wrapper put before every name, unless the network has them too.

    As many are removed as give the most names that the network knows, and no more.
    """
    best, stripped = weights, weights
    while stripped:
        prefix = next((p for p in PREFIXES if all(name.startswith(p) for name in stripped)), None)
        if prefix is None:
            break
        stripped = {name.removeprefix(prefix): value for name, value in stripped.items()}
        if len(stripped.keys() & set(wanted)) > len(best.keys() & set(wanted)):
            best = stripped
    return best


def check_weights(network: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Raise CheckpointError that lists every missing, unexpected or wrongly shaped weight."""
    wanted = network.state_dict()
    # A counter that older checkpoints lack and that evaluation never reads.
    missing = [n for n in wanted if n not in weights and not n.endswith("num_batches_tracked")]
    unexpected = [name for name in weights if name not in wanted]
    shapes = [
        f"{name} is {list(weights[name].shape)}, the network has {list(own.shape)}"
        for name, own in wanted.items()
        if name in weights and not is_lazy(own) and weights[name].shape != own.shape
    ]
    problems = [
        f"{path}: {kind} weights: {', '.join(names)}"
        for kind, names in (("missing", missing), ("unexpected", unexpected), ("wrongly shaped", shapes))
        if names
    ]
    if problems:
        raise CheckpointError(*problems)


def put_weights(weights: dict[str, Tensor], network: nn.Module, path: Path) -> nn.Module:
    """The network with these weights. Raises CheckpointError where they are not its own."""
    weights = without_prefixes(weights, set(network.state_dict()))
    check_weights(network, weights, path)
    try:
        network.load_state_dict(weights, strict=False)
    except RuntimeError as error:  # sparse tensors, tensors without content
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{path}: the network does not take these weights: {reason}") from None
    return network


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
