"""Finished runs of any number of made-up images, written row group by row group by the product's writers.

Spines of the sample annotations, each moved a little; predictions off by a σ that the run knows. One heatmap
in fifty has a second peak, every patient two images, and no image file belongs to any of it.
"""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mahtdiag.diagnosis.columns import Values
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.runs.document import CheckpointSource, DataSource, Environment, ImageCounts, RunDocument
from mahtdiag.runs.files import file_sha256
from mahtdiag.runs.reading import DOCUMENT, IMAGES, KEYPOINTS
from mahtdiag.runs.tables import (
    IMAGES_PER_ROW_GROUP,
    images_rows,
    images_schema,
    keypoints_rows,
    keypoints_schema,
    write_table,
)
from mahtdiag.schema.skeleton import View
from validation.injection_sets import SAMPLE_DATA, CleanSet, annotated_set

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

VIEW = View.LA
K = VIEW.skeleton.keypoints
SPACING_MM = 0.15
SECOND_PEAKS = 0.02
SETTINGS = {
    "input_size": "512x256", "heatmap_size": "128x64", "resize": "stretch", "coords": "half-pixel",
    "heatmap_sigma": 2.0, "decode": "dark", "uncertainty_source": "head",
}  # fmt: skip


def write_run(folder: Path, images: int, error_px: float = 8.0, seed: int = 1) -> None:
    """A finished run; images and labels are the same for every seed."""
    folder.mkdir(parents=True)
    write_table(
        folder / IMAGES, map(images_rows, _blocks(images, error_px, seed)), images_schema(VIEW.skeleton)
    )
    rows = map(keypoints_rows, _blocks(images, error_px, seed))
    write_table(folder / KEYPOINTS, rows, keypoints_schema(VIEW.skeleton))
    document = RunDocument(
        status="complete",
        checkpoint=CheckpointSource(path=f"{folder.name}.pt", sha256="a" * 64, format="mahtdiag"),
        data=DataSource(path="data", format="buu-lspine"),
        view=VIEW,
        settings={**SETTINGS},
        environment=Environment(python="3", torch="2", device="cpu"),
        started=datetime(2026, 11, 23, tzinfo=UTC),
        images=ImageCounts(total=images, evaluated=images),
    )
    sealed = document.sealed(file_sha256(folder / IMAGES), file_sha256(folder / KEYPOINTS))
    (folder / DOCUMENT).write_text(sealed.to_json(), encoding="utf-8")


@cache
def _clean() -> CleanSet:
    return annotated_set(SAMPLE_DATA, VIEW)


def _blocks(images: int, error_px: float, seed: int) -> Iterator[RunTable]:
    for first in range(0, images, IMAGES_PER_ROW_GROUP):
        yield _block(np.arange(first, min(first + IMAGES_PER_ROW_GROUP, images)), error_px, seed)


def _block(numbers: Ints, error_px: float, seed: int) -> RunTable:
    """Images of these numbers."""
    rng = np.random.default_rng([seed, int(numbers[0])])
    clean, n = _clean(), len(numbers)
    rows = numbers % len(clean.points_px)
    label_px = _labels(numbers, clean.points_px[rows])
    sigma_px = error_px * np.exp(rng.normal(0.0, 0.4, (n, K, 1))).repeat(2, axis=2)
    pred_px = label_px + sigma_px * rng.normal(size=label_px.shape)
    error = np.linalg.norm(pred_px - label_px, axis=-1)
    two = rng.random((n, K)) < SECOND_PEAKS
    names = tuple(f"LA/{number:07d}-F-050Y1.jpg" for number in numbers.tolist())
    width, height = clean.size_px[rows].T
    no_bounds = np.zeros((n, K, 2), dtype=np.bool_)
    values: dict[str, Values] = {
        "image": names,
        "width": width,
        "height": height,
        **dict.fromkeys(
            ("pixel_spacing_mm", "pixel_spacing_x_mm", "pixel_spacing_y_mm"), np.full(n, SPACING_MM)
        ),
        "sex": tuple(np.resize(["F", "M"], n).tolist()),
        "age_years": 20.0 + numbers % 60,
        "radial_error_px": error.mean(axis=1),
        "max_error_px": error.max(axis=1),
        "labels_suspicious": ((),) * n,
        "image_sha256": _digests(names),
        "annotation_sha256": _digests(f"{name}!" for name in names),
        "bits": np.full(n, 8.0),
        "grey_low": np.zeros(n),
        "grey_high": np.ones(n),
        "colour": np.zeros(n),
        "orientation": np.ones(n),
        "patient": tuple(f"P{number // 2:07d}" for number in numbers.tolist()),
        "subgroups": ((),) * n,
        "thumbnail": tuple(rng.bytes(64).hex() for _ in range(n)),
        "gt_px": label_px,
        "pred_px": pred_px,
        "error_px": error,
        "error_mm": SPACING_MM * error,
        "sigma_px": sigma_px,
        "peak": rng.uniform(0.3, 1.0, (n, K)),
        "spread_px2": np.stack([sigma_px[..., 0] ** 2, np.zeros((n, K)), sigma_px[..., 1] ** 2], axis=-1),
        "flags": np.zeros((n, K), dtype=np.int64),
        "at_min": no_bounds,
        "at_max": no_bounds,
        "second_share": np.where(two, rng.uniform(0.1, 1.0, (n, K)), 0.0),
        "second_px": np.where(two[..., None], pred_px + 100.0, np.nan),
        "argmax_px": pred_px + rng.uniform(-4.0, 4.0, pred_px.shape),
        "local_px": pred_px + rng.normal(0.0, 1.0, pred_px.shape),
        "listhesis": np.zeros((n, K)),
    }
    # What is not said above: losses are random, all else is not known.
    for column in (c for c in vars(RunTable).values() if getattr(c, "record", "") and c.name not in values):
        shape = (n, K, len(column.names))[: 1 + column.of_keypoints + (len(column.names) > 1)]
        values[column.name] = (
            rng.gamma(4.0, 0.25, n) if column.name.startswith("loss_") else np.full(shape, np.nan)
        )
    values["violations"] = RunTable(VIEW.skeleton, values).findings.codes_per_image()
    return RunTable(VIEW.skeleton, values)


def _labels(numbers: Ints, points_px: Floats) -> Floats:
    """Sample annotations, each image's moved and bent by its number."""
    rng = np.random.default_rng([7, int(numbers[0])])
    n = len(numbers)
    return points_px + rng.normal(0.0, 20.0, (n, 1, 2)) + rng.normal(0.0, 3.0, (n, K, 2))


def _digests(names: Iterator[str] | tuple[str, ...]) -> tuple[str, ...]:
    return tuple(hashlib.sha256(name.encode()).hexdigest() for name in names)
