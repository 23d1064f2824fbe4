"""Radial errors on other scales: in the network's input pixels, and as shares of the image and of the spine.

What they are divided by follows from sizes and labels alone, so that no prediction changes it.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.geometry import known_points
from mahtdiag.schema.frames import Size
from mahtdiag.schema.skeleton import CORNERS_PER_ENDPLATE, Skeleton

if TYPE_CHECKING:
    from mahtdiag.diagnosis.run_table import RunTable

Floats = NDArray[np.float64]


def error_input_px(table: "RunTable") -> Floats:
    """Distance between prediction and label in the network's input pixels, `[N, K]`.

    ‖M(prediction) − M(label)‖ with the map M from original to input pixels of each image: a stretch weighs x
    and y by their own factors, a letterbox both by one. NaN where either point is missing, where the size of
    the image is not known, or that of the network's input.
    """
    found = np.full(table.gt_px.shape[:2], np.nan)
    network = table.conditions.input_frames
    if network is None or not len(table):
        return found
    sizes, of_image = np.unique(table.sizes_px, axis=0, return_inverse=True)
    by_size = np.argsort(of_image.ravel(), kind="stable")
    counts = np.bincount(of_image.ravel(), minlength=len(sizes))
    for (width, height), rows in zip(sizes.tolist(), np.split(by_size, np.cumsum(counts)[:-1]), strict=True):
        if width > 0 and height > 0:
            frame = network.of(Size(int(height), int(width)))
            # Numbers that no image can have overflow; they are no distance.
            with np.errstate(over="ignore", invalid="ignore"):
                predicted, labelled = (frame.original_to_input(p[rows]) for p in (table.pred_px, table.gt_px))
                found[rows] = np.linalg.norm(predicted - labelled, axis=-1)
    return np.where(np.isfinite(found), found, np.nan)


def diagonal_px(table: "RunTable") -> Floats:
    """√(width² + height²) of each image, `[N]`; NaN where its size is not known."""
    return _positive(np.linalg.norm(table.sizes_px, axis=-1))


def vertebra_width_px(table: "RunTable") -> Floats:
    """Mean width of the labelled vertebral bodies of each image, `[N]`, see `mean_width`."""
    return mean_width(table.gt_px, table.skeleton)


def spine_height_px(table: "RunTable") -> Floats:
    """From the first to the last endplate of the label of each image, `[N]`, see `spine_height`."""
    return spine_height(table.gt_px, table.skeleton)


def mean_width(points: Floats, skeleton: Skeleton) -> Floats:
    """Mean over bodies of the mean length of their upper and lower endplates; `[N, K, 2]` to `[N]`.

    The length of an endplate is the distance between its left and its right end. A body of which one endplate
    is missing (an end of it is NaN) counts by the other one, one without either does not count; an endplate
    by itself (C2, S1) is no body. NaN where no body counts.
    """
    bodies = len(skeleton.bodies)
    ends = points[:, skeleton.of_bodies].reshape(len(points), bodies, 2, CORNERS_PER_ENDPLATE, 2)
    lengths = _distance(ends[..., 0, :], ends[..., 1, :])
    return _positive(_mean_of_known(_mean_of_known(lengths)))


def spine_height(points: Floats, skeleton: Skeleton) -> Floats:
    """Distance from the middle of the first endplate to that of the last one; `[N, K, 2]` to `[N]`.

    From the upper endplate of L1 to the lower one of L5, laterally to the upper one of S1. NaN where an end
    of either is missing: the height of a part of the spine is another number.
    """
    ends = points.reshape(len(points), skeleton.endplates, CORNERS_PER_ENDPLATE, 2)
    first, last = (known_points(ends[:, place]).mean(axis=1) for place in (0, -1))
    return _positive(_distance(first, last))


def percent_of(values: Floats, whole: Floats) -> Floats:
    """100·values/whole, `[N, ...]` by `[N]`; NaN where either is."""
    with np.errstate(over="ignore"):
        found = 100.0 * values / whole.reshape(len(whole), *(1,) * (values.ndim - 1))
    return np.where(np.isfinite(found), found, np.nan)


def _distance(a: Floats, b: Floats) -> Floats:
    """Between points `[..., 2]`; NaN where either is missing, or no place in an image."""
    return np.asarray(np.linalg.norm(known_points(b) - known_points(a), axis=-1))


def _positive(lengths: Floats) -> Floats:
    """The same, NaN where nothing can be divided by it."""
    return np.where(np.isfinite(lengths) & (lengths > 0), lengths, np.nan)


def _mean_of_known(values: Floats) -> Floats:
    """Mean over the last axis of what is known; NaN where nothing is."""
    known = np.isfinite(values)
    means = np.full(values.shape[:-1], np.nan)
    total, count = np.where(known, values, 0.0).sum(axis=-1), known.sum(axis=-1)
    np.divide(total, count, out=means, where=count > 0)
    return means
