"""Large annotated sets opened: time from the folder to keypoints of a skeleton, and the memory it takes.

    python -m benchmarks.opening_speed [NAME …]

Each set is opened in a process of its own, by what recognises it; images are empty files, none is decoded.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure, at_most, table
from mahtdiag.data.readers import open_dataset
from mahtdiag.schema.skeleton import AP, CORNERS, View

COCO_IMAGES, CVAT_SKELETONS, TABLE_IMAGES, YOLO_IMAGES = 100_000, 100_000, 20_000, 3_000
MOST_SECONDS, MOST_MEGABYTES = 5.0, 1000.0
WIDTH, HEIGHT = 1000, 2000
ROOT = Path(__file__).parents[1]


def _images(folder: Path, count: int) -> list[str]:
    names = [f"im{number:06d}.png" for number in range(count)]
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()
    return names


def _points(count: int) -> list[list[list[float]]]:
    """`[count, 20, 2]`, each point anywhere in its image, with two decimals."""
    rng = np.random.default_rng(0)
    places: list[list[list[float]]] = np.round(
        rng.random((count, AP.keypoints, 2)) * (WIDTH, HEIGHT), 2
    ).tolist()
    return places


def make_coco(folder: Path, count: int = COCO_IMAGES) -> None:
    """One file, an instance with all keypoints for each image."""
    names = _images(folder / "images", count)
    images = [{"id": i, "file_name": n, "width": WIDTH, "height": HEIGHT} for i, n in enumerate(names)]
    annotations = [
        {
            "id": i,
            "image_id": i,
            "category_id": 1,
            "iscrowd": 0,
            "keypoints": [v for x, y in points for v in (x, y, 2)],
        }
        for i, points in enumerate(_points(count))
    ]
    keypoints = [name.replace(" ", "_") for name in AP.keypoint_names]
    categories = [{"id": 1, "name": "spine", "keypoints": keypoints}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(content))


def make_cvat(folder: Path, count: int = CVAT_SKELETONS) -> None:
    """One file, a skeleton of four points for each of five vertebrae of an image."""
    names = _images(folder / "images", count // len(AP.vertebrae))
    with (folder / "annotations.xml").open("w") as file:
        file.write("<annotations>\n<version>1.1</version>\n")
        for number, (name, points) in enumerate(zip(names, _points(len(names)), strict=True)):
            file.write(f'<image id="{number}" name="{name}" width="{WIDTH}" height="{HEIGHT}">\n')
            for level, vertebra in enumerate(AP.vertebrae):
                file.write(f'<skeleton label="{vertebra}" z_order="0">\n')
                for corner, (x, y) in zip(CORNERS, points[4 * level : 4 * level + 4], strict=True):
                    file.write(f'<points label="{corner}" outside="0" points="{x:.2f},{y:.2f}"></points>\n')
                file.write("</skeleton>\n")
            file.write("</image>\n")
        file.write("</annotations>\n")


def make_table(folder: Path, count: int = TABLE_IMAGES) -> None:
    """One table, a row for each point."""
    names = _images(folder / "images", count)
    with (folder / "labels.csv").open("w") as file:
        file.write("image,vertebra,corner,x,y\n")
        for name, points in zip(names, _points(count), strict=True):
            for keypoint, (x, y) in zip(AP.keypoint_names, points, strict=True):
                file.write(f"{name},{keypoint.replace(' ', ',')},{x:.2f},{y:.2f}\n")


def make_yolo(folder: Path, count: int = YOLO_IMAGES) -> None:
    """A file of shares for each image, whose sizes are read: they are small and real."""
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    keypoints = ", ".join(AP.keypoint_names)
    (folder / "data.yaml").write_text(
        f"train: images\nkpt_shape: [{AP.keypoints}, 3]\nnames: [spine]\nkpt_names:\n  0: [{keypoints}]\n"
    )
    _, image = cv2.imencode(".png", np.zeros((200, 100), np.uint8))
    for number, points in enumerate(_points(count)):
        (folder / "images" / f"im{number:06d}.png").write_bytes(image.tobytes())
        shares = " ".join(f"{x / WIDTH:.6f} {y / HEIGHT:.6f} 2" for x, y in points)
        (folder / "labels" / f"im{number:06d}.txt").write_text(f"0 0.5 0.5 1 1 {shares}\n")


SETS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "coco": (f"COCO, {COCO_IMAGES:,} instances of 20 keypoints", make_coco),
    "cvat": (f"CVAT, {CVAT_SKELETONS:,} skeletons of 4 points", make_cvat),
    "csv": (f"table, {TABLE_IMAGES:,} images of 20 rows", make_table),
    "yolo": (f"YOLO pose, {YOLO_IMAGES:,} images and files", make_yolo),
}


def measure(names: list[str]) -> Table:
    """Write the sets and open each: seconds of a clock and of the processor, and the largest memory."""
    figures: list[Figure] = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            # Not made in this process: one that begins counts the memory of the one that began it as its own.
            _python("--make", name, "--at", f"{folder}/set")
            seconds, processor, megabytes = map(float, _python("--at", f"{folder}/set").split())
        title, _ = SETS[name]
        if name == "coco":
            figures += [
                at_most(title, seconds, MOST_SECONDS, "s"),
                at_most("  its memory", megabytes, MOST_MEGABYTES, "MB"),
            ]
        else:
            figures.append(Figure(title, f"{seconds:.2f} s"))
            figures.append(Figure("  its memory", f"{megabytes:.0f} MB"))
        figures.append(Figure("  time of the processor", f"{processor:.2f} s"))
    return table("Annotated sets opened", figures)


def _python(*arguments: str) -> bytes:
    """What this module prints as a process of its own."""
    command = [sys.executable, "-m", "benchmarks.opening_speed", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE).stdout


def open_one(path: Path) -> None:
    """Open a set in this process, and print what it took."""
    began, processor = time.perf_counter(), time.process_time()
    dataset = open_dataset(path, View.AP)
    took = time.perf_counter() - began, time.process_time() - processor
    if not dataset.samples or dataset.failures:
        raise SystemExit(f"{len(dataset.samples)} images, {len(dataset.failures)} failures")
    print(*took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)  # noqa: T201


def run() -> Iterator[Table]:
    """The table of `python -m benchmarks`."""
    yield measure(list(SETS))


def main() -> None:
    """Prints the table for some of the sets."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(SETS))
    parser.add_argument("--make", choices=SETS, help=argparse.SUPPRESS)
    parser.add_argument("--at", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make is not None:
        SETS[arguments.make][1](arguments.at)
    elif arguments.at is not None:
        open_one(arguments.at)
    else:
        Console().print(measure(arguments.names or list(SETS)))


if __name__ == "__main__":
    main()
