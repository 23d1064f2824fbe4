"""An annotated set, whatever format it is in: what tells its view, and whether points fit their images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mahtdiag.data.files import shown
from mahtdiag.errors import DataError
from mahtdiag.schema.frames import Size
from mahtdiag.schema.samples import Failure, Sample
from mahtdiag.schema.skeleton import Skeleton, View


@dataclass(frozen=True, slots=True)
class Dataset:
    """The annotated radiographs of one view, sorted by name, and what was left out and why.

    `failures` are files that belong to the set and cannot be used; `notes` are one line each, about files
    that were left out because they belong to something else. `format` is the name of its reader.
    """

    path: Path
    format: str
    skeleton: Skeleton
    samples: tuple[Sample, ...]
    failures: tuple[Failure, ...]
    notes: tuple[str, ...] = ()

    @property
    def view(self) -> View:
        """The projection of its radiographs."""
        return self.skeleton.view


@dataclass(frozen=True, slots=True)
class ViewEvidence:
    """One thing that tells the view; `source` reads well after "AP by"."""

    view: View
    source: str


def settle(evidence: Sequence[ViewEvidence], path: Path) -> View:
    """The view all evidence agrees on. Raises DataError where there is none or it disagrees."""
    views = {item.view for item in evidence}
    if len(views) == 1:
        return views.pop()
    if not views:
        raise DataError(f"{shown(path)}: nothing tells the view: pass --view AP or --view LA")
    views_by = ", ".join(f"{item.view} by {item.source}" for item in evidence)
    raise DataError(f"{shown(path)}: the view is unclear, {views_by}: pass --view AP or --view LA")


def outside_image(keypoints_px: NDArray[np.float64], size: Size, skeleton: Skeleton) -> tuple[str, ...]:
    """One line for each keypoint more than a pixel outside the image: x < −1 or x > width, y likewise.

    The rule leaves room for annotation tools that count from 1 or mark the far edge of a pixel. Missing
    keypoints (NaN) are not outside.
    """
    below = (keypoints_px < -1.0).any(axis=-1)
    above = (keypoints_px > size.xy).any(axis=-1)
    return tuple(
        f"{skeleton.keypoint_names[k]} (x {keypoints_px[k, 0]:g}, y {keypoints_px[k, 1]:g}) lies outside the"
        f" image ({size.width} wide, {size.height} high)"
        for k in np.flatnonzero(below | above)
    )


def is_normalised(keypoints_px: NDArray[np.float64], size: Size) -> bool:
    """Whether `[K, 2]` keypoints seem to be shares of the image, 0 to 1, where pixels are wanted.

    All lie within the first pixel or so, apart from each other, in an image of more than 10 pixels a side.
    """
    known = keypoints_px[np.isfinite(keypoints_px).all(axis=-1)]
    if known.size == 0 or min(size.width, size.height) <= 10:
        return False
    return bool((np.abs(known) <= 1.5).all() and np.ptp(known, axis=0).max() > 0.0)
