"""Run folders with a chosen σ and chosen errors, without a network or an image."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from mahtdiag.runs.document import CheckpointSource, DataSource, Environment, ImageCounts, RunDocument
from mahtdiag.runs.folder import RunFolder
from mahtdiag.runs.results import StoredGate
from mahtdiag.schema.records import ImageLosses, ImageRecord, KeypointResults
from mahtdiag.schema.skeleton import View

Floats = NDArray[np.float64]

WIDTH, HEIGHT = 1000, 2000
SETTINGS: dict[str, JsonValue] = {
    "input_size": "500x250",
    "heatmap_size": "125x125",
    "resize": "stretch",
    "coords": "half-pixel",
    "decode": "dark",
    "uncertainty": "auto",
    "uncertainty_as": "log_sigma",
    "uncertainty_frame": "input",
}


def sha256_of(text: str) -> str:
    """A digest that stands for a content."""
    return hashlib.sha256(text.encode()).hexdigest()


def calibrated(images: int, view: View = View.AP, seed: int = 0) -> tuple[Floats, Floats]:
    """Residuals and σ of a model whose σ is right, [N, K, 2] each."""
    rng = np.random.default_rng(seed)
    one = np.exp(rng.normal(np.log(8.0), 0.5, size=(images, view.skeleton.keypoints, 1)))
    sigma = np.repeat(one, 2, axis=2)
    return sigma * rng.normal(size=sigma.shape), sigma


def labels(view: View) -> Floats:
    """A straight spine in original pixels, [K, 2]: vertebrae 200 px wide."""
    k = np.arange(view.skeleton.keypoints)
    return np.stack([400.0 + 200.0 * (k % 2), 300.0 + 100.0 * (k // 2)], axis=1)


def write_run(
    path: Path,
    residual_px: Floats,
    sigma_px: Floats,
    *,
    view: View = View.AP,
    first_image: int = 0,
    spread_px2: Floats | None = None,
    at_max: NDArray[np.bool_] | None = None,
    settings: dict[str, JsonValue] | None = None,
    checkpoint: str = "network",
    pixel_spacing_mm: float | None = None,
    gates: tuple[StoredGate, ...] = (),
    complete: bool = True,
    cwd: Path | None = None,
) -> Path:
    """A run folder with these residuals (predicted − true) and σ, [N, K, 2], the latest of `cwd`.

    Every image has its own content, by its number; a NaN residual is a keypoint without label.
    """
    images = len(residual_px)
    header = RunDocument(
        checkpoint=CheckpointSource(path=f"{checkpoint}.pt", sha256=sha256_of(checkpoint), format="mahtdiag"),
        data=DataSource(path="data", format="buu-lspine", listing_sha256=sha256_of("listing")),
        view=view,
        settings=SETTINGS | (settings or {}),
        environment=Environment(python="3.11", torch="2.13", device="cpu"),
        started=datetime(2026, 11, 23, tzinfo=UTC),
        images=ImageCounts(total=images),
    )
    folder = RunFolder.create(path, header)
    spread = np.full((images, view.skeleton.keypoints, 3), np.nan) if spread_px2 is None else spread_px2
    bound = np.zeros(sigma_px.shape, dtype=np.bool_) if at_max is None else at_max
    folder.append(
        0,
        [
            _record(first_image + i, view, residual_px[i], sigma_px[i], spread[i], bound[i], pixel_spacing_mm)
            for i in range(images)
        ],
    )
    data = header.data.model_copy(update={"sha256": sha256_of(f"{first_image} {images}")})
    counts = ImageCounts(total=images, evaluated=images)
    document = header.model_copy(update={"images": counts, "data": data, "gates": gates})
    if complete:
        folder.finish(document, cwd or path.parent)
    else:
        folder.interrupt(header)
    return path


def _record(
    number: int,
    view: View,
    residual_px: Floats,
    sigma_px: Floats,
    spread_px2: Floats,
    at_max: NDArray[np.bool_],
    pixel_spacing_mm: float | None,
) -> ImageRecord:
    k = view.skeleton.keypoints
    pred = labels(view)
    gt = pred - residual_px
    error = np.linalg.norm(residual_px, axis=-1)
    name = f"{number:04d}-{'FM'[number % 2]}-{20 + number % 60:03d}Y0.jpg"
    return ImageRecord(
        image=name,
        image_sha256=sha256_of(name),
        annotation_sha256=sha256_of(f"{name} labels"),
        width=WIDTH,
        height=HEIGHT,
        pixel_spacing_mm=pixel_spacing_mm,
        sex="FM"[number % 2],
        age_years=20 + number % 60,
        losses=ImageLosses(*[1.0] * 9),
        keypoints=KeypointResults(
            gt_px=gt,
            pred_px=pred,
            error_px=error,
            error_mm=np.full(k, np.nan),
            sigma_px=sigma_px,
            spread_px2=spread_px2,
            peak=np.ones(k),
            at_min=np.zeros((k, 2), dtype=np.bool_),
            at_max=at_max,
            flags=np.zeros(k, dtype=np.int64),
        ),
        findings=(),
    )
