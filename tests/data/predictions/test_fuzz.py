"""Damaged prediction files of every format: refused in one line or read, never a traceback.

`MAHTDIAG_FUZZ=10000` tries as many of each instead of the few hundred of the suite.
"""

import json
import os
import random
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from mahtdiag.data.files import Dataset
from mahtdiag.data.placing import LARGEST_COORDINATE_PX
from mahtdiag.data.predictions import PREDICTION_READERS, PredictionSet, read_predictions
from mahtdiag.errors import DataError
from mahtdiag.schema.read_options import ReadOptions
from tests.data.predictions import test_coco_results, test_mmpose, test_ultralytics
from tests.data.predictions.sets import IMAGES, LEVELS, PREDICTED, coco_set, image_id, plain_set
from tests.data.predictions.test_other_formats import deeplabcut, keypoint_rcnn, maht_net
from tests.data.predictions.test_run_tables import table
from tests.data.readers.marked import NAMES

ROUNDS = int(os.environ.get("MAHTDIAG_FUZZ", "300"))
TOKENS = (
    b"NaN", b"Infinity", b"-Infinity", b"1e308", b"-1", b"0", b"null", b"true", b'""', b"[]", b"{}", b"\0",
    b"\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\n", b",", b";", b'"', b"[" * 3000, b"9" * 5000, b"\r",
    b"../../etc/passwd", b"\x1b[31m",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1.5, 1e308, float("nan"), float("inf"), 10**400, "", "x", "a.png", "\n\x00", [], {},
    [[]], [1, 2, 3], {"x": 1}, [[[[1]]]], "L1 UL",
)  # fmt: skip


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


def test_every_format_is_damaged() -> None:
    assert {reader.name for reader in PREDICTION_READERS} == WRITTEN.keys()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return coco_set(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize("name", WRITTEN)
def test_damaged_files_are_read_or_refused_in_one_line(name: str, tmp_path: Path, dataset: Dataset) -> None:
    file_name, write = WRITTEN[name]
    file = tmp_path / file_name
    write(file)
    whole = file.read_bytes()
    assert len(read_predictions(file, dataset, ReadOptions()).by_image) in (1, 3)
    chance = random.Random(f"predictions {name}")
    refused = 0
    for number in range(ROUNDS):
        file.write_bytes(_damaged(whole, chance, file.suffix))
        try:
            # Half are read by their content, half by the reader that they were written for.
            found = read_predictions(file, dataset, ReadOptions(), name if number % 2 else None)
        except DataError as error:
            refused += 1
            _require_lines(error.problems)
        else:
            _require_sane(found)
    assert refused > ROUNDS / 20


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


def _damaged(whole: bytes, chance: random.Random, suffix: str) -> bytes:
    if suffix == ".json" and chance.random() < 0.5:
        return json.dumps(_changed(json.loads(whole), chance)).encode()
    content = bytearray(whole)
    for _ in range(chance.choice((1, 1, 2, 5, 30))):
        at = chance.randrange(len(content) + 1)
        kind = chance.randrange(5)
        if kind == 0:
            content[at:at] = chance.choice(TOKENS)
        elif kind == 1:
            content[at : at + chance.choice((1, 4, 30))] = chance.choice(TOKENS)
        elif kind == 2 and at < len(content):
            content[at] ^= 1 << chance.randrange(8)
        elif kind == 3:
            end = at + chance.choice((1, 20, 300))
            content[at:end] = content[at:end] * chance.choice((0, 2, 3))
        elif chance.random() < 0.2:
            del content[at:]
        if not content:
            break
    return bytes(content)


def _changed(content: Any, chance: random.Random) -> Any:
    """The same with one value, at any depth, replaced, left out or there twice."""
    if isinstance(content, list) and content and chance.random() < 0.85:
        at = chance.randrange(len(content))
        kind = chance.random()
        if kind < 0.1:
            return [*content[:at], *content[at + 1 :]]
        if kind < 0.2:
            return [*content, content[at]]
        return [*content[:at], _changed(content[at], chance), *content[at + 1 :]]
    if isinstance(content, dict) and content and chance.random() < 0.85:
        key = chance.choice(list(content))
        if chance.random() < 0.1:
            return {other: value for other, value in content.items() if other != key}
        return content | {key: _changed(content[key], chance)}
    return chance.choice(VALUES)


def _require_lines(lines: Sequence[str]) -> None:
    for line in lines:
        assert line
        assert len(line) < 3000
        assert not any(unicodedata.category(sign) in ("Cc", "Cs") for sign in line)


def _require_sane(found: PredictionSet) -> None:
    _require_lines([*found.notes, *found.problems.values()])
    assert not found.by_image.keys() & found.problems.keys()
    for prediction in found.by_image.values():
        points = prediction.points_px
        known = np.isfinite(points).all(axis=1)
        assert points.shape == (20, 2)
        assert known.any()
        assert np.isnan(points[~known]).all()
        assert (np.abs(points[known]) <= LARGEST_COORDINATE_PX).all()
        if prediction.sigma_px is not None:
            sigma = prediction.sigma_px
            assert ((sigma > 0) & np.isfinite(sigma) | np.isnan(sigma)).all()
        if prediction.score is not None:
            assert not np.isinf(prediction.score).any()
