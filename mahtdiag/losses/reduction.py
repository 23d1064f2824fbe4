"""From per-keypoint values to one value per image, and from there to a batch."""

from typing import Literal

import torch
from torch import Tensor

Reduction = Literal["mean", "none"]


def check_reduction(reduction: str) -> None:
    """Raise ValueError unless `reduction` is `mean` or `none`."""
    if reduction not in ("mean", "none"):
        raise ValueError(f"reduction is 'mean' or 'none', not {reduction!r}")


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
