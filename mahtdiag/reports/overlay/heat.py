"""Heatmaps of one image as a layer over it."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from mahtdiag.schema.frames import FrameMap, Size

Heat = NDArray[np.float32]

HEIGHT: Final = 512


def heat_over(heatmaps: NDArray[np.float32], frame: FrameMap, original: Size) -> Heat:
    """The largest of the heatmaps `[K, h, w]` at each place of the whole image, `[H, W]` from 0 to 1.

    Each map is divided by its own peak, so that all keypoints are seen; negative values count as 0, a map
    without a positive value as empty. Bilinear between cells, 0 beyond them. At most 512 rows.
    """
    peaks = heatmaps.max(axis=(1, 2), keepdims=True)
    shares = np.divide(np.maximum(heatmaps, 0), peaks, out=np.zeros_like(heatmaps), where=peaks > 0)
    layer = shares.max(axis=0)
    factor = min(1.0, HEIGHT / max(original.height, 1))
    rows, columns = max(1, round(original.height * factor)), max(1, round(original.width * factor))
    y, x = np.mgrid[:rows, :columns].astype(np.float64)
    scale = np.array([original.width / columns, original.height / rows])
    places = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) * scale - 0.5
    cells = frame.original_to_heatmap(places).reshape(rows, columns, 2).astype(np.float32)
    moved = cv2.remap(
        layer.astype(np.float32), cells[..., 0], cells[..., 1], cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT, borderValue=0,
    )  # fmt: skip
    return np.asarray(moved, dtype=np.float32)
