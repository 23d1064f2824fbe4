"""Files of predictions in every format that is read, for the images of a small set."""

import io
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fuzz.answers import OddAnswerError, refused, require_line
from fuzz.checkpoints import repacked
from fuzz.mutations import Change, Folder, Link, mutate
from fuzz.parquet import changed_parquet
from fuzz.sets import Files, coco, keypoint_rcnn, maht_net
from fuzz.spines import KEYPOINTS, LEVELS, NAMES, corners
from mahtdiag.data.predictions import PredictionSet, read_predictions
from mahtdiag.data.readers import open_dataset
from mahtdiag.errors import MahtdiagError
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.skeleton import CORNERS, View

Rng = random.Random
PREFIX: Final = "predictions-"
_DATA: Final = "data/"
_IMAGES: Final = tuple(f"{name}.png" for name in NAMES)
_TEXTS: Final = (".json", ".csv")


def _text(content: object) -> bytes:
    return json.dumps(content).encode()


def _places(name: str) -> list[list[float]]:
    places: list[list[float]] = corners(name).reshape(-1, 2).tolist()
    return places


def _coco_results() -> Files:
    """An image by its id, one by its name, and one of a category for each level."""
    whole = [value for x, y in _places("a") for value in (x, y, 0.9)]
    results: list[dict[str, Any]] = [
        {"image_id": 1, "category_id": 1, "keypoints": whole, "score": 0.8},
        {"file_name": "images/b.png", "image_id": 2, "category_id": 1, "keypoints": whole, "score": 0.8},
    ]
    for at, quad in enumerate(corners("c").tolist()):
        values = [value for x, y in quad for value in (x, y, 0.9)]
        results.append({"image_id": 3, "category_id": 2 + at, "keypoints": values, "score": 0.5})
    return {"p.json": _text(results)}


def _run_tables() -> Files:
    """The columns of `keypoints.parquet` that are read."""
    vertebrae, ends = zip(*(name.split("_") for name in KEYPOINTS), strict=True)
    places = np.concatenate([corners(name).reshape(-1, 2) for name in NAMES])
    count = len(places)
    columns = {
        "image": np.repeat(_IMAGES, len(KEYPOINTS)),
        "vertebra": vertebrae * len(NAMES),
        "corner": ends * len(NAMES),
        "pred_x": places[:, 0],
        "pred_y": places[:, 1],
        "sigma_x": np.full(count, 1.5),
        "sigma_y": np.full(count, 2.5),
        "peak": np.full(count, 0.75),
    }
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns).replace_schema_metadata({"view": "AP"}), buffer, row_group_size=20)
    return {"run/keypoints.parquet": buffer.getvalue()}


def _csv() -> Files:
    """A row for each point, with σ and score."""
    rows = ["image,keypoint,x,y,sigma,score"]
    for image, name in zip(_IMAGES, NAMES, strict=True):
        rows += [f"{image},{k},{x},{y},1.5,0.5" for k, (x, y) in zip(KEYPOINTS, _places(name), strict=True)]
    return {"p.csv": "\n".join(rows).encode()}


def _ultralytics() -> Files:
    """A file that maps images to instances, one of them as a text of JSON."""
    content: dict[str, Any] = {}
    for image, name in zip(_IMAGES, NAMES, strict=True):
        x, y = zip(*_places(name), strict=True)
        box = {"x1": 1.0, "y1": 1.0, "x2": 90.0, "y2": 180.0}
        points = {"x": x, "y": y, "visible": [0.75] * len(x)}
        content[image] = [{"name": "spine", "class": 0, "confidence": 0.9, "box": box, "keypoints": points}]
    content["b.png"] = json.dumps(content["b.png"])
    return {"p.json": _text(content)}


def _mmpose() -> Files:
    """A folder of a file for each image, one of them with names of keypoints."""
    files = {}
    for name in NAMES:
        own = {"keypoints": _places(name), "keypoint_scores": [0.5] * len(KEYPOINTS)}
        instances = [{**own, "bbox": [[0.0, 0.0, 90.0, 180.0]], "bbox_score": 0.9}]
        names = {str(k): keypoint for k, keypoint in enumerate(KEYPOINTS)}
        content: Any = instances
        if name == "c":
            content = {"meta_info": {"keypoint_id2name": names}, "instance_info": instances}
        files[f"p/{name}.json"] = _text(content)
    return files


def _deeplabcut() -> Files:
    """A table with three rows of names above."""
    cells = [(name, coord) for name in KEYPOINTS for coord in ("x", "y", "likelihood")]
    rows = [["scorer", *["DLC"] * len(cells)]]
    rows += [["bodyparts", *(name for name, _ in cells)], ["coords", *(coord for _, coord in cells)]]
    for image, name in zip(_IMAGES, NAMES, strict=True):
        rows.append([f"labeled-data/x/{image}", *(str(n) for x, y in _places(name) for n in (x, y, 0.25))])
    return {"p.csv": "\n".join(map(",".join, rows)).encode()}


def _keypoint_rcnn() -> Files:
    """A file for each image, with scores."""
    files = {}
    for name, content in keypoint_rcnn().items():
        if name.endswith(".json"):
            scores = {"scores": [0.9] * len(LEVELS), "keypoints_scores": [[3.5] * len(CORNERS)] * len(LEVELS)}
            files[f"p/{Path(name).name}"] = _text({**json.loads(content), **scores})
    return files


def _npz() -> Files:
    """Arrays of all that there can be, one of them packed."""
    keypoints = np.stack([corners(name).reshape(-1, 2) for name in NAMES])
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        images=np.array(_IMAGES),
        keypoints=keypoints,
        sigma=np.ones(keypoints.shape),
        scores=np.full(keypoints.shape[:2], 0.5),
        names=np.array(KEYPOINTS),
    )
    return {"p.npz": buffer.getvalue()}


PREDICTED: Final[Mapping[str, Callable[[], Files]]] = {
    "coco-results": _coco_results,
    "mahtdiag": _run_tables,
    "csv": _csv,
    "ultralytics": _ultralytics,
    "mmpose": _mmpose,
    "deeplabcut": _deeplabcut,
    "maht-net": lambda: {"p.json": maht_net()["test_predictions.json"]},
    "keypoint-rcnn": _keypoint_rcnn,
    "npz": _npz,
}
"""Predictions for the images of `coco()`; a test asks for one of every registered reader."""


@dataclass(frozen=True)
class PredictionTarget:
    """A format of predictions: read by what recognises it, and by its name."""

    reader: str
    is_silent: bool = True

    @property
    def name(self) -> str:
        """Not that of the reader of annotations of the same tool."""
        return f"{PREFIX}{self.reader}"

    @property
    def files(self) -> Mapping[str, bytes]:
        """The predictions, and beside them the set that they are of."""
        return _files(self.reader)

    def changes(self, rng: Rng) -> dict[str, Change]:
        """Mostly one mutated file of predictions; sometimes what they refer to, or another kind of file."""
        files = self.files
        predicted = [name for name in files if not name.startswith(_DATA)]
        name = rng.choice(predicted)
        change = rng.random()
        if change < 0.05:
            odd: tuple[Change, ...] = (None, b"", Folder(), Link("nowhere"), Link("/dev/zero"))
            return {name: rng.choice(odd)}
        if change < 0.15:
            name = f"{_DATA}annotations/person.json"
        if name.endswith(".npz") and change > 0.4:
            return {name: repacked(files[name], rng)}
        if name.endswith(".parquet") and change > 0.4:
            return {name: changed_parquet(files[name], rng)}
        return {name: mutate(files[name], rng, is_text=name.endswith(_TEXTS))}

    def read(self, folder: Path, rng: Rng) -> str:
        """Reads them for the images of the set."""
        name = next(iter(PREDICTED[self.reader]()))
        path = folder / name.split("/")[0]
        missing, format = rng.choice((None, -1.0)), rng.choice((None, self.reader))
        options = ReadOptions(missing_value=missing)
        try:
            dataset = open_dataset(folder / _DATA, View.AP, options)
            return _checked(read_predictions(path, dataset, options, format))
        except MahtdiagError as error:
            return refused(error)


@cache
def _files(reader: str) -> Files:
    return {**{f"{_DATA}{name}": content for name, content in coco().items()}, **PREDICTED[reader]()}


def _checked(found: PredictionSet) -> str:
    """How they were read. Raises OddAnswerError."""
    for line in (*found.notes, *found.problems.values()):
        require_line(line)
    for image, prediction in found.by_image.items():
        points, sigma, score = prediction.points_px, prediction.sigma_px, prediction.score
        odd = points.shape != (len(KEYPOINTS), 2) or np.isinf(points).any() or image in found.problems
        odd |= sigma is not None and bool((sigma <= 0).any() or np.isinf(sigma).any())
        odd |= score is not None and bool(np.isinf(score).any())
        if odd:
            raise OddAnswerError(f"{image}: {points.shape} {points[:2].tolist()}")
    return "failures" if found.problems else "read"


PREDICTIONS: Final = {target.name: target for target in map(PredictionTarget, PREDICTED)}
