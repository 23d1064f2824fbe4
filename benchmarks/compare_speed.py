"""How long `mahtdiag compare` takes for two very large runs, and how much memory.

    python -m benchmarks.compare_speed [--images N]

Target on one core: two runs of 100,000 images of 22 keypoints in under 15 s, under 3 GB. The runs are written
to a temporary folder first, all columns filled, which is not measured.
"""

import argparse
import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rich.text import Text

from benchmarks.calibration_speed import THREADS
from mahtdiag.runs.document import CheckpointSource, DataSource, Environment, ImageCounts, RunDocument
from mahtdiag.runs.files import file_sha256
from mahtdiag.runs.reading import DOCUMENT, IMAGES, KEYPOINTS
from mahtdiag.runs.tables import IMAGES_PER_ROW_GROUP, images_schema, keypoints_schema, write_table
from mahtdiag.schema.skeleton import View

Floats = NDArray[np.float64]
Values = NDArray[np.generic] | Sequence[str]

VIEW = View.LA
K = VIEW.skeleton.keypoints
WIDTH, HEIGHT = 2000, 3000
BOUNDS = ("at_min_x", "at_min_y", "at_max_x", "at_max_y")
RULES = ("A201", "A203", "A301", "A501")


def write_run(folder: Path, images: int, error_px: float, seed: int) -> None:
    """A finished run of made-up images, the same for every seed, with errors of this size."""
    folder.mkdir(parents=True)
    firsts = range(0, images, IMAGES_PER_ROW_GROUP)
    blocks = [np.arange(first, min(first + IMAGES_PER_ROW_GROUP, images)) for first in firsts]
    rng = np.random.default_rng(seed)
    write_table(folder / IMAGES, (_images(block, rng) for block in blocks), images_schema(VIEW.skeleton))
    keypoints = (_keypoints(block, rng, error_px) for block in blocks)
    write_table(folder / KEYPOINTS, keypoints, keypoints_schema(VIEW.skeleton))
    document = RunDocument(
        status="complete",
        checkpoint=CheckpointSource(path=f"{folder.name}.pt", sha256="a" * 64, format="mahtdiag"),
        data=DataSource(path="data", format="buu-lspine"),
        view=VIEW,
        settings={},
        environment=Environment(python="3", torch="2", device="cpu"),
        started=datetime(2026, 11, 23, tzinfo=UTC),
        images=ImageCounts(total=images, evaluated=images),
    )
    sealed = document.sealed(file_sha256(folder / IMAGES), file_sha256(folder / KEYPOINTS))
    (folder / DOCUMENT).write_text(sealed.to_json(), encoding="utf-8")


def _images(numbers: NDArray[np.int64], rng: np.random.Generator) -> pa.Table:
    count = len(numbers)
    names = _names(numbers)
    fired = np.empty(count, dtype=object)
    for row, chosen in enumerate(rng.random((count, len(RULES))) < 0.02):
        fired[row] = [rule for rule, is_broken in zip(RULES, chosen, strict=True) if is_broken]
    columns: dict[str, Values] = {
        "image": names,
        "status": ["ok"] * count,
        "width": np.full(count, WIDTH),
        "height": np.full(count, HEIGHT),
        "pixel_spacing_mm": np.full(count, 0.15),
        "violations": fired,
        "image_sha256": [hashlib.sha256(name.encode()).hexdigest() for name in names],
        "annotation_sha256": [hashlib.sha256(f"{name}!".encode()).hexdigest() for name in names],
    }
    return _table(columns, images_schema(VIEW.skeleton), rng, count)


def _keypoints(numbers: NDArray[np.int64], rng: np.random.Generator, error_px: float) -> pa.Table:
    # Labels have to be those of the other run.
    label_px = _labels(numbers)
    sigma = error_px * np.exp(rng.normal(0.0, 0.4, (len(label_px), 1)))
    pred_px = label_px + sigma * rng.normal(size=label_px.shape)
    error = np.hypot(*(pred_px - label_px).T)
    columns: dict[str, Values] = {
        "image": np.repeat(np.array(_names(numbers), dtype=object), K),
        "index": np.tile(np.arange(K), len(numbers)),
        "vertebra": VIEW.skeleton.vertebra_of * len(numbers),
        "corner": VIEW.skeleton.corner_of * len(numbers),
        "gt_x": label_px[:, 0], "gt_y": label_px[:, 1],
        "pred_x": pred_px[:, 0], "pred_y": pred_px[:, 1],
        "error_px": error, "error_mm": 0.15 * error,
        "sigma_x": sigma[:, 0], "sigma_y": sigma[:, 0],
        "flags": np.zeros(len(label_px), dtype=np.int32),
        **{name: np.zeros(len(label_px), dtype=np.bool_) for name in BOUNDS},
    }  # fmt: skip
    return _table(columns, keypoints_schema(VIEW.skeleton), rng, len(label_px))


def _table(columns: dict[str, Values], schema: pa.Schema, rng: np.random.Generator, count: int) -> pa.Table:
    """A table; numbers that are not given are random and take their full space, all else is null."""
    missing = [field.name for field in schema if field.type == pa.float64() and field.name not in columns]
    filled = columns | {name: rng.normal(10.0, 2.0, count) for name in missing}
    arrays = [
        pa.array(filled[field.name], field.type) if field.name in filled else pa.nulls(count, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _names(numbers: NDArray[np.int64]) -> list[str]:
    return [f"LA/{number:06d}-F-050Y1.jpg" for number in numbers.tolist()]


def _labels(numbers: NDArray[np.int64]) -> Floats:
    """Spines of vertebrae 500 px wide and 300 px apart, each moved and bent a little by its number."""
    k = np.arange(K)
    straight = np.stack([600.0 + 500.0 * (k % 2), 300.0 + 110.0 * (k // 2) + 40.0 * (k // 4)], axis=1)
    rng = np.random.default_rng([7, int(numbers[0])])
    moved = rng.normal(0.0, 60.0, (len(numbers), 1, 2)) + rng.normal(0.0, 6.0, (len(numbers), K, 2))
    return (straight + moved).reshape(-1, 2)


def lines(images: int) -> list[str]:
    """Time and memory of the command on two runs."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, error_px, seed in (("a", 5.0, 1), ("b", 5.1, 2)):
            write_run(folder / name, images, error_px, seed)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        command = [sys.executable, "-m", "mahtdiag", "compare", "a", "b", "--format", "json"]
        root = str(Path(__file__).parents[1])
        environment = {**os.environ, **dict.fromkeys(THREADS, "1"), "PYTHONPATH": root}
        started = time.perf_counter()
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
        seconds = time.perf_counter() - started
    if done.returncode > 1:
        raise RuntimeError(done.stderr.decode())
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit / 1e9
    return [
        f"compare two runs of {images:,} images of {K} keypoints ({size / 1e9:.2f} GB), one thread",
        f"  whole command                         {seconds:6.2f} s   (target at 100,000: 15 s)",
        f"  peak memory                           {peak:6.2f} GB  (target at 100,000: 3 GB)",
    ]


def run() -> Iterator[Text]:
    """The table, for `python -m benchmarks`."""
    yield Text("\n".join(lines(100_000)))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000)
    sys.stdout.write("\n".join(lines(parser.parse_args().images)) + "\n")


if __name__ == "__main__":
    main()
