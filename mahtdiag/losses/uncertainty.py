"""The uncertainty loss: a Gaussian negative log-likelihood with a clamped standard deviation."""

import math

from torch import Tensor, nn

from mahtdiag.losses.coordinate import check_points, differences, labelled_points
from mahtdiag.losses.reduction import Reduction, check_positive, check_reduction, mean_where, reduce_images
from mahtdiag.schema.model_spec import SIGMA_BOUNDS


class UncertaintyLoss(nn.Module):
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
        super().__init__()
        check_reduction(reduction)
        check_positive(min_sigma=min_sigma, max_sigma=max_sigma)
        if not min_sigma < max_sigma:
            raise ValueError(f"min_sigma {min_sigma} must be below max_sigma {max_sigma}")
        self.min_sigma = min_sigma
        self.max_sigma = max_sigma
        self.reduction: Reduction = reduction

    def forward(self, pred_coords: Tensor, target_coords: Tensor, log_sigma: Tensor) -> Tensor:
        """Reduce the likelihood; ValueError if a shape is not as documented."""
        return reduce_images(*self.per_image(pred_coords, target_coords, log_sigma), self.reduction)

    def per_image(
        self, pred_coords: Tensor, target_coords: Tensor, log_sigma: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Value of each image `[B]`, and which images have a label `[B]`."""
        check_points(pred_coords, target_coords)
        if log_sigma.shape not in (pred_coords.shape, pred_coords.shape[:2]):
            raise ValueError(
                f"log_sigma must be {list(pred_coords.shape[:2])} or {list(pred_coords.shape)}, "
                f"not {list(log_sigma.shape)}"
            )
        labelled = labelled_points(target_coords)
        if log_sigma.ndim == 2:
            log_sigma = log_sigma.unsqueeze(-1)
        # Clamping the logarithm is clamping σ, but exp cannot overflow: inf times a zero gradient is NaN.
        log_sigma = log_sigma.clamp(math.log(self.min_sigma), math.log(self.max_sigma))
        squared = differences(pred_coords, target_coords, labelled) ** 2
        values = (0.5 * squared * (-2 * log_sigma).exp() + log_sigma).mean(-1)
        return mean_where(values, labelled), labelled.any(-1)
