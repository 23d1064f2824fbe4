"""A checkpoint file in, a network out whose outputs are named and checked."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from mahtdiag.errors import UsageError
from mahtdiag.models.checkpoint import IN_MEMORY, Checkpoint, CheckpointFormat
from mahtdiag.models.conduct import watched
from mahtdiag.models.factories import takes_path
from mahtdiag.models.formats import format_of
from mahtdiag.models.formats.of_factory import OF_FACTORY
from mahtdiag.models.outputs import BY_NAMES, read_outputs
from mahtdiag.models.taking import ANY, Taking, in_batches, in_channels_last, own_type, tried, widened
from mahtdiag.models.weights import listed
from mahtdiag.schema.checkpoint_file import InputFact
from mahtdiag.schema.model_spec import ModelSpec
from mahtdiag.schema.output_spec import OutputSpec
from mahtdiag.schema.records import ModelOutputs


@dataclass(frozen=True)
class LoadedModel:
    """A network ready to run, and what its checkpoint says about itself (`spec`, None if it says nothing).

    `weights`: which of the file's sets of weights it has, None where they lie in no wrapper; `notes`: what of
    the file was not read, a line each; `read_by_factory`: a function of the user read the file itself;
    `declared`: the input that a graph declares; `taking`: how it takes images, see `settled`;
    `keywords`: what the network is called with beside the images.
    """

    network: nn.Module
    format: CheckpointFormat
    sha256: str
    spec: ModelSpec | None
    weights: str | None = None
    notes: tuple[str, ...] = ()

    outputs: OutputSpec = BY_NAMES
    read_by_factory: bool = False
    declared: InputFact | None = None
    path: Path | None = None
    taking: Taking = ANY
    keywords: Mapping[str, str | None] = field(default_factory=dict)

    def predict(self, images: Tensor) -> ModelOutputs:
        """Named and checked outputs for `[B, C, H, W]`, as the network gives them."""
        if self.taking.batch is not None:
            return in_batches(self._predict_at_once, images, self.taking.batch)
        return self._predict_at_once(images)

    def _predict_at_once(self, images: Tensor) -> ModelOutputs:
        return self.read(self.returned(images), len(images))

    def settled(self, image: Tensor) -> "LoadedModel":
        """The same once it is known how it takes images: as it declares, or by a trial with `[1, C, H, W]`.

        Weights of half precision become float32 where the network runs so. What is unusual is told in notes.
        """
        own = own_type(self.network)
        if self.read_by_factory or not self.format.is_whole:
            taking = Taking(widened(self.network, image))
        elif not self.format.carries_code and self.declared is not None and self.declared.batch is not None:
            taking = Taking(batch=self.declared.batch)
        else:
            taking = tried(self.network, image)
        told = []
        if own is not torch.float32:
            types = [str(kind).removeprefix("torch.") for kind in (own, taking.dtype)]
            told.append(f"its weights are {types[0]}, it runs in {types[1]}")
        if taking.batch is not None:
            count = f"{taking.batch} image{'' if taking.batch == 1 else 's'}"
            told.append(f"takes {count} at a time; where fewer are left, copies fill up and do not count")
        if image.device.type == "cuda" and self.format.name != IN_MEMORY:
            # A network in memory is somebody's who goes on with it.
            in_channels_last(self.network, image.to(taking.dtype).expand(taking.batch or 1, -1, -1, -1))
        lines = (f"{self.path or 'the network'}: {text}" for text in told)
        return replace(self, taking=taking, notes=(*self.notes, *lines))

    def returned(self, images: Tensor) -> object:
        """What the network returns for `[B, C, H, W]`, whatever it is."""
        # A copy of its own: some networks normalise their input in place.
        with watched():
            found: object = self.network(images.to(self.taking.dtype, copy=True), **self.keywords)
        return found

    def read(self, returned: object, batch: int) -> ModelOutputs:
        """What a network has returned for a batch, named and checked."""
        return read_outputs(returned, batch, self.outputs)


def load_model(
    path: Path,
    *,
    factory: str | None = None,
    args: Mapping[str, Any] | None = None,
    weights: str | None = None,
    trust: bool = False,
    outputs: OutputSpec = BY_NAMES,
    keywords: Mapping[str, str | None] = MappingProxyType({}),
) -> LoadedModel:
    """Load a checkpoint on the CPU, in evaluation mode.

    What runs code (a format that carries it, a user's factory) needs `trust`; a factory that needs just one
    argument beside `args` is given the path and reads the file itself. `weights` names one of several sets of
    a file; `outputs`: where the network's outputs are in what it returns; `keywords`: what it is called with
    beside the images, as far as its `forward` names them. Raises CheckpointError or UsageError, one line per
    problem.
    """
    checkpoint = Checkpoint(path, factory, weights, args or {})
    # A file that cannot be read is refused before anything is said about options.
    checkpoint.require_readable()
    if factory is not None and not trust:
        raise UsageError(f"--model {factory} runs code of yours: add --trust if you trust it")
    if factory is None and args:
        raise UsageError("--model-args are for the function that --model names: give both or neither")
    if factory is not None and takes_path(factory, checkpoint.args):
        checkpoint.told.read_by_factory = True
    found = format_of(checkpoint)
    _require_options(checkpoint, found, trust)
    told = checkpoint.told
    loader: CheckpointFormat = OF_FACTORY if told.read_by_factory else found
    digest = checkpoint.sha256_with(loader.files(checkpoint))
    spec = loader.inspect(checkpoint)
    network = loader.load(checkpoint).eval()
    if told.classes:
        objects = f"{path}: read as data, without running it: objects of {listed(told.classes)}"
        told.notes.insert(0, objects)
    taken = {name: value for name, value in keywords.items() if name in parameters_of(network)}
    return LoadedModel(
        network,
        found,
        digest,
        spec,
        told.weights,
        tuple(told.notes),
        outputs,
        told.read_by_factory,
        loader.declared(checkpoint),
        path,
        keywords=taken,
    )


def parameters_of(network: nn.Module) -> frozenset[str]:
    """Names of the parameters of `forward`; none where it does not tell them."""
    try:
        return frozenset(inspect.signature(network.forward).parameters)
    except (TypeError, ValueError):
        return frozenset()


def _require_options(checkpoint: Checkpoint, found: CheckpointFormat, trust: bool) -> None:
    """Raise UsageError for options that do not go with the format."""
    path, weights = checkpoint.path, checkpoint.weights
    if checkpoint.told.read_by_factory:
        if weights is not None:
            factory = f"--model {checkpoint.factory}"
            raise UsageError(
                f"{path}: --weights {weights}: {factory} reads the file itself: say it by --model-args"
            )
        return
    if found.is_whole and checkpoint.factory is not None:
        raise UsageError(
            f"{path}: a {found.title} carries its own network: leave out --model, or let its function take "
            "the path of the file"
        )
    if found.carries_code and not trust:
        raise UsageError(f"{path}: a {found.title} runs code of its own: add --trust if you trust it")
    if weights is not None and not found.needs_factory:
        raise UsageError(f"{path}: --weights {weights}: a {found.title} has one set of weights: leave it out")


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
