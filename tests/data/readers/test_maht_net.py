"""Predictions of MAHT-Net's test script, read as labels."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mahtdiag.data.files import Dataset
from mahtdiag.data.readers import open_dataset, reader_of
from mahtdiag.errors import DataError
from mahtdiag.schema.frames import Size
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.skeleton import View
from tests.data.builders import encoded, radiograph

IMAGE = encoded(radiograph(200, 100), "png")
POINTS = np.array([[10 + 40 * (c % 2), 20 + 30 * v + 20 * (c // 2)] for v in range(5) for c in range(4)])


def vertebra(index: Any, points: Any) -> dict[str, Any]:
    corners = [{"x": float(x), "y": float(y), "confidence": 6.05} for x, y in points]
    return {"vertebra_idx": index, "corners": corners}


def found(points: Any = POINTS, **more: Any) -> dict[str, Any]:
    scaled = np.asarray(points) * (512 / 100, 256 / 200)
    vertebrae = [vertebra(i, scaled[4 * i : 4 * i + 4]) for i in range(len(scaled) // 4)]
    return {
        "original_size": [100, 200],
        "processed_size": [512, 256],
        "num_detected_vertebrae": len(vertebrae),
        "vertebrae": vertebrae,
        **more,
    }


def write(folder: Path, content: Any) -> None:
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(IMAGE)
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    (folder / "test_predictions.json").write_bytes(text)


def opened(folder: Path) -> Dataset:
    return open_dataset(folder, View.AP, ReadOptions(format="maht-net"))


def test_corners_are_in_the_frame_of_the_processed_image(tmp_path: Path) -> None:
    write(tmp_path, {"a.png": found()})
    reader = reader_of(tmp_path)
    assert (reader.name, reader.recognises(tmp_path)) == ("maht-net", "test_predictions.json")
    dataset = opened(tmp_path)
    (sample,) = dataset.samples
    np.testing.assert_allclose(sample.keypoints_px, POINTS)
    assert sample.labelled_size == Size(200, 100)
    note = "test_predictions.json: predictions taken as labels, vertebra_idx 0 to 5 as L1 to S1"
    assert note in dataset.notes


def test_a_corner_that_was_not_found_and_a_vertebra_that_was_not(tmp_path: Path) -> None:
    said = found()
    said["vertebrae"][2]["corners"][1] = {"x": 0, "y": 0, "confidence": 0}
    # A corner may be found at the first pixel.
    said["vertebrae"][4]["corners"][3] = {"x": 0, "y": 0, "confidence": 0.4}
    del said["vertebrae"][1]
    write(tmp_path, {"a.png": said})
    points = opened(tmp_path).samples[0].keypoints_px
    assert np.flatnonzero(np.isnan(points[:, 0])).tolist() == [4, 5, 6, 7, 9]
    assert points[19].tolist() == [0, 0]


def test_the_sixth_vertebra_is_the_sacrum_and_those_beyond_are_counted(tmp_path: Path) -> None:
    said = found()
    said["vertebrae"] += [vertebra(5, [[1, 2]] * 4), vertebra(6, [[1, 2]] * 4)]
    write(tmp_path, {"a.png": said})
    lateral = open_dataset(tmp_path, None)
    assert (lateral.view, lateral.samples[0].keypoints_px.shape) == (View.LA, (22, 2))
    assert "test_predictions.json: 4 corners of a vertebra_idx beyond 5 left out" in lateral.notes
    assert "not of the skeleton AP and left out: S1" in opened(tmp_path).notes


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (7, "no list of vertebrae"),
        (found(vertebrae=None), "no list of vertebrae"),
        (found(vertebrae=[]), "no keypoint of it is labelled"),
        (found(vertebrae=[3]), "vertebrae[0]: vertebra_idx is not a number from 0"),
        (found(vertebrae=[vertebra(-1, [[1, 2]] * 4)]), "vertebrae[0]: vertebra_idx is not"),
        (found(vertebrae=[vertebra(True, [[1, 2]] * 4)]), "vertebrae[0]: vertebra_idx is not"),
        (found(vertebrae=[vertebra(0, [[1, 2]] * 3)]), "vertebrae[0]: not 4 corners"),
        (
            found(vertebrae=[{"vertebra_idx": 0, "corners": [None] * 4}]),
            "corners[0]: x and y are not numbers",
        ),
        (found(vertebrae=[vertebra(0, [[float("nan"), 2]] * 4)]), "corners[0]: x and y are not numbers"),
        (found(vertebrae=[vertebra(0, [[1e308, 2]] * 4)]), "no image is that large"),
        (found(vertebrae=[vertebra(0, POINTS[:4]), vertebra(0, POINTS[4:8])]), "L1 UL is marked twice"),
        (found(processed_size=[512]), "processed_size is not [width, height] in pixels"),
        (found(processed_size=[0, 512]), "processed_size is not"),
        (found(original_size=[1e300, 5]), "original_size is not"),
        (found(original_size="100x200"), "original_size is not"),
    ],
)
def test_a_wrong_entry_fails_its_image(tmp_path: Path, said: Any, problem: str) -> None:
    write(tmp_path, {"a.png": found(), "b.png": said, "c.png": found(), "../a.png": found()})
    dataset = opened(tmp_path)
    assert [sample.image for sample in dataset.samples] == ["a.png"]
    reasons = {failure.image: failure.reason for failure in dataset.failures}
    assert reasons["b.png"].startswith("test_predictions.json, b.png: ")
    assert problem in reasons["b.png"]
    assert "no such image" in reasons["c.png"]
    assert "a second entry for this image" in reasons["a.png"]


def test_what_is_recognised(tmp_path: Path) -> None:
    write(tmp_path, {"a.png": {"original_size": [1, 2], "vertebrae": []}})
    reader = reader_of(tmp_path, "maht-net")
    assert reader.recognises(tmp_path) is None
    with pytest.raises(DataError, match="no JSON file with original_size, processed_size, vertebrae"):
        opened(tmp_path)
    write(tmp_path, [found()])
    with pytest.raises(DataError, match=r"test_predictions\.json: not a mapping of images"):
        opened(tmp_path)
    assert reader.recognises(tmp_path / "test_predictions.json") == "test_predictions.json"
