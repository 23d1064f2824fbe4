"""A checkpoint file in, a network out whose outputs are named and checked."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from mahtdiag.errors import UsageError
from mahtdiag.models.checkpoint import Checkpoint, CheckpointFormat
from mahtdiag.models.formats import format_of
from mahtdiag.models.outputs import BY_NAMES, read_outputs
from mahtdiag.models.weights import listed
from mahtdiag.schema.model_spec import ModelSpec
from mahtdiag.schema.output_spec import OutputSpec
from mahtdiag.schema.records import ModelOutputs


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

    outputs: OutputSpec = BY_NAMES

    def predict(self, images: Tensor) -> ModelOutputs:
        """Named and checked outputs for `[B, C, H, W]`, as the network gives them."""
        return read_outputs(self.network(images), len(images), self.outputs)


def load_model(
    path: Path,
    *,
    factory: str | None = None,
    weights: str | None = None,
    trust: bool = False,
    outputs: OutputSpec = BY_NAMES,
) -> LoadedModel:
    """Load a checkpoint on the CPU, in evaluation mode.

    What runs code (a format that carries it, a user's factory) needs `trust`; `weights` names one of several
    sets of a file; `outputs`: where the network's outputs are in what it returns. Raises CheckpointError or
    UsageError, one line per problem.
    """
    checkpoint = Checkpoint(path, factory, weights)
    # A file that cannot be read is refused before anything is said about options.
    checkpoint.require_readable()
    if factory is not None and not trust:
        raise UsageError(f"--model {factory} runs code of yours: add --trust if you trust it")
    found = format_of(checkpoint)
    if found.carries_code and factory is not None:
        raise UsageError(f"{path}: a {found.title} carries its own network: leave out --model")
    if found.carries_code and not trust:
        raise UsageError(f"{path}: a {found.title} runs code of its own: add --trust if you trust it")
    if weights is not None and not found.needs_factory:
        raise UsageError(f"{path}: --weights {weights}: a {found.title} has one set of weights: leave it out")
    digest = checkpoint.sha256_with(found.files(checkpoint))
    spec = found.inspect(checkpoint)
    network = found.load(checkpoint).eval()
    told = checkpoint.told
    if told.classes:
        objects = f"{path}: read as data, without running it: objects of {listed(told.classes)}"
        told.notes.insert(0, objects)
    return LoadedModel(network, found, digest, spec, told.weights, tuple(told.notes), outputs)


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
