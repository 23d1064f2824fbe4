"""Columns that are read when they are asked for."""

import numpy as np
import pytest

from mahtdiag.diagnosis.column_values import ColumnValues, ReadColumns
from mahtdiag.diagnosis.columns import Values

IMAGES = 10
STORED: dict[str, Values] = {
    "image": tuple(f"{n}.jpg" for n in range(IMAGES)),
    "width": np.arange(IMAGES) * 1.0,
    "gt_px": np.arange(IMAGES * 4.0).reshape(IMAGES, 2, 2),
}
SIZES = {"image": 100, "width": 8, "gt_px": 32}


def columns(asked: list[tuple[str, int, int]], most_bytes: float = float("inf")) -> ReadColumns:
    """The stored columns; `asked` is what was read of them."""

    def read(name: str, first: int, last: int) -> Values:
        asked.append((name, first, last))
        return STORED[name][first:last]

    return ReadColumns(IMAGES, SIZES, read, in_parts=frozenset({"gt_px"}), most_bytes=most_bytes)


def test_a_column_is_read_once_as_long_as_it_is_held() -> None:
    asked: list[tuple[str, int, int]] = []
    of = columns(asked, most_bytes=IMAGES * 40)
    for _ in range(2):
        np.testing.assert_array_equal(of["width"], STORED["width"])
        np.testing.assert_array_equal(of["gt_px"], STORED["gt_px"])
    assert asked == [("width", 0, 10), ("gt_px", 0, 10)]
    # Too large to be held beside others, which go; it is there all the same.
    assert of["image"] == STORED["image"]
    assert of["image"] is of["image"]
    np.testing.assert_array_equal(of["width"], STORED["width"])
    assert [name for name, *_ in asked] == ["width", "gt_px", "image", "width"]


def test_a_part_is_read_alone_or_taken_from_what_is_held() -> None:
    asked: list[tuple[str, int, int]] = []
    of = columns(asked)
    part = of.part(3, 7)
    np.testing.assert_array_equal(part["gt_px"], STORED["gt_px"][3:7])
    np.testing.assert_array_equal(part.part(1, 3)["gt_px"], STORED["gt_px"][4:6])
    assert part["image"] == STORED["image"][3:7]
    # Of a part that was read its own parts are taken; a column of images is read as a whole.
    assert asked == [("gt_px", 3, 7), ("image", 0, 10)]
    np.testing.assert_array_equal(of["gt_px"], STORED["gt_px"])
    np.testing.assert_array_equal(of.part(0, 2)["gt_px"], STORED["gt_px"][:2])
    assert asked[2:] == [("gt_px", 0, 10)]


def test_some_images_are_those_of_the_whole() -> None:
    of, rows = columns([]), np.array([7, 0, 7])
    taken = of.taken(rows)
    for name, values in STORED.items():
        np.testing.assert_array_equal(taken[name], [values[row] for row in rows])
        np.testing.assert_array_equal(taken.part(1, 3)[name], [values[row] for row in rows[1:]])


def test_the_first_layer_that_has_a_column_counts() -> None:
    of = ColumnValues({"width": np.zeros(IMAGES)}, columns([]))
    of.add({"height": np.ones(IMAGES), "gt_px": np.ones(IMAGES)})
    assert set(of) == {"width", "image", "gt_px", "height"}
    assert ("height" in of, "depth" in of, len(of)) == (True, False, 4)
    for whole, some in ((of, STORED["gt_px"]), (of.part(2, 5), STORED["gt_px"][2:5])):
        np.testing.assert_array_equal(whole["width"], np.zeros(len(some)))
        np.testing.assert_array_equal(whole["gt_px"], some)
    assert of.taken(np.array([1]))["image"] == ("1.jpg",)
    with pytest.raises(KeyError):
        of["depth"]
