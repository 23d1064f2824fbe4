"""How a network takes its images: in which precision, and how many at once.

A graph declares it; a program does not, and is asked by trial.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import torch
from torch import Tensor, nn

from mahtdiag.errors import MahtdiagError
from mahtdiag.models.conduct import watched
from mahtdiag.schema.records import ModelOutputs

BATCHES: Final = (2, 4, 8, 16, 32, 3, 5, 6, 7, 10, 12, 24, 64)
"""Sizes of a batch that networks are traced with, those that people choose first."""
OTHERS: Final = (torch.float16, torch.bfloat16, torch.float64)
ON_META: Final = (
    "its weights lie on the device meta, where they have no values; build it on the CPU, without "
    'torch.set_default_device("meta") or torch.device("meta")'
)


@dataclass(frozen=True)
class Taking:
    """The type of numbers, and how many images at once; None for any number of them."""

    dtype: torch.dtype = torch.float32
    batch: int | None = None


ANY: Final = Taking()


def without_content(network: nn.Module) -> bool:
    """Whether weights have shapes and no values."""
    return any(tensor.is_meta for tensor in (*network.parameters(), *network.buffers()))


def own_type(network: nn.Module) -> torch.dtype:
    """The type of a network's first weights of floating point; float32 where it has none."""
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.is_floating_point():
            return tensor.dtype if tensor.dtype in OTHERS else torch.float32
    return torch.float32


def widened(network: nn.Module, image: Tensor) -> torch.dtype:
    """The type in which a network runs once weights of half precision are float32, where it runs so.

    Nothing is lost by it, and processors are slow with the others; `--precision` says what the pass is to be.
    """
    own = own_type(network)
    if own in (torch.float16, torch.bfloat16):
        network.float()
        if any(_returns(network, _times(image, batch), batch) for batch in (1, *BATCHES)):
            return torch.float32
        network.to(own)
    return own


def in_channels_last(network: nn.Module, images: Tensor) -> bool:
    """Keep the weights of convolutions as CUDA's are fastest with them, where the network still runs so.

    Half precisions take half the time then. A network that looks at its numbers in memory (`view`) may not:
    it is left as it was, and the result is False.
    """
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if _returns(network, images, len(images)):
        return True
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return False


def tried(network: nn.Module, image: Tensor) -> Taking:
    """How a program takes images `[1, C, H, W]`, found by running it; as usual where nothing works."""
    first = widened(network, image)
    for dtype in dict.fromkeys((first, torch.float32, *OTHERS)):
        if _returns(network, image.to(dtype), 1):
            return Taking(dtype, None if _returns(network, _times(image, 2).to(dtype), 2) else 1)
    for batch in BATCHES:
        if _returns(network, _times(image, batch).to(first), batch):
            return Taking(first, batch)
    return Taking(first)


def _times(image: Tensor, count: int) -> Tensor:
    return image.expand(count, -1, -1, -1).contiguous()


def _returns(network: nn.Module, images: Tensor, batch: int) -> bool:
    """Whether a pass succeeds and what it returns is for so many images."""
    try:
        with torch.inference_mode(), watched():
            found = network(images)
    except MahtdiagError:
        # That a graph never ends need not be tried again with more images.
        raise
    except (Exception, SystemExit):  # whatever the program raises
        return False
    tensors = [t for t in _tensors(found) if t.ndim > 1]
    return bool(tensors) and all(len(tensor) == batch for tensor in tensors)


def _tensors(value: object) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = [*value.values()]
    return [t for inner in value for t in _tensors(inner)] if isinstance(value, list | tuple) else []


def in_batches(predict: Callable[[Tensor], ModelOutputs], images: Tensor, batch: int) -> ModelOutputs:
    """The outputs of passes of so many images each; the last is filled up with copies, which are left out."""
    parts = []
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        filled = torch.cat([part, _times(part[-1:], batch - len(part))]) if len(part) < batch else part
        parts.append((predict(filled), len(part)))
    return _joined(parts)


def _joined(parts: list[tuple[ModelOutputs, int]]) -> ModelOutputs:
    """The first so many of each part, one behind the other; what is no tensor is that of the first."""
    found: dict[str, Any] = {}
    for each in fields(ModelOutputs):
        values = [(getattr(outputs, each.name), count) for outputs, count in parts]
        first = values[0][0]
        if isinstance(first, Mapping):
            found[each.name] = {key: _cat([(value[key], n) for value, n in values]) for key in first}
        else:
            found[each.name] = _cat(values) if isinstance(first, Tensor) else first
    return ModelOutputs(**found)


def _cat(values: Sequence[tuple[Tensor, int]]) -> Tensor:
    return torch.cat([value[:count] for value, count in values])
