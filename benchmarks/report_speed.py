"""`mahtdiag report` of 1,000 images of the size of real radiographs: time, start-up included, and size.

    python -m benchmarks.report_speed [--images N]

Images are a few drawn radiographs under many names; labels and predictions differ from image to image.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.figures import at_most, table
from mahtdiag.runs.document import CheckpointSource, DataSource, Environment, ImageCounts, RunDocument
from mahtdiag.runs.folder import RunFolder
from mahtdiag.schema.records import ImageLosses, ImageRecord, KeypointResults
from mahtdiag.schema.skeleton import View
from training.radiographs import draw_radiograph

Floats = NDArray[np.float64]
VIEW = View.LA
IMAGES = 1000
DRAWN = 12
HEIGHT = 2446
QUALITY = 90
SIGMA_PX = 12.0
MOST_SECONDS, MOST_MEGABYTES = 20.0, 60.0
ROOT = Path(__file__).parents[1]


def make_images(folder: Path, count: int) -> tuple[list[str], list[Floats], list[tuple[int, int]]]:
    """Write the images; the digest, the keypoints and the size (width, height) of each drawn one."""
    folder.mkdir(parents=True)
    digests, points, sizes = [], [], []
    for number in range(min(count, DRAWN)):
        drawn = draw_radiograph(VIEW.value, seed=number, height=HEIGHT)
        _, encoded = cv2.imencode(".jpg", drawn.image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        content = encoded.tobytes()
        digests.append(hashlib.sha256(content).hexdigest())
        points.append(drawn.keypoints_px)
        sizes.append((drawn.image.shape[1], drawn.image.shape[0]))
        for copy in range(number, count, DRAWN):
            (folder / f"{copy:05d}.jpg").write_bytes(content)
    return digests, points, sizes


def make_run(folder: Path, count: int) -> Path:
    """A finished run of so many images beside their data folder."""
    digests, points, sizes = make_images(folder / "data", count)
    header = RunDocument(
        checkpoint=CheckpointSource(path="net.pt", sha256="a" * 64, format="mahtdiag"),
        data=DataSource(path="data", format="buu-lspine", listing_sha256="b" * 64),
        view=VIEW,
        settings={
            "input_size": "512x256",
            "heatmap_size": "128x64",
            "resize": "stretch",
            "coords": "half-pixel",
        },
        environment=Environment(python="3", torch="2", device="cpu"),
        started=datetime(2026, 1, 1, tzinfo=UTC),
        images=ImageCounts(total=count),
    )
    run = RunFolder.create(folder / "run", header)
    rng = np.random.default_rng(0)
    records = []
    for number in range(count):
        drawn = number % DRAWN
        label = points[drawn] + rng.normal(0.0, 3.0, points[drawn].shape)
        records.append(record(f"{number:05d}.jpg", digests[drawn], label, sizes[drawn], rng))
    run.append(0, records)
    counts = ImageCounts(total=count, evaluated=count)
    run.finish(header.model_copy(update={"images": counts}), folder)
    return run.path


def record(
    name: str, sha256: str, label: Floats, size: tuple[int, int], rng: np.random.Generator
) -> ImageRecord:
    """A prediction whose errors have heavy tails, with a σ that knows a little of them."""
    k = len(label)
    sigma = SIGMA_PX * np.exp(rng.normal(0.0, 0.4, (k, 1))).repeat(2, axis=1)
    prediction = label + sigma * rng.standard_t(4, (k, 2))
    error = np.linalg.norm(prediction - label, axis=-1)
    unknown = np.zeros((k, 2), dtype=np.bool_)
    return ImageRecord(
        image=name,
        image_sha256=sha256,
        annotation_sha256="d" * 64,
        width=size[0],
        height=size[1],
        pixel_spacing_mm=0.15,
        sex=None,
        age_years=None,
        losses=ImageLosses(*np.abs(rng.normal(1.0, 0.3, 9)).tolist()),
        keypoints=KeypointResults(
            gt_px=label,
            pred_px=prediction,
            error_px=error,
            error_mm=0.15 * error,
            sigma_px=sigma,
            spread_px2=np.full((k, 3), np.nan),
            peak=rng.uniform(0.3, 1.0, k),
            at_min=unknown,
            at_max=unknown,
            flags=np.zeros(k, dtype=np.int64),
        ),
        findings=(),
    )


def measure(count: int) -> Table:
    """Make a run, write its report in a process of its own, and look at the clock and the file."""
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder), count)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "mahtdiag", "report", "run"]
        started = time.perf_counter()
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
        seconds = time.perf_counter() - started
        megabytes = (run / "report.html").stat().st_size / 1e6
    rows = [
        at_most("time, start-up included", seconds, MOST_SECONDS, "s"),
        at_most("size of report.html", megabytes, MOST_MEGABYTES, "MB"),
    ]
    return table(f"Report of {count:,} images of {HEIGHT} rows", rows)


def run() -> Iterator[Table]:
    """The table of `python -m benchmarks`."""
    yield measure(IMAGES)


def main() -> None:
    """Prints the table for another number of images."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=IMAGES)
    Console().print(measure(parser.parse_args().images))


if __name__ == "__main__":
    main()
