"""3D Slicer markups: both files, both coordinate systems, and the spacing that Slicer gives an image."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mahtdiag.data.readers.slicer import Slicer
from tests.data.builders import encoded, radiograph
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

HEAD = "# Markups fiducial file version = 4.11\n# CoordinateSystem = LPS\n"
COLUMNS = "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"


def control(label: str, place: Any, **more: Any) -> dict[str, Any]:
    position = [float(place[0]), float(place[1]), 0.0]
    return {"id": "1", "label": label, "position": position, "positionStatus": "defined", **more}


def controls(points: Any = POINTS, names: Any = NAMES) -> list[dict[str, Any]]:
    return [control(name, point) for name, point in zip(names, points, strict=True)]


def node(points: list[Any], **more: Any) -> dict[str, Any]:
    about = {"type": "Fiducial", "coordinateSystem": "LPS", "coordinateUnits": "mm"}
    return {**about, "controlPoints": points, **more}


def write(file: Path, *nodes: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        json.dumps({"@schema": "…/markups-schema-v1.0.3.json#", "markups": list(nodes)}, indent=4)
    )


def test_left_posterior_is_the_image(tmp_path: Path) -> None:
    write_image(tmp_path / "a.b.png")
    write(tmp_path / "a.b.mrk.json", node(controls()))
    write_image(tmp_path / "c.png")
    write(tmp_path / "c.mrk.json", node(controls(-POINTS), coordinateSystem="RAS"))
    write_image(tmp_path / "d.png")
    unit = ["mm", "UCUM", "millimeter"]
    write(tmp_path / "d.json", node(controls()[:7], coordinateUnits=unit), node(controls()[7:]))
    dataset = opened(tmp_path, "slicer")
    for name in ("a.b.png", "c.png", "d.png"):
        np.testing.assert_array_equal(keypoints(dataset, name), POINTS)
    assert (dataset.failures, dataset.notes) == ((), ())


@pytest.mark.parametrize("status", ["undefined", "missing", "preview"])
def test_a_point_that_is_not_placed_is_not_labelled(tmp_path: Path, status: str) -> None:
    write_image(tmp_path / "a.png")
    points = controls()
    points[0]["positionStatus"] = status
    points[1] = {"label": "L1_UR", "positionStatus": status}
    points[2] = {"label": "L1_LL", "position": None}
    del points[3]["positionStatus"]
    write(tmp_path / "a.mrk.json", node(points))
    np.testing.assert_array_equal(keypoints(opened(tmp_path, "slicer"), "a.png"), without(*NAMES[:3]))


@pytest.mark.parametrize(
    ("head", "sign"),
    [
        (HEAD, 1),
        (HEAD.replace("LPS", "RAS"), -1),
        (HEAD.replace("LPS", "1"), 1),
        (HEAD.replace("LPS", "0"), -1),
        ("# Markups fiducial file version = 4.5\n", -1),
    ],
)
def test_fcsv(tmp_path: Path, head: str, sign: int) -> None:
    write_image(tmp_path / "a.png")
    rows = [
        f'F_{i},{sign * x},{sign * y},0,0,0,0,1,1,1,0,{name},"a, b",'
        for i, (name, (x, y)) in enumerate(zip(NAMES, POINTS, strict=True))
    ]
    (tmp_path / "a.fcsv").write_text(head + COLUMNS + "\n".join(rows) + "\n\n")
    np.testing.assert_array_equal(keypoints(opened(tmp_path, "slicer"), "a.png"), POINTS)


def test_the_status_of_slicer_5_stands_behind_the_columns(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    status = [2, 0, 1, 3, *[2] * 16]
    rows = [
        f"{i},{x},{y},0,0,0,0,1,1,1,0,{n},,,{s},0"
        for i, (n, (x, y), s) in enumerate(zip(NAMES, POINTS, status, strict=True))
    ]
    (tmp_path / "a.fcsv").write_text(HEAD + COLUMNS + "\r\n".join(rows))
    np.testing.assert_array_equal(keypoints(opened(tmp_path, "slicer"), "a.png"), without(*NAMES[1:4]))


@pytest.mark.parametrize(
    ("density", "mm"), [(None, 1.0), ((72, 72), 25.4 / 72), ((100, 200), np.array([0.254, 0.127]))]
)
def test_dots_per_inch_of_a_jpeg_are_its_spacing(tmp_path: Path, density: Any, mm: Any) -> None:
    more = {} if density is None else {"dpi": density}
    (tmp_path / "a.jpg").write_bytes(encoded(radiograph(HEIGHT, WIDTH), "JPEG", **more))
    write(tmp_path / "a.mrk.json", node(controls(POINTS * mm)))
    np.testing.assert_allclose(keypoints(opened(tmp_path, "slicer"), "a.jpg"), POINTS, rtol=1e-12)


def test_dots_per_centimetre(tmp_path: Path) -> None:
    content = bytearray(encoded(radiograph(HEIGHT, WIDTH), "JPEG", dpi=(50, 50)))
    content[13] = 2
    (tmp_path / "a.jpg").write_bytes(content)
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.info["jfif_unit"] == 2
    write(tmp_path / "a.mrk.json", node(controls(POINTS * 0.2)))
    np.testing.assert_allclose(keypoints(opened(tmp_path, "slicer"), "a.jpg"), POINTS, rtol=1e-12)


def test_the_spacing_of_other_images_is_not_guessed(tmp_path: Path) -> None:
    write_image(tmp_path / "a.tif")
    write(tmp_path / "a.mrk.json", node(controls()))
    problem = "a.mrk.json: millimetres on a .tif, whose spacing in Slicer is not known"
    assert reasons(opened(tmp_path, "slicer"))["a.tif"].startswith(problem)


def test_a_list_per_vertebra_beside_its_image(tmp_path: Path) -> None:
    """Slicer numbers the points of a list: L1-1 … L1-4; a folder per image holds what was saved for it."""
    for case in ("case 1", "case 2"):
        write_image(tmp_path / case / "image.png")
        for i, quad in enumerate(POINTS.reshape(5, 4, 2)):
            names = [f"L{i + 1}-{k}" for k in range(1, 5)] if case == "case 1" else ["UL", "UR", "LL", "LR"]
            write(tmp_path / case / f"L{i + 1}.mrk.json", node(controls(quad, names)))
    dataset = opened(tmp_path, "slicer")
    for case in ("case 1", "case 2"):
        np.testing.assert_array_equal(keypoints(dataset, f"{case}/image.png"), POINTS)


def test_files_without_an_image(tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "a.png")
    write_image(tmp_path / "images" / "b.png")
    write(tmp_path / "points" / "a.mrk.json", node(controls()))
    write(tmp_path / "points" / "c.mrk.json", node(controls()))
    dataset = opened(tmp_path, "slicer")
    np.testing.assert_array_equal(keypoints(dataset, "images/a.png"), POINTS)
    assert reasons(dataset) == {"points/c": f"points/c.mrk.json: no such image in {tmp_path}"}
    assert dataset.notes == ("1 image left out, not mentioned in points/*.mrk.json",)


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (node(controls(), coordinateSystem="IJK"), "coordinate system IJK: LPS and RAS are read"),
        (node(controls(), coordinateSystem=["LPS"]), "coordinate system ['LPS']: LPS and RAS are read"),
        (node(controls(), coordinateUnits="um"), "coordinates in um: mm are read"),
        (node(controls(), coordinateUnits=[]), "coordinates in []: mm are read"),
        ({}, "a node of 'markups' has no list of controlPoints"),
        (node([3]), "controlPoints[0]: not a point"),
        (
            node([control("L1_UL", (1, float("nan")))]),
            "controlPoints[0]: its position is not in finite numbers",
        ),
        (node([control("L1_UL", (1, 2), position=[1, 2])]), "controlPoints[0]: its position is not x, y, z"),
        (
            node([control("L1_UL", (1, 2), position=["1", 2, 3])]),
            "controlPoints[0]: its position is not in finite",
        ),
        (node([control("L1_UL", (1e308, 2))]), "a coordinate of 1e+308"),
    ],
)
def test_markups_that_cannot_be_used(tmp_path: Path, made: Any, problem: str) -> None:
    for name in ("a", "b"):
        write_image(tmp_path / f"{name}.png")
    write(tmp_path / "a.mrk.json", made)
    write(tmp_path / "b.mrk.json", node(controls()))
    dataset = opened(tmp_path, "slicer")
    assert [sample.image for sample in dataset.samples] == ["b.png"]
    assert reasons(dataset)["a.png"].startswith(f"a.mrk.json: {problem}")


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.mrk.json", b"", "the file is empty"),
        ("a.mrk.json", b'{"markups": [{"controlPoints": [', "not JSON"),
        ("a.mrk.json", b"[]", "no 'markups'"),
        ("a.fcsv", b"", "no keypoint of it is labelled"),
        ("a.fcsv", f"{HEAD}# columns = id,x,y,z\n".encode(), "its columns lack x, y or label"),
        ("a.fcsv", f"{HEAD}{COLUMNS}1,2,3".encode(), "point 1: 3 columns, 14 expected"),
        ("a.fcsv", f"{HEAD}{COLUMNS}1,2,x,0,0,0,0,1,1,1,0,L1_UL,,".encode(), "point 1: could not convert"),
        (
            "a.fcsv",
            f"{HEAD}{COLUMNS}1,2,nan,0,0,0,0,1,1,1,0,L1_UL,,".encode(),
            "point 1: its position is not in",
        ),
        ("a.fcsv", f"{HEAD}{COLUMNS}\xff".encode("latin-1"), "not UTF-8 at byte"),
        ("a.fcsv", f"{HEAD.replace('LPS', 'XYZ')}{COLUMNS}".encode(), "coordinate system XYZ"),
    ],
)
def test_damaged_files(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    for stem in ("a", "b"):
        write_image(tmp_path / f"{stem}.png")
    (tmp_path / name).write_bytes(content)
    write(tmp_path / "b.mrk.json", node(controls()))
    assert reasons(opened(tmp_path, "slicer"))["a.png"].startswith(f"{name}: {problem}")


def test_what_is_not_of_slicer(tmp_path: Path) -> None:
    (tmp_path / "a.mrk.json").write_text("{}")
    (tmp_path / "a.fcsv").write_text("x,y\n")
    assert Slicer().recognises(tmp_path) is None
