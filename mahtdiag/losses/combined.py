"""The combined loss that trains a network and whose parts `evaluate` reports per image."""

from torch import Tensor

from mahtdiag.losses.coordinate import AnatomicalStructureLoss, UncertaintyLoss, WingLoss
from mahtdiag.losses.heatmap import Emphasis, FocalHeatmapLoss, FocalWeight, HeatmapMSELoss
from mahtdiag.losses.reduction import Loss, LossParts, Reduction, check_not_negative, mean_where
from mahtdiag.schema.choices import LOSS_WEIGHTS
from mahtdiag.schema.model_spec import SIGMA_BOUNDS
from mahtdiag.schema.skeleton import Skeleton, View

MSE = FocalWeight(gamma=0.0)


class MAHTNetLoss(Loss):
    """Weighted sum of heatmap, coordinate, anatomical and uncertainty losses, each also returned by name.

    total = λ_heatmap·heatmap + λ_coord·coord + λ_anatomical·anatomical + λ_uncertainty·uncertainty, with
    heatmap = focal (γ, emphasis) or MSE and coord = Wing (ω, ε); parameters of the single losses go by their
    own names; `view` is a projection or a skeleton. Shapes and missing values as in the single losses.
    Coordinates and `log_sigma` are optional: a part that cannot be computed is absent from the result and
    from the total. An image without any label has no total, and the mean of every part and of the total is
    the mean over the images that have it.
    """

    def __init__(
        self,
        lambda_heatmap: float = LOSS_WEIGHTS["heatmap"],
        lambda_coord: float = LOSS_WEIGHTS["coord"],
        lambda_anatomical: float = LOSS_WEIGHTS["anatomical"],
        lambda_uncertainty: float = LOSS_WEIGHTS["uncertainty"],
        use_focal: bool = True,
        view: Skeleton | View | str = View.AP,
        reduction: Reduction = "mean",
        *,
        gamma: float = 2.0,
        emphasis: Emphasis = "background",
        omega: float = 10.0,
        epsilon: float = 2.0,
        lambda_order: float = 1.0,
        lambda_parallel: float = 0.1,
        lambda_ratio: float = 0.1,
        min_sigma: float = SIGMA_BOUNDS[0],
        max_sigma: float = SIGMA_BOUNDS[1],
    ) -> None:
        super().__init__(reduction)
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
            FocalHeatmapLoss(gamma, emphasis, "none") if use_focal else HeatmapMSELoss(reduction="none")
        )
        self.coord_loss = WingLoss(omega, epsilon, "none")
        self.anatomical_loss = AnatomicalStructureLoss(
            lambda_order, lambda_parallel, lambda_ratio, view, "none"
        )
        self.uncertainty_loss = UncertaintyLoss(min_sigma, max_sigma, "none")

    @property
    def focal_weight(self) -> FocalWeight:
        """How the heatmap loss weighs a pixel; MSE is the focal loss with γ = 0."""
        loss = self.heatmap_loss
        return FocalWeight(loss.gamma, loss.emphasis) if isinstance(loss, FocalHeatmapLoss) else MSE

    def settings(self) -> dict[str, float | str | bool]:
        """The parameters that make a loss like this one, but for view and reduction."""
        heatmap, coord, anatomical = self.heatmap_loss, self.coord_loss, self.anatomical_loss
        focal: dict[str, float | str | bool] = {"use_focal": False}
        if isinstance(heatmap, FocalHeatmapLoss):
            focal = {"use_focal": True, "gamma": heatmap.gamma, "emphasis": heatmap.emphasis}
        return {
            "lambda_heatmap": self.lambda_heatmap,
            "lambda_coord": self.lambda_coord,
            "lambda_anatomical": self.lambda_anatomical,
            "lambda_uncertainty": self.lambda_uncertainty,
            **focal,
            "omega": coord.omega,
            "epsilon": coord.epsilon,
            "lambda_order": anatomical.lambda_order,
            "lambda_parallel": anatomical.lambda_parallel,
            "lambda_ratio": anatomical.lambda_ratio,
            "min_sigma": self.uncertainty_loss.min_sigma,
            "max_sigma": self.uncertainty_loss.max_sigma,
        }

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
