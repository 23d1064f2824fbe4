"""What all losses share: from per-keypoint values to one per image and to a batch, and named parts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Literal

import torch
from torch import Tensor, nn

Reduction = Literal["mean", "none"]


class Loss(nn.Module):
    """Base of the losses: one value per image, or their mean. Raises ValueError for another `reduction`."""

    def __init__(self, reduction: Reduction) -> None:
        super().__init__()
        if reduction not in ("mean", "none"):
            raise ValueError(f"reduction is 'mean' or 'none', not {reduction!r}")
        self.reduction: Reduction = reduction


def check_positive(**parameters: float) -> None:
    """Raise ValueError naming every parameter that is not a positive number."""
    wrong = [f"{name} is {value}" for name, value in parameters.items() if not value > 0]
    if wrong:
        raise ValueError(f"must be positive: {', '.join(wrong)}")


def check_not_negative(**parameters: float) -> None:
    """Raise ValueError naming every parameter that is below zero or not a number."""
    wrong = [f"{name} is {value}" for name, value in parameters.items() if not value >= 0]
    if wrong:
        raise ValueError(f"must not be negative: {', '.join(wrong)}")


def mean_where(values: Tensor, valid: Tensor) -> Tensor:
    """Mean over the last axis of the values that are valid; NaN where none is, with a gradient of zero there.

    Invalid values may be anything finite; the caller replaces NaN before it computes with them, because a
    NaN that is masked afterwards still spoils the gradient.
    """
    count = valid.sum(-1)
    total = torch.where(valid, values, torch.zeros_like(values)).sum(-1)
    return torch.where(count > 0, total / count.clamp(min=1), torch.nan)


def reduce_images(per_image: Tensor, labelled: Tensor, reduction: Reduction) -> Tensor:
    """One value per image `[B]`, NaN where nothing is labelled, or the mean of the labelled images."""
    if reduction == "none":
        return torch.where(labelled, per_image, torch.nan)
    return mean_where(per_image, labelled)


@dataclass(frozen=True, eq=False)
class Parts(Mapping[str, Tensor]):
    """Base of the loss records: `parts.total`, `parts["total"]` and `dict(parts)` all work.

    A part that could not be computed is None as an attribute and absent from the mapping. Equal is identical:
    whether two tensors are equal has no single answer.
    """

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __getitem__(self, name: str) -> Tensor:
        if name not in tuple(self):
            raise KeyError(name)
        tensor: Tensor = getattr(self, name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return (field.name for field in fields(self) if getattr(self, field.name) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


@dataclass(frozen=True, eq=False)
class LossParts(Parts):
    """Unweighted parts of the combined loss, and `total`, their weighted sum."""

    heatmap: Tensor
    coord: Tensor | None
    anatomical: Tensor | None
    uncertainty: Tensor | None
    total: Tensor
