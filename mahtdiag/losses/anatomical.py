"""The anatomical structure loss: vertebrae in order, endplates parallel, plausible proportions."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mahtdiag.losses.reduction import Loss, Parts, Reduction, check_not_negative, mean_where, reduce_images
from mahtdiag.schema.skeleton import CORNERS_PER_VERTEBRA, LL, LR, UL, UR, Skeleton, View

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

    - order: mean over consecutive vertebrae (with S1 in LA) of max(0, −(y[v+1] − y[v])), y of the centres;
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
        if self.skeleton.last_endplate is not None:
            last = slice(self.skeleton.body_keypoints, None)
            y = torch.cat([y, coords[:, last, 1].mean(-1, keepdim=True)], 1)
            complete = torch.cat([complete, present[:, last].all(-1, keepdim=True)], 1)
        known = complete[:, 1:] & complete[:, :-1]
        return mean_where(torch.relu(y[:, :-1] - y[:, 1:]), known), known.any(-1)


def _bodies(coords: Tensor, present: Tensor, skeleton: Skeleton) -> _Bodies:
    shape = (len(coords), len(skeleton.bodies), CORNERS_PER_VERTEBRA)
    complete = present[:, : skeleton.body_keypoints].reshape(shape).all(-1)
    corners = coords[:, : skeleton.body_keypoints].reshape(*shape, 2)
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
