"""What a network returns, tensor by tensor, each by the path that `--output` takes."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Final

import torch
from torch import Tensor

from mahtdiag.schema.checkpoint_file import TensorFact

MOST_TENSORS: Final = 60
DEEPEST: Final = 8


def tree_of(returned: object, read: Mapping[int, str] | None = None) -> tuple[TensorFact, ...]:
    """Shape, type and range of every tensor; `read`: what those are read as, by their identity."""
    found: list[TensorFact] = []
    for path, value in _walk(returned, "", 0):
        if len(found) == MOST_TENSORS:
            break
        found.append(fact_of(path, value, (read or {}).get(id(value), "")))
    return tuple(found)


def tensors_in(returned: object) -> Iterator[tuple[str, Tensor]]:
    """Every tensor by its path, whatever it holds."""
    return ((path or ".", tensor) for path, tensor in _walk(returned, "", 0))


def fact_of(path: str, tensor: Tensor, read_as: str = "") -> TensorFact:
    """One tensor; NaN enters no range."""
    numbers = tensor.detach().double().flatten() if not tensor.is_complex() else tensor.new_empty(0)
    numbers = numbers[torch.isfinite(numbers)]
    low, high = (float(numbers.min()), float(numbers.max())) if numbers.numel() else (None, None)
    kind = str(tensor.dtype).removeprefix("torch.")
    return TensorFact(path or ".", tuple(tensor.shape), kind, low, high, read_as)


def _walk(value: object, path: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield path, value
        return
    if depth > DEEPEST:
        return
    for step, inner in _parts(value):
        name = f"[{step}]" if isinstance(step, int) else (f".{step}" if path else step)
        yield from _walk(inner, path + name, depth + 1)


def _parts(value: object) -> Iterator[tuple[str | int, object]]:
    if isinstance(value, Mapping):
        yield from ((str(name), inner) for name, inner in value.items())
    elif is_dataclass(value) and not isinstance(value, type):
        yield from ((each.name, getattr(value, each.name)) for each in fields(value))
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        yield from zip(map(str, value._fields), value, strict=True)
    elif isinstance(value, list | tuple):
        yield from enumerate(value)
