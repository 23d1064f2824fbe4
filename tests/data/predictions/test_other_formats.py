"""DeepLabCut, MAHT-Net and Keypoint R-CNN, whose forms the readers of labels know; and what is none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mahtdiag.data.predictions import PREDICTION_READERS, read_predictions
from mahtdiag.errors import DataError
from mahtdiag.schema.read_options import ReadOptions
from tests.data.predictions.sets import (
    IMAGES,
    PREDICTED,
    plain_set,
    points,
    predictions,
    refusal,
    score,
    write_json,
)
from tests.data.readers.marked import HEIGHT, NAMES, WIDTH


def deeplabcut(images: list[str], individuals: bool = False) -> str:
    cells = [[name, coord] for name in NAMES for coord in ("x", "y", "likelihood")]
    rows = [["scorer", *["DLC_resnet50"] * 60]]
    if individuals:
        rows.append(["individuals", *(name[:2] for name, _ in cells)])
    rows.append(["bodyparts", *(name[3:] if individuals else name for name, _ in cells)])
    rows.append(["coords", *(coord for _, coord in cells)])
    for image in images:
        values = PREDICTED[image.rpartition("/")[2]]
        rows.append([image, *(str(n) for x, y in values for n in (x, y, 0.25))])
    return "\n".join(map(",".join, rows))


@pytest.mark.parametrize("individuals", [False, True])
def test_the_likelihood_of_deeplabcut_is_the_score(tmp_path: Path, individuals: bool) -> None:
    file = tmp_path / "image_predictions_DLC.csv"
    file.write_text(deeplabcut([f"labeled-data/x/{image}" for image in IMAGES], individuals))
    found = predictions(file, plain_set(tmp_path / "data"))
    assert found.format == "deeplabcut"
    for image in IMAGES:
        np.testing.assert_array_equal(points(found, image), PREDICTED[image])
        assert (score(found, image) == 0.25).all()
        assert found.by_image[image].sigma_px is None


def test_frames_of_a_video_are_no_images(tmp_path: Path) -> None:
    file = tmp_path / "video.csv"
    file.write_text(deeplabcut(["a.png"]).replace("\na.png,", "\n0,"))
    assert "none of its 1 image, such as 0, is in" in refusal(file, plain_set(tmp_path / "data"))


def maht_net(image: str, confidence: float = 7.5) -> dict[str, Any]:
    factors = np.array([512 / WIDTH, 512 / HEIGHT])
    vertebrae = [
        {
            "vertebra_idx": v,
            "corners": [{"x": x, "y": y, "confidence": confidence} for x, y in (quad * factors).tolist()],
        }
        for v, quad in enumerate(np.split(PREDICTED[image], 5))
    ]
    return {"original_size": [WIDTH, HEIGHT], "processed_size": [512, 512], "vertebrae": vertebrae}


def test_maht_net_speaks_in_pixels_of_its_input(tmp_path: Path) -> None:
    content = {image: maht_net(image) for image in IMAGES}
    content["b.png"]["vertebrae"][1]["corners"][2] = {"x": 0, "y": 0, "confidence": 0}
    content["c.png"]["vertebrae"][1]["corners"].pop()
    content["a.png"]["vertebrae"].append(content["a.png"]["vertebrae"][0] | {"vertebra_idx": 9})
    found = predictions(write_json(tmp_path / "p.json", content), plain_set(tmp_path / "data"))
    assert found.format == "maht-net"
    np.testing.assert_allclose(points(found, "a.png"), PREDICTED["a.png"], atol=1e-9)
    assert (score(found, "a.png") == 7.5).all()
    assert np.flatnonzero(np.isnan(points(found, "b.png")[:, 0])).tolist() == [6]
    assert found.problems == {"c.png": "p.json, c.png: vertebrae[1]: not 4 corners"}
    assert found.notes[1:] == ("4 corners of a vertebra_idx beyond 5 left out",)


def keypoint_rcnn(image: str) -> dict[str, Any]:
    quads = np.split(PREDICTED[image], 5)
    return {
        "boxes": [[0, 0, 9, 9]] * 6,
        "labels": [1] * 6,
        "scores": [0.9, 0.8, 0.7, 0.6, 0.5, 0.1],
        "keypoints": [[[x, y, 1] for x, y in quad.tolist()] for quad in [*quads[::-1], quads[0] + 3]],
        "keypoints_scores": [[3.5] * 4] * 6,
    }


@pytest.mark.filterwarnings("error")
def test_a_place_beyond_all_numbers_is_a_problem_of_its_image(tmp_path: Path) -> None:
    content = {image: maht_net(image) for image in IMAGES}
    content["b.png"]["original_size"] = [30_000, 30_000]
    content["b.png"]["vertebrae"][1]["corners"][2]["x"] = 1e308
    found = predictions(write_json(tmp_path / "p.json", content), plain_set(tmp_path / "data"))
    assert list(found.problems) == ["b.png"]
    assert len(found.by_image) == 2


def test_keypoint_rcnn_gives_vertebrae_without_levels(tmp_path: Path) -> None:
    dataset = plain_set(tmp_path / "data")
    for image in IMAGES:
        write_json(tmp_path / "out" / f"{image}.json", keypoint_rcnn(image))
    (tmp_path / "out" / "c.png.json").unlink()
    write_json(tmp_path / "out" / "c.json", keypoint_rcnn("c.png") | {"scores": [1]})
    found = predictions(tmp_path / "out", dataset)
    assert found.format == "keypoint-rcnn"
    for image in IMAGES[:2]:
        np.testing.assert_array_equal(points(found, image), PREDICTED[image])
        assert (score(found, image) == 3.5).all()
    assert found.problems == {"c.png": "c.json: scores are not 6, one of each belongs to an instance"}
    assert "2 instances of 2 images left out: of 5 vertebrae without a level" in found.notes[1]


def test_a_reader_is_chosen_by_name(tmp_path: Path) -> None:
    dataset, file = (
        plain_set(tmp_path / "data"),
        write_json(tmp_path / "p.json", {"a.png": maht_net("a.png")}),
    )
    assert read_predictions(file, dataset, ReadOptions(), "maht-net").format == "maht-net"
    for name, words in (
        ("coco-results", "p.json: not a list of results"),
        ("x", "x: not a format of predict"),
    ):
        with pytest.raises(DataError, match=words):
            read_predictions(file, dataset, ReadOptions(), name)


def test_a_file_of_no_format_is_refused_with_a_list_of_them(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("hello\n")
    line = refusal(tmp_path / "p.txt", plain_set(tmp_path / "data"))
    assert all(f"{reader.title} ({reader.looks_like})" in line for reader in PREDICTION_READERS)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    dataset = plain_set(tmp_path / "data")
    assert "p.csv: cannot be read: No such file" in refusal(tmp_path / "p.csv", dataset)
    (tmp_path / "empty").mkdir()
    assert "predictions in no format that is known" in refusal(tmp_path / "empty", dataset)


def test_the_names_of_formats_differ() -> None:
    assert len({reader.name for reader in PREDICTION_READERS}) == len(PREDICTION_READERS) == 9
