"""Every loss in every variant, with inputs to call it on."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mahtdiag.losses import (
    AnatomicalStructureLoss,
    AWingLoss,
    FocalHeatmapLoss,
    HeatmapMSELoss,
    MAHTNetLoss,
    SmoothL1Loss,
    UncertaintyLoss,
    WingLoss,
)
from mahtdiag.losses.reduction import Parts, Reduction

Inputs = tuple[Tensor, ...]


@dataclass(frozen=True)
class Case:
    """A loss with its parameters; `predicted` are the places of the predictions among the inputs."""

    name: str
    make: Callable[[Reduction], nn.Module]
    inputs: Callable[[torch.Generator, int], Inputs]
    predicted: tuple[int, ...]

    def __str__(self) -> str:
        return self.name

    def sample(self, seed: int = 0, images: int = 3, dtype: torch.dtype = torch.float64) -> Inputs:
        """Inputs without anything missing."""
        inputs = self.inputs(torch.Generator().manual_seed(seed), images)
        return tuple(tensor.to(dtype) for tensor in inputs)

    def value(self, inputs: Inputs, reduction: Reduction = "none") -> Tensor:
        """The loss, or the total of one with parts."""
        result = self.make(reduction)(*inputs)
        tensor: Tensor = result["total"] if isinstance(result, Parts) else result
        return tensor


def _uniform(generator: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    return low + (high - low) * torch.rand(*shape, generator=generator, dtype=torch.float64)


def _heatmaps(generator: torch.Generator, images: int) -> Inputs:
    shape = (images, 4, 3, 5)
    return _uniform(generator, -0.3, 1.3, *shape), _uniform(generator, 0.0, 1.0, *shape)


def _weighted_heatmaps(generator: torch.Generator, images: int) -> Inputs:
    return (*_heatmaps(generator, images), _uniform(generator, 0.0, 2.0, images, 4))


def _points(generator: torch.Generator, images: int, keypoints: int = 6) -> Inputs:
    target = _uniform(generator, 0.0, 60.0, images, keypoints, 2)
    return target + _uniform(generator, -25.0, 25.0, images, keypoints, 2), target


def _points_with_sigma(*last: int) -> Callable[[torch.Generator, int], Inputs]:
    def make(generator: torch.Generator, images: int) -> Inputs:
        return *_points(generator, images), _uniform(generator, -4.0, 4.0, images, 6, *last)

    return make


def _spines(keypoints: int) -> Callable[[torch.Generator, int], Inputs]:
    return lambda generator, images: (_uniform(generator, 0.0, 60.0, images, keypoints, 2),)


def _everything(keypoints: int, *last: int) -> Callable[[torch.Generator, int], Inputs]:
    def make(generator: torch.Generator, images: int) -> Inputs:
        shape = (images, keypoints, 1, 3)
        maps = _uniform(generator, -0.3, 1.3, *shape), _uniform(generator, 0.0, 1.0, *shape)
        sigma = _uniform(generator, -4.0, 4.0, images, keypoints, *last)
        return *maps, *_points(generator, images, keypoints), sigma

    return make


HEATMAP_CASES = (
    Case("mse", lambda r: HeatmapMSELoss(reduction=r), _heatmaps, (0,)),
    Case("mse weighted", lambda r: HeatmapMSELoss(True, reduction=r), _weighted_heatmaps, (0,)),
    Case("focal", lambda r: FocalHeatmapLoss(reduction=r), _heatmaps, (0,)),
    Case("focal 0", lambda r: FocalHeatmapLoss(0.0, reduction=r), _heatmaps, (0,)),
    Case("focal 1.5", lambda r: FocalHeatmapLoss(1.5, reduction=r), _heatmaps, (0,)),
    Case("focal keypoint", lambda r: FocalHeatmapLoss(2.0, "keypoint", r), _heatmaps, (0,)),
    Case("focal keypoint 0.5", lambda r: FocalHeatmapLoss(0.5, "keypoint", r), _heatmaps, (0,)),
    Case("awing", lambda r: AWingLoss(reduction=r), _heatmaps, (0,)),
    Case("awing steep", lambda r: AWingLoss(8.0, 0.2, 0.5, 1.4, r), _heatmaps, (0,)),
)
COORDINATE_CASES = (
    Case("wing", lambda r: WingLoss(reduction=r), _points, (0,)),
    Case("wing narrow", lambda r: WingLoss(3.0, 0.5, r), _points, (0,)),
    Case("smooth l1", lambda r: SmoothL1Loss(reduction=r), _points, (0,)),
    Case("smooth l1 wide", lambda r: SmoothL1Loss(7.5, r), _points, (0,)),
    Case("uncertainty", lambda r: UncertaintyLoss(reduction=r), _points_with_sigma(), (0, 2)),
    Case("uncertainty per axis", lambda r: UncertaintyLoss(reduction=r), _points_with_sigma(2), (0, 2)),
    Case("uncertainty wide", lambda r: UncertaintyLoss(0.001, 500.0, r), _points_with_sigma(2), (0, 2)),
)
ANATOMICAL_CASES = (
    Case("anatomical AP", lambda r: AnatomicalStructureLoss(reduction=r), _spines(20), (0,)),
    Case("anatomical LA", lambda r: AnatomicalStructureLoss(view="LA", reduction=r), _spines(22), (0,)),
    Case(
        "anatomical weighted",
        lambda r: AnatomicalStructureLoss(0.5, 2.0, 3.0, "LA", r),
        _spines(22),
        (0,),
    ),
)
COMBINED_CASES = (
    Case("combined AP", lambda r: MAHTNetLoss(reduction=r), _everything(20), (0, 2, 4)),
    Case("combined LA", lambda r: MAHTNetLoss(view="LA", reduction=r), _everything(22, 2), (0, 2, 4)),
    Case(
        "combined mse",
        lambda r: MAHTNetLoss(2.0, 0.1, 0.7, 0.3, use_focal=False, reduction=r),
        _everything(20, 2),
        (0, 2, 4),
    ),
)
LABELLED_CASES = (*HEATMAP_CASES, *COORDINATE_CASES, *COMBINED_CASES)
ALL_CASES = (*LABELLED_CASES, *ANATOMICAL_CASES)


def unlabel(case: Case, inputs: Inputs, missing: Tensor) -> Inputs:
    """The same inputs with the keypoints `missing` `[B, K]` not labelled."""
    targets = (1, 3) if case in COMBINED_CASES else (1,)
    return tuple(
        tensor.masked_fill(missing.reshape(*missing.shape, *(1,) * (tensor.ndim - 2)), torch.nan)
        if place in targets
        else tensor
        for place, tensor in enumerate(inputs)
    )
