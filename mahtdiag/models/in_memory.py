"""A network that is in memory already, run like one from a checkpoint and given back as it was."""

import copy
import hashlib
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mahtdiag.errors import CheckpointError, UsageError
from mahtdiag.models.checkpoint import IN_MEMORY, Checkpoint, CheckpointFormat
from mahtdiag.models.loading import LoadedModel, parameters_of
from mahtdiag.models.outputs import BY_NAMES
from mahtdiag.models.taking import ON_META, own_type, without_content
from mahtdiag.schema.model_spec import ModelSpec
from mahtdiag.schema.output_spec import OutputSpec


class InMemory(CheckpointFormat):
    """The format of what lies in no file (see `CheckpointFormat`)."""

    name = IN_MEMORY
    title = "network in memory"
    carries_code = True
    is_whole = True
    dropout_advice = "make it layers, such as nn.Dropout"

    def recognises(self, checkpoint: Checkpoint) -> bool:
        """No file is one."""
        return False

    def inspect(self, checkpoint: Checkpoint) -> ModelSpec | None:
        """There is no file to ask."""
        return None

    def load(self, checkpoint: Checkpoint) -> nn.Module:
        """There is nothing to load."""
        raise CheckpointError(f"{checkpoint.path}: not a checkpoint, a network that was in memory")


class Function(nn.Module):
    """A function of images as a network."""

    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Tensor) -> object:
        """As the function returns it."""
        return self.function(images)


class Lent(nn.Module):
    """A network of somebody who will train it on.

    What a network keeps of a pass in inference mode, such as a table of positions, cannot be trained with
    later: here it sees ordinary tensors, without gradients.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, **keywords: str | None) -> object:
        """As the network returns it."""
        with torch.inference_mode(False), torch.no_grad():
            return self.network(images.clone(), **keywords)


def as_network(model: nn.Module | Callable[..., object]) -> nn.Module:
    """The network, or a function as one. Raises UsageError for anything else."""
    if isinstance(model, nn.Module):
        return model
    if not callable(model):
        raise UsageError(
            f"{type(model).__name__}: neither a network, nor a function, nor a checkpoint's path"
        )
    return Function(model)


def name_of(network: nn.Module) -> str:
    """What a network is called: its class, or the name of the function."""
    of = network.function if isinstance(network, Function) else network
    script = getattr(of, "original_name", None)
    return str(script or getattr(of, "__name__", type(of).__name__))


def place_of(network: nn.Module) -> torch.device | None:
    """The device of its weights, None where it has none. Raises UsageError where they lie on several."""
    tensors = (*network.parameters(), *network.buffers())
    places = list(dict.fromkeys(tensor.device for tensor in tensors))
    if len(places) > 1:
        raise UsageError(f"its weights lie on {' and '.join(map(str, places))}: move it to one device")
    return places[0] if places else None


@contextmanager
def lent(network: nn.Module) -> Iterator[None]:
    """Run it in evaluation mode; afterwards every layer is in the mode, and it on the device, that it was."""
    modes = [(module, module.training) for module in network.modules()]
    place = place_of(network)
    try:
        # What was exported is in one mode for good.
        with suppress(NotImplementedError):
            network.eval()
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        if place is not None and place_of(network) != place:
            network.to(place)


def model_in_memory(
    network: nn.Module, outputs: OutputSpec = BY_NAMES, keywords: Mapping[str, str | None] | None = None
) -> LoadedModel:
    """As `load_model` gives one; what changes weights of half precision works on a copy.

    Raises UsageError where it has no values.
    """
    if without_content(network):
        raise UsageError(f"{name_of(network)}: {ON_META}")
    half = own_type(network) in (torch.float16, torch.bfloat16)
    taken = {name: value for name, value in (keywords or {}).items() if name in parameters_of(network)}
    return LoadedModel(
        Lent(copy.deepcopy(network) if half else network),
        InMemory(),
        digest_of(network),
        None,
        outputs=outputs,
        path=Path(name_of(network)),
        keywords=taken,
    )


def digest_of(network: nn.Module) -> str:
    """SHA-256 over class, names, types, shapes and values of its weights.

    Of a function, and of weights that cannot be told, it is another one each time: nobody could say that two
    of them are the same.
    """
    state: dict[str, Any] = network.state_dict()
    if not state or isinstance(network, Function):
        return hashlib.sha256(uuid.uuid4().bytes).hexdigest()
    digest = hashlib.sha256(name_of(network).encode())
    for name in sorted(state):
        value = state[name]
        if isinstance(value, Tensor):
            digest.update(f"\n{name} {value.dtype} {list(value.shape)}\n".encode())
            try:
                digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
            except (RuntimeError, TypeError, NotImplementedError):  # quantised, sparse, without storage
                digest.update(uuid.uuid4().bytes)
        else:
            digest.update(f"\n{name} {value!r}\n".encode())
    return digest.hexdigest()
