"""Losses between predicted and target heatmaps."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mahtdiag.losses.reduction import (
    Loss,
    Reduction,
    check_not_negative,
    check_positive,
    mean_where,
    reduce_images,
)

Emphasis = Literal["background", "keypoint"]


@dataclass(frozen=True, slots=True)
class FocalWeight:
    """How a pixel's squared error is weighed; see `focal_weight`. γ = 0 is plain MSE."""

    gamma: float = 2.0
    emphasis: Emphasis = "background"


PUBLISHED_WEIGHT = FocalWeight()
"""What published models were trained with."""


def focal_weight(target: Tensor, gamma: float, emphasis: Emphasis) -> Tensor:
    """Weight of each pixel's squared error: (1−t)^γ for `background`, (1+t)^γ for `keypoint`."""
    return ((1 - target).clamp(min=0) if emphasis == "background" else 1 + target) ** gamma


class _HeatmapLoss(Loss):
    """Mean over pixels, then over labelled keypoints, of a value per pixel.

    Shapes: heatmaps `[B, K, H, W]`; result `[B]` or a scalar. A keypoint is missing when its target holds a
    NaN: it is left out of the mean, and an image without any labelled keypoint gives NaN. A NaN prediction
    is not missing: it makes the result NaN.
    """

    def per_pixel(self, pred: Tensor, target: Tensor) -> Tensor:
        """Value of each pixel, same shape as the heatmaps."""
        raise TypeError(f"{type(self).__name__} defines no value per pixel")

    def forward(self, pred_heatmaps: Tensor, target_heatmaps: Tensor) -> Tensor:
        """Reduce the per-pixel value; ValueError if the two shapes differ or are not `[B, K, H, W]`."""
        return reduce_images(*self.per_image(pred_heatmaps, target_heatmaps), self.reduction)

    def per_image(self, pred_heatmaps: Tensor, target_heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        """Value of each image `[B]`, and which images have a label `[B]`."""
        values, labelled = self._per_keypoint(pred_heatmaps, target_heatmaps)
        return mean_where(values, labelled), labelled.any(-1)

    def _per_keypoint(self, pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        if pred.shape != target.shape or pred.ndim != 4:
            raise ValueError(
                "heatmaps must be [B, K, H, W] and alike: "
                f"predicted {list(pred.shape)}, target {list(target.shape)}"
            )
        labelled = ~target.sum((-2, -1)).isnan()
        if not bool(labelled.all()):
            # Both, because a NaN that is masked afterwards still spoils the gradient.
            known = labelled[..., None, None]
            pred, target = torch.where(known, pred, 0.0), torch.where(known, target, 0.0)
        return self.per_pixel(pred, target).mean((-2, -1)), labelled


class HeatmapMSELoss(_HeatmapLoss):
    """Mean squared error (p−t)², optionally times a weight per keypoint before the mean over keypoints."""

    def __init__(self, use_target_weight: bool = False, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.use_target_weight = use_target_weight

    def per_pixel(self, pred: Tensor, target: Tensor) -> Tensor:
        """(p−t)²."""
        return (pred - target) ** 2

    def forward(
        self, pred_heatmaps: Tensor, target_heatmaps: Tensor, target_weight: Tensor | None = None
    ) -> Tensor:
        """As the other heatmap losses; `target_weight` `[B, K]` is needed when the loss was built to use it.

        Raises ValueError if a weight is missing, not asked for, or not `[B, K]`.
        """
        if self.use_target_weight != (target_weight is not None):
            raise ValueError(
                "target_weight [B, K] is needed with use_target_weight=True and not accepted without"
            )
        values, labelled = self._per_keypoint(pred_heatmaps, target_heatmaps)
        if target_weight is not None:
            if target_weight.shape != values.shape:
                raise ValueError(
                    f"target_weight must be {list(values.shape)}, not {list(target_weight.shape)}"
                )
            values = values * torch.where(labelled, target_weight, 0.0)
        return reduce_images(mean_where(values, labelled), labelled.any(-1), self.reduction)


class FocalHeatmapLoss(_HeatmapLoss):
    """Squared error weighted by the target: w(t)·(p−t)², γ = 0 being plain MSE.

    `emphasis="background"` (default) is w = (1−t)^γ, the formula that published models were trained with:
    it is 0 at the keypoint itself and 1 on background. `emphasis="keypoint"` is w = (1+t)^γ, which grows
    with the target: 1 on background and 2^γ at the keypoint.
    """

    def __init__(
        self, gamma: float = 2.0, emphasis: Emphasis = "background", reduction: Reduction = "mean"
    ) -> None:
        super().__init__(reduction)
        check_not_negative(gamma=gamma)
        if emphasis not in ("background", "keypoint"):
            raise ValueError(f"emphasis is 'background' or 'keypoint', not {emphasis!r}")
        self.gamma = gamma
        self.emphasis: Emphasis = emphasis

    def per_pixel(self, pred: Tensor, target: Tensor) -> Tensor:
        """w(t)·(p−t)²."""
        return focal_weight(target, self.gamma, self.emphasis) * (pred - target) ** 2


class AWingLoss(_HeatmapLoss):
    """Adaptive Wing loss: logarithmic near the target, linear beyond θ.

    With d = |p−t|, q = θ/ε: ω·ln(1 + (d/ε)^(α−t)) if d < θ, else A·d − C, where
    A = ω/(1+q^(α−t))·(α−t)·q^(α−t−1)/ε and C = θ·A − ω·ln(1+q^(α−t)).
    Wang, Bo and Fuxin, Adaptive Wing Loss for Robust Face Alignment via Heatmap Regression, ICCV 2019.
    """

    def __init__(
        self,
        omega: float = 14.0,
        theta: float = 0.5,
        epsilon: float = 1.0,
        alpha: float = 2.1,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        check_positive(omega=omega, theta=theta, epsilon=epsilon)
        if not alpha > 1:
            raise ValueError(f"alpha must be above 1, the peak of the targets, not {alpha}")
        self.omega = omega
        self.theta = theta
        self.epsilon = epsilon
        self.alpha = alpha

    def per_pixel(self, pred: Tensor, target: Tensor) -> Tensor:
        """Adaptive Wing value."""
        distance = (pred - target).abs()
        power = self.alpha - target
        ratio = self.theta / self.epsilon
        ratio_power = ratio**power
        slope = self.omega / (1 + ratio_power) * power * ratio ** (power - 1) / self.epsilon
        offset = self.theta * slope - self.omega * torch.log1p(ratio_power)
        # A branch that is not taken must stay finite, or its gradient is NaN times zero; and the slope of
        # d^(α−t) at d = 0 is infinite where α−t < 1, so there the linear branch stands in, 0 on both sides.
        near = (distance < self.theta) & (distance > 0)
        inner = torch.where(near, distance, self.theta)
        curved = self.omega * torch.log1p((inner / self.epsilon) ** power)
        straight = torch.where(distance > 0, slope * distance - offset, 0.0 * distance)
        return torch.where(near, curved, straight)
