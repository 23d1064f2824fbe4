"""COCO results: which image and which keypoint a number means, and of several instances the best."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mahtdiag.data.predictions import PredictionSet
from mahtdiag.data.readers import open_dataset
from mahtdiag.schema.skeleton import View
from tests.data.predictions.sets import (
    IMAGES,
    LEVELS,
    PREDICTED,
    coco_set,
    image_id,
    one_class_set,
    plain_set,
    points,
    predictions,
    refusal,
    score,
    triples,
    write_json,
)
from tests.data.readers.marked import NAMES, POINTS, write_image

SCORES = np.linspace(0.2, 0.9, 20)


def result(image: Any, keypoints: list[float], category: Any = 1, score: Any = 0.9, **more: Any) -> Any:
    return {"image_id": image, "category_id": category, "keypoints": keypoints, "score": score, **more}


def whole(image: str) -> list[float]:
    return [n for (x, y), s in zip(PREDICTED[image], SCORES, strict=True) for n in (x, y, s)]


def read(tmp_path: Path, results: list[Any], **options: Any) -> PredictionSet:
    dataset = coco_set(tmp_path / "data")
    return predictions(write_json(tmp_path / "results.json", results), dataset, **options)


def test_ids_find_their_images_and_the_third_number_is_the_score(tmp_path: Path) -> None:
    found = read(tmp_path, [result(image_id(image), whole(image)) for image in IMAGES])
    assert found.format == "coco-results"
    assert not found.problems
    assert found.notes == ("predictions read as COCO results",)
    for image in IMAGES:
        np.testing.assert_array_equal(points(found, f"images/{image}"), PREDICTED[image])
        np.testing.assert_array_equal(score(found, f"images/{image}"), SCORES)
        assert found.by_image[f"images/{image}"].sigma_px is None
    assert found.sha256 == __import__("hashlib").sha256((tmp_path / "results.json").read_bytes()).hexdigest()


def test_of_several_instances_the_best_counts_and_the_others_are_said(tmp_path: Path) -> None:
    worse, best = result(14, triples(POINTS), score=0.3), result(14, whole("a.png"), score=0.8)
    found = read(tmp_path, [worse, best, result(14, triples(POINTS), score=0.79)])
    np.testing.assert_array_equal(points(found, "images/a.png"), PREDICTED["a.png"])
    assert found.notes[1] == (
        "2 instances of 1 image left out: of each category those of the highest score count"
    )


def test_several_instances_without_scores_are_not_chosen_from(tmp_path: Path) -> None:
    found = read(tmp_path, [result(14, whole("a.png"), score=None), result(14, triples(POINTS))])
    assert found.problems == {
        "images/a.png": "results.json: 2 instances spine without a score: keep one, or give scores"
    }


def test_a_category_per_level(tmp_path: Path) -> None:
    dataset = coco_set(tmp_path / "data", LEVELS)
    results = [
        result(image_id(image), triples(quad, 0.5), 10 + v)
        for image in IMAGES
        for v, quad in enumerate(np.split(PREDICTED[image], 5))
        if (image, v) != ("b.png", 2)
    ]
    found = predictions(write_json(tmp_path / "results.json", results), dataset)
    np.testing.assert_array_equal(points(found, "images/a.png"), PREDICTED["a.png"])
    lacking = PREDICTED["b.png"].copy()
    lacking[8:12] = np.nan
    np.testing.assert_array_equal(points(found, "images/b.png"), lacking)
    assert np.isnan(score(found, "images/b.png")[8:12]).all()


def test_vertebrae_of_one_class_are_counted_from_above(tmp_path: Path) -> None:
    dataset = one_class_set(tmp_path / "data")
    results = [
        result(image_id(image), triples(quad, 0.5), score=0.9 - v / 10)
        for image in IMAGES
        for v, quad in enumerate(np.split(PREDICTED[image], 5))
    ]
    results.append(result(image_id("a.png"), triples(np.full((4, 2), 7.0)), score=0.1))
    results = [each for each in results if each["image_id"] != image_id("c.png") or each["score"] < 0.85]
    found = predictions(write_json(tmp_path / "results.json", results[::-1]), dataset)
    np.testing.assert_array_equal(points(found, "images/a.png"), PREDICTED["a.png"])
    assert "4 vertebrae without a level" in found.problems["images/c.png"]
    assert "1 instance of 1 image left out: of 5 vertebrae without a level" in found.notes[1]
    assert "counted from above" in found.notes[2]


def test_a_keypoint_at_0_0_with_a_score_of_0_was_not_found(tmp_path: Path) -> None:
    values = whole("a.png")
    values[3:6] = [0, 0, 0]
    values[6:8] = [0, 0]
    found = points(read(tmp_path, [result(14, values)]), "images/a.png")
    assert np.isnan(found[1]).all()
    assert (found[2] == 0).all()


@pytest.mark.parametrize("name", ["b", "b.png", "elsewhere/b.png", "C:\\work\\b.png", "../../b.png"])
def test_an_id_that_is_a_name_finds_the_image(tmp_path: Path, name: str) -> None:
    dataset = plain_set(tmp_path / "data")
    found = predictions(write_json(tmp_path / "p.json", [result(name, whole("b.png"), 0)]), dataset)
    np.testing.assert_array_equal(points(found, "b.png"), PREDICTED["b.png"])


def test_the_file_name_counts_before_a_number(tmp_path: Path) -> None:
    dataset = plain_set(tmp_path / "data", ("1.png", "2.png"))
    written = [result(2, whole("b.png"), 1, file_name="1.png")]
    found = predictions(write_json(tmp_path / "p.json", written), dataset)
    assert list(found.by_image) == ["1.png"]


def test_a_number_means_nothing_without_a_coco_file(tmp_path: Path) -> None:
    dataset = plain_set(tmp_path / "data", ("1.png", "2.png"))
    assert refusal(write_json(tmp_path / "p.json", [result(2, whole("b.png"))]), dataset) == (
        "p.json: image_id 2: the data have no COCO file that says which image it is: put the annotation file"
        " beside the images, or give each result a file_name"
    )


def test_images_that_are_not_in_the_data_are_counted(tmp_path: Path) -> None:
    results = [result(14, whole("a.png")), result(99, whole("a.png")), result("z.png", whole("a.png"))]
    found = read(tmp_path, results)
    assert list(found.by_image) == ["images/a.png"]
    assert found.notes[-1] == (
        "2 predictions left out, of images that are not in the data: image_id 99, z.png"
    )


def test_ids_that_match_nothing_are_refused(tmp_path: Path) -> None:
    dataset = coco_set(tmp_path / "data")
    line = refusal(write_json(tmp_path / "p.json", [result(99, whole("a.png"))]), dataset)
    assert line == (
        f"p.json: none of its 1 image, such as image_id 99, is in {dataset.path}, which has images/a.png:"
        " name the data that was predicted"
    )


def test_the_same_ids_in_two_annotation_files_are_refused(tmp_path: Path) -> None:
    coco_set(tmp_path / "data" / "one")
    coco_set(tmp_path / "data" / "two")
    for image in IMAGES:
        (tmp_path / "data" / "two" / "images" / image).rename(tmp_path / "data" / "two" / f"2{image}")
    file = tmp_path / "data" / "two" / "annotations.json"
    file.write_text(file.read_text().replace('file_name": "', 'file_name": "2'))
    dataset = open_dataset(tmp_path / "data", View.AP)
    assert "the image id 14 is" in refusal(
        write_json(tmp_path / "p.json", [result(14, whole("a.png"))]), dataset
    )


def test_a_category_that_is_unknown_is_the_only_one(tmp_path: Path) -> None:
    found = read(tmp_path, [result(14, whole("a.png"), category=0)])
    np.testing.assert_array_equal(points(found, "images/a.png"), PREDICTED["a.png"])


def test_one_of_several_categories_that_is_unknown_is_refused(tmp_path: Path) -> None:
    dataset = coco_set(tmp_path / "data", LEVELS)
    written = [result(14, triples(POINTS[:4]), category) for category in (10, 77)]
    assert "category_id 77: no COCO file" in refusal(write_json(tmp_path / "p.json", written), dataset)


def test_numbers_in_pairs_have_no_score(tmp_path: Path) -> None:
    pairs = PREDICTED["a.png"].ravel().tolist()
    found = read(tmp_path, [result(14, pairs), result(13, pairs[:-2])])
    np.testing.assert_array_equal(points(found, "images/a.png"), PREDICTED["a.png"])
    assert found.by_image["images/a.png"].score is None
    assert found.problems == {"images/b.png": "results.json: [1]: 19 keypoints, the category spine has 20"}


def test_results_without_keypoints_are_boxes_and_left_out(tmp_path: Path) -> None:
    boxes = [{"image_id": image_id(image), "category_id": 1, "bbox": [1, 2, 3, 4]} for image in IMAGES[:2]]
    found = read(tmp_path, [*boxes, result(14, whole("a.png"))])
    np.testing.assert_array_equal(points(found, "images/a.png"), PREDICTED["a.png"])
    assert found.problems == {"images/b.png": "results.json: nothing is predicted"}
    assert "2 results without keypoints left out" in found.notes


def test_one_vertebra_of_an_unknown_category_is_refused(tmp_path: Path) -> None:
    dataset = coco_set(tmp_path / "data", LEVELS)
    written = [result(14, triples(quad), 77) for quad in np.split(PREDICTED["a.png"], 5)]
    assert "category_id 77: no COCO file" in refusal(write_json(tmp_path / "p.json", written), dataset)
    found = predictions(write_json(tmp_path / "p.json", [result(14, whole("a.png"), 77)]), dataset)
    np.testing.assert_array_equal(points(found, "images/a.png"), PREDICTED["a.png"])
    assert "taken in the order L1 UL" in found.notes[1]


def test_images_without_annotations_have_ids_too(tmp_path: Path) -> None:
    images = [{"id": 5, "file_name": "a.png"}]
    write_json(tmp_path / "data" / "image_info.json", {"images": images, "categories": []})
    write_image(tmp_path / "data" / "a.png")
    rows = ["image,keypoint,x,y", *(f"a.png,{n},{x},{y}" for n, (x, y) in zip(NAMES, POINTS, strict=True))]
    (tmp_path / "data" / "labels.csv").write_text("\n".join(rows))
    dataset = open_dataset(tmp_path / "data", View.AP)
    found = predictions(write_json(tmp_path / "p.json", [result(5, whole("a.png"))]), dataset)
    np.testing.assert_array_equal(points(found, "a.png"), PREDICTED["a.png"])


@pytest.mark.parametrize(("first", "ids"), [(0, (0, 1, 2, 3, 4)), (1, (1, 2, 3, 4, 5))])
def test_classes_of_a_yolo_set_count_from_0_or_1(tmp_path: Path, first: int, ids: tuple[int, ...]) -> None:
    dataset = _yolo_levels(tmp_path / "data")
    written = [
        result("a", triples(quad, 0.5), number)
        for number, quad in zip(ids, np.split(PREDICTED["a.png"], 5), strict=True)
    ]
    found = predictions(write_json(tmp_path / "p.json", written), dataset)
    np.testing.assert_array_equal(points(found, "images/a.png"), PREDICTED["a.png"])
    unclear = [each for each in written if each["category_id"] in (1, 2, 3)]
    assert "category_id 1, 2, 3: no COCO file" in refusal(write_json(tmp_path / "q.json", unclear), dataset)


def _yolo_levels(folder: Path) -> Any:
    folder.mkdir()
    (folder / "data.yaml").write_text(
        "train: images\nkpt_shape: [4, 3]\nnames: [L1, L2, L3, L4, L5]\nkpt_names: {0: [UL, UR, LL, LR]}\n"
    )
    write_image(folder / "images" / "a.png")
    (folder / "labels").mkdir()
    lines = []
    for v, quad in enumerate(np.split(POINTS / [160, 220], 5)):
        numbers = (f"{n:.6f}" for x, y in quad for n in (x, y, 2))
        lines.append(f"{v} 0.5 0.5 0.1 0.1 {' '.join(numbers)}")
    (folder / "labels" / "a.txt").write_text("\n".join(lines))
    return open_dataset(folder, View.AP)


@pytest.mark.parametrize(
    ("keypoints", "words"),
    [
        ([1.0, 2.0, 3.0, 4.0, 5.0], "keypoints are not numbers x, y, score"),
        ("abc", "keypoints are not numbers x, y, score"),
        (None, "keypoints are not numbers x, y, score"),
        (triples(POINTS[:7]), "7 keypoints, the category spine has 20"),
        (triples(POINTS * 1e9), "no image is that large"),
        ([1e308, 1e308, 1.0] * 20, "no image is that large"),
        ([float("inf"), 1.0, 1.0] * 20, "a coordinate is infinite: no image is that large"),
        ([float("nan"), 1.0, 1.0] * 20, "nothing is predicted"),
        ([1.0, 2.0, float("inf")] * 20, "L1 UL has a score that is infinite"),
    ],
)
def test_what_is_wrong_with_an_image_is_its_problem(tmp_path: Path, keypoints: Any, words: str) -> None:
    found = read(tmp_path, [result(14, keypoints), result(13, whole("b.png"))])
    assert list(found.by_image) == ["images/b.png"]
    assert words in found.problems["images/a.png"]
    assert found.problems["images/a.png"].startswith("results.json")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b'[{"image_id": 14, "keypoints": [', "not JSON"),
        (b'[{"image_id": 14, "keypoints": [\xff\xfe]}]', "not UTF-8"),
        (b'[{"image_id": 14, "keypoints": ' + b"[" * 100000, "nested too deeply"),
        (b'[{"image_id": 14, "keypoints": [' + b"1" * 10000 + b"]}]", "absurd length"),
        (b"{}", "predictions in no format that is known: COCO results (JSON, a list of"),
        (b"[]", "predictions in no format that is known"),
    ],
)
def test_a_broken_file_is_refused_in_one_line(tmp_path: Path, content: bytes, words: str) -> None:
    dataset = coco_set(tmp_path / "data")
    (tmp_path / "p.json").write_bytes(content)
    assert words in refusal(tmp_path / "p.json", dataset)


def test_utf_16_with_a_mark_is_read(tmp_path: Path) -> None:
    dataset = coco_set(tmp_path / "data")
    file = write_json(tmp_path / "p.json", [result(14, whole("a.png"))])
    file.write_bytes(file.read_text().encode("utf-16"))
    assert list(predictions(file, dataset).by_image) == ["images/a.png"]
