"""What a forward pass gives, and the few hundred numbers per image that are kept of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mahtdiag.schema.choices import UncertaintyKind

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class ModelOutputs:
    """Named outputs of one batch.

    `heatmaps` `[B, K, h, w]`; `coords` `[B, K, 2]` in model-input pixels or None; `uncertainty` `[B, K]` or
    `[B, K, 2]` as the head emits it, with what its name says it is, or None.
    """

    heatmaps: Tensor
    coords: Tensor | None = None
    uncertainty: Tensor | None = None
    uncertainty_kind: UncertaintyKind | None = None


Predictor = Callable[["Tensor"], ModelOutputs]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PeakPlaces:
    """Where else a heatmap says that a keypoint may be; the frame is that of whoever holds it.

    `second_share` `[..., K]`: the second peak (the highest local maximum more than 3 σ from the first) over
    the first, 0 where there is none, NaN where that is not known. Places `[..., K, 2]`: `second` is its own,
    NaN where there is none; `argmax` and `local` are what those two ways of decoding give.
    """

    second_share: Floats
    second: Floats
    argmax: Floats
    local: Floats

    def of_image(self, i: int, moved: Callable[[Floats], Floats]) -> PeakPlaces:
        """Those of one image, its places mapped to another frame."""
        return PeakPlaces(
            self.second_share[i], moved(self.second[i]), moved(self.argmax[i]), moved(self.local[i])
        )


@dataclass(frozen=True, slots=True)
class BatchReading:
    """Numbers of B images with K keypoints, before they are mapped to original pixels.

    `points` `[B, K, 2]` and `spread` `[B, K, 3]` (xx, xy, yy) in heatmap cells, `peak` `[B, K]`, `flags`
    `[B, K]`, `finite` `[B, K]` (heatmap and outputs are numbers), heatmap losses `[B]`
    (`loss_focal`: with the weight that was asked for), the network's own coordinates and σ `[B, K, 2]` in
    model-input pixels or None. `heatmap_size` is (height, width).
    `between` `[B, K, 2]`: standard deviation of the places between repeated passes, in model-input pixels;
    None after a single pass. `peaks` in heatmap cells; None after repeated passes, which have no one heatmap.
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
    peaks: PeakPlaces | None = None
