"""What a network's forward pass gives, whatever form it came in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mahtdiag.schema.model_spec import UncertaintyKind

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class ModelOutputs:
    """Named outputs of one batch.

    `heatmaps` `[B, K, h, w]`; `coords` `[B, K, 2]` in model-input pixels or None; `uncertainty` `[B, K]` or
    `[B, K, 2]` as the head emits it, with what its name says it is, or None.
    """

    heatmaps: Tensor
    coords: Tensor | None = None
    uncertainty: Tensor | None = None
    uncertainty_kind: UncertaintyKind | None = None


Predictor = Callable[["Tensor"], ModelOutputs]
