"""LabelMe: what its versions write, and what becomes of files that it did not write."""

import base64
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mahtdiag.data.readers.labelme import LabelMe
from mahtdiag.errors import DataError
from mahtdiag.schema.keypoint_names import place_of
from mahtdiag.schema.skeleton import View
from tests.data.builders import spine
from tests.data.readers.marked import HEIGHT, NAMES, POINTS, WIDTH, keypoints, opened, reasons, write_image

CLOCKWISE = [0, 1, 3, 2]


def shape(label: str, *points: Any, kind: str = "point", group: int | None = None) -> dict[str, Any]:
    places = [list(map(float, point)) for point in points]
    return {"label": label, "points": places, "group_id": group, "shape_type": kind, "flags": {}}


def corner_points() -> list[dict[str, Any]]:
    return [shape(name, point) for name, point in zip(NAMES, POINTS, strict=True)]


def quads(points: Any = POINTS) -> list[Any]:
    return list(points[:20].reshape(5, 4, 2)[:, CLOCKWISE])


def write(folder: Path, stem: str, shapes: list[Any], image: str | None = None, **more: Any) -> Path:
    """A file of LabelMe 5 and its image."""
    write_image(folder / f"{stem}.png")
    content = {
        "version": "5.4.1",
        "flags": {},
        "shapes": shapes,
        "imagePath": f"{stem}.png" if image is None else image,
        "imageData": None,
        "imageHeight": HEIGHT,
        "imageWidth": WIDTH,
        **more,
    }
    file = folder / f"{stem}.json"
    file.write_text(json.dumps(content, indent=2))
    return file


def test_a_point_per_keypoint_in_any_order(tmp_path: Path) -> None:
    write(tmp_path, "a", corner_points()[::-1])
    dataset = opened(tmp_path, "labelme")
    np.testing.assert_array_equal(keypoints(dataset, "a.png"), POINTS)
    assert str(dataset.samples[0].labelled_size) == f"{HEIGHT}x{WIDTH}"
    assert (dataset.failures, dataset.notes) == ((), ())


def test_more_points_than_anybody_marks(tmp_path: Path) -> None:
    outline = np.tile(POINTS, (2500, 1))
    write(tmp_path, "a", [*corner_points(), shape("spine", *outline, kind="polygon")])
    write(tmp_path, "b", [*corner_points(), *[shape("L1", POINTS[0], kind="polygon")] * 50_001])
    write(tmp_path, "c", [shape("L1", *outline, POINTS[0], kind="polygon")])
    write(tmp_path, "d", corner_points() * 2501)
    dataset = opened(tmp_path, "labelme")
    # What is left out is not counted.
    assert [sample.image for sample in dataset.samples] == ["a.png", "b.png"]
    said = "50,020 points in one image, at most 50,000 may be"
    assert [(each.image, each.reason) for each in dataset.failures][-1:] == [("d.png", f"d.json: {said}")]


def test_outlines_beside_points_are_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = Counter[str]()

    def counted(name: str) -> tuple[str | None, str | None]:
        looked_at[name] += 1
        return place_of(name)

    monkeypatch.setattr("mahtdiag.data.marks.place_of", counted)
    points, outlines = (
        [shape("L2_UL", (5, 5))] * 300,
        [shape("L1", (1, 2), (3, 4), (5, 6), kind="polygon")] * 300,
    )
    write(tmp_path, "a", [*points, *outlines])
    opened(tmp_path, "labelme")
    assert 600 <= looked_at.total() <= 6 * 600


def test_polygons_begin_anywhere_and_may_be_closed(tmp_path: Path) -> None:
    shapes = [shape(f"L{5 - i}", *quad, kind="polygon") for i, quad in enumerate(quads()[::-1])]
    shapes[0]["points"].append(shapes[0]["points"][0])
    write(tmp_path, "a", shapes)
    turned = [shape(f"L{i + 1}", *np.roll(quad, 1, axis=0), kind="polygon") for i, quad in enumerate(quads())]
    write(tmp_path / "turned", "b", turned)
    np.testing.assert_array_equal(keypoints(opened(tmp_path / "turned", "labelme"), "b.png"), POINTS)
    (tmp_path / "turned" / "b.json").unlink()
    dataset = opened(tmp_path, "labelme")
    np.testing.assert_array_equal(keypoints(dataset, "a.png"), POINTS)
    assert dataset.notes[0] == (
        "corners have no names in *.json: taken as UL, UR, LR, LL, as the vertebrae lie"
    )


def test_polygons_that_begin_at_different_corners(tmp_path: Path) -> None:
    shapes = [
        shape(f"L{i + 1}", *np.roll(quad[:: (-1) ** i], i, axis=0), kind="polygon")
        for i, quad in enumerate(quads())
    ]
    write(tmp_path, "a", [*shapes, shape("pelvis", (1, 9), (9, 9), (9, 1), (1, 1), kind="polygon")])
    dataset = opened(tmp_path, "labelme")
    np.testing.assert_array_equal(keypoints(dataset, "a.png"), POINTS)
    assert "polygons begin at different corners: each is taken clockwise from its upper left" in dataset.notes


def test_groups_of_corners(tmp_path: Path) -> None:
    shapes = [shape(name[3:], point, group=int(name[1])) for name, point in zip(NAMES, POINTS, strict=True)]
    boxes = [shape(f"L{i}", (0, 0), (9, 9), kind="rectangle", group=i) for i in range(2, 6)]
    # The first level is told by a point of the group.
    write(tmp_path, "a", [*shapes[1:], *boxes, shape("L1", (80, 30), group=1)])
    points = keypoints(opened(tmp_path, "labelme"), "a.png")
    assert np.isnan(points[0]).all()
    np.testing.assert_array_equal(points[1:], POINTS[1:])


def test_groups_without_a_level_are_counted_from_above(tmp_path: Path) -> None:
    shapes = [
        shape(name[3:], point, group=7 * int(name[1])) for name, point in zip(NAMES, POINTS, strict=True)
    ]
    write(tmp_path, "a", shapes[::-1])
    write(tmp_path, "b", shapes[4:])
    dataset = opened(tmp_path, "labelme")
    np.testing.assert_array_equal(keypoints(dataset, "a.png"), POINTS)
    assert "4 vertebrae without a level" in reasons(dataset)["b.png"]


def test_four_points_of_one_label_are_its_corners(tmp_path: Path) -> None:
    shapes = [shape(f"L{i + 1}", point) for i, quad in enumerate(quads()) for point in quad]
    write(tmp_path, "a", shapes)
    write(tmp_path, "b", shapes[1:])
    dataset = opened(tmp_path, "labelme")
    np.testing.assert_array_equal(keypoints(dataset, "a.png"), POINTS)
    assert reasons(dataset) == {"b.png": "b.json: 3 points 'L1': a vertebra has 4 corners"}


def test_s1_may_be_the_line_of_its_endplate(tmp_path: Path) -> None:
    points = spine(View.LA)
    shapes = [shape(f"L{i + 1}", *quad, kind="polygon") for i, quad in enumerate(quads(points))]
    write(tmp_path, "a", [*shapes, shape("S1", points[21], points[20], kind="line")])
    np.testing.assert_array_equal(keypoints(opened(tmp_path, "labelme", View.LA), "a.png"), points)


def test_other_marks_are_left_out_and_counted(tmp_path: Path) -> None:
    others = [
        shape("pelvis", (1, 1), (2, 2), (3, 1), (4, 4), kind="polygon"),
        shape("rib", (1, 2), (3, 4), kind="rectangle"),
        shape("marker", (4, 4)),
        shape("L2", (4, 4), (6, 4), (5, 9), kind="polygon"),
    ]
    write(tmp_path, "a", [*corner_points(), *others])
    dataset = opened(tmp_path, "labelme")
    np.testing.assert_array_equal(keypoints(dataset, "a.png"), POINTS)
    assert dataset.notes == ("4 marks left out, not corners of a vertebra: 'L2', 'marker', 'pelvis', …",)


@pytest.mark.parametrize(
    "image",
    [
        "..\\..\\images\\a.png",
        "C:\\Users\\me\\a.png",
        "/home/me/a.png",
        "../../../etc/a.png",
        "images/a.png",
        "b.png",
        "",
    ],
)
def test_the_image_is_found_in_the_set_alone(tmp_path: Path, image: str) -> None:
    write_image(tmp_path / "images" / "a.png")
    file = write(tmp_path / "labels", "a", corner_points(), image)
    (tmp_path / "labels" / "a.png").unlink()
    assert file.exists()
    assert opened(tmp_path, "labelme").samples[0].image == "images/a.png"


def test_images_of_one_name_in_several_folders(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write(tmp_path / folder, "a", corner_points())
    assert [sample.image for sample in opened(tmp_path, "labelme").samples] == ["one/a.png", "two/a.png"]


def test_an_embedded_image_is_not_read_to_recognise_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = base64.b64encode(bytes(30_000_000)).decode()
    write(tmp_path, "a", corner_points(), imageData=data)
    with monkeypatch.context() as patch:
        patch.setattr("mahtdiag.data.json_files.read_bytes", lambda *_: pytest.fail("read whole"))
        assert LabelMe().recognises(tmp_path) == "a.json"
    np.testing.assert_array_equal(keypoints(opened(tmp_path, "labelme"), "a.png"), POINTS)


def test_files_of_before_version_3(tmp_path: Path) -> None:
    """No types, no sizes: everything is a polygon."""
    shapes = [
        {"label": f"L{i + 1}", "points": quad.tolist(), "line_color": None} for i, quad in enumerate(quads())
    ]
    write_image(tmp_path / "a.png")
    content = {"shapes": shapes, "lineColor": [0, 255, 0, 128], "imagePath": "a.png", "imageData": "AA=="}
    (tmp_path / "a.json").write_text(json.dumps(content))
    np.testing.assert_array_equal(keypoints(opened(tmp_path, "labelme"), "a.png"), POINTS)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "a.json: the file is empty (0 bytes)"),
        (b'{"version": "5.4.1", "shapes": [{"label"', "a.json: not JSON: "),
        (b'{"imagePath": "a.png", "shapes": "\xff"}', "a.json: not UTF-8 at byte 34"),
        (b'{"imagePath": "a.png", "shapes": {}}', "a.json: 'shapes' is not a list"),
        (b'{"imagePath": "a.png", "shapes": ' + b"[" * 100_000, "a.json: nested too deeply"),
        (b'{"imagePath": "a.png", "shapes": [3]}', "a.json: shapes[0]: a shape has a label and points"),
        (b'{"imagePath": "a.png", "shapes": []}', "a.json: no keypoint of it is labelled"),
        *(
            (
                b'{"imagePath": "a.png", "shapes": [{"label": "L1_UL", "shape_type": "point", "points": %s}]}'
                % points,
                "a.json: shapes[0]: 'L1_UL': " + problem,
            )
            for points, problem in (
                (b"[[NaN, 1]]", "points are not a list of finite numbers"),
                (b"[[1e999, 1]]", "points are not a list of finite numbers"),
                (b"[[1]]", "points are not a list of finite numbers"),
                (b'[["1", 2]]', "points are not a list of finite numbers"),
                (b"null", "points are not a list of finite numbers"),
                (b"[[1, 2], [3, 4]]", "a point with 2 places"),
            )
        ),
        (
            b'{"imagePath": "a.png", "shapes": [{"label": "L1_UL", "shape_type": "point",'
            b' "points": [[1e308, 0]]}]}',
            "a.json: a coordinate of 1e+308",
        ),
        (
            b'{"imagePath": "a.png", "shapes": [{"label": "UL", "shape_type": "point", "points": [[1, 0]]}]}',
            "a.json: 'UL' says no vertebra and has no group: say L1_UL",
        ),
    ],
)
def test_a_damaged_file_is_a_failure_of_its_image(tmp_path: Path, content: bytes, problem: str) -> None:
    write(tmp_path, "a", [])
    (tmp_path / "a.json").write_bytes(content)
    write(tmp_path, "b", corner_points())
    dataset = opened(tmp_path, "labelme")
    assert [sample.image for sample in dataset.samples] == ["b.png"]
    assert reasons(dataset)["a.png"].startswith(problem)


def test_utf_16_and_other_json_files(tmp_path: Path) -> None:
    file = write(tmp_path, "a", corner_points())
    file.write_text(file.read_text(), encoding="utf-16")
    (tmp_path / "notes.json").write_text("{}")
    (tmp_path / "zz.json").write_bytes(b"\0")
    dataset = opened(tmp_path, "labelme")
    np.testing.assert_array_equal(keypoints(dataset, "a.png"), POINTS)
    assert dataset.failures == ()


def test_a_keypoint_marked_twice(tmp_path: Path) -> None:
    write(tmp_path, "a", [*corner_points(), shape("L1 upper left", (3, 3))])
    assert reasons(opened(tmp_path, "labelme")) == {"a.png": "a.json: L1 UL is marked twice: keep one"}


def test_names_that_mean_nothing_are_listed_and_can_be_told(tmp_path: Path) -> None:
    write(tmp_path, "a", [shape(f"p{i}", point) for i, point in enumerate(POINTS)])
    with pytest.raises(
        DataError, match=r"no name means a keypoint of .*: found p0, p1, .*\[data.keypoints\]"
    ):
        opened(tmp_path, "labelme")
    own = {f"p{i}": name for i, name in enumerate(NAMES)}
    np.testing.assert_array_equal(keypoints(opened(tmp_path, "labelme", keypoints=own), "a.png"), POINTS)


@pytest.mark.parametrize("content", ["{}", "[]", '{"shapes": []}', '{"imagePath": "a.png"}'])
def test_what_is_not_labelme(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    assert LabelMe().recognises(tmp_path) is None
    assert LabelMe().recognises(tmp_path / "none") is None
