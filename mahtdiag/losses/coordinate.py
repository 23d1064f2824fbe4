"""Losses of coordinates: against their targets, with and without a predicted uncertainty, and anatomical."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mahtdiag.losses.reduction import (
    Loss,
    Parts,
    Reduction,
    check_not_negative,
    check_positive,
    mean_where,
    reduce_images,
)
from mahtdiag.schema.model_spec import SIGMA_BOUNDS
from mahtdiag.schema.skeleton import CORNERS_PER_VERTEBRA, LL, LR, UL, UR, Skeleton, View


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


TINY = 1e-6
MAX_ASPECT = 4.0
MIN_ASPECT = 0.5


@dataclass(frozen=True, eq=False)
class AnatomicalParts(Parts):
    """Terms of the anatomical structure loss and their weighted sum."""

    order: Tensor
    parallel: Tensor
    ratio: Tensor
    total: Tensor


@dataclass(frozen=True)
class _Bodies:
    """Bodies of a batch, n each: corners `[B, n, 4, 2]` free of NaN, and which are complete `[B, n]`."""

    corners: Tensor
    complete: Tensor

    def edge(self, start: int, end: int) -> Tensor:
        return self.corners[:, :, end] - self.corners[:, :, start]


class AnatomicalStructureLoss(Loss):
    """λ_order·order + λ_parallel·parallel + λ_ratio·ratio, on one set of coordinates.

    - order: mean over consecutive vertebrae (with C2 and S1) of max(0, −(y[v+1] − y[v])), y of the centres;
    - parallel: mean over the bodies of 1 − |û·l̂|, û and l̂ the upper and lower edge over (its length + 1e-6);
    - ratio: band + ½·consistency, with r = width/(height + 1e-6): band = mean of max(0, r−4) + max(0, 0.5−r),
      consistency = mean over neighbours of |width difference|/(mean width + 1e-6), plus the same of heights.

    `view` is a projection or a skeleton. Shapes: coordinates `[B, K, 2]` in model-input pixels; every part
    `[B]` or a scalar. A vertebra that lacks a corner (NaN) is left out of every term; a term with nothing
    left is NaN. Blind to left-right mirroring and to crossed corners, and its order term grows with the
    image: use the anatomical rules to judge.
    """

    def __init__(
        self,
        lambda_order: float = 1.0,
        lambda_parallel: float = 0.1,
        lambda_ratio: float = 0.1,
        view: Skeleton | View | str = View.AP,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        check_not_negative(
            lambda_order=lambda_order, lambda_parallel=lambda_parallel, lambda_ratio=lambda_ratio
        )
        self.lambda_order = lambda_order
        self.lambda_parallel = lambda_parallel
        self.lambda_ratio = lambda_ratio
        self.skeleton = view if isinstance(view, Skeleton) else View(view).skeleton

    def forward(self, coords: Tensor) -> AnatomicalParts:
        """The three terms and their sum; ValueError unless `coords` is `[B, K, 2]` with the skeleton's K."""
        skeleton = self.skeleton
        if coords.ndim != 3 or coords.shape[1:] != (skeleton.keypoints, 2):
            raise ValueError(
                f"{skeleton} coordinates must be [B, {skeleton.keypoints}, 2], not {list(coords.shape)}"
            )
        present = ~coords.isnan().any(-1)
        coords = torch.where(present.unsqueeze(-1), coords, 0.0)
        bodies = _bodies(coords, present, skeleton)
        order, ordered = self._order(coords, present, bodies)
        parallel, ratio = _parallel(bodies), _ratio(bodies)
        total = self.lambda_order * order + self.lambda_parallel * parallel + self.lambda_ratio * ratio
        measured = bodies.complete.any(-1)
        terms = ((order, ordered), (parallel, measured), (ratio, measured), (total, ordered & measured))
        return AnatomicalParts(*(reduce_images(term, known, self.reduction) for term, known in terms))

    def _order(self, coords: Tensor, present: Tensor, bodies: _Bodies) -> tuple[Tensor, Tensor]:
        y, complete = bodies.corners[..., 1].mean(-1), bodies.complete
        of_bodies = self.skeleton.of_bodies
        if self.skeleton.first_endplate is not None:
            first = slice(0, of_bodies.start)
            y = torch.cat([coords[:, first, 1].mean(-1, keepdim=True), y], 1)
            complete = torch.cat([present[:, first].all(-1, keepdim=True), complete], 1)
        if self.skeleton.last_endplate is not None:
            last = slice(of_bodies.stop, None)
            y = torch.cat([y, coords[:, last, 1].mean(-1, keepdim=True)], 1)
            complete = torch.cat([complete, present[:, last].all(-1, keepdim=True)], 1)
        known = complete[:, 1:] & complete[:, :-1]
        return mean_where(torch.relu(y[:, :-1] - y[:, 1:]), known), known.any(-1)


def _bodies(coords: Tensor, present: Tensor, skeleton: Skeleton) -> _Bodies:
    shape = (len(coords), len(skeleton.bodies), CORNERS_PER_VERTEBRA)
    complete = present[:, skeleton.of_bodies].reshape(shape).all(-1)
    corners = coords[:, skeleton.of_bodies].reshape(*shape, 2)
    return _Bodies(torch.where(complete[..., None, None], corners, 0.0), complete)


def _length(edges: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(edges, dim=-1)
    return length


def _parallel(bodies: _Bodies) -> Tensor:
    """Mean of 1 − |û·l̂|, written so that nearly parallel edges lose no digits in float32.

    With a = |u| + 1e-6, b = |l| + 1e-6 and s = |u||l|/ab: 1 − |û·l̂| = ((1−s)(1+s) + (û×l̂)²)/(1 + |û·l̂|).
    """
    upper, lower = bodies.edge(UL, UR), bodies.edge(LL, LR)
    upper_length = _length(upper)
    lower_length = _length(lower)
    area = (upper_length + TINY) * (lower_length + TINY)
    dot = (upper * lower).sum(-1) / area
    cross = (upper[..., 0] * lower[..., 1] - upper[..., 1] * lower[..., 0]) / area
    shortfall = TINY * (upper_length + lower_length + TINY) / area
    value = (shortfall * (2 - shortfall) + cross**2) / (1 + dot.abs())
    return mean_where(value, bodies.complete)


def _ratio(bodies: _Bodies) -> Tensor:
    width = 0.5 * (_length(bodies.edge(UL, UR)) + _length(bodies.edge(LL, LR)))
    height = 0.5 * (_length(bodies.edge(UL, LL)) + _length(bodies.edge(UR, LR)))
    aspect = width / (height + TINY)
    band = mean_where(torch.relu(aspect - MAX_ASPECT) + torch.relu(MIN_ASPECT - aspect), bodies.complete)
    return band + 0.5 * (_jumps(width, bodies.complete) + _jumps(height, bodies.complete))


def _jumps(size: Tensor, complete: Tensor) -> Tensor:
    """Mean |difference between neighbours| over the image's mean size; no neighbours, no jump to count."""
    neighbours = complete[:, 1:] & complete[:, :-1]
    scale = mean_where(size, complete) + TINY
    jump = torch.where(neighbours, (size[:, 1:] - size[:, :-1]).abs(), 0.0).sum(-1)
    return jump / neighbours.sum(-1).clamp(min=1) / scale
