"""Gradients: equal to finite differences, finite everywhere, zero where they must be."""

import pytest
import torch
from torch import Tensor

from mahtdiag.losses import AWingLoss, MAHTNetLoss, UncertaintyLoss
from mahtdiag.losses.reduction import Reduction

from .cases import ALL_CASES, ANATOMICAL_CASES, HEATMAP_CASES, LABELLED_CASES, Case, Inputs, unlabel

REDUCTIONS: tuple[Reduction, ...] = ("mean", "none")


def checked(case: Case, inputs: Inputs, reduction: Reduction, keep: Tensor | None = None) -> bool:
    """Compare the gradients of the predictions (only of images `keep` where the others have no value)."""

    def loss(*predictions: Tensor) -> Tensor:
        given = list(inputs)
        for place, prediction in zip(case.predicted, predictions, strict=True):
            given[place] = prediction
        value = case.value(tuple(given), reduction)
        return value if keep is None or reduction == "mean" else value[keep]

    predictions = [inputs[place].clone().requires_grad_() for place in case.predicted]
    return bool(torch.autograd.gradcheck(loss, predictions))


def gradients(case: Case, inputs: Inputs, reduction: Reduction = "mean") -> list[Tensor]:
    leaves = [t.clone().requires_grad_() if place in case.predicted else t for place, t in enumerate(inputs)]
    case.value(tuple(leaves), reduction).nansum().backward()  # type: ignore[no-untyped-call]
    found = [leaves[place].grad for place in case.predicted]
    return [grad for grad in found if grad is not None]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("case", ALL_CASES, ids=str)
def test_finite_differences(case: Case, reduction: Reduction) -> None:
    assert checked(case, case.sample(seed=3, images=2), reduction)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("case", LABELLED_CASES, ids=str)
def test_finite_differences_with_missing_keypoints(case: Case, reduction: Reduction) -> None:
    inputs = case.sample(seed=4, images=2)
    missing = torch.zeros(inputs[0].shape[:2], dtype=torch.bool)
    missing[0, ::3] = True
    missing[1] = True
    assert checked(case, unlabel(case, inputs, missing), reduction, keep=torch.tensor([0]))


@pytest.mark.parametrize("case", ANATOMICAL_CASES, ids=str)
def test_finite_differences_with_incomplete_vertebrae(case: Case) -> None:
    (points,) = case.sample(seed=5, images=2)
    holes = torch.zeros(points.shape[:2], dtype=torch.bool)
    holes[0, [2, 9]] = True

    def loss(known: Tensor) -> Tensor:
        return case.value((known.masked_fill(holes.unsqueeze(-1), torch.nan),))

    assert torch.autograd.gradcheck(loss, points.clone().requires_grad_())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("case", LABELLED_CASES, ids=str)
def test_missing_keypoints_leave_every_gradient_finite_and_their_own_zero(
    case: Case, dtype: torch.dtype
) -> None:
    inputs = case.sample(seed=6, dtype=dtype)
    missing = torch.zeros(inputs[0].shape[:2], dtype=torch.bool)
    missing[0, 1] = True
    missing[2] = True
    for grad in gradients(case, unlabel(case, inputs, missing)):
        assert grad.isfinite().all()
        assert (grad[2] == 0).all()
        assert grad[1].abs().sum() > 0


@pytest.mark.parametrize("case", [case for case in LABELLED_CASES if "combined" not in case.name], ids=str)
def test_whatever_is_predicted_for_a_missing_keypoint_is_ignored(case: Case) -> None:
    inputs = case.sample(seed=7)
    missing = torch.zeros(inputs[0].shape[:2], dtype=torch.bool)
    missing[0, 1] = missing[2, 0] = True
    labelled = unlabel(case, inputs, missing)
    spoiled = tuple(
        t.masked_fill(missing.reshape(3, -1, *(1,) * (t.ndim - 2)), torch.nan) if i != 1 else t
        for i, t in enumerate(labelled)
    )
    assert torch.equal(case.value(spoiled), case.value(labelled))
    for clean, other in zip(gradients(case, labelled), gradients(case, spoiled), strict=True):
        assert torch.equal(clean, other)


@pytest.mark.parametrize("case", ALL_CASES, ids=str)
def test_a_perfect_prediction_has_finite_gradients(case: Case) -> None:
    inputs = list(case.sample(seed=8))
    if case not in ANATOMICAL_CASES:
        inputs[0] = inputs[1].clone()
    if len(inputs) == 5:
        inputs[2] = inputs[3].clone()
    assert all(grad.isfinite().all() for grad in gradients(case, tuple(inputs)))


@pytest.mark.parametrize("alpha", [1.05, 1.5, 2.0, 2.1])
def test_adaptive_wing_has_no_infinite_slope_at_a_perfect_pixel(alpha: float) -> None:
    pred = torch.ones(1, 1, 2, 2, dtype=torch.float64, requires_grad=True)
    loss = AWingLoss(alpha=alpha)(pred, torch.ones(1, 1, 2, 2, dtype=torch.float64))
    loss.backward()
    assert loss.item() == 0.0
    assert pred.grad is not None
    assert (pred.grad == 0).all()


@pytest.mark.parametrize("case", ANATOMICAL_CASES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_collapsed_vertebrae_have_finite_gradients(case: Case, dtype: torch.dtype) -> None:
    (points,) = case.sample(seed=9, dtype=dtype)
    points[0, :4] = points[0, 0].clone()
    points[1] = 0.0
    points[2, ::4] = torch.nan
    (grad,) = gradients(case, (points,))
    assert grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("log_sigma", [-1000.0, -5.0, -2.31, 2.31, 5.0, 100.0, 1000.0])
def test_a_clamped_sigma_has_no_gradient(log_sigma: float, dtype: torch.dtype) -> None:
    own = torch.full((1, 2, 2), log_sigma, dtype=dtype, requires_grad=True)
    pred = torch.full((1, 2, 2), 3.0, dtype=dtype, requires_grad=True)
    UncertaintyLoss()(pred, torch.zeros(1, 2, 2, dtype=dtype), own).backward()
    assert own.grad is not None
    assert pred.grad is not None
    assert (own.grad == 0).all()
    sigma = 0.1 if log_sigma < 0 else 10.0
    torch.testing.assert_close(pred.grad, torch.full_like(pred, 3.0 / sigma**2 / 4), rtol=1e-5, atol=0)


def test_a_sigma_inside_its_bounds_is_drawn_to_the_error() -> None:
    """The loss is stationary at σ = |error|, where its value is ½ + ln σ."""
    error = torch.tensor([0.5, 2.0, 7.0, 9.0], dtype=torch.float64).view(1, 2, 2)
    own = error.log().requires_grad_()
    loss = UncertaintyLoss()(error, torch.zeros_like(error), own)
    loss.backward()
    assert own.grad is not None
    torch.testing.assert_close(own.grad, torch.zeros_like(error), rtol=0, atol=1e-12)
    assert loss.item() == pytest.approx((0.5 + error.log()).mean().item(), abs=1e-12)


def test_targets_need_no_gradient_and_get_none() -> None:
    for case in HEATMAP_CASES:
        inputs = case.sample(seed=10)
        case.value(inputs)
        assert not any(tensor.requires_grad for tensor in inputs)


def test_a_weight_of_zero_stops_the_gradient_of_its_part() -> None:
    case = next(case for case in LABELLED_CASES if case.name == "combined AP")
    heatmaps, targets, points, labels, log_sigma = case.sample(seed=11)
    heatmaps.requires_grad_()
    log_sigma.requires_grad_()
    loss = MAHTNetLoss(lambda_heatmap=0.0, lambda_uncertainty=0.0)
    (loss(heatmaps, targets, points.requires_grad_(), labels, log_sigma).total).backward()
    assert heatmaps.grad is not None
    assert log_sigma.grad is not None
    assert points.grad is not None
    assert (heatmaps.grad == 0).all()
    assert (log_sigma.grad == 0).all()
    assert points.grad.abs().sum() > 0
