"""The combined loss that trains a network and whose parts `evaluate` reports per image."""

from torch import Tensor, nn

from mahtdiag.losses.anatomical import AnatomicalStructureLoss
from mahtdiag.losses.coordinate import WingLoss
from mahtdiag.losses.heatmap import FocalHeatmapLoss, HeatmapMSELoss
from mahtdiag.losses.parts import LossParts
from mahtdiag.losses.reduction import Reduction, check_not_negative, check_reduction, mean_where
from mahtdiag.losses.uncertainty import UncertaintyLoss
from mahtdiag.schema.loss_weights import LOSS_WEIGHTS
from mahtdiag.schema.views import View


class MAHTNetLoss(nn.Module):
    """Weighted sum of heatmap, coordinate, anatomical and uncertainty losses, each also returned by name.

    total = λ_heatmap·heatmap + λ_coord·coord + λ_anatomical·anatomical + λ_uncertainty·uncertainty, with
    heatmap = focal (γ = 2) or MSE, coord = Wing (ω 10, ε 2), both others with their defaults. Shapes and
    missing values as in the single losses. Coordinates and `log_sigma` are optional: a part that cannot be
    computed is absent from the result and from the total. An image without any label has no total, and the
    mean of every part and of the total is the mean over the images that have it.
    """

    def __init__(
        self,
        lambda_heatmap: float = LOSS_WEIGHTS["heatmap"],
        lambda_coord: float = LOSS_WEIGHTS["coord"],
        lambda_anatomical: float = LOSS_WEIGHTS["anatomical"],
        lambda_uncertainty: float = LOSS_WEIGHTS["uncertainty"],
        use_focal: bool = True,
        view: View | str = View.AP,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        check_reduction(reduction)
        check_not_negative(
            lambda_heatmap=lambda_heatmap,
            lambda_coord=lambda_coord,
            lambda_anatomical=lambda_anatomical,
            lambda_uncertainty=lambda_uncertainty,
        )
        self.lambda_heatmap = lambda_heatmap
        self.lambda_coord = lambda_coord
        self.lambda_anatomical = lambda_anatomical
        self.lambda_uncertainty = lambda_uncertainty
        self.heatmap_loss = (
            FocalHeatmapLoss(reduction="none") if use_focal else HeatmapMSELoss(reduction="none")
        )
        self.coord_loss = WingLoss(reduction="none")
        self.anatomical_loss = AnatomicalStructureLoss(view=view, reduction="none")
        self.uncertainty_loss = UncertaintyLoss(reduction="none")
        self.reduction: Reduction = reduction

    def forward(
        self,
        pred_heatmaps: Tensor,
        target_heatmaps: Tensor,
        pred_coords: Tensor | None = None,
        target_coords: Tensor | None = None,
        log_sigma: Tensor | None = None,
    ) -> LossParts:
        """The parts that can be computed from what is given, and their weighted sum.

        Raises ValueError if a shape is not as documented.
        """
        coord = anatomical = uncertainty = None
        heatmap, drawn = self.heatmap_loss.per_image(pred_heatmaps, target_heatmaps)
        placed = drawn
        if pred_coords is not None:
            if pred_coords.shape[:2] != pred_heatmaps.shape[:2]:
                raise ValueError(
                    "heatmaps and coordinates must have the same images and keypoints: "
                    f"{list(pred_heatmaps.shape)} and {list(pred_coords.shape)}"
                )
            anatomical = self.anatomical_loss(pred_coords).total
        if pred_coords is not None and target_coords is not None:
            coord, placed = self.coord_loss.per_image(pred_coords, target_coords)
            if log_sigma is not None:
                uncertainty = self.uncertainty_loss(pred_coords, target_coords, log_sigma)
        parts = self.combine(heatmap, coord, anatomical, uncertainty)
        if self.reduction == "none":
            return parts
        return LossParts(
            heatmap=mean_where(heatmap, drawn),
            coord=None if coord is None else mean_where(coord, placed),
            anatomical=None if anatomical is None else anatomical.mean(),
            uncertainty=None if uncertainty is None else mean_where(uncertainty, placed),
            total=mean_where(parts.total, drawn & placed),
        )

    def combine(
        self,
        heatmap: Tensor,
        coord: Tensor | None = None,
        anatomical: Tensor | None = None,
        uncertainty: Tensor | None = None,
    ) -> LossParts:
        """Weigh parts that were computed elsewhere; None leaves a part out of the total."""
        total = self.lambda_heatmap * heatmap
        for weight, part in (
            (self.lambda_coord, coord),
            (self.lambda_anatomical, anatomical),
            (self.lambda_uncertainty, uncertainty),
        ):
            if part is not None:
                total = total + weight * part
        return LossParts(heatmap, coord, anatomical, uncertainty, total)
