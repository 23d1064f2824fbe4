"""Losses between predicted and target coordinates, with and without a predicted uncertainty."""

import math

import torch
from torch import Tensor

from mahtdiag.losses.reduction import Loss, Reduction, check_positive, mean_where, reduce_images
from mahtdiag.schema.model_spec import SIGMA_BOUNDS


def labelled_differences(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """p − t `[B, K, 2]`, and where a keypoint is annotated `[B, K]`: both coordinates are numbers.

    The difference is 0 elsewhere: no NaN of a missing keypoint reaches a value or a gradient. Raises
    ValueError unless both are `[B, K, 2]` and alike.
    """
    if pred.shape != target.shape or pred.ndim != 3 or pred.shape[-1] != 2:
        raise ValueError(
            f"coordinates must be [B, K, 2] and alike: predicted {list(pred.shape)}, "
            f"target {list(target.shape)}"
        )
    labelled = ~target.isnan().any(-1)
    return torch.where(labelled.unsqueeze(-1), pred - target, 0.0), labelled


class _CoordinateLoss(Loss):
    """Mean over labelled keypoints and both axes of a value of d = |p−t|.

    Shapes: coordinates `[B, K, 2]` in model-input pixels; result `[B]` or a scalar. Missing keypoints have
    NaN targets and are left out; an image without any gives NaN. A NaN prediction makes the result NaN.
    """

    def per_axis(self, distance: Tensor) -> Tensor:
        """Value of each absolute difference."""
        raise TypeError(f"{type(self).__name__} defines no value per axis")

    def forward(self, pred_coords: Tensor, target_coords: Tensor) -> Tensor:
        """Reduce the per-axis value; ValueError if the two are not `[B, K, 2]` and alike."""
        return reduce_images(*self.per_image(pred_coords, target_coords), self.reduction)

    def per_image(self, pred_coords: Tensor, target_coords: Tensor) -> tuple[Tensor, Tensor]:
        """Value of each image `[B]`, and which images have a label `[B]`."""
        differences, labelled = labelled_differences(pred_coords, target_coords)
        values = self.per_axis(differences.abs()).mean(-1)
        return mean_where(values, labelled), labelled.any(-1)


class WingLoss(_CoordinateLoss):
    """Wing loss: ω·ln(1+d/ε) if d < ω, else d − C with C = ω − ω·ln(1+ω/ε).

    Feng et al., Wing Loss for Robust Facial Landmark Localisation with Convolutional Neural Networks,
    CVPR 2018.
    """

    def __init__(self, omega: float = 10.0, epsilon: float = 2.0, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        check_positive(omega=omega, epsilon=epsilon)
        self.omega = omega
        self.epsilon = epsilon

    def per_axis(self, distance: Tensor) -> Tensor:
        """Wing value."""
        offset = self.omega - self.omega * math.log1p(self.omega / self.epsilon)
        curved = self.omega * torch.log1p(distance / self.epsilon)
        return torch.where(distance < self.omega, curved, distance - offset)


class SmoothL1Loss(_CoordinateLoss):
    """Smooth L1: ½d²/β if d < β, else d − ½β."""

    def __init__(self, beta: float = 1.0, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        check_positive(beta=beta)
        self.beta = beta

    def per_axis(self, distance: Tensor) -> Tensor:
        """Smooth L1 value."""
        return torch.where(distance < self.beta, 0.5 * distance**2 / self.beta, distance - 0.5 * self.beta)


class UncertaintyLoss(Loss):
    """(p−t)²/(2σ²) + ln σ with σ = clamp(exp(log_sigma), min_sigma, max_sigma), mean over keypoints and axes.

    This is the Gaussian negative log-likelihood less its constant ½·ln 2π. A clamped σ has no gradient.
    Shapes: coordinates `[B, K, 2]` in model-input pixels; `log_sigma` `[B, K]` (one σ for both axes) or
    `[B, K, 2]`, the natural log of a standard deviation in model-input pixels (not of a variance); result
    `[B]` or a scalar. Missing keypoints have NaN targets and are left out; an image without any gives NaN.
    Kendall and Gal, What Uncertainties Do We Need in Bayesian Deep Learning for Computer Vision?, NIPS 2017.
    """

    def __init__(
        self,
        min_sigma: float = SIGMA_BOUNDS[0],
        max_sigma: float = SIGMA_BOUNDS[1],
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        check_positive(min_sigma=min_sigma, max_sigma=max_sigma)
        if not min_sigma < max_sigma:
            raise ValueError(f"min_sigma {min_sigma} must be below max_sigma {max_sigma}")
        self.min_sigma = min_sigma
        self.max_sigma = max_sigma

    def forward(self, pred_coords: Tensor, target_coords: Tensor, log_sigma: Tensor) -> Tensor:
        """Reduce the likelihood; ValueError if a shape is not as documented."""
        return reduce_images(*self.per_image(pred_coords, target_coords, log_sigma), self.reduction)

    def per_image(
        self, pred_coords: Tensor, target_coords: Tensor, log_sigma: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Value of each image `[B]`, and which images have a label `[B]`."""
        differences, labelled = labelled_differences(pred_coords, target_coords)
        if log_sigma.shape not in (pred_coords.shape, pred_coords.shape[:2]):
            raise ValueError(
                f"log_sigma must be {list(pred_coords.shape[:2])} or {list(pred_coords.shape)}, "
                f"not {list(log_sigma.shape)}"
            )
        if log_sigma.ndim == 2:
            log_sigma = log_sigma.unsqueeze(-1)
        # Clamping the logarithm is clamping σ, but exp cannot overflow: inf times a zero gradient is NaN.
        log_sigma = log_sigma.clamp(math.log(self.min_sigma), math.log(self.max_sigma))
        values = (0.5 * differences**2 * (-2 * log_sigma).exp() + log_sigma).mean(-1)
        return mean_where(values, labelled), labelled.any(-1)
