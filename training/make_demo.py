"""Make the sample of `mahtdiag demo`: `python -m training.make_demo mahtdiag/workflows/demo/sample`.

Radiographs of seeds that neither training nor the sample sets see, their pixel spacing, the same labels with
planted mistakes, and one small network twice: at the end of its training and cut off early. Weights are
stored in half precision. The same machine makes the same files; a quarter of an hour of one core.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from mahtdiag.models.native import save_checkpoint
from mahtdiag.schema.skeleton import AP, View
from training.annotations import format_annotation
from training.radiographs import Radiograph, draw_radiograph
from training.train import Schedule, specification, train

Floats = NDArray[np.float64]

IMAGES = 28
FIRST_SEED = 201
HEIGHTS_PX = (560, 520)
"""Of films of two detectors, in turn."""
FILM_MM = 330.0
JPEG_QUALITY = 75
HEALTHY = Schedule(width=14, blocks=1, layers=1, heatmap_sigma=2.0)
SHORT = replace(HEALTHY, stop_after=125)
"""Of 3,500 batches: places are coarse, heatmaps still without peaks, and σ has not begun to learn."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong in one annotation, in words, and the points that are annotated instead."""

    said: str
    points: Callable[[Radiograph], Floats]


def exchanged(radiograph: Radiograph) -> Floats:
    """Left for right in every endplate."""
    return radiograph.keypoints_px.reshape(-1, 2, 2)[:, ::-1].reshape(-1, 2)


def one_level_up(radiograph: Radiograph) -> Floats:
    """T12 is taken for L1, and so on."""
    return np.concatenate([radiograph.t12_px, radiograph.keypoints_px[:-4]])


def dragged(radiograph: Radiograph) -> Floats:
    """The lower right corner of L3 lies a vertebra's height too low."""
    points, (upper, lower) = radiograph.keypoints_px.copy(), _corners("L3 UR", "L3 LR")
    points[lower] += points[lower] - points[upper]
    return points


def turned(radiograph: Radiograph) -> Floats:
    """The lower endplate of L2 is turned about its middle, by 25 degrees."""
    points, ends = radiograph.keypoints_px.copy(), [*_corners("L2 LL", "L2 LR")]
    cos, sin = np.cos(np.radians(25.0)), np.sin(np.radians(25.0))
    middle = points[ends].mean(axis=0)
    points[ends] = middle + (points[ends] - middle) @ np.array([[cos, sin], [-sin, cos]])
    return points


def _corners(*names: str) -> tuple[int, ...]:
    return tuple(AP.keypoint_names.index(name) for name in names)


PLANTED = {
    4: Mistake("left and right exchanged", exchanged),
    11: Mistake("every vertebra marked one level too high", one_level_up),
    16: Mistake("L3 lower right corner a vertebra's height too low", dragged),
    23: Mistake("L2 lower endplate turned by 25°", turned),
}
"""Mistakes by the number of the image that has them."""


def draw(folder: Path) -> None:
    """Write radiographs, annotations, pixel spacing, and the annotations with mistakes in a folder beside."""
    data, mistakes = folder / "data", folder / "mistakes"
    spacings, planted = ["image,mm\n"], ["image,mistake\n"]
    for each in (data, mistakes):
        each.mkdir(parents=True, exist_ok=True)
    for number in range(1, IMAGES + 1):
        height = HEIGHTS_PX[number % len(HEIGHTS_PX)]
        drawn = draw_radiograph(View.AP, FIRST_SEED + number - 1, height)
        stem = f"{number:04d}-{drawn.sex}-{drawn.age:03d}Y0"
        encoded = cv2.imencode(".jpg", drawn.image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
        (data / f"{stem}.jpg").write_bytes(encoded.tobytes())
        _annotate(data / f"{stem}.csv", drawn.keypoints_px, drawn)
        spacings.append(f"{stem}.jpg,{FILM_MM / height:.4f}\n")
        if number in PLANTED:
            _annotate(mistakes / f"{stem}.csv", PLANTED[number].points(drawn), drawn)
            planted.append(f"{stem}.jpg,{PLANTED[number].said}\n")
    (data / "pixel_spacing.csv").write_text("".join(spacings), encoding="ascii")
    (folder / "planted.csv").write_text("".join(planted), encoding="utf-8")


def _annotate(file: Path, points_px: Floats, drawn: Radiograph) -> None:
    file.write_text(format_annotation(points_px, drawn.listhesis, decimals=1), encoding="ascii")


def train_both(folder: Path) -> None:
    """Write the two checkpoints."""
    for name, schedule in (("healthy.pt", HEALTHY), ("short.pt", SHORT)):
        network = train(AP, schedule, bf16=False)
        save_checkpoint(folder / name, network.half(), specification(AP, schedule.heatmap_sigma))


def main() -> None:
    """Parse the command line, draw, train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--drawn-only", action="store_true", help="leave the checkpoints as they are")
    options = parser.parse_args()
    draw(options.folder)
    if not options.drawn_only:
        torch.set_num_threads(1)
        train_both(options.folder)


if __name__ == "__main__":
    main()
