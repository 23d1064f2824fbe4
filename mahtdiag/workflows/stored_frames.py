"""How the images of a run became heatmaps, read back from its document."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mahtdiag.config.settings import parse_size
from mahtdiag.diagnosis.ambiguity import Ambiguity, find_ambiguity
from mahtdiag.runs.document import RunDocument
from mahtdiag.runs.reading import KeypointColumns
from mahtdiag.schema.frames import CoordinateConvention, FrameMap, ResizeMode, Size

Floats = NDArray[np.float64]


def stored_frames(document: RunDocument) -> Callable[[Size], FrameMap] | None:
    """From the size of an image to its frames; None where the run does not say."""
    settings = document.settings
    try:
        network_input, heatmap = parse_size(settings["input_size"]), parse_size(settings["heatmap_size"])
        mode, convention = ResizeMode(str(settings["resize"])), CoordinateConvention(str(settings["coords"]))
    except (KeyError, ValueError):
        return None
    if not (isinstance(network_input, Size) and isinstance(heatmap, Size)):
        return None

    def frames(original: Size) -> FrameMap:
        return FrameMap(original, network_input, heatmap, mode, convention)

    return frames


def stored_ambiguity(document: RunDocument, size_px: Floats, keypoints: KeypointColumns) -> Ambiguity | None:
    """The ambiguous heatmaps of a run whose images have sizes `[N, 2]`; None where it does not know them."""
    frames, sigma = stored_frames(document), document.settings.get("heatmap_sigma")
    if frames is None or not isinstance(sigma, (int, float)):
        return None
    sigma_px = np.full_like(size_px, np.nan)
    for width, height in np.unique(size_px, axis=0).tolist():
        rows = (size_px == (width, height)).all(axis=1)
        sigma_px[rows] = sigma * frames(Size(int(height), int(width))).original_per_cell
    return find_ambiguity(
        keypoints.image,
        keypoints.view,
        keypoints.gt_px,
        keypoints.pred_px,
        keypoints.peaks,
        sigma_px,
        str(document.settings.get("decode")),
    )
