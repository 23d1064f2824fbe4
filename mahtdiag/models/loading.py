"""A checkpoint file in, a network out, whatever the format."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from mahtdiag.errors import UsageError
from mahtdiag.models.checkpoint import Checkpoint, CheckpointFormat
from mahtdiag.models.formats import format_of
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
    layers = [module for module in network.modules() if "dropout" in _class_name(module).lower()]
    for layer in layers:
        # Not `train()`, which would reach what lies inside of a layer, normalisation for example.
        layer.training = True
    return len(layers)


def _class_name(module: nn.Module) -> str:
    return str(getattr(module, "original_name", type(module).__name__))
