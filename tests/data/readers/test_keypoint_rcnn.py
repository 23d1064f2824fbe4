"""JSON for Keypoint R-CNN: a file per image, no levels."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mahtdiag.data.files import Dataset
from mahtdiag.data.readers import open_dataset, reader_of
from mahtdiag.errors import DataError
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.skeleton import View
from tests.data.builders import encoded, radiograph

IMAGE = encoded(radiograph(200, 100), "png")
POINTS = np.array([[10 + 40 * (c % 2), 20 + 30 * v + 20 * (c // 2)] for v in range(5) for c in range(4)])
QUADS = POINTS.reshape(5, 4, 2)


def content(quads: Any = QUADS, visible: int = 2) -> dict[str, Any]:
    keypoints = [[[*point, visible] for point in np.asarray(quad).tolist()] for quad in quads]
    boxes = [[min(p[0] for p in q), 0, 100, 200] for q in keypoints]
    return {"boxes": boxes, "keypoints": keypoints, "labels": [0] * len(keypoints)}


def write(folder: Path, said: Any, name: str = "a_jpg.rf.0a1b") -> None:
    for place in ("images", "labels"):
        (folder / place).mkdir(exist_ok=True)
    (folder / f"images/{name}.png").write_bytes(IMAGE)
    text = said if isinstance(said, bytes) else json.dumps(said).encode()
    (folder / f"labels/{name}.json").write_bytes(text)


def opened(folder: Path) -> Dataset:
    return open_dataset(folder, View.AP, ReadOptions(format="keypoint-rcnn"))


def test_vertebrae_are_counted_from_above(tmp_path: Path) -> None:
    write(tmp_path, content(QUADS[[2, 0, 4, 1, 3]]))
    reader = reader_of(tmp_path)
    assert (reader.name, reader.recognises(tmp_path)) == ("keypoint-rcnn", "labels/a_jpg.rf.0a1b.json")
    dataset = opened(tmp_path)
    (sample,) = dataset.samples
    assert (sample.image, dataset.failures) == ("images/a_jpg.rf.0a1b.png", ())
    np.testing.assert_array_equal(sample.keypoints_px, POINTS)
    assert "vertebrae have no level in labels/*.json: counted from above" in dataset.notes
    assert any("taken as UL, UR, LL, LR, as the vertebrae lie" in note for note in dataset.notes)


def test_corners_clockwise(tmp_path: Path) -> None:
    write(tmp_path, content(QUADS[:, [0, 1, 3, 2]]))
    np.testing.assert_array_equal(opened(tmp_path).samples[0].keypoints_px, POINTS)


def test_points_without_visibility_and_those_of_visibility_0(tmp_path: Path) -> None:
    said = content()
    said["keypoints"][1][2] = [0, 0, 0]
    write(tmp_path, said)
    points = opened(tmp_path).samples[0].keypoints_px
    assert np.flatnonzero(np.isnan(points[:, 0])).tolist() == [6]
    write(tmp_path, {**content(), "keypoints": QUADS.tolist()})
    np.testing.assert_array_equal(opened(tmp_path).samples[0].keypoints_px, POINTS)


def test_fewer_vertebrae_than_the_skeleton_are_not_guessed(tmp_path: Path) -> None:
    write(tmp_path, content(QUADS[:4]))
    (failure,) = opened(tmp_path).failures
    assert "4 vertebrae without a level, L1 to L5 are 5" in failure.reason


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({**content(), "boxes": []}, "0 boxes, 5 keypoints, 5 labels: one of each belongs to a vertebra"),
        ({**content(), "keypoints": [1, 2, 3, 4, 5]}, "keypoints[0]: not a list of x, y or x, y, visibility"),
        ({**content(), "keypoints": [[[1, 2], [3]]] * 5}, "keypoints[0]: not a list"),
        ({**content(), "keypoints": [[["a", 2, 2]] * 4] * 5}, "keypoints[0]: not a list"),
        ({**content(), "keypoints": [[[10**400, 2, 2]] * 4] * 5}, "keypoints[0]: not a list"),
        (
            {**content(), "keypoints": [[[float("inf"), 2, 2]] * 4] * 5},
            "keypoints[0]: a coordinate is infinite",
        ),
        ({**content(), "keypoints": [[[1e308, 2, 2]] * 4] * 5}, "no image is that large"),
        (b"", "the file is empty (0 bytes)"),
        (json.dumps(content()).encode()[:100], "not JSON"),
        (b'{"boxes": "\xff"}', "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (content([]), "no keypoint of it is labelled"),
    ],
)
def test_a_wrong_file_fails_its_image(tmp_path: Path, said: Any, problem: str) -> None:
    write(tmp_path, content(), "b")
    write(tmp_path, said, "c")
    dataset = opened(tmp_path)
    assert [sample.image for sample in dataset.samples] == ["images/b.png"]
    (failure,) = dataset.failures
    assert failure.image == "images/c.png"
    assert failure.reason.startswith("labels/c.json: ")
    assert problem in failure.reason


def test_other_json_is_left_out_and_counted(tmp_path: Path) -> None:
    write(tmp_path, content())
    (tmp_path / "labels/classes.json").write_text('{"0": "vertebra"}')
    (tmp_path / "settings.json").write_text("{broken")
    dataset = opened(tmp_path)
    assert (len(dataset.samples), dataset.failures) == (1, ())
    assert "2 JSON files left out, without boxes, keypoints and labels" in dataset.notes


def test_what_is_recognised(tmp_path: Path) -> None:
    reader = reader_of(tmp_path, "keypoint-rcnn")
    others: list[dict[str, Any]] = [
        {**content(), "labels": "L1"},
        {"a": content()},
        {"keypoints": [], "labels": []},
    ]
    for other in others:
        write(tmp_path, other)
        assert reader.recognises(tmp_path) is None
    with pytest.raises(DataError, match="no JSON file with boxes, keypoints, labels"):
        opened(tmp_path)
    write(tmp_path, content())
    assert reader.recognises(tmp_path / "labels/a_jpg.rf.0a1b.json") == "a_jpg.rf.0a1b.json"
