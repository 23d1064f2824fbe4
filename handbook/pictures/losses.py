"""Parts of the loss, each as a curve."""

from functools import cache
from typing import Final

import numpy as np
import torch
from matplotlib.figure import Figure

from handbook.pictures.picture import Picture, panels
from mahtdiag.heatmaps.decoding import gaussian_targets
from mahtdiag.losses import AnatomicalStructureLoss, UncertaintyLoss, WingLoss
from mahtdiag.losses.heatmap import focal_weight
from mahtdiag.reports.figures.style import BLUE, INK, MUTED, VERMILLION
from mahtdiag.schema.skeleton import AP

ERRORS_PX: Final = (1.0, 3.0)


def _parts() -> Figure:
    figure, (focal, wing, sigma) = panels(3, 2.9)
    x = torch.linspace(-6.0, 6.0, 200)
    target = torch.exp(-(x**2) / 8)
    focal.plot(x, target, color=MUTED, linestyle=":", label="target t")
    focal.plot(x, focal_weight(target, 2.0, "background"), color=BLUE, label="(1 − t)²")
    focal.plot(x, focal_weight(target, 2.0, "keypoint"), color=VERMILLION, linestyle="--", label="(1 + t)²")
    focal.set(xlabel="cells from the keypoint", title="weight of a pixel", ylim=(0, 5.6))
    focal.legend(loc="upper right")

    d = torch.linspace(0.0, 20.0, 200)
    loss = WingLoss(reduction="none").per_axis(d)
    wing.plot(d, loss, color=BLUE, label="Wing")
    wing.plot(d, d, color=MUTED, linestyle=":", label="|d|")
    wing.axvline(10.0, color=INK, linewidth=0.7, linestyle="--")
    wing.set(xlabel="d, input pixels", title="coordinate loss")
    wing.legend(loc="upper left")

    s = np.geomspace(0.05, 20.0, 300)
    for error, colour, style in zip(ERRORS_PX, (BLUE, VERMILLION), ("-", "--"), strict=True):
        sigma.plot(
            s, uncertainty_values(error, s), color=colour, linestyle=style, label=f"error {error:g} px"
        )
    sigma.set_xscale("log")
    sigma.set_xticks([0.1, 1, 10], ["0.1", "1", "10"])
    sigma.set(xlabel="σ, input pixels", title="uncertainty loss", ylim=(-0.5, 5.0))
    sigma.legend(loc="upper right")
    return figure


def uncertainty_values(
    error_px: float, sigma_px: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The uncertainty loss of one axis with this error, for every σ."""
    loss = UncertaintyLoss(reduction="none")
    pred = torch.full((len(sigma_px), 1, 2), error_px, dtype=torch.float64)
    log_sigma = torch.from_numpy(np.log(sigma_px))[:, None]
    return np.asarray(loss(pred, torch.zeros_like(pred), log_sigma).numpy(), dtype=np.float64)


@cache
def keypoint_share(gamma: float) -> float:
    """What share of the loss of a heatmap that is 0 everywhere comes from keypoint pixels."""
    target = gaussian_targets(torch.tensor([64.0, 64.0], dtype=torch.float64), 2.0, 128, 128)
    weighed = focal_weight(target, gamma, "background") * target**2
    return float(weighed[target > 0.5].sum() / weighed.sum())


@cache
def parallel_of_degrees(degrees: float) -> float:
    """The term `parallel` of a spine of rectangles whose lower endplates are all turned by an angle."""
    turn = np.radians(degrees)
    upper = np.array([[-50.0, 0.0], [50.0, 0.0]])
    lower = np.array([[-50.0 * np.cos(turn), 60.0 - 50.0 * np.sin(turn)],
                      [50.0 * np.cos(turn), 60.0 + 50.0 * np.sin(turn)]])  # fmt: skip
    spine = np.concatenate(
        [[*(upper + down), *(lower + down)] for down in 90.0 * np.arange(5)[:, None] * [0.0, 1.0]]
    )
    loss = AnatomicalStructureLoss(view=AP, reduction="none")
    return float(loss(torch.from_numpy(spine)[None]).parallel[0])


PICTURES: Final = (Picture("loss-parts", _parts),)
