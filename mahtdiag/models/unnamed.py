"""Lists of tensors without names, as averages of weights are kept: `{"ema": {"shadow_params": [...]}}`.

They stand in the order of the network's parameters, which are told by order and shape alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from torch import Tensor, nn

from mahtdiag.errors import CheckpointError
from mahtdiag.models.weights import clipped

DEEPEST: Final = 4
MOST_LISTS: Final = 20


def tensor_lists(content: Any) -> dict[str, list[Tensor]]:
    """Every list that holds nothing but tensors, two or more, by the way to it; none of optimisers."""
    return dict(_found(content, ()))


def _found(content: Any, way: tuple[str, ...]) -> Iterator[tuple[str, list[Tensor]]]:
    if not isinstance(content, Mapping) or len(way) > DEEPEST or "param_groups" in content:
        return
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _found(value, (*way, str(name)))
        elif isinstance(value, list | tuple) and len(value) > 1 and all(isinstance(v, Tensor) for v in value):
            yield ".".join((*way, str(name))), list(value)


def asked_list(lists: Mapping[str, list[Tensor]], asked: str | None) -> str | None:
    """The key of the list that is asked for, by its name or by what stands before it; None if none is."""
    if asked is None:
        return None
    return next((key for key in lists if key == asked or key.startswith(f"{asked}.")), None)


def named_by_order(tensors: Sequence[Tensor], network: nn.Module, key: str, path: Path) -> dict[str, Tensor]:
    """The tensors by the names of the network's parameters. Raises CheckpointError where they do not fit."""
    for parameters in (
        [(name, p) for name, p in network.named_parameters() if p.requires_grad],
        [*network.named_parameters()],
        [*network.state_dict().items()],
    ):
        fit = len(parameters) == len(tensors) and all(
            own.shape == tensor.shape for (_, own), tensor in zip(parameters, tensors, strict=True)
        )
        if fit:
            return {name: tensor for (name, _), tensor in zip(parameters, tensors, strict=True)}
    own = [*network.parameters()]
    raise CheckpointError(
        f"{path}: {clipped(key)}: {len(tensors)} tensors without names, which do not fit the network's "
        f"{len(own)} parameters in their order and shapes"
    )


def notes_of(lists: Mapping[str, list[Tensor]], read: str | None, path: Path) -> list[str]:
    """What was not read, a line each."""
    return [
        f"{path}: {clipped(key)}: {len(tensors)} tensors without names were not read; if they are an average "
        f"of the weights, --weights {clipped(key)} reads it"
        for key, tensors in list(lists.items())[:MOST_LISTS]
        if key != read
    ]
