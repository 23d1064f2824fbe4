"""What one pass over a batch of heatmaps leaves behind: a few hundred numbers per image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BatchReading:
    """Numbers of B images with K keypoints, before they are mapped to original pixels.

    `points` `[B, K, 2]` and `spread` `[B, K, 3]` (xx, xy, yy) in heatmap cells, `peak` `[B, K]`, `flags`
    `[B, K]`, `finite` `[B, K]` (heatmap and outputs are numbers), heatmap losses `[B]`, the network's own
    coordinates and σ `[B, K, 2]` in model-input pixels or None. `heatmap_size` is (height, width).
    `between` `[B, K, 2]`: standard deviation of the places between repeated passes, in model-input pixels;
    None after a single pass.
    """

    heatmap_size: tuple[int, int]
    points: Floats
    spread: Floats
    peak: Floats
    flags: NDArray[np.int64]
    finite: NDArray[np.bool_]
    loss_mse: Floats
    loss_focal: Floats
    keypoint_share: Floats
    coords: Floats | None
    sigma: Floats | None
    between: Floats | None = None
