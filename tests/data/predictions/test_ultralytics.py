"""What `Results.to_json` of Ultralytics writes: an image per file, a folder of them, or a mapping."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mahtdiag.data.readers import open_dataset
from mahtdiag.schema.skeleton import View
from tests.data.predictions.sets import (
    IMAGES,
    LEVELS,
    PREDICTED,
    coco_set,
    plain_set,
    points,
    predictions,
    refusal,
    score,
    write_json,
)
from tests.data.readers.marked import NAMES, POINTS, write_image

VISIBLE = [round(v, 5) for v in np.linspace(0.5, 0.99, 20).tolist()]


def instance(
    place: Any, visible: Any = None, confidence: Any = 0.9, name: str = "spine", number: int = 0
) -> dict[str, Any]:
    x, y = np.asarray(place).T.tolist()
    keypoints = {"x": x, "y": y, "visible": visible or [0.75] * len(x)}
    box = {"x1": 1.0, "y1": 1.0, "x2": 90.0, "y2": 180.0}
    return {"name": name, "class": number, "confidence": confidence, "box": box, "keypoints": keypoints}


def test_a_file_is_named_after_its_image(tmp_path: Path) -> None:
    written = [instance(PREDICTED["b.png"], VISIBLE), instance(POINTS, confidence=0.2)]
    found = predictions(write_json(tmp_path / "b.json", written), plain_set(tmp_path / "data"))
    assert found.format == "ultralytics"
    np.testing.assert_array_equal(points(found, "b.png"), PREDICTED["b.png"])
    np.testing.assert_array_equal(score(found, "b.png"), VISIBLE)
    assert found.notes == (
        "predictions read as Ultralytics JSON",
        "1 instance of 1 image left out: of each category those of the highest score count",
        "keypoints have no names in b.json: taken in the order L1 UL, L1 UR, L1 LL, L1 LR, L2 UL, …",
    )


def test_a_folder_of_files(tmp_path: Path) -> None:
    dataset = plain_set(tmp_path / "data")
    for image in IMAGES[:2]:
        write_json(tmp_path / "out" / image.replace("png", "json"), [instance(PREDICTED[image])])
    write_json(tmp_path / "out" / "c.json", [])
    write_json(tmp_path / "out" / "settings.json", {"imgsz": 640})
    found = predictions(tmp_path / "out", dataset)
    for image in IMAGES[:2]:
        np.testing.assert_array_equal(points(found, image), PREDICTED[image])
    assert found.problems == {"c.png": "c.json: nothing is predicted"}
    assert "1 JSON file left out, not what Results.to_json writes" in found.notes
    assert len(found.sha256) == 64


def test_a_broken_file_of_a_folder_is_the_problem_of_its_image(tmp_path: Path) -> None:
    dataset = plain_set(tmp_path / "data")
    write_json(tmp_path / "out" / "a.json", [instance(PREDICTED["a.png"])])
    for name, content in (("b.json", b""), ("c.json", b'[{"name": "spi')):
        (tmp_path / "out" / name).write_bytes(content)
    found = predictions(tmp_path / "out", dataset)
    assert list(found.by_image) == ["a.png"]
    assert found.problems["b.png"] == "b.json: the file is empty (0 bytes)"
    assert "not JSON" in found.problems["c.png"]


@pytest.mark.parametrize("nested", [False, True])
def test_a_mapping_of_names_may_hold_json_in_text(tmp_path: Path, nested: bool) -> None:
    listed: dict[str, Any] = {f"/data/in/{i}": [instance(PREDICTED[i])] for i in IMAGES}
    if nested:
        listed = {image: json.dumps(found, indent=2) for image, found in listed.items()}
    found = predictions(write_json(tmp_path / "p.json", listed), plain_set(tmp_path / "data"))
    for image in IMAGES:
        np.testing.assert_array_equal(points(found, image), PREDICTED[image])


def test_a_class_per_level_in_any_order(tmp_path: Path) -> None:
    written = [
        instance(quad, name=f"L{v + 1}", number=v)
        for v, quad in reversed(list(enumerate(np.split(PREDICTED["a.png"], 5))))
    ]
    found = predictions(write_json(tmp_path / "a.json", written), coco_set(tmp_path / "data", LEVELS))
    np.testing.assert_array_equal(points(found, "images/a.png"), PREDICTED["a.png"])


def test_corners_without_names_are_told_by_their_place(tmp_path: Path) -> None:
    around = [0, 1, 3, 2]
    written = [
        instance(quad[around], name=f"L{v + 1}") for v, quad in enumerate(np.split(PREDICTED["a.png"], 5))
    ]
    found = predictions(write_json(tmp_path / "a.json", written), plain_set(tmp_path / "data"))
    np.testing.assert_array_equal(points(found, "a.png"), PREDICTED["a.png"])
    assert "corners have no names in a.json: taken as UL, UR, LR, LL, as the vertebrae lie" in found.notes


def test_keypoints_have_the_names_of_the_data_yaml(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    names = NAMES[::-1]
    (folder / "labels").mkdir(parents=True)
    (folder / "data.yaml").write_text(
        f"train: images\nkpt_shape: [20, 3]\nnames: [spine]\nkpt_names: {{0: [{', '.join(names)}]}}\n"
    )
    write_image(folder / "images" / "a.png")
    shares = (POINTS / [160, 220])[::-1]
    row = " ".join(f"{n:.6f}" for x, y in shares for n in (x, y, 2))
    (folder / "labels" / "a.txt").write_text(f"0 0.5 0.5 0.1 0.1 {row}")
    dataset = open_dataset(folder, View.AP)
    written = [instance(PREDICTED["a.png"][::-1])]
    found = predictions(write_json(tmp_path / "a.json", written), dataset)
    np.testing.assert_array_equal(points(found, "images/a.png"), PREDICTED["a.png"])
    assert len(found.notes) == 1


def test_points_at_0_0_of_a_low_confidence_were_not_found(tmp_path: Path) -> None:
    place = PREDICTED["a.png"].copy()
    place[[2, 5]] = 0
    visible = [*VISIBLE]
    visible[2], visible[5] = 0.3, 0.6
    found = predictions(
        write_json(tmp_path / "a.json", [instance(place, visible)]), plain_set(tmp_path / "d")
    )
    assert np.flatnonzero(np.isnan(points(found, "a.png")[:, 0])).tolist() == [2]
    assert "1 keypoint at 0, 0 taken as not found" in found.notes[1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"keypoints": None}, "no keypoints: predict with a pose network"),
        ({"keypoints": {"x": [1.0], "y": [1.0, 2.0]}}, "the y of keypoints are not 1 numbers"),
        ({"keypoints": {"x": "abc", "y": [1.0]}}, "the x of keypoints are not n numbers"),
        ({"keypoints": {"x": [1e308] * 20, "y": [1e308] * 20}}, "no image is that large"),
        (
            {"keypoints": {"x": [1.0] * 7, "y": [1.0] * 7}},
            "7 keypoints without names: AP has 20, a vertebra 4",
        ),
        (
            {"keypoints": {"x": [1.0] * 20, "y": [1.0] * 20, "visible": [1]}},
            "the visibilities of keypoints are",
        ),
    ],
)
def test_what_is_wrong_is_the_problem_of_its_image(tmp_path: Path, change: Any, words: str) -> None:
    listed = {"a.png": [instance(POINTS) | change], "b.png": [instance(PREDICTED["b.png"])]}
    found = predictions(write_json(tmp_path / "p.json", listed), plain_set(tmp_path / "data"))
    assert list(found.by_image) == ["b.png"]
    assert words in found.problems["a.png"]
    assert found.problems["a.png"].startswith("p.json, a.png: ")


def test_a_list_for_each_of_several_images_names_none(tmp_path: Path) -> None:
    file = write_json(tmp_path / "p.json", [[instance(POINTS)], [instance(POINTS)]])
    assert "name a file per image" in refusal(file, plain_set(tmp_path / "data"))
