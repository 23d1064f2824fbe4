"""Invented records for the tests of overlays."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mahtdiag.schema.records import Finding, ImageLosses, ImageRecord, KeypointResults
from mahtdiag.schema.skeleton import AP, Skeleton, View

Floats = NDArray[np.float64]

LOSSES = ImageLosses(
    total=1.25, heatmap=0.004, coord=2.4, anatomical=0.11, order=0.0, parallel=0.02, ratio=1.08,
    uncertainty=0.7, keypoint_share=0.25,
)  # fmt: skip
NO_LOSSES = ImageLosses(*[float("nan")] * 9)


def spine(skeleton: Skeleton, width: int = 550, height: int = 650) -> Floats:
    """Keypoints of a straight spine that fills the middle of an image, `[K, 2]`."""
    x = np.tile([0.35, 0.65], skeleton.endplates)
    y = np.repeat(0.1 + min(0.075, 0.8 / skeleton.endplates) * np.arange(skeleton.endplates), 2)
    return np.stack([x * width, y * height], axis=1)


def make_record(
    skeleton: Skeleton = AP,
    *,
    name: str = "AP/0001-F-037Y0.png",
    width: int = 550,
    height: int = 650,
    gt: Floats | None = None,
    pred: Floats | None = None,
    sigma: Floats | None = None,
    spacing: float | None = None,
    findings: tuple[Finding, ...] = (),
    losses: ImageLosses = LOSSES,
) -> ImageRecord:
    """A record; by default the predictions are 3 and 4 pixels off (5 in all) and σ is 4 pixels."""
    gt = spine(skeleton, width, height) if gt is None else gt
    pred = gt + np.array([3.0, 4.0]) if pred is None else pred
    count = skeleton.keypoints
    with np.errstate(all="ignore"):
        error = np.hypot(pred[:, 0] - gt[:, 0], pred[:, 1] - gt[:, 1])
    keypoints = KeypointResults(
        gt_px=gt,
        pred_px=pred,
        error_px=error,
        error_mm=error * (np.nan if spacing is None else spacing),
        sigma_px=np.full((count, 2), 4.0) if sigma is None else sigma,
        spread_px2=np.ones((count, 3)),
        peak=np.ones(count),
        at_min=np.zeros((count, 2), dtype=np.bool_),
        at_max=np.zeros((count, 2), dtype=np.bool_),
        flags=np.zeros(count, dtype=np.int64),
    )
    return ImageRecord(name, "", "", width, height, spacing, None, None, losses, keypoints, findings)


def without_labels(record: ImageRecord) -> ImageRecord:
    """The same predictions with no label at all."""
    nothing = np.full_like(record.keypoints.gt_px, np.nan)
    keypoints = replace(record.keypoints, gt_px=nothing, error_px=nothing[:, 0], error_mm=nothing[:, 0])
    return replace(record, keypoints=keypoints)


def finding(code: str = "A201", keypoints: tuple[int, ...] = (8, 9), vertebra: str = "L3") -> Finding:
    """One finding on the third vertebra."""
    return Finding(code, 0, vertebra, 34.2, "°", 22.0, 1.5, keypoints)


THORACOLUMBAR = Skeleton(
    "thoracolumbar", View.AP, (*(f"T{n}" for n in range(1, 13)), *(f"L{n}" for n in range(1, 6)))
)
"""A skeleton of 68 keypoints, which the product does not know."""
