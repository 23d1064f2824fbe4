"""What the tests of prediction files share: small sets of three images, and a spine predicted for each."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mahtdiag.data.files import Dataset
from mahtdiag.data.predictions import PredictionSet, read_predictions
from mahtdiag.data.readers import open_dataset
from mahtdiag.errors import DataError
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.skeleton import View
from tests.data.readers.marked import HEIGHT, NAMES, POINTS, WIDTH, write_image

IMAGES = ("a.png", "b.png", "c.png")
PREDICTED = {image: POINTS + 1.5 + at for at, image in enumerate(IMAGES)}
CORNERS = ["UL", "UR", "LL", "LR"]
WHOLE = ({"id": 1, "name": "spine", "keypoints": NAMES},)
LEVELS = tuple({"id": 10 + v, "name": f"L{v + 1}", "keypoints": CORNERS} for v in range(5))
ONE_CLASS = ({"id": 1, "name": "vertebra", "keypoints": CORNERS},)


def triples(points: Any, third: float = 2) -> list[float]:
    return [number for x, y in np.asarray(points).tolist() for number in (x, y, third)]


def coco_set(folder: Path, categories: Sequence[dict[str, Any]] = WHOLE, first: int = 11) -> Dataset:
    """Three images in a COCO file, whose ids go down while their names go up."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for at, name in enumerate(IMAGES):
        write_image(folder / "images" / name)
        identifier = first + len(IMAGES) - at
        images.append({"id": identifier, "file_name": name, "width": WIDTH, "height": HEIGHT})
        for category, points in zip(categories, np.split(POINTS, len(categories)), strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": identifier,
                    "category_id": category["id"],
                    "keypoints": triples(points),
                }
            )
    content = {"images": images, "annotations": annotations, "categories": list(categories)}
    (folder / "annotations.json").write_text(json.dumps(content))
    return open_dataset(folder, View.AP)


def image_id(image: str, first: int = 11) -> int:
    """The id of an image in `coco_set`."""
    return first + len(IMAGES) - IMAGES.index(image)


def one_class_set(folder: Path) -> Dataset:
    """A COCO set with an instance per vertebra of one class."""
    coco_set(folder)
    content = json.loads((folder / "annotations.json").read_text())
    content["categories"] = list(ONE_CLASS)
    content["annotations"] = [
        {"id": 1, "image_id": image_id(image), "category_id": 1, "keypoints": triples(points)}
        for image in IMAGES
        for points in np.split(POINTS, 5)
    ]
    (folder / "annotations.json").write_text(json.dumps(content))
    return open_dataset(folder, View.AP)


def plain_set(folder: Path, images: Sequence[str] = IMAGES) -> Dataset:
    """Images in folders of their own below `folder`, labelled in a table."""
    rows = ["image,keypoint,x,y"]
    for image in images:
        write_image(folder / image)
        rows += [f"{image},{name},{x},{y}" for name, (x, y) in zip(NAMES, POINTS.tolist(), strict=True)]
    (folder / "labels.csv").write_text("\n".join(rows))
    return open_dataset(folder, View.AP)


def lateral_set(folder: Path) -> Dataset:
    """Images labelled in a table, with the upper endplate of S1."""
    names = [name.replace(" ", "_") for name in View.LA.skeleton.keypoint_names]
    rows = ["image,keypoint,x,y"]
    for image in IMAGES:
        write_image(folder / image)
        rows += [f"{image},{name},{10 + k},{20 + 3 * k}" for k, name in enumerate(names)]
    (folder / "labels.csv").write_text("\n".join(rows))
    return open_dataset(folder, View.LA)


def predictions(file: Path, dataset: Dataset, **options: Any) -> PredictionSet:
    return read_predictions(file, dataset, ReadOptions(**options))


def points(found: PredictionSet, image: str) -> NDArray[np.float64]:
    return found.by_image[image].points_px


def sigma(found: PredictionSet, image: str) -> NDArray[np.float64]:
    value = found.by_image[image].sigma_px
    assert value is not None
    return value


def score(found: PredictionSet, image: str) -> NDArray[np.float64]:
    value = found.by_image[image].score
    assert value is not None
    return value


def refusal(file: Path, dataset: Dataset, **options: Any) -> str:
    """The one line in which a file is refused."""
    with pytest.raises(DataError) as caught:
        predictions(file, dataset, **options)
    (line,) = caught.value.problems
    assert "\n" not in line
    return line


def write_json(file: Path, content: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))
    return file
