"""A checkpoint file in, a network out, whatever the format."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from mahtdiag.errors import CheckpointError, UsageError
from mahtdiag.models.archive import (
    CheckpointFormat,
    check_weights,
    find_state_dict,
    is_torchscript,
    read_plain_data,
    sha256_of,
    without_prefixes,
)
from mahtdiag.models.factory import build_from_factory
from mahtdiag.models.native import METADATA_KEY, STATE_KEY, build_network, read_metadata
from mahtdiag.models.outputs import read_outputs
from mahtdiag.schema.model_spec import ModelSpec
from mahtdiag.schema.outputs import ModelOutputs


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

    Formats that carry code (TorchScript, a user's factory) need `trust`. Raises CheckpointError or
    UsageError, one line per problem.
    """
    digest = sha256_of(path)
    if factory is not None and not trust:
        raise UsageError(f"--model {factory} runs code of yours: add --trust if you trust it")
    if is_torchscript(path):
        return LoadedModel(
            _load_torchscript(path, factory, trust), CheckpointFormat.TORCHSCRIPT, digest, None
        )
    content = read_plain_data(path)
    if factory is None and isinstance(content, Mapping) and METADATA_KEY in content:
        metadata = read_metadata(content[METADATA_KEY], str(path))
        spec = metadata.spec
        state = content.get(STATE_KEY)
        if not isinstance(state, Mapping):
            raise CheckpointError(f"{path}: metadata without {STATE_KEY}; save the checkpoint again")
        weights = {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
        # What the file says about its size is compared with its weights before it may cost memory.
        outline = build_network(metadata, str(path), outline=True)
        check_weights(outline, without_prefixes(weights, set(outline.state_dict())), path)
        network, kind = build_network(metadata, str(path)), CheckpointFormat.NATIVE
    else:
        weights = find_state_dict(content, path)
        if factory is None:
            raise UsageError(
                f"{path}: a state dict without metadata; name the function that builds its network with "
                "--model PACKAGE.MODULE:FACTORY --trust"
            )
        network, spec, kind = build_from_factory(factory), None, CheckpointFormat.STATE_DICT
    weights = without_prefixes(weights, set(network.state_dict()))
    _put(weights, network, path)
    return LoadedModel(network.eval(), kind, digest, spec)


def _put(weights: dict[str, Tensor], network: nn.Module, path: Path) -> None:
    check_weights(network, weights, path)
    try:
        network.load_state_dict(weights, strict=False)
    except RuntimeError as error:  # sparse tensors, tensors without content
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{path}: the network does not take these weights: {reason}") from None


def _load_torchscript(path: Path, factory: str | None, trust: bool) -> nn.Module:
    if factory is not None:
        raise UsageError(f"{path}: a TorchScript archive carries its own network: leave out --model")
    if not trust:
        raise UsageError(f"{path}: a TorchScript archive runs code of its own: add --trust if you trust it")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            load: Callable[..., nn.Module] = torch.jit.load
            network = load(str(path), map_location="cpu")
    except Exception as error:  # torch raises RuntimeError and others for damaged archives
        first = str(error).splitlines()[0].split(". ")[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: damaged TorchScript archive ({first})") from None
    return network.eval()
