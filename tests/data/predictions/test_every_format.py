"""Every format says the same of sets of every kind; `python -m fuzz` damages its files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from mahtdiag.data.files import Dataset
from mahtdiag.data.predictions import PREDICTION_READERS, read_predictions
from mahtdiag.schema.read_options import ReadOptions
from tests.data.predictions import test_coco_results, test_mmpose, test_ultralytics
from tests.data.predictions.sets import IMAGES, LEVELS, PREDICTED, coco_set, image_id, plain_set
from tests.data.predictions.test_other_formats import deeplabcut, keypoint_rcnn, maht_net
from tests.data.predictions.test_run_tables import table
from tests.data.readers.marked import NAMES


def _json(content: Any) -> Callable[[Path], None]:
    return _text(json.dumps(content))


def _text(text: str) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        file.write_text(text)

    return write


def _parquet(file: Path) -> None:
    pq.write_table(table(), file, compression="none")


def _npz(file: Path) -> None:
    keypoints = np.stack([PREDICTED[image] for image in IMAGES])
    with file.open("wb") as opened:
        np.savez(opened, images=np.array(IMAGES), keypoints=keypoints, sigma=np.ones((3, 20)), names=NAMES)


def _csv(file: Path) -> None:
    rows = ["image,index,x,y,sigma,score"]
    for image in IMAGES:
        rows += [f"{image},{k},{x},{y},1.5,0.5" for k, (x, y) in enumerate(PREDICTED[image].tolist())]
    file.write_text("\n".join(rows))


WRITTEN: dict[str, tuple[str, Callable[[Path], None]]] = {
    "coco-results": (
        "p.json",
        _json(
            [test_coco_results.result(image_id(image), test_coco_results.whole(image)) for image in IMAGES]
        ),
    ),
    "mahtdiag": ("p.parquet", _parquet),
    "csv": ("p.csv", _csv),
    "ultralytics": ("p.json", _json({i: [test_ultralytics.instance(PREDICTED[i])] for i in IMAGES})),
    "mmpose": ("a.json", _json([test_mmpose.instance(PREDICTED["a.png"])])),
    "deeplabcut": ("p.csv", _text(deeplabcut(list(IMAGES)))),
    "maht-net": ("p.json", _json({image: maht_net(image) for image in IMAGES})),
    "keypoint-rcnn": ("a.json", _json(keypoint_rcnn("a.png"))),
    "npz": ("p.npz", _npz),
}


def test_every_format_is_written() -> None:
    assert {reader.name for reader in PREDICTION_READERS} == WRITTEN.keys()


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("make", [coco_set, plain_set, lambda folder: coco_set(folder, LEVELS)])
def test_every_format_says_the_same_of_every_set(name: str, make: Any, tmp_path: Path) -> None:
    images: Dataset = make(tmp_path / "data")
    file_name, write = WRITTEN[name]
    write(tmp_path / file_name)
    if name == "coco-results":
        content = (tmp_path / file_name).read_text()
        for image in IMAGES:
            content = content.replace(f'"image_id": {image_id(image)}', f'"image_id": "{image}"')
        (tmp_path / file_name).write_text(content.replace('"category_id": 1', '"category_id": 7'))
    found = read_predictions(tmp_path / file_name, images, ReadOptions())
    assert found.format == name
    for image, prediction in found.by_image.items():
        np.testing.assert_allclose(prediction.points_px, PREDICTED[Path(image).name], atol=1e-9)
