"""Losses between heatmaps and their targets: rendered ones to train, and without them to evaluate."""

import math
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
from mahtdiag.schema.precision import most_precise

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


REACH = 6.0
"""A Gaussian target is 0 beyond so many σ.

There (p−t)² and every focal weight reduce to p², so one pass over the prediction gives the sum of each piece
of each row, and the formula is applied to the pieces around the label alone.
"""
# Rows are summed in pieces, and windows are made of whole pieces: short enough for the windows to hold little
# beside the reach of a label, long enough for the sums to run at the speed of memory.
SHORTEST_PIECE, LONGEST_PIECE = 16, 64
# Share of the heatmaps that windows, targets and weights may take as extra memory on a CPU; so many cells
# they may take in any case.
EXTRA_MEMORY = 0.04
EXTRA_CELLS = 2**18


@dataclass(frozen=True)
class HeatmapLosses:
    """Per-image heatmap losses `[B]`, NaN where no keypoint is labelled.

    `mse` and `focal` equal `HeatmapMSELoss` and `FocalHeatmapLoss` against rendered Gaussians;
    `keypoint_share` is the share of the focal loss from pixels with target > 0.5, the rest is background.
    `finite` `[B, K]` tells which heatmaps hold finite numbers only (whose squares are finite, too).
    """

    mse: Tensor
    focal: Tensor
    keypoint_share: Tensor
    finite: Tensor


def windowed_heatmap_losses(
    heatmaps: Tensor,
    centres: Tensor,
    sigma: float,
    gamma: float = 2.0,
    emphasis: Emphasis = "background",
    outside: "OutsideWindows | None" = None,
) -> HeatmapLosses:
    """MSE and focal loss of `[B, K, H, W]` against Gaussians of σ cells at `centres` `[B, K, 2]` (cells).

    Missing keypoints (NaN centres) are left out; a heatmap with a NaN makes its image's losses NaN. Sums
    within a heatmap are cascaded, those over heatmaps are in float64 where the device has it, and no
    difference of large sums is ever taken. `outside`: what `sum_outside` gives for the same heatmaps, centres
    and σ, if it is known. Raises ValueError for other shapes or a σ that is not positive.
    """
    outside = sum_outside(heatmaps, centres, sigma) if outside is None else outside
    windows = outside.windows
    pieces = heatmaps.reshape(-1, windows.piece)
    step = _keypoints_at_once(heatmaps, windows)
    parts = [
        _inside(pieces, windows.of_keypoints(k, k + step), gamma, emphasis)
        for k in range(0, heatmaps.shape[1], step)
    ]
    squared, focal, at_keypoint = torch.cat(parts, -1)
    squared, focal = squared + outside.squared, focal + outside.squared
    means = mean_where(torch.stack([squared, focal, at_keypoint]), outside.labelled)
    mse, focal_loss = means[:2] / (heatmaps.shape[2] * heatmaps.shape[3])
    return HeatmapLosses(mse, focal_loss, means[2] / means[1], squared.isfinite())


@dataclass(frozen=True)
class OutsideWindows:
    """What heatmaps hold outside the windows of their labels: `squared` = Σp² `[B, K]`.

    `labelled` `[B, K]` tells which keypoints have a label; the windows of the others stand anywhere.
    """

    windows: "_Windows"
    labelled: Tensor
    squared: Tensor


def sum_outside(heatmaps: Tensor, centres: Tensor, sigma: float) -> OutsideWindows:
    """The one pass over all cells of `[B, K, H, W]` that the losses need; labels `[B, K, 2]` in cells.

    Raises ValueError for other shapes or a σ that is not positive.
    """
    if heatmaps.ndim != 4 or centres.shape != (*heatmaps.shape[:2], 2):
        raise ValueError(
            f"heatmaps [B, K, H, W] and centres [B, K, 2] do not fit: {list(heatmaps.shape)}, "
            f"{list(centres.shape)}"
        )
    if not sigma > 0:
        raise ValueError(f"sigma must be positive, not {sigma}")
    labelled = ~centres.isnan().any(-1)
    centres = torch.where(labelled.unsqueeze(-1), centres, torch.zeros_like(centres))
    windows = _Windows.around(centres, heatmaps.shape[2], heatmaps.shape[3], sigma)
    pieces = heatmaps.reshape(-1, windows.piece)
    norms = torch.linalg.vector_norm(pieces, dim=-1).index_fill_(0, windows.index.flatten(), 0.0)
    per_heatmap = heatmaps.shape[2] * heatmaps.shape[3] // windows.piece
    return OutsideWindows(windows, labelled, _total(norms.square_().view(*heatmaps.shape[:2], per_heatmap)))


@dataclass(frozen=True)
class _Windows:
    """The pieces of rows that cover the reach of each label, and the label's Gaussian there.

    `index` `[B, K, rows, pieces]` numbers the pieces through all heatmaps; `profile_y` `[B, K, rows]` and
    `profile_x` `[B, K, columns]` are the factors of the target. A piece has `piece` cells.
    """

    piece: int
    index: Tensor
    profile_y: Tensor
    profile_x: Tensor

    @staticmethod
    def around(centres: Tensor, height: int, width: int, sigma: float) -> "_Windows":
        """Windows of `[B, K, 2]` labels, of the smallest size that covers any place of a label."""
        piece = _piece_length(width)
        per_row = width // piece
        radius = math.ceil(REACH * sigma)
        first = (centres.round() - radius) / centres.new_tensor([piece, 1])
        rows = _consecutive(first[..., 1], min(2 * radius + 1, height), height)
        pieces = _consecutive(first[..., 0].floor(), min((2 * radius - 1) // piece + 2, per_row), per_row)
        columns = (pieces * piece).unsqueeze(-1) + torch.arange(piece, device=centres.device)
        heatmap = torch.arange(centres[..., 0].numel(), device=centres.device).view(*rows.shape[:2], 1)
        index = ((heatmap * height + rows) * per_row).unsqueeze(-1) + pieces.unsqueeze(-2)
        profile_y = _profile(rows, centres[..., 1], sigma)
        return _Windows(piece, index, profile_y, _profile(columns.flatten(2), centres[..., 0], sigma))

    def of_keypoints(self, start: int, stop: int) -> "_Windows":
        """The windows of some keypoints of each image."""
        part = slice(start, stop)
        return _Windows(self.piece, self.index[:, part], self.profile_y[:, part], self.profile_x[:, part])


def _piece_length(width: int) -> int:
    """The longest that divides the rows evenly, or whole rows if none is long enough to be worth it."""
    longest = max((n for n in range(1, min(width, LONGEST_PIECE) + 1) if width % n == 0), default=1)
    return longest if longest >= SHORTEST_PIECE else max(1, width)


def _consecutive(first: Tensor, length: int, size: int) -> Tensor:
    """`length` indices below `size`, from `first` `[B, K]` or as near to it as they fit: `[B, K, length]`."""
    start = first.clamp(0, size - length).long()
    return start.unsqueeze(-1) + torch.arange(length, device=first.device)


def _keypoints_at_once(heatmaps: Tensor, windows: _Windows) -> int:
    keypoints = heatmaps.shape[1]
    if heatmaps.device.type != "cpu":
        return max(1, keypoints)
    cells = 3 * len(heatmaps) * windows.profile_y.shape[-1] * windows.profile_x.shape[-1]
    at_most = max(1, int(max(EXTRA_MEMORY * heatmaps.numel(), EXTRA_CELLS) / max(1, cells)))
    return math.ceil(keypoints / max(1, math.ceil(keypoints / at_most)))


def _inside(pieces: Tensor, windows: _Windows, gamma: float, emphasis: Emphasis) -> Tensor:
    """Σ (p−t)², Σ w·(p−t)² and its part with t > 0.5, over each window: `[3, B, K]`."""
    rows, columns = windows.profile_y.to(pieces.dtype), windows.profile_x.to(pieces.dtype)
    target = rows.unsqueeze(-1) * columns.unsqueeze(-2)
    # The weight before the values: its own temporary is gone when they come.
    weight = focal_weight(target, gamma, emphasis)
    values = pieces.index_select(0, windows.index.flatten()).view(target.shape)
    squared = _total(values.sub_(target).square_())
    focal = _total(values.mul_(weight))
    at_keypoint = _total(values.mul_(target.gt_(0.5)))
    return torch.stack([squared, focal, at_keypoint])


def _total(values: Tensor) -> Tensor:
    """Sum over all but the first two axes, in the precision of sums over heatmaps."""
    return values.flatten(2).sum(-1).to(most_precise(values.device))


def _profile(index: Tensor, centre: Tensor, sigma: float) -> Tensor:
    """exp(−(i−c)²/(2σ²)) for the given indices `[B, K, n]`, in the precision of the sums."""
    precise = most_precise(index.device)
    return torch.exp(-((index - centre.to(precise).unsqueeze(-1)) ** 2) / (2 * sigma**2))
