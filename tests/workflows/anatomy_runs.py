"""Run folders with chosen labels and predictions, without a network or an image."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from mahtdiag.runs.document import CheckpointSource, DataSource, Environment, ImageCounts, RunDocument
from mahtdiag.runs.folder import RunFolder
from mahtdiag.schema.records import Failure, ImageLosses, ImageRecord, KeypointResults
from mahtdiag.schema.skeleton import View

Floats = NDArray[np.float64]
WIDTH, HEIGHT = 1000, 1000
CELL_PX = 20.0
SETTINGS: dict[str, JsonValue] = {
    "input_size": "200x200",
    "heatmap_size": "50x50",
    "resize": "stretch",
    "coords": "half-pixel",
}


def write_run(
    path: Path,
    label_px: Floats,
    pred_px: Floats,
    view: View,
    *,
    failures: Sequence[Failure] = (),
    settings: dict[str, JsonValue] = SETTINGS,
    complete: bool = True,
) -> Path:
    """A run folder of images `0000.jpg`, `0001.jpg`, …, the latest of the folder two above it."""
    images = len(label_px)
    header = RunDocument(
        checkpoint=CheckpointSource(path="net.pt", sha256="a" * 64, format="mahtdiag"),
        data=DataSource(path="data", format="buu-lspine", listing_sha256="b" * 64),
        view=view,
        settings=settings,
        environment=Environment(python="3.11", torch="2.13", device="cpu"),
        started=datetime(2026, 11, 23, tzinfo=UTC),
        images=ImageCounts(total=images + len(failures)),
    )
    folder = RunFolder.create(path, header, failures)
    folder.append(0, [_record(f"{n:04d}.jpg", label_px[n], pred_px[n]) for n in range(images)])
    if complete:
        counts = ImageCounts(total=images + len(failures), evaluated=images, failed=len(failures))
        folder.finish(header.model_copy(update={"images": counts}), path.parents[1])
    else:
        folder.interrupt(header)
    return path


def _record(name: str, label_px: Floats, pred_px: Floats) -> ImageRecord:
    k = len(label_px)
    unknown = np.full((k, 2), np.nan)
    return ImageRecord(
        image=name,
        image_sha256="c" * 64,
        annotation_sha256="d" * 64,
        width=WIDTH,
        height=HEIGHT,
        pixel_spacing_mm=None,
        sex=None,
        age_years=None,
        losses=ImageLosses(*[1.0] * 9),
        keypoints=KeypointResults(
            gt_px=label_px,
            pred_px=pred_px,
            error_px=np.linalg.norm(pred_px - label_px, axis=-1),
            error_mm=np.full(k, np.nan),
            sigma_px=unknown,
            spread_px2=np.full((k, 3), np.nan),
            peak=np.ones(k),
            at_min=np.zeros((k, 2), dtype=np.bool_),
            at_max=np.zeros((k, 2), dtype=np.bool_),
            flags=np.zeros(k, dtype=np.int64),
        ),
        findings=(),
    )
