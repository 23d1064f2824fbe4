"""CVAT for images 1.1: skeletons, points and polygons, and files that CVAT did not write."""

from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import pytest

from mahtdiag.data.readers.cvat import Cvat
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

META = "<meta><task><name>spines</name><labels><label><name>L1</name></label></labels></task></meta>"


def element(kind: str, label: str, *places: Any, inside: str = "", **attributes: Any) -> str:
    points = ";".join(f"{x:.2f},{y:.2f}" for x, y in places)
    said = {"label": label, "source": "manual", "occluded": 0, **attributes}
    text = " ".join(f"{key}={quoteattr(str(value))}" for key, value in said.items())
    where = f' points="{points}"' if places else ""
    return f"<{kind} {text}{where}>{inside}</{kind}>"


def skeleton(
    level: str, points: Any = None, outside: tuple[str, ...] = (), label: str | None = None, inside: str = ""
) -> str:
    points = POINTS if points is None else points
    corners = "".join(
        element("points", name[3:], point, outside=int(name in outside))
        for name, point in zip(NAMES, points, strict=True)
        if name.startswith(level)
    )
    return element("skeleton", label or level, inside=corners + inside, z_order=0)


def image(name: str, shapes: str, number: int = 0, size: str = f'width="{WIDTH}" height="{HEIGHT}"') -> str:
    return f'<image id="{number}" name={quoteattr(name)} {size}>{shapes}</image>'


def whole(images: str, head: str = '<?xml version="1.0" encoding="utf-8"?>\n') -> str:
    return f"{head}<annotations><version>1.1</version>{META}{images}</annotations>"


def write(folder: Path, images: str, **more: str) -> Path:
    file = folder / "annotations.xml"
    file.write_text(whole(images, **more), encoding="utf-8")
    return file


SPINE = "".join(skeleton(f"L{i}") for i in (3, 1, 5, 2, 4))


def test_a_skeleton_per_vertebra(tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "batch & 1" / "a.png")
    write(tmp_path, image("batch & 1/a.png", SPINE))
    dataset = opened(tmp_path, "cvat")
    np.testing.assert_array_equal(keypoints(dataset, "images/batch & 1/a.png"), POINTS)
    assert str(dataset.samples[0].labelled_size) == f"{HEIGHT}x{WIDTH}"
    assert (dataset.failures, dataset.notes) == ((), ())


def test_what_is_outside_is_not_labelled_and_what_is_occluded_is(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    hidden = skeleton("L2").replace('occluded="0"', 'occluded="1"')
    shapes = skeleton("L1", outside=("L1_UL", "L1_LR")) + hidden
    write(tmp_path, image("a.png", shapes))
    gone = ["L1_UL", "L1_LR", *NAMES[8:]]
    np.testing.assert_array_equal(keypoints(opened(tmp_path, "cvat"), "a.png"), without(*gone))


def test_one_skeleton_of_all_keypoints(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    corners = "".join(element("points", n, p, outside=0) for n, p in zip(NAMES, POINTS, strict=True))
    write(tmp_path, image("a.png", element("skeleton", "spine", inside=corners)))
    dataset = opened(tmp_path, "cvat")
    np.testing.assert_array_equal(keypoints(dataset, "a.png"), POINTS)
    assert dataset.notes == ()


def test_one_class_of_skeletons(tmp_path: Path) -> None:
    """The level is what an attribute says; without one, vertebrae are counted from above."""
    write_image(tmp_path / "a.png")
    write_image(tmp_path / "b.png")
    levels = [f'<attribute name="level">\n L{i} </attribute>' for i in range(2, 6)]
    named = "".join(skeleton(f"L{i}", label="vertebra", inside=levels[i - 2]) for i in range(2, 6))
    write(tmp_path, image("a.png", named))
    np.testing.assert_array_equal(keypoints(opened(tmp_path, "cvat"), "a.png"), without(*NAMES[:4]))
    unnamed = "".join(skeleton(f"L{i}", label="vertebra") for i in range(5, 0, -1))
    write(tmp_path, image("a.png", unnamed) + image("b.png", named, 1))
    dataset = opened(tmp_path, "cvat")
    np.testing.assert_array_equal(keypoints(dataset, "a.png"), POINTS)
    np.testing.assert_array_equal(keypoints(dataset, "b.png"), without(*NAMES[:4]))


def test_points(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    write_image(tmp_path / "b.png")
    write_image(tmp_path / "c.png")
    single = "".join(element("points", n, p) for n, p in zip(NAMES, POINTS, strict=True))
    quads = POINTS.reshape(5, 4, 2)
    four = "".join(element("points", f"L{i + 1}", *quad) for i, quad in enumerate(quads))
    grouped = "".join(element("points", n[3:], p, group_id=n[1]) for n, p in zip(NAMES, POINTS, strict=True))
    boxes = "".join(
        f'<box label="L{i}" group_id="{i}" xtl="1" ytl="1" xbr="9" ybr="9"></box>' for i in range(1, 6)
    )
    write(tmp_path, image("a.png", single) + image("b.png", four, 1) + image("c.png", grouped + boxes, 2))
    dataset = opened(tmp_path, "cvat")
    for name in ("a.png", "b.png", "c.png"):
        np.testing.assert_array_equal(keypoints(dataset, name), POINTS)
    assert dataset.notes == (
        "corners have no names in annotations.xml: taken as UL, UR, LL, LR, as the vertebrae lie",
    )


def test_polygons_and_other_shapes(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    quads = POINTS.reshape(5, 4, 2)[:, [0, 1, 3, 2]]
    shapes = "".join(element("polygon", f"L{i + 1}", *quad) for i, quad in enumerate(quads))
    shapes += element("polyline", "midline", (1, 1), (2, 2)) + '<tag label="AP" source="manual"></tag>'
    write(tmp_path, image("a.png", shapes + '<mask label="bone" rle="3, 4" left="0"></mask>'))
    dataset = opened(tmp_path, "cvat")
    np.testing.assert_array_equal(keypoints(dataset, "a.png"), POINTS)
    assert "2 marks left out, not corners of a vertebra: 'bone', 'midline'" in dataset.notes


def test_images_without_shapes_without_file_and_twice(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    write_image(tmp_path / "b.png")
    images = image("a.png", SPINE) + image("b.png", "", 1) + image("../../etc/c.png", SPINE, 2)
    write(tmp_path, images + image("x/a.png", SPINE, 3) + "<image id='4'></image>")
    dataset = opened(tmp_path, "cvat")
    assert len(dataset.samples) == 1
    assert sorted(failure.reason for failure in dataset.failures) == [
        "annotations.xml, image 1: no keypoint of it is labelled",
        f"annotations.xml, image 2: no such image in {tmp_path}",
        "annotations.xml, image 3: a second entry for this image, after annotations.xml, image 0",
        "annotations.xml, image 4: it has no name",
    ]


@pytest.mark.parametrize("points", ["", "1", "1,2,3", "a,b", "nan,1", "inf,1", "1;2", "1,2;", ";"])
def test_points_that_are_none(tmp_path: Path, points: str) -> None:
    write_image(tmp_path / "a.png")
    shapes = skeleton("L1").replace(
        element("points", "UL", POINTS[0], outside=0), f'<points label="UL" points="{points}"/>'
    )
    write(tmp_path, image("a.png", shapes))
    dataset = opened(tmp_path, "cvat")
    if points:
        problem = "annotations.xml, image 0: 'UL': points are not finite numbers x,y;x,y"
        assert reasons(dataset) == {"a.png": problem}
    else:
        assert np.isnan(keypoints(dataset, "a.png")[0]).all()


def test_an_absurd_coordinate(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    write(tmp_path, image("a.png", '<points label="L1_UL" points="1e308,3"/>'))
    assert "a coordinate of 1e+308" in reasons(opened(tmp_path, "cvat"))["a.png"]


def test_the_export_for_videos_is_refused_in_words(tmp_path: Path) -> None:
    write(tmp_path, '<track id="0" label="L1"><skeleton frame="0"></skeleton></track>' * 3)
    with pytest.raises(
        DataError, match=r"^annotations.xml: an export for videos \(3 tracks\).*'CVAT for images 1.1'"
    ):
        opened(tmp_path, "cvat")


BOMB = '<!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(12)
)


@pytest.mark.parametrize(
    "doctype",
    [
        BOMB + "]>",
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE a SYSTEM "http://localhost/a.dtd">',
        "<!DOCTYPE annotations>",
    ],
)
def test_entities_are_refused(tmp_path: Path, doctype: str) -> None:
    write(tmp_path, image("a.png", '<points label="&m;" points="1,2"/>'), head=doctype)
    with pytest.raises(DataError, match=r"^annotations.xml: has a document type, which CVAT never writes"):
        opened(tmp_path, "cvat")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (whole(image("a.png", SPINE))[:-300], "not XML: unclosed token"),
        (whole(image("a.png", SPINE)).replace("</skeleton>", "", 1), "not XML: mismatched tag"),
        (whole("&x;"), "not XML: undefined entity"),
        (whole("<x>" * 1000), "nested too deeply"),
        (whole("").replace("utf-8", "utf-1789"), "not XML: unknown encoding"),
        (whole("\ud800"), "not XML: not well-formed"),
    ],
)
def test_damaged_files(tmp_path: Path, content: str, problem: str) -> None:
    (tmp_path / "a.xml").write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(DataError) as caught:
        opened(tmp_path, "cvat")
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(f"a.xml: {problem}")


def test_utf_16(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    (tmp_path / "a.xml").write_text(whole(image("a.png", SPINE), head=""), encoding="utf-16")
    np.testing.assert_array_equal(keypoints(opened(tmp_path, "cvat"), "a.png"), POINTS)


@pytest.mark.parametrize("content", ["", "<annotation><folder/></annotation>", "<svg/>", "<annotations/>"])
def test_what_is_not_cvat(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.xml").write_text(content)
    assert Cvat().recognises(tmp_path) is None
