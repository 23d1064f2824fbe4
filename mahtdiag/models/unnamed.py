"""Tensors without names, or by other names, as averages are kept: `{"ema": {"shadow_params": [...]}}`.

They stand in the order of the network's parameters, which are told by order and shape alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from mahtdiag.errors import CheckpointError, UsageError
from mahtdiag.models.weights import ITSELF, Selection, known_names, splits
from mahtdiag.schema.safe_text import brief_name

DEEPEST: Final = 4
MOST_LISTS: Final = 20
MOST_LOOKED_AT: Final = 200_000


def tensor_lists(content: Any) -> dict[str, list[Tensor]]:
    """Every list that holds nothing but tensors, two or more, by the way to it; none of optimisers."""
    return dict(_found(content, (), iter(range(MOST_LOOKED_AT))))


def _found(content: Any, way: tuple[str, ...], steps: Iterator[int]) -> Iterator[tuple[str, list[Tensor]]]:
    """Entries may hold each other endlessly: no more is looked at than there are steps."""
    if not isinstance(content, Mapping) or len(way) > DEEPEST or "param_groups" in content:
        return
    for name, value in content.items():
        if next(steps, None) is None:
            return
        if isinstance(value, Mapping):
            yield from _found(value, (*way, str(name)), steps)
        elif isinstance(value, list | tuple) and len(value) > 1 and all(isinstance(v, Tensor) for v in value):
            yield ".".join((*way, str(name))), list(value)


def by_other_names(weights: Mapping[str, Tensor], network: nn.Module) -> dict[str, list[Tensor]]:
    """The tensors whose names the network does not know, where they are its parameters in their order.

    Some averages keep `conv.weight` as `conv_weight`. The key is what their names begin with.
    """
    known = known_names(network.state_dict())
    counted = {name: tensor for name, tensor in weights.items() if tensor.ndim}
    foreign = [name for name in counted if not any(rest in known for _, rest in splits(name))]
    shapes = [[own.shape for _, own in named] for named in _in_their_order(network)]
    for front in [front for front, _ in splits(foreign[0])][::-1] if foreign else ():
        under = [tensor for name, tensor in counted.items() if name.startswith(front)]
        if len(under) > 1 and [tensor.shape for tensor in under] in shapes:
            return {front.removesuffix(".") or ITSELF: under}
    return {}


def require_choice(
    lists: Mapping[str, list[Tensor]], read: Selection, network: nn.Module, path: Path
) -> None:
    """Raise UsageError where the network's parameters stand in a list as well, and differ from those read."""
    for key, tensors in lists.items():
        with suppress(CheckpointError):
            named = named_by_order(tensors, network, key, path)
            if any(not torch.equal(tensor, read.weights[name]) for name, tensor in named.items()):
                raise UsageError(
                    f"{path}: weight sets that differ: {brief_name(read.key)} ({len(read.weights)} weights), "
                    f"{brief_name(key)} ({len(tensors)} tensors in the order of the network's parameters); "
                    "choose one with --weights KEY"
                )


def asked_list(lists: Mapping[str, list[Tensor]], asked: str | None) -> str | None:
    """The key of the list that is asked for, by its name or by what stands before it; None if none is."""
    if asked is None:
        return None
    return next((key for key in lists if key == asked or key.startswith(f"{asked}.")), None)


def _in_their_order(network: nn.Module) -> tuple[list[tuple[str, Tensor]], ...]:
    """What may be kept of a network, in its order: what is learned, all weights, or all but counters.

    Nothing where shapes are learned from the weights.
    """
    state = [*network.state_dict().items()]
    if any(is_lazy(tensor) for _, tensor in state):
        return ()
    parameters: list[tuple[str, Tensor]] = [*network.named_parameters()]
    learned = [(name, tensor) for name, tensor in parameters if tensor.requires_grad]
    return learned, parameters, state, [(name, tensor) for name, tensor in state if tensor.ndim]


def named_by_order(tensors: Sequence[Tensor], network: nn.Module, key: str, path: Path) -> dict[str, Tensor]:
    """The tensors by the names of the network's parameters. Raises CheckpointError where they do not fit."""
    for parameters in _in_their_order(network):
        fit = len(parameters) == len(tensors) and all(
            own.shape == tensor.shape for (_, own), tensor in zip(parameters, tensors, strict=True)
        )
        if fit:
            return {name: tensor for (name, _), tensor in zip(parameters, tensors, strict=True)}
    own = [*network.parameters()]
    raise CheckpointError(
        f"{path}: {brief_name(key)}: {len(tensors)} tensors without names, which do not fit the network's "
        f"{len(own)} parameters in their order and shapes"
    )


def notes_of(lists: Mapping[str, list[Tensor]], read: str | None, path: Path) -> list[str]:
    """What was not read, a line each."""
    return [
        f"{path}: {brief_name(key)}: {len(tensors)} tensors without the network's names were not read; if "
        f"they are an average of the weights, --weights {brief_name(key)} reads it"
        for key, tensors in list(lists.items())[:MOST_LISTS]
        if key != read
    ]
