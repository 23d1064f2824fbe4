"""Label Studio: its export named JSON, and what becomes of other files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mahtdiag.data.readers.label_studio import LabelStudio
from mahtdiag.errors import DataError
from tests.data.readers.marked import (
    HEIGHT,
    NAMES,
    POINTS,
    WIDTH,
    keypoints,
    opened,
    reasons,
    without,
    write_image,
)

PERCENT = POINTS / np.array([WIDTH, HEIGHT]) * 100.0
SIZE = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}


def region(kind: str, value: dict[str, Any], identifier: str, **more: Any) -> dict[str, Any]:
    named = {"from_name": "corner", "to_name": "image", "type": kind, "origin": "manual"}
    return {**SIZE, "value": value, "id": identifier, **named, **more}


def corner(label: str, place: Any, identifier: str | None = None, **more: Any) -> dict[str, Any]:
    value = {"x": float(place[0]), "y": float(place[1]), "width": 0.4, "keypointlabels": [label]}
    return region("keypointlabels", value, identifier or f"id{label}", **more)


def corners(percent: Any = PERCENT) -> list[dict[str, Any]]:
    return [corner(n, p) for n, p in zip(NAMES, percent, strict=True) if np.isfinite(p).all()]


def annotation(result: Any, at: str = "2026-01-05T10:11:12.345678Z", **more: Any) -> dict[str, Any]:
    return {"id": 1, "result": result, "was_cancelled": False, "created_at": at, "updated_at": at, **more}


def task(image: str, *annotations: Any, **more: Any) -> dict[str, Any]:
    return {
        "id": 7,
        "data": {"image": image},
        "annotations": list(annotations),
        "predictions": [],
        "total_annotations": len(annotations),
        **more,
    }


def write(folder: Path, *tasks: Any) -> None:
    (folder / "project-1.json").write_text(json.dumps(list(tasks)))


@pytest.mark.parametrize(
    "image",
    [
        "/data/upload/3/3ceb3ffd-a%20b.png",
        "/data/upload/3ceb3ffd-a b.png",
        "/data/local-files/?d=radiographs/a%20b.png",
        "/data/local-files/?d=radiographs%5Ca%20b.png",
        "s3://bucket/spines/a b.png",
        "https://host.example/a%20b.png?X-Signature=d%2Fe.png&x=1#part",
        "../../a b.png",
        "C:\\images\\a b.png",
        "a b.png",
    ],
)
def test_where_the_image_was(tmp_path: Path, image: str) -> None:
    write_image(tmp_path / "images" / "a b.png")
    write(tmp_path, task(image, annotation(corners())))
    dataset = opened(tmp_path, "label-studio")
    np.testing.assert_allclose(keypoints(dataset, "images/a b.png"), POINTS, atol=1e-9)
    assert str(dataset.samples[0].labelled_size) == f"{HEIGHT}x{WIDTH}"
    assert (dataset.failures, dataset.notes) == ((), ())


def test_the_digits_of_an_upload_may_be_in_the_name_of_the_file(tmp_path: Path) -> None:
    for name in ("3ceb3ffd-a.png", "a.png"):
        write_image(tmp_path / name)
    write(tmp_path, task("/data/upload/3/3ceb3ffd-a.png", annotation(corners())))
    assert opened(tmp_path, "label-studio").samples[0].image == "3ceb3ffd-a.png"


def test_an_upload_is_named_without_blanks(tmp_path: Path) -> None:
    for name in ("Knie 1 (ap).png", "b c.png", "b_(c).png"):
        write_image(tmp_path / name)
    uploads = ("/data/upload/3/3ceb3ffd-Knie_1_ap.png", "/data/upload/3/3ceb3ffd-b_c.png")
    write(tmp_path, *(task(upload, annotation(corners())) for upload in uploads))
    dataset = opened(tmp_path, "label-studio")
    assert [sample.image for sample in dataset.samples] == ["Knie 1 (ap).png"]
    assert "no such image" in dataset.failures[0].reason


def test_another_column_may_hold_the_image(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    made = task("", annotation(corners()))
    made["data"] = {"note": "a, b", "radiograph": "/data/upload/3/3ceb3ffd-a.png", "age": 50}
    write(tmp_path, made)
    assert len(opened(tmp_path, "label-studio").samples) == 1


def test_the_newest_annotation_that_is_not_cancelled(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png", "d.png"):
        write_image(tmp_path / name)
    old = annotation(corners(PERCENT + 5), "2026-01-05T10:00:00.000000Z", id=9)
    new = annotation(corners(), "2026-02-05T10:00:00.000000Z", id=2)
    cancelled = annotation([], "2026-03-05T10:00:00.000000Z", id=3, was_cancelled=True)
    write(
        tmp_path,
        task("a.png", new, old, cancelled),
        task("b.png", cancelled, id=8),
        task("c.png", id=9, predictions=[{"result": corners()}], drafts=[{"result": corners()}]),
        task("d.png", annotation([]), id=10),
    )
    dataset = opened(tmp_path, "label-studio")
    np.testing.assert_allclose(keypoints(dataset, "a.png"), POINTS, atol=1e-9)
    assert dataset.notes == ("1 task has several annotations: the newest that is not cancelled was read",)
    assert reasons(dataset) == {
        "b.png": "project-1.json, task 8: every annotation of it was cancelled",
        "c.png": "project-1.json, task 9: not annotated",
        "d.png": "project-1.json, task 10: no keypoint of it is labelled",
    }


def test_gaps(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    gaps = without("L1_UL", "L3_LR")
    write(tmp_path, task("a.png", annotation(corners(gaps / [WIDTH, HEIGHT] * 100))))
    np.testing.assert_allclose(keypoints(opened(tmp_path, "label-studio"), "a.png"), gaps, atol=1e-9)


def test_corners_inside_the_box_of_their_vertebra(tmp_path: Path) -> None:
    """The outline of regions says the vertebra, as `parentID`."""
    result = [
        corner(name[3:], place, f"id{name}", parentID=f"box{name[1]}")
        for name, place in zip(NAMES, PERCENT, strict=True)
    ]
    for level in range(1, 6):
        value = {"x": 1, "y": 1, "width": 9, "height": 9, "rotation": 0, "rectanglelabels": [f"L{level}"]}
        result.append(region("rectanglelabels", value, f"box{level}"))
    write_image(tmp_path / "a.png")
    write(tmp_path, task("a.png", annotation(result)))
    np.testing.assert_allclose(keypoints(opened(tmp_path, "label-studio"), "a.png"), POINTS, atol=1e-9)


def test_what_is_said_of_a_region_by_a_second_control(tmp_path: Path) -> None:
    result = []
    for name, place in zip(NAMES, PERCENT, strict=True):
        result.append(corner(name[3:], place, f"id{name}"))
        value = {"x": place[0], "y": place[1], "width": 0.4, "choices": [name[:2]]}
        result.append(region("choices", value, f"id{name}"))
    result.append({"value": {"choices": ["good"]}, "type": "choices", "id": "image", "to_name": "image"})
    write_image(tmp_path / "a.png")
    write(tmp_path, task("a.png", annotation(result)))
    np.testing.assert_allclose(keypoints(opened(tmp_path, "label-studio"), "a.png"), POINTS, atol=1e-9)


def test_polygons(tmp_path: Path) -> None:
    result = []
    for i, quad in enumerate(PERCENT.reshape(5, 4, 2)[:, [0, 1, 3, 2]]):
        value = {"points": quad.tolist(), "closed": True, "polygonlabels": [f"L{i + 1}"]}
        result.append(region("polygonlabels", value, f"id{i}"))
    write_image(tmp_path / "a.png")
    write(tmp_path, task("a.png", annotation(result)))
    np.testing.assert_allclose(keypoints(opened(tmp_path, "label-studio"), "a.png"), POINTS, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"image_rotation": 90}, "result[0]: the image was rotated in Label Studio"),
        ({"original_width": None}, "result[0]: no original_width and original_height"),
        ({"original_height": 0}, "result[0]: no original_width and original_height"),
        ({"original_width": 10**400}, "result[0]: no original_width and original_height"),
        ({"original_height": HEIGHT + 1}, f"result[1]: {HEIGHT}x{WIDTH} and before it {HEIGHT + 1}x{WIDTH}"),
        ({"value": {"x": "1", "y": 2}}, "result[0]: its place is not in finite numbers"),
        ({"value": {"x": float("nan"), "y": 2}}, "result[0]: its place is not in finite numbers"),
        ({"value": {"x": 1e308, "y": 2, "keypointlabels": ["L1_UL"]}}, "a coordinate of "),
    ],
)
def test_a_region_that_cannot_be_placed(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    write_image(tmp_path / "a.png")
    result = corners()
    result[0] = {**result[0], **change}
    write(tmp_path, task("a.png", annotation(result)))
    assert reasons(opened(tmp_path, "label-studio"))["a.png"].startswith(f"project-1.json, task 7: {problem}")


@pytest.mark.parametrize("result", [None, {}, "x", [1], [None]])
def test_a_result_that_is_none(tmp_path: Path, result: Any) -> None:
    write_image(tmp_path / "a.png")
    write_image(tmp_path / "b.png")
    write(tmp_path, task("a.png", annotation(result)), task("b.png", annotation(corners()), id=8))
    problem = "project-1.json, task 7: 'result' is not a list of regions"
    assert reasons(opened(tmp_path, "label-studio")) == {"a.png": problem}


def test_tasks_that_find_no_image_or_the_same(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    good = annotation(corners())
    write(
        tmp_path,
        task("a.png", good),
        task("/etc/passwd", good, id=8),
        task("a.png", good, id=9),
        task("", good, id=10),
    )
    dataset = opened(tmp_path, "label-studio")
    assert len(dataset.samples) == 1
    assert sorted(failure.reason for failure in dataset.failures) == [
        "project-1.json, task 10: no such image in " + str(tmp_path),
        "project-1.json, task 8: no such image in " + str(tmp_path),
        "project-1.json, task 9: a second entry for this image, after project-1.json, task 7",
    ]


def test_the_flat_export_is_refused_in_words(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    flat = {"image": "a.png", "id": 1, "annotator": 1, "annotation_id": 4}
    corner_of = {"x": 1.0, "y": 2.0, "width": 0.4, "keypointlabels": ["L1_UL"], **SIZE}
    (tmp_path / "p.json").write_text(json.dumps([{**flat, "corner": [corner_of]}]))
    with pytest.raises(DataError, match=r"^p.json: a JSON-MIN export: export 'JSON' from Label Studio"):
        opened(tmp_path, "label-studio")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[%s, 3]", r"^project-1.json: \[1\]: a task has its data"),
        ('[%s, {"data": 3}]', r"^project-1.json: \[1\]: a task has its data"),
        ("[%s, ", r"^project-1.json: not JSON: "),
        ('"%s"', r"^project-1.json: not JSON: "),
    ],
)
def test_a_file_that_is_no_list_of_tasks(tmp_path: Path, content: str, problem: str) -> None:
    (tmp_path / "project-1.json").write_text(content % json.dumps(task("a.png", annotation(corners()))))
    with pytest.raises(DataError, match=problem):
        opened(tmp_path, "label-studio")


def test_recognised_by_its_keys_alone(tmp_path: Path) -> None:
    assert LabelStudio().recognises(tmp_path) is None
    (tmp_path / "a.json").write_text('{"images": [], "annotations": [], "categories": []}')
    assert LabelStudio().recognises(tmp_path) is None
    write(tmp_path, task("a.png", annotation(corners())))
    assert LabelStudio().recognises(tmp_path) == "project-1.json"
    assert LabelStudio().recognises(tmp_path / "project-1.json") == "project-1.json"
