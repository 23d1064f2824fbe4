"""The losses train: a small network overfits one batch under each of them."""

import pytest
import torch
from torch import Tensor, nn

from mahtdiag.heatmaps.decoding import gaussian_targets, soft_argmax
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

IMAGES, KEYPOINTS, SIZE = 2, 20, 14


def overfit(network: nn.Module, loss: nn.Module, rest: tuple[Tensor, ...], steps: int) -> tuple[float, float]:
    """First and last loss of `steps` steps of Adam."""
    inputs = torch.randn(IMAGES, 8, generator=torch.Generator().manual_seed(1))
    optimiser = torch.optim.Adam(network.parameters(), 0.02)
    values = []
    for _ in range(steps):
        optimiser.zero_grad()
        result = loss(network(inputs), *rest)
        value: Tensor = result if isinstance(result, Tensor) else result.total
        value.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        values.append(value.item())
    return values[0], values[-1]


def labels() -> Tensor:
    generator = torch.Generator().manual_seed(2)
    points = 3.0 + 7.0 * torch.rand(IMAGES, KEYPOINTS, 2, generator=generator)
    points[0, 5] = torch.nan
    return points


def dense(*shape: int) -> nn.Module:
    torch.manual_seed(0)
    size = int(torch.tensor(shape).prod())
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, size), nn.Unflatten(1, shape))


@pytest.mark.parametrize(
    "loss",
    [HeatmapMSELoss(), FocalHeatmapLoss(), FocalHeatmapLoss(emphasis="keypoint"), AWingLoss()],
    ids=lambda loss: type(loss).__name__,
)
def test_heatmap_losses(loss: nn.Module) -> None:
    target = gaussian_targets(labels(), 1.5, SIZE, SIZE)
    first, last = overfit(dense(KEYPOINTS, SIZE, SIZE), loss, (target,), 40)
    assert last < 0.1 * first


@pytest.mark.parametrize("loss", [WingLoss(), SmoothL1Loss()], ids=lambda loss: type(loss).__name__)
def test_coordinate_losses(loss: nn.Module) -> None:
    first, last = overfit(dense(KEYPOINTS, 2), loss, (labels(),), 80)
    assert last < 0.1 * first


def test_anatomical_loss() -> None:
    class Spread(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.points = dense(KEYPOINTS, 2)

        def forward(self, inputs: Tensor) -> Tensor:
            points: Tensor = 30.0 * self.points(inputs)
            return points

    first, last = overfit(Spread(), AnatomicalStructureLoss(), (), 150)
    assert last < 0.1 * first


def test_uncertainty_loss_finds_the_spread_of_the_errors() -> None:
    """With one σ for all, the optimum is the root of the mean square error."""
    generator = torch.Generator().manual_seed(3)
    errors = 3.0 * torch.randn(50, KEYPOINTS, 2, generator=generator, dtype=torch.float64)
    own = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([own], 0.05)
    loss = UncertaintyLoss()
    for _ in range(200):
        optimiser.zero_grad()
        loss(errors, torch.zeros_like(errors), own.expand(50, KEYPOINTS)).backward()
        optimiser.step()
    assert own.exp().item() == pytest.approx((errors**2).mean().sqrt().item(), rel=1e-3)


def test_combined_loss() -> None:
    class Keypoints(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.heatmaps = dense(KEYPOINTS, SIZE, SIZE)
            self.log_sigma = nn.Parameter(torch.zeros(KEYPOINTS, 2))

        def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
            return self.heatmaps(inputs), self.log_sigma.expand(len(inputs), -1, -1)

    class Loss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.loss = MAHTNetLoss()

        def forward(self, outputs: tuple[Tensor, Tensor], points: Tensor) -> Tensor:
            heatmaps, log_sigma = outputs
            target = gaussian_targets(points, 1.5, SIZE, SIZE)
            total: Tensor = self.loss(heatmaps, target, soft_argmax(heatmaps, 10.0), points, log_sigma).total
            return total

    first, last = overfit(Keypoints(), Loss(), (labels(),), 80)
    assert last < 0.3 * first
