"""What MMPose's inferencer and demos write of an image."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.predictions.sets import (
    IMAGES,
    PREDICTED,
    coco_set,
    plain_set,
    points,
    predictions,
    refusal,
    score,
    write_json,
)
from tests.data.readers.marked import NAMES, POINTS

SCORES = np.linspace(0.1, 1.1, 20).tolist()


def instance(place: Any, sure: float | None = 0.9, scores: Any = SCORES) -> dict[str, Any]:
    """As `split_instances` gives it: the box is in a list of its own."""
    own: dict[str, Any] = {"keypoints": np.asarray(place).tolist(), "keypoint_scores": scores}
    own["bbox"] = [[0.0, 0.0, 90.0, 180.0]]
    return own if sure is None else own | {"bbox_score": sure}


def test_a_folder_of_files_named_after_images(tmp_path: Path) -> None:
    dataset = plain_set(tmp_path / "data")
    for image in IMAGES:
        written = [instance(POINTS, 0.3), instance(PREDICTED[image])]
        write_json(tmp_path / "predictions" / image.replace("png", "json"), written)
    found = predictions(tmp_path / "predictions", dataset)
    assert found.format == "mmpose"
    for image in IMAGES:
        np.testing.assert_array_equal(points(found, image), PREDICTED[image])
        np.testing.assert_array_equal(score(found, image), SCORES)
    assert "3 instances of 3 images left out" in found.notes[1]


def test_a_demo_names_its_keypoints_and_puts_a_word_before_the_image(tmp_path: Path) -> None:
    names = {str(k): name for k, name in enumerate(NAMES[::-1])}
    written = {
        "meta_info": {"dataset_name": "spine", "num_keypoints": 20, "keypoint_id2name": names},
        "instance_info": [instance(PREDICTED["b.png"][::-1], None)],
    }
    found = predictions(write_json(tmp_path / "results_b.json", written), plain_set(tmp_path / "data"))
    np.testing.assert_array_equal(points(found, "b.png"), PREDICTED["b.png"])
    assert found.notes == ("predictions read as MMPose JSON",)


def test_names_of_the_coco_file_count(tmp_path: Path) -> None:
    categories = ({"id": 1, "name": "spine", "keypoints": NAMES},)
    found = predictions(
        write_json(tmp_path / "a.json", [instance(PREDICTED["a.png"], None)]),
        coco_set(tmp_path / "data", categories),
    )
    np.testing.assert_array_equal(points(found, "images/a.png"), PREDICTED["a.png"])
    assert len(found.notes) == 1


def test_without_a_box_score_the_surer_keypoints_count(tmp_path: Path) -> None:
    written = [instance(PREDICTED["a.png"], None, [0.6] * 20), instance(POINTS, None, [0.5] * 20)]
    found = predictions(write_json(tmp_path / "a.json", written), plain_set(tmp_path / "data"))
    np.testing.assert_array_equal(points(found, "a.png"), PREDICTED["a.png"])


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ([], "nothing is predicted"),
        ([instance(np.ones((20, 3)))], "[0]: keypoints are not n x 2 numbers"),
        ([instance(POINTS, scores=[1.0])], "[0]: keypoint_scores are not 20 numbers"),
        ([{"keypoints": "abc", "keypoint_scores": []}], "[0]: keypoints are not n x 2 numbers"),
        ([instance(POINTS[:3], scores=[1.0] * 3)], "3 keypoints without names"),
        ([{"frame_id": 0, "instances": [instance(POINTS)]}], "frames of a video: predict images"),
    ],
)
def test_what_is_wrong_is_the_problem_of_its_image(tmp_path: Path, written: Any, words: str) -> None:
    dataset = plain_set(tmp_path / "data")
    write_json(tmp_path / "out" / "a.json", written)
    write_json(tmp_path / "out" / "b.json", [instance(PREDICTED["b.png"])])
    found = predictions(tmp_path / "out", dataset)
    assert list(found.by_image) == ["b.png"]
    assert words in found.problems["a.png"]


def test_files_of_other_images_are_refused(tmp_path: Path) -> None:
    dataset = plain_set(tmp_path / "data")
    write_json(tmp_path / "out" / "x.json", [instance(POINTS)])
    assert "out: none of its 1 image, such as x, is in" in refusal(tmp_path / "out", dataset)
