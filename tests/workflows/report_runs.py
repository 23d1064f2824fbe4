"""Finished runs with images, violations, failures and σ, whose every number is known."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mahtdiag.runs.document import (
    CheckpointSource,
    DataSource,
    Environment,
    ImageCounts,
    RunDocument,
)
from mahtdiag.runs.folder import RunFolder
from mahtdiag.runs.results import StoredGate
from mahtdiag.schema.records import Failure, ImageLosses, ImageRecord, KeypointResults
from mahtdiag.schema.skeleton import View
from tests.anatomy.spines import natural_spines

from .anatomy_runs import SETTINGS

Floats = NDArray[np.float64]
SIDE = 1000
FAILED = Failure("zz-broken.jpg", "the JPEG is truncated after 12 bytes: copy it again")
PASSED = StoredGate(metric="radial_error_px.mean", comparison="<=", limit=1000.0, value=10.0, passed=True)
MISSED = StoredGate(
    metric="anatomy.images_with_violations", comparison="<=", limit=0.02, value=0.25, passed=False
)
MIRRORED, SHIFTED, PARTLY_LABELLED = 1, 2, 3


def picture() -> bytes:
    """A JPEG of 1000 × 1000 pixels: a grey ramp."""
    ramp = np.tile(np.linspace(30, 220, SIDE).astype(np.uint8), (SIDE, 1))
    return cv2.imencode(".jpg", ramp)[1].tobytes()


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of a run: folders, names, labels and predictions `[N, K, 2]`."""

    run: Path
    data: Path
    names: tuple[str, ...]
    label_px: Floats
    pred_px: Floats


def numbered(count: int) -> list[str]:
    """`0000.jpg`, `0001.jpg`, …"""
    return [f"{number:04d}.jpg" for number in range(count)]


def predictions(label_px: Floats) -> Floats:
    """Off by 1 px in the first image, 2 px in the next, …; L3 mirrored in one, all a level low in another."""
    radius = np.arange(1.0, len(label_px) + 1)[:, None, None] % 40
    moved = label_px + radius * np.array([0.6, 0.8])
    if len(moved) > SHIFTED:
        moved[MIRRORED, 8:12] = moved[MIRRORED, [9, 8, 11, 10]]
        moved[SHIFTED] += label_px[SHIFTED, 4] - label_px[SHIFTED, 0]
    return np.asarray(moved)


def write_report_run(
    folder: Path,
    count: int = 8,
    view: View = View.AP,
    *,
    name_of: Callable[[int], list[str]] = numbered,
    failures: Sequence[Failure] = (FAILED,),
    gates: tuple[StoredGate, ...] = (),
    sigma: bool = True,
    spacing_mm: float | None = None,
    checkpoint: str = "models/net.pt",
    complete: bool = True,
    started: datetime = datetime(2026, 11, 23, 10, 15, tzinfo=UTC),
) -> Told:
    """A run folder `runs/a` beside `data` with its images, the latest of `folder`."""
    names, labels = name_of(count), natural_spines(view, max(1, count))[:count]
    if count > PARTLY_LABELLED:
        labels[PARTLY_LABELLED, :4] = np.nan
    moved, content = predictions(labels), picture()
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for name in names:
        if "/" not in name:
            (folder / "data" / name).write_bytes(content)
    header = RunDocument(
        checkpoint=CheckpointSource(path=checkpoint, sha256="a" * 64, format="mahtdiag"),
        data=DataSource(path="data", format="buu-lspine", listing_sha256="b" * 64),
        view=view,
        settings={**SETTINGS, "decode": "dark", "heatmap_sigma": 2.0, "uncertainty": "auto"},
        environment=Environment(python="3.11", torch="2.13", device="cpu"),
        started=started,
        images=ImageCounts(total=count + len(failures)),
    )
    run = RunFolder.create(folder / "runs" / "a", header, failures)
    sha256 = hashlib.sha256(content).hexdigest()
    run.append(
        0,
        [
            record(name, sha256, labels[n], moved[n], 2.0 + n if sigma else None, spacing_mm)
            for n, name in enumerate(names)
        ],
    )
    counts = ImageCounts(total=count + len(failures), evaluated=count, failed=len(failures))
    if complete:
        run.finish(header.model_copy(update={"images": counts, "gates": gates}), folder)
    else:
        run.interrupt(header)
    return Told(run.path, folder / "data", tuple(names), labels, moved)


def record(
    name: str, sha256: str, label: Floats, pred: Floats, sigma: float | None, spacing_mm: float | None
) -> ImageRecord:
    """One image; its losses grow with its errors, the coordinate part against them."""
    k = len(label)
    error = np.linalg.norm(pred - label, axis=-1)
    mean = float(np.nanmean(error))
    return ImageRecord(
        image=name,
        image_sha256=sha256,
        annotation_sha256="d" * 64,
        width=SIDE,
        height=SIDE,
        pixel_spacing_mm=spacing_mm,
        sex=None,
        age_years=None,
        losses=ImageLosses(mean, 0.1, 100.0 - mean, 0.3, 0.0, 0.2, 0.1, 0.5, 0.25),
        keypoints=KeypointResults(
            gt_px=label,
            pred_px=pred,
            error_px=error,
            error_mm=error * (spacing_mm or np.nan),
            sigma_px=np.full((k, 2), np.nan if sigma is None else sigma),
            spread_px2=np.full((k, 3), np.nan),
            peak=np.ones(k),
            at_min=np.zeros((k, 2), dtype=np.bool_),
            at_max=np.zeros((k, 2), dtype=np.bool_),
            flags=np.zeros(k, dtype=np.int64),
        ),
        findings=(),
    )
