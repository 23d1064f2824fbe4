"""COCO keypoints in the forms that tools write."""

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mahtdiag.data.files import Dataset
from mahtdiag.data.json_files import read_json
from mahtdiag.data.readers import open_dataset, reader_of
from mahtdiag.errors import DataError
from mahtdiag.schema.frames import Size
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.skeleton import AP, LA, LUMBAR, View
from tests.data.builders import encoded, radiograph

IMAGE = encoded(radiograph(200, 100), "png")
CORNERS = ["UL", "UR", "LL", "LR"]
POINTS = np.array([[10.0 + 40 * (c % 2), 20.0 + 30 * v + 20 * (c // 2)] for v in range(5) for c in range(4)])


def triples(points: Any, visible: int = 2) -> list[float]:
    return [number for x, y in np.asarray(points).tolist() for number in (x, y, visible)]


def image(number: int = 1, name: str = "a.png", **more: Any) -> dict[str, Any]:
    return {"id": number, "file_name": name, "width": 100, "height": 200, **more}


def instance(keypoints: list[float], category: int = 1, of: Any = 1, **more: Any) -> dict[str, Any]:
    return {"id": 1, "image_id": of, "category_id": category, "keypoints": keypoints, **more}


WHOLE = {"id": 1, "name": "spine", "keypoints": [name.replace(" ", "_") for name in AP.keypoint_names]}
LEVELS = [{"id": 5 * i + 1, "name": name, "keypoints": CORNERS} for i, name in enumerate(LUMBAR)]
UNKNOWN = [f"p{i}" for i in range(20)]
ONE_CLASS = {"id": 1, "name": "vertebra", "keypoints": ["0", "1", "2", "3"]}


def write(
    folder: Path, annotations: list[Any], categories: list[Any], images: list[Any] | None = None
) -> None:
    images = [image()] if images is None else images
    for entry in images:
        if isinstance(entry, dict) and isinstance(name := entry.get("file_name"), str):
            path = folder / "images" / name.replace("\\", "/").rpartition("/")[2]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(IMAGE)
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(content))


def opened(folder: Path, view: View | None = View.AP, **own: str) -> Dataset:
    return open_dataset(folder, view, ReadOptions(keypoints=own))


def refusal(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        opened(folder)
    return "; ".join(caught.value.problems)


def reason(folder: Path) -> str:
    dataset = opened(folder)
    assert not dataset.samples
    return dataset.failures[0].reason


def levels(points: np.ndarray[Any, Any] = POINTS) -> list[dict[str, Any]]:
    return [instance(triples(points[4 * i : 4 * i + 4]), 5 * i + 1) for i in range(5)]


def test_one_instance_with_all_keypoints(tmp_path: Path) -> None:
    keypoints = triples(POINTS)
    keypoints[3 * 7 + 2] = 0
    keypoints[3 * 9 + 2] = 1
    write(tmp_path, [instance(keypoints)], [WHOLE])
    dataset = opened(tmp_path, None)
    assert (dataset.format, dataset.view, len(dataset.samples)) == ("coco", View.AP, 1)
    sample = dataset.samples[0]
    # A point that is not labelled keeps no coordinates, one that is hidden is labelled.
    assert np.flatnonzero(np.isnan(sample.keypoints_px[:, 0])).tolist() == [7]
    np.testing.assert_array_equal(np.delete(sample.keypoints_px, 7, 0), np.delete(POINTS, 7, 0))
    assert (sample.image, sample.labelled_size) == ("images/a.png", Size(200, 100))


def test_a_category_per_level_in_any_order(tmp_path: Path) -> None:
    write(tmp_path, levels()[::-1], LEVELS)
    np.testing.assert_array_equal(opened(tmp_path, None).samples[0].keypoints_px, POINTS)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 1, 3, 2), (2, 3, 0, 1), (3, 1, 0, 2)])
def test_one_class_without_names_is_ordered_as_the_vertebrae_lie(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    quads = POINTS.reshape(5, 4, 2)[[3, 0, 4, 1, 2]][:, list(order)].copy()
    write(tmp_path, [instance(triples(quad)) for quad in quads], [ONE_CLASS])
    dataset = opened(tmp_path)
    np.testing.assert_array_equal(dataset.samples[0].keypoints_px, POINTS)
    named = ", ".join(CORNERS[corner] for corner in order)
    assert dataset.notes[1:] == (
        f"corners have no names in annotations.json: taken as {named}, as the vertebrae lie",
        "vertebrae have no level in annotations.json: counted from above",
    )


def test_levels_that_cannot_be_told_are_not_guessed(tmp_path: Path) -> None:
    write(tmp_path, [instance(triples(POINTS[4 * i : 4 * i + 4])) for i in range(4)], [ONE_CLASS])
    assert reason(tmp_path) == (
        "annotations.json, image 1: 4 vertebrae without a level, L1 to L5 are 5: which are missing cannot be"
        " told, name the levels"
    )


@pytest.mark.parametrize("key", ["level", "Level", "Wirbel"])
def test_an_attribute_can_name_the_level(tmp_path: Path, key: str) -> None:
    quads = POINTS.reshape(5, 4, 2)
    annotations = [
        instance(triples(quads[i]), attributes={key: LUMBAR[i], "occluded": False}) for i in (4, 1, 2)
    ]
    write(tmp_path, annotations, [{**ONE_CLASS, "keypoints": ["tl", "tr", "bl", "br"]}])
    wanted = quads.copy()
    wanted[[0, 3]] = np.nan
    np.testing.assert_array_equal(opened(tmp_path).samples[0].keypoints_px, wanted.reshape(20, 2))


def test_attributes_that_name_several_levels_name_none(tmp_path: Path) -> None:
    annotations = [
        instance(triples(quad), attributes={"level": LUMBAR[i], "below": LUMBAR[4 - i]})
        for i, quad in enumerate(POINTS.reshape(5, 4, 2))
    ]
    write(tmp_path, annotations, [ONE_CLASS])
    assert reason(tmp_path).endswith("some vertebrae have a level and others none: name all of them")


def test_own_names(tmp_path: Path) -> None:
    categories = [{"id": 5 * i + 1, "name": f"v{i}", "keypoints": ["a", "b", "c", "d"]} for i in range(5)]
    own = {f"v{i}": name for i, name in enumerate(LUMBAR)} | dict(zip("abcd", CORNERS, strict=True))
    write(tmp_path, levels(), categories)
    np.testing.assert_array_equal(opened(tmp_path, None, **own).samples[0].keypoints_px, POINTS)


def test_s1_tells_the_lateral_view(tmp_path: Path) -> None:
    names = [name.replace(" ", "-").lower() for name in LA.keypoint_names]
    points = np.vstack([POINTS, [[10, 190], [50, 190]]])
    write(tmp_path, [instance(triples(points))], [{"id": 1, "name": "spine", "keypoints": names}])
    dataset = opened(tmp_path, None)
    assert dataset.view is View.LA
    np.testing.assert_array_equal(dataset.samples[0].keypoints_px, points)
    # No S1 among the names is no proof of the other view.
    write(tmp_path, [instance(triples(POINTS))], [WHOLE])
    lateral = opened(tmp_path, View.LA).samples[0].keypoints_px
    assert np.flatnonzero(np.isnan(lateral[:, 0])).tolist() == [20, 21]


def test_what_else_lies_in_the_file_is_left_out_and_said(tmp_path: Path) -> None:
    annotations = [
        *levels(),
        instance(triples(POINTS[:4]), 99),
        instance([], 1),
        instance([1, 2, 2], 1, of=7),
    ]
    annotations[5]["category_id"] = 30
    thoracic = {"id": 30, "name": "T12", "keypoints": CORNERS}
    write(tmp_path, annotations, [*LEVELS, thoracic], [image(), image(2, "b.png")])
    (tmp_path / "images" / "c.png").write_bytes(IMAGE)
    dataset = opened(tmp_path, None)
    np.testing.assert_array_equal(dataset.samples[0].keypoints_px, POINTS)
    assert [f.reason for f in dataset.failures] == [
        "annotations.json, image 2: no keypoint of it is labelled"
    ]
    assert dataset.notes[1:] == (
        "annotations.json: 1 annotations of no image in it left out",
        "annotations.json: 1 annotations without keypoints left out",
        "not of the skeleton AP and left out: T12",
        "1 image left out, not mentioned in annotations.json",
    )


@pytest.mark.parametrize(
    "name",
    ["/home/x/data/images/a.png", "..\\..\\images\\a.png", "C:\\data\\a.png", "other/a.png", "a.jpg", "a"],
)
def test_names_are_found_inside_the_set_alone(tmp_path: Path, name: str) -> None:
    write(tmp_path / "set", [instance(triples(POINTS))], [WHOLE], [image(name=name)])
    for path in (tmp_path / "set" / "images").iterdir():
        path.unlink()
    (tmp_path / "a.png").write_bytes(IMAGE)
    assert reason(tmp_path / "set").endswith(f"no such image in {tmp_path / 'set'}")
    (tmp_path / "set" / "images" / "a.png").write_bytes(IMAGE)
    assert [sample.image for sample in opened(tmp_path / "set").samples] == ["images/a.png"]


def test_the_file_itself_can_be_named(tmp_path: Path) -> None:
    write(tmp_path, [instance(triples(POINTS))], [WHOLE])
    dataset = opened(tmp_path / "annotations.json")
    assert (dataset.path, len(dataset.samples)) == (tmp_path, 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"keypoints": triples(POINTS[:19])}, "annotations[0]: 19 keypoints, the category spine has 20"),
        ({"keypoints": triples(POINTS)[:-1]}, "annotations[0]: keypoints are not numbers x, y, v one after"),
        ({"keypoints": ["x"] * 60}, "annotations[0]: keypoints are not numbers x, y, v one after the other"),
        ({"keypoints": triples(POINTS * np.nan)}, "no keypoint of it is labelled"),
        ({"keypoints": triples(POINTS * np.inf)}, "annotations[0]: a coordinate is infinite"),
        ({"keypoints": triples(POINTS * 1e300)}, "a coordinate of 1.6e+302: no image is that large"),
        ({"keypoints": [10**400] * 60}, "annotations[0]: keypoints are not numbers x, y, v one after"),
        ({"category_id": 9}, "annotations[0]: there is no category 9"),
        ({"category_id": [1]}, "annotations[0]: there is no category [1]"),
    ],
)
def test_wrong_annotations_are_failures_of_their_image(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    write(tmp_path, [{**instance(triples(POINTS)), **change}], [WHOLE])
    assert said in reason(tmp_path)


def test_two_entries_for_one_image(tmp_path: Path) -> None:
    images = [image(), image(2, "x/a.png")]
    write(tmp_path, [instance(triples(POINTS)), instance(triples(POINTS), of=2)], [WHOLE], images)
    dataset = opened(tmp_path)
    assert [s.image for s in dataset.samples] == ["images/a.png"]
    assert [f.reason for f in dataset.failures] == [
        "annotations.json, image 2: a second entry for this image, after annotations.json, image 1"
    ]


def test_a_level_twice(tmp_path: Path) -> None:
    write(tmp_path, [*levels(), instance(triples(POINTS[:4] + 1), 1)], LEVELS)
    assert reason(tmp_path) == "annotations.json, image 1: L1 UL is marked twice: keep one"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"annotations": []}, "annotations.json: no annotations: CVAT exports points as an empty COCO file"),
        ({"annotations": [{"image_id": 1, "bbox": [1, 2, 3, 4]}]}, "1 annotations, none with keypoints"),
        ({"annotations": {}}, "annotations.json: 'annotations' is not a list"),
        ({"images": [{"id": 1}]}, "annotations.json: images[0]: an image has an id and a file_name"),
        ({"images": [image(), image()]}, "annotations.json: images[1]: the id 1 is there twice"),
        (
            {"categories": [7]},
            "categories[0]: a category has an id and a list of keypoints",
        ),
        (
            {"categories": [{**WHOLE, "keypoints": UNKNOWN}]},
            "no name means a keypoint of AP",
        ),
    ],
)
def test_a_useless_file_is_refused_in_words(tmp_path: Path, content: dict[str, Any], said: str) -> None:
    write(tmp_path, [instance(triples(POINTS))], [WHOLE])
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | content))
    assert said in refusal(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty (0 bytes)"),
        (b'{"images": [], "annotations": [', "not JSON"),
        (b'{"images": "\xff\xfe"}', "not UTF-8"),
        (b'{"images": [], "annotations": ' + b"[" * 200_000, "nested too deeply"),
        (b'{"images": [], "annotations": [' + b"9" * 5000 + b"]}", "not JSON: a number of absurd length"),
    ],
)
def test_damaged_files(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "annotations.json").write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_json(tmp_path / "annotations.json", "annotations.json")
    assert said in str(caught.value)


def test_utf_16_is_read(tmp_path: Path) -> None:
    write(tmp_path, [instance(triples(POINTS))], [WHOLE])
    path = tmp_path / "annotations.json"
    path.write_text(path.read_text(), encoding="utf-16")
    assert reader_of(tmp_path).name == "coco"
    assert len(opened(tmp_path).samples) == 1


@pytest.mark.parametrize("order", list(permutations(("images", "annotations", "categories"))))
def test_a_large_file_is_recognised_in_any_order(tmp_path: Path, order: tuple[str, ...]) -> None:
    content: dict[str, Any] = {
        "images": [image(i, f"{i}.png") for i in range(3000)],
        "annotations": [instance(triples(POINTS), of=i) for i in range(300)],
        "categories": [WHOLE],
    }
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps({key: content[key] for key in order}))
    assert path.stat().st_size > 3 * 64 * 1024
    assert reader_of(tmp_path).name == "coco"
