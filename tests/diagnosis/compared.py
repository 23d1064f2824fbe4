"""Two made-up runs over the same images, with every kind of number and some that are missing."""

import numpy as np
from numpy.typing import NDArray

from mahtdiag.diagnosis.metrics.losses import LOSS_NAMES
from mahtdiag.diagnosis.metrics.metric import Compared
from mahtdiag.diagnosis.metrics.registry import metrics_of
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.schema.skeleton import Skeleton, View
from tests.anatomy.spines import natural_spines, sizes_for

Floats = NDArray[np.float64]


def is_compared(name: str, skeleton: Skeleton) -> bool:
    """Whether a number is a mean, share, count or quantile over images, which has a paired interval."""
    metric = metrics_of(skeleton).get(name)
    return metric is not None and metric.compared is not Compared.NEVER


def run_of(
    pred_px: Floats, gt_px: Floats, view: View, *, seed: int = 0, spacing_mm: float = 0.2, sigma: bool = True
) -> RunTable:
    """A run with these predictions; losses and σ are random, the spacing of the first image is unknown."""
    rng = np.random.default_rng(seed)
    images = len(gt_px)
    spacing = np.full(images, spacing_mm)
    spacing[0] = np.nan
    losses = {name: rng.random(images) for name in LOSS_NAMES}
    losses["coord"][-1] = np.nan
    sigma_px = np.repeat(rng.uniform(1.0, 5.0, (*pred_px.shape[:2], 1)), 2, axis=2)
    error_px = np.hypot(*np.moveaxis(pred_px - gt_px, -1, 0))
    width, height = sizes_for(pred_px).T
    return RunTable(
        view.skeleton,
        {
            "image": tuple(f"{image:04d}.png" for image in range(images)),
            "width": width,
            "height": height,
            "gt_px": gt_px,
            "pred_px": pred_px,
            "error_px": error_px,
            "error_mm": error_px * spacing[:, None],
            "sigma_px": sigma_px if sigma else np.full_like(sigma_px, np.nan),
            **{f"loss_{name}": values for name, values in losses.items()},
        },
    )


def two_runs(
    images: int = 30, view: View = View.AP, *, seed: int = 0, worse: float = 1.0, odd: bool = True
) -> tuple[RunTable, RunTable]:
    """Runs A and B: B is off `worse` times as far; images differ in how hard they are for both.

    Some labels are missing. `odd`: B has two corners swapped in an image, A one image a level too low.
    """
    rng = np.random.default_rng(seed)
    gt = natural_spines(view, images, seed)
    gt[rng.random(gt.shape[:2]) < 0.05] = np.nan
    hard = np.exp(rng.normal(0.0, 0.4, (images, 1, 1)))
    off = [hard * rng.normal(0.0, 3.0, gt.shape) for _ in "ab"]
    whole = np.where(np.isnan(gt), natural_spines(view, images, seed), gt)
    preds = [whole + off[0], whole + worse * (0.7 * off[0] + 0.7 * off[1])]
    if odd:
        preds[1][1, [8, 9]] = preds[1][1, [9, 8]]
        preds[0][2, :12] = whole[2, 4:16]
    return run_of(preds[0], gt, view, seed=1), run_of(preds[1], gt, view, seed=2)
