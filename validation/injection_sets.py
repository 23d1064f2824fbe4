"""Clean annotations to put mistakes into."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mahtdiag.data.images import read_image_size
from mahtdiag.data.readers import open_dataset
from mahtdiag.schema.skeleton import AP, CORNERS_PER_VERTEBRA, Skeleton, View
from validation.label_audit import read_set

Floats = NDArray[np.float64]
SAMPLE_DATA = Path(__file__).parents[1] / "sample_data"
STRIDE, INPUT_WIDTH, INPUT_HEIGHT = 4, 256, 512


@dataclass(frozen=True, slots=True)
class CleanSet:
    """Keypoints `[N, K, 2]`, image sizes `[N, 2]` (width, height), the vertebra above them, T12 of lumbar
    ones, `[N, 4, 2]`: all original pixels.

    `names` of the N images; `doubts`: images whose annotation may be wrong, and why.
    """

    title: str
    skeleton: Skeleton
    points_px: Floats
    size_px: Floats
    above_px: Floats
    names: tuple[str, ...]
    doubts: Mapping[str, str] = field(default_factory=dict)

    @property
    def view(self) -> View:
        """The projection."""
        return self.skeleton.view

    def repeated(self, least: int) -> "CleanSet":
        """The same images so often that there are enough: a mistake is then made in each in several ways."""
        times = -(-least // len(self.points_px))
        return replace(
            self,
            points_px=np.tile(self.points_px, (times, 1, 1)),
            size_px=np.tile(self.size_px, (times, 1)),
            above_px=np.tile(self.above_px, (times, 1, 1)),
            names=self.names * times,
        )

    @property
    def cell_px(self) -> Floats:
        """Original pixels per cell `[N, 2]` of a stride-4 head behind a 512×256 input, stretched."""
        return self.size_px * STRIDE / (INPUT_WIDTH, INPUT_HEIGHT)


def annotated_set(folder: Path, view: View, title: str = "sample data") -> CleanSet:
    """The annotated images of one view; T12 is L1 carried on by the step from L2 to L1."""
    samples = open_dataset(folder, view).samples
    points = np.array([sample.keypoints_px for sample in samples])
    sizes = [read_image_size(sample.path, sample.image) for sample in samples]
    names = tuple(sample.image for sample in samples)
    return CleanSet(
        title, view.skeleton, points, np.array([size.xy for size in sizes]), carried_on(points), names
    )


def carried_on(points: Floats) -> Floats:
    """A vertebra above the first one, `[N, 4, 2]`: that one, a step of theirs further up."""
    first, second = points[:, :CORNERS_PER_VERTEBRA], points[:, CORNERS_PER_VERTEBRA:][:, :4]
    above: Floats = first + (first - second).mean(axis=1, keepdims=True)
    return above


def clean_aasce(labels_path: Path, errors_path: Path, skeleton: Skeleton = AP) -> CleanSet:
    """The lowest levels of the AASCE images without a known or probable error, and the vertebra above them as
    annotated, or carried on where there is none.
    """
    audited = read_set(labels_path, errors_path, skeleton)
    labels = json.loads(labels_path.read_text(encoding="utf-8"))
    points = np.array([label["points"] for label in labels], dtype=np.float64)
    above = points[:, : -skeleton.keypoints][:, -CORNERS_PER_VERTEBRA:]
    above = above if above.shape[1] else carried_on(points)
    right = audited.right
    names = tuple(str(n) for n in np.flatnonzero(right))
    return CleanSet(
        *("AASCE", skeleton, audited.points_px[right], audited.size_px[right], above[right], names),
        audited.doubts,
    )
