"""Finished runs of images with any name, size, labels and predictions, to export."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mahtdiag.runs.document import CheckpointSource, DataSource, Environment, ImageCounts, RunDocument
from mahtdiag.runs.folder import RunFolder
from mahtdiag.schema.frames import Size
from mahtdiag.schema.records import Failure
from mahtdiag.schema.setup import ImagePixels
from mahtdiag.schema.skeleton import View
from tests.data.builders import spine

from .anatomy_runs import SETTINGS
from .report_runs import record

Floats = NDArray[np.float64]
SIZE = Size(220, 160)


@dataclass(frozen=True)
class Told:
    """One image of a run: labels and predictions `[K, 2]`; None: a plain spine."""

    image: str
    gt_px: Floats | None = None
    pred_px: Floats | None = None
    size: Size = SIZE
    orientation: int = 1
    spacing_mm: float | None = None


def write_export_run(
    folder: Path,
    images: Sequence[Told],
    view: View = View.AP,
    *,
    failures: Sequence[Failure] = (),
    complete: bool = True,
    data: str = "data",
    checkpoint: str = "nets/net.pt",
) -> Path:
    """`runs/a` in `folder`, its latest; predictions of plain spines are a pixel off."""
    counts = ImageCounts(total=len(images) + len(failures))
    header = RunDocument(
        checkpoint=CheckpointSource(path=checkpoint, sha256="abcdef12" * 8, format="mahtdiag"),
        data=DataSource(path=data, format="coco", listing_sha256="b" * 64),
        view=view,
        settings={**SETTINGS, "decode": "dark", "heatmap_sigma": 2.0, "uncertainty": "auto"},
        environment=Environment(python="3.11", torch="2.13", device="cpu"),
        started=datetime(2026, 11, 23, 10, 15, tzinfo=UTC),
        images=counts,
    )
    run = RunFolder.create(folder / "runs" / "a", header, failures)
    records = []
    for told in images:
        gt_px = spine(view) if told.gt_px is None else told.gt_px
        pred_px = spine(view) + 1.0 if told.pred_px is None else told.pred_px
        with warnings.catch_warnings():
            # The mean of no error.
            warnings.simplefilter("ignore", RuntimeWarning)
            made = record(told.image, "c" * 64, gt_px, pred_px, 2.5, told.spacing_mm)
        pixels = ImagePixels(
            bits=8, low=0.0, high=1.0, colour=0.0, orientation=told.orientation, thumbnail=""
        )
        records.append(replace(made, width=told.size.width, height=told.size.height, pixels=pixels))
    if records:
        run.append(0, records)
    if complete:
        done = counts.model_copy(update={"evaluated": len(images), "failed": len(failures)})
        run.finish(header.model_copy(update={"images": done}), folder)
    else:
        run.interrupt(header)
    return run.path
