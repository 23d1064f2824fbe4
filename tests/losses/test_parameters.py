"""The public surface: names, parameters, shapes, records."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import mahtdiag.losses
from mahtdiag.losses import (
    AnatomicalStructureLoss,
    AWingLoss,
    FocalHeatmapLoss,
    HeatmapMSELoss,
    LossParts,
    MAHTNetLoss,
    SmoothL1Loss,
    UncertaintyLoss,
    WingLoss,
)
from mahtdiag.schema.skeleton import AP

from .cases import ALL_CASES, COMBINED_CASES, Case

CLASSES = (
    AWingLoss,
    AnatomicalStructureLoss,
    FocalHeatmapLoss,
    HeatmapMSELoss,
    MAHTNetLoss,
    SmoothL1Loss,
    UncertaintyLoss,
    WingLoss,
)


def test_public_names() -> None:
    assert set(mahtdiag.losses.__all__) == {c.__name__ for c in CLASSES} | {"LossParts", "AnatomicalParts"}
    for name in mahtdiag.losses.__all__:
        assert hasattr(mahtdiag.losses, name)


@pytest.mark.parametrize("loss", CLASSES)
def test_every_loss_is_a_module_without_state_that_averages_by_default(loss: type[nn.Module]) -> None:
    built = loss()
    assert built.reduction == "mean"
    assert not built.state_dict()
    assert not list(built.parameters())
    assert built.__doc__


def test_defaults() -> None:
    wing, awing, focal = WingLoss(), AWingLoss(), FocalHeatmapLoss()
    assert (wing.omega, wing.epsilon) == (10.0, 2.0)
    assert (awing.omega, awing.theta, awing.epsilon, awing.alpha) == (14.0, 0.5, 1.0, 2.1)
    assert (focal.gamma, focal.emphasis) == (2.0, "background")
    assert SmoothL1Loss().beta == 1.0
    assert (UncertaintyLoss().min_sigma, UncertaintyLoss().max_sigma) == (0.1, 10.0)
    assert not HeatmapMSELoss().use_target_weight
    anatomical, combined = AnatomicalStructureLoss(), MAHTNetLoss()
    assert (anatomical.lambda_order, anatomical.lambda_parallel, anatomical.lambda_ratio) == (1.0, 0.1, 0.1)
    assert anatomical.skeleton is AP
    assert (combined.lambda_heatmap, combined.lambda_coord) == (1.0, 0.5)
    assert (combined.lambda_anatomical, combined.lambda_uncertainty) == (0.1, 0.1)


def test_the_combined_loss_tells_the_parameters_that_make_it_again() -> None:
    assert MAHTNetLoss().settings() == {
        "lambda_heatmap": 1.0, "lambda_coord": 0.5, "lambda_anatomical": 0.1, "lambda_uncertainty": 0.1,
        "use_focal": True, "gamma": 2.0, "emphasis": "background", "omega": 10.0, "epsilon": 2.0,
        "lambda_order": 1.0, "lambda_parallel": 0.1, "lambda_ratio": 0.1, "min_sigma": 0.1, "max_sigma": 10.0,
    }  # fmt: skip
    other = MAHTNetLoss(
        2.0, 3.0, 4.0, 5.0, gamma=1.5, emphasis="keypoint", omega=6.0, epsilon=7.0, lambda_order=8.0,
        lambda_parallel=9.0, lambda_ratio=10.0, min_sigma=0.25, max_sigma=0.5,
    )  # fmt: skip
    assert len(set(other.settings().values())) == len(other.settings())
    mse = MAHTNetLoss(use_focal=False)
    assert not {"gamma", "emphasis"} & mse.settings().keys()
    for loss in (other, mse):
        again = MAHTNetLoss(**loss.settings())  # type: ignore[arg-type]
        assert again.settings() == loss.settings()
        assert again.focal_weight == loss.focal_weight


def test_the_parameters_of_the_single_losses_reach_them() -> None:
    heatmaps, points = torch.rand(2, 3, 20, 8, 9), torch.rand(2, 3, 20, 2) * 60
    log_sigma = torch.randn(3, 20)
    combined = MAHTNetLoss(
        gamma=1.5, emphasis="keypoint", omega=6.0, epsilon=7.0, lambda_order=8.0, lambda_parallel=9.0,
        lambda_ratio=10.0, min_sigma=0.25, max_sigma=0.5,
    )(*heatmaps, *points, log_sigma)  # fmt: skip
    expected = {
        "heatmap": FocalHeatmapLoss(1.5, "keypoint")(*heatmaps),
        "coord": WingLoss(6.0, 7.0)(*points),
        "anatomical": AnatomicalStructureLoss(8.0, 9.0, 10.0)(points[0]).total,
        "uncertainty": UncertaintyLoss(0.25, 0.5)(*points, log_sigma),
    }
    for name, value in expected.items():
        assert torch.equal(combined[name], value), name


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (lambda: AWingLoss(omega=0.0), "omega"),
        (lambda: AWingLoss(theta=-1.0), "theta"),
        (lambda: AWingLoss(epsilon=0.0), "epsilon"),
        (lambda: AWingLoss(alpha=1.0), "alpha"),
        (lambda: AWingLoss(alpha=float("nan")), "alpha"),
        (lambda: FocalHeatmapLoss(gamma=-0.1), "gamma"),
        (lambda: FocalHeatmapLoss(gamma=float("nan")), "gamma"),
        (lambda: FocalHeatmapLoss(emphasis="both"), "emphasis"),  # type: ignore[arg-type]
        (lambda: WingLoss(omega=0.0, epsilon=-1.0), "omega is 0.0, epsilon is -1.0"),
        (lambda: SmoothL1Loss(beta=0.0), "beta"),
        (lambda: UncertaintyLoss(min_sigma=0.0), "min_sigma"),
        (lambda: UncertaintyLoss(max_sigma=float("nan")), "max_sigma"),
        (lambda: UncertaintyLoss(min_sigma=2.0, max_sigma=2.0), "below"),
        (lambda: AnatomicalStructureLoss(lambda_order=-1.0), "lambda_order"),
        (lambda: AnatomicalStructureLoss(lambda_parallel=-1.0), "lambda_parallel"),
        (lambda: AnatomicalStructureLoss(lambda_ratio=float("nan")), "lambda_ratio"),
        (lambda: AnatomicalStructureLoss(view="PA"), "PA"),
        (lambda: MAHTNetLoss(lambda_heatmap=-1.0), "lambda_heatmap"),
        (lambda: MAHTNetLoss(lambda_coord=-1.0), "lambda_coord"),
        (lambda: MAHTNetLoss(lambda_anatomical=-1.0), "lambda_anatomical"),
        (lambda: MAHTNetLoss(lambda_uncertainty=-1.0), "lambda_uncertainty"),
        (lambda: MAHTNetLoss(view="lateral"), "lateral"),
    ],
)
def test_impossible_parameters(build: Callable[[], nn.Module], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        build()


@pytest.mark.parametrize("case", ALL_CASES, ids=str)
def test_unknown_reduction(case: Case) -> None:
    with pytest.raises(ValueError, match="'sum'"):
        case.make("sum")  # type: ignore[arg-type]


def zeros(*shape: int) -> Tensor:
    return torch.zeros(shape)


@pytest.mark.parametrize(
    ("loss", "inputs"),
    [
        (HeatmapMSELoss(), (zeros(1, 2, 3, 4), zeros(1, 2, 4, 3))),
        (HeatmapMSELoss(), (zeros(2, 3, 4), zeros(2, 3, 4))),
        (HeatmapMSELoss(), (zeros(1, 2, 3, 4), zeros(1, 2, 3, 4), zeros(1, 2))),
        (HeatmapMSELoss(use_target_weight=True), (zeros(1, 2, 3, 4), zeros(1, 2, 3, 4))),
        (HeatmapMSELoss(use_target_weight=True), (zeros(1, 2, 3, 4), zeros(1, 2, 3, 4), zeros(2))),
        (FocalHeatmapLoss(), (zeros(1, 2, 3, 4), zeros(1, 1, 3, 4))),
        (AWingLoss(), (zeros(1, 2, 3, 4), zeros(2, 2, 3, 4))),
        (WingLoss(), (zeros(1, 4, 2), zeros(1, 4))),
        (WingLoss(), (zeros(1, 4, 3), zeros(1, 4, 3))),
        (SmoothL1Loss(), (zeros(4, 2), zeros(4, 2))),
        (SmoothL1Loss(), (zeros(2, 4, 2), zeros(1, 4, 2))),
        (UncertaintyLoss(), (zeros(1, 4, 2), zeros(1, 4, 2), zeros(1, 4, 1))),
        (UncertaintyLoss(), (zeros(1, 4, 2), zeros(1, 4, 2), zeros(4))),
        (UncertaintyLoss(), (zeros(1, 4, 2), zeros(1, 5, 2), zeros(1, 4))),
        (AnatomicalStructureLoss(), (zeros(1, 22, 2),)),
        (AnatomicalStructureLoss(view="LA"), (zeros(1, 20, 2),)),
        (AnatomicalStructureLoss(), (zeros(20, 2),)),
        (MAHTNetLoss(), (zeros(1, 20, 3, 4), zeros(1, 20, 3, 4), zeros(2, 20, 2))),
        (MAHTNetLoss(), (zeros(1, 4, 3, 4), zeros(1, 4, 3, 4), zeros(1, 20, 2))),
        (MAHTNetLoss(), (zeros(1, 20, 3, 4), zeros(1, 20, 3, 4), zeros(1, 20, 2), zeros(1, 22, 2))),
    ],
)
def test_wrong_shapes(loss: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    with pytest.raises(ValueError, match=r"\["):
        loss(*inputs)


def test_parts_are_a_mapping_and_a_record() -> None:
    case = COMBINED_CASES[0]
    parts = MAHTNetLoss()(*case.sample())
    assert isinstance(parts, LossParts)
    assert list(parts) == ["heatmap", "coord", "anatomical", "uncertainty", "total"]
    assert len(parts) == 5
    assert parts["coord"] is parts.coord
    assert dict(parts)["total"] is parts.total
    few = MAHTNetLoss()(*case.sample()[:2])
    assert "coord" not in few
    assert len(few) == 2
    with pytest.raises(KeyError, match="coord"):
        few["coord"]
    with pytest.raises(KeyError, match="_names"):
        few["_names"]


def test_parts_of_several_images_can_be_compared_and_hashed() -> None:
    case = COMBINED_CASES[0]
    loss = MAHTNetLoss(reduction="none")
    first, second = loss(*case.sample()), loss(*case.sample())
    assert first == first
    assert first != second
    assert len({first, second}) == 2


def test_parts_computed_elsewhere_are_weighed_alike() -> None:
    case = COMBINED_CASES[2]
    loss = case.make("none")
    assert isinstance(loss, MAHTNetLoss)
    parts = loss(*case.sample())
    again = loss.combine(parts.heatmap, parts.coord, parts.anatomical, parts.uncertainty)
    assert torch.equal(again.total, parts.total)
    fewer = loss.combine(parts.heatmap, None, parts.anatomical)
    assert torch.equal(fewer.total, 2.0 * parts.heatmap + 0.7 * parts["anatomical"])
