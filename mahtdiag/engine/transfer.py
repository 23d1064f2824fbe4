"""Numbers on their way from the device to the host: one copy for many tensors, not waited for before use."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mahtdiag.engine.devices import new_event, pinned
from mahtdiag.schema.precision import most_precise
from mahtdiag.schema.records import Floats


@dataclass(frozen=True)
class Transfer:
    """Tensors `[B, …]` by name, joined to rows of float64 `[B, n]` that are being copied.

    `ready`: an event of CUDA that has passed once they are there; None where they are there already.
    """

    rows: Tensor
    shapes: tuple[tuple[str, torch.Size], ...]
    ready: torch.cuda.Event | None

    @staticmethod
    def begin(values: Mapping[str, Tensor]) -> "Transfer":
        """Start to copy tensors of one device that have their first axis in common."""
        device = next(iter(values.values())).device
        # Every one converted by itself: what a mixture of types is joined to is the device's own affair.
        joined = [v.detach().to(most_precise(device)) for v in values.values()]
        rows = torch.cat([v.flatten(1) if v.ndim > 1 else v[:, None] for v in joined], 1)
        shapes = tuple((name, v.shape) for name, v in values.items())
        host = pinned(rows.shape, rows.dtype) if device.type == "cuda" else None
        if host is None:
            return Transfer(rows.cpu(), shapes, None)
        host.copy_(rows, non_blocking=True)
        ready = new_event()
        ready.record(torch.cuda.current_stream(device))
        return Transfer(host, shapes, ready)

    def arrays(self) -> dict[str, Floats]:
        """The tensors as arrays of float64, each with its own shape, once they are there."""
        if self.ready is not None:
            self.ready.synchronize()
        ends = np.cumsum([shape[1:].numel() for _, shape in self.shapes])
        parts = np.split(self.rows.double().numpy(), ends[:-1], axis=1)
        return {name: part.reshape(shape) for (name, shape), part in zip(self.shapes, parts, strict=True)}
