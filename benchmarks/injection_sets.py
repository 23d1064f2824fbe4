"""Clean annotations to put mistakes into."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.label_audit import read_set
from mahtdiag.data.dataset import open_dataset
from mahtdiag.data.images import read_image_size
from mahtdiag.schema.views import CORNERS_PER_VERTEBRA, LUMBAR_KEYPOINTS, View

Floats = NDArray[np.float64]
STRIDE, INPUT_WIDTH, INPUT_HEIGHT = 4, 256, 512


@dataclass(frozen=True, slots=True)
class CleanSet:
    """Keypoints `[N, K, 2]`, image sizes `[N, 2]` (width, height), T12 `[N, 4, 2]`: all original pixels."""

    title: str
    view: View
    points_px: Floats
    size_px: Floats
    above_px: Floats

    @property
    def cell_px(self) -> Floats:
        """Original pixels per cell `[N, 2]` of a stride-4 head behind a 512×256 input, stretched."""
        return self.size_px * STRIDE / (INPUT_WIDTH, INPUT_HEIGHT)


def sample_set(folder: Path, view: View) -> CleanSet:
    """The sample images of one view; T12 is L1 carried on by the step from L2 to L1."""
    samples = open_dataset(folder, view).samples
    points = np.array([sample.keypoints_px for sample in samples])
    sizes = [read_image_size(sample.path, sample.image) for sample in samples]
    first, second = points[:, :CORNERS_PER_VERTEBRA], points[:, CORNERS_PER_VERTEBRA:][:, :4]
    step = (first - second).mean(axis=1, keepdims=True)
    return CleanSet("sample data", view, points, np.array([size.xy for size in sizes]), first + step)


def clean_aasce(labels_path: Path, errors_path: Path) -> CleanSet:
    """L1–L5 of the AASCE images without a known or probable error, and T12 as annotated."""
    audited = read_set(labels_path, errors_path)
    labels = json.loads(labels_path.read_text(encoding="utf-8"))
    points = np.array([label["points"] for label in labels], dtype=np.float64)
    above = points[:, -LUMBAR_KEYPOINTS - CORNERS_PER_VERTEBRA : -LUMBAR_KEYPOINTS]
    right = audited.right
    return CleanSet("AASCE", View.AP, audited.points_px[right], audited.size_px[right], above[right])
