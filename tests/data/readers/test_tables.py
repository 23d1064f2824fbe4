"""Tables of keypoints as spreadsheets, scripts and people write them."""

import csv
import io
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mahtdiag.data.files import Dataset
from mahtdiag.data.readers import open_dataset, reader_of
from mahtdiag.errors import DataError
from mahtdiag.schema.frames import PixelSpacing
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.skeleton import AP, CORNERS, LA, LUMBAR, View
from tests.data.builders import encoded, radiograph

IMAGE = encoded(radiograph(200, 100), "png")
POINTS = np.array([[10.25 + 40 * (c % 2), 20.5 + 30 * v + 20 * (c // 2)] for v in range(5) for c in range(4)])
NAMES = [name.replace(" ", "_") for name in AP.keypoint_names]
Rows = list[list[Any]]
LONG: Rows = [
    ["image", "vertebra", "corner", "x", "y"],
    *(["a.png", LUMBAR[k // 4], CORNERS[k % 4], *POINTS[k].tolist()] for k in range(20)),
]
WIDE: Rows = [
    ["image", *(f"{name}_{axis}" for name in NAMES for axis in "xy")],
    ["a.png", *POINTS.ravel().tolist()],
]
ENDPLATES: Rows = [
    ["image", "vertebra", "endplate", "x1", "y1", "x2", "y2"],
    *(
        ["a.png", LUMBAR[e // 2], ("upper", "lower")[e % 2], *POINTS[2 * e : 2 * e + 2].ravel().tolist()]
        for e in range(10)
    ),
]


def text(rows: Rows, delimiter: str = ",") -> str:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter).writerows(rows)
    return buffer.getvalue()


def write(folder: Path, content: str | bytes | Rows, name: str = "labels.csv") -> None:
    (folder / "images").mkdir(exist_ok=True)
    for image in ("a.png", "b.png"):
        (folder / "images" / image).write_bytes(IMAGE)
    if isinstance(content, list):
        content = text(content)
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def opened(folder: Path, missing: float | None = None, own: Mapping[str, str] | None = None) -> Dataset:
    options = ReadOptions(format="csv", missing_value=missing, keypoints=own or {})
    return open_dataset(folder, View.AP, options)


def points(folder: Path, missing: float | None = None) -> np.ndarray[Any, Any]:
    dataset = opened(folder, missing)
    assert not dataset.failures
    return dataset.samples[0].keypoints_px


def unlabelled(folder: Path, missing: float | None = None) -> list[int]:
    return np.flatnonzero(np.isnan(points(folder, missing)[:, 0])).tolist()


def reason(folder: Path, missing: float | None = None) -> str:
    dataset = opened(folder, missing)
    assert not dataset.samples
    return dataset.failures[0].reason


def refusal(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        opened(folder)
    return "; ".join(caught.value.problems)


def keypoints_long(order: Sequence[int] = range(20), names: Sequence[str] = NAMES) -> Rows:
    return [["image", "keypoint", "x", "y"], *(["a.png", names[k], *POINTS[k].tolist()] for k in order)]


@pytest.mark.parametrize(("header", "row"), [("x,y", "1,2"), ("x1,y1,x2,y2", "1,2,3,4")])
def test_an_image_has_no_more_points_than_anybody_marks(tmp_path: Path, header: str, row: str) -> None:
    kind = "keypoint" if header == "x,y" else "vertebra,endplate"
    cells = f"a.png,{'L1_UL' if kind == 'keypoint' else 'L1,upper'},{row}\n"
    write(tmp_path, f"image,{kind},{header}\n" + cells * 50_001)
    line = 50_002 if header == "x,y" else 25_002
    assert reason(tmp_path) == f"labels.csv: line {line}: more than 50,000 points in one image"


@pytest.mark.parametrize(
    "rows", [LONG, WIDE, ENDPLATES, keypoints_long()], ids=["long", "wide", "ends", "kp"]
)
def test_every_form_gives_the_same_points(tmp_path: Path, rows: Rows) -> None:
    write(tmp_path, rows)
    reader = reader_of(tmp_path)
    assert (reader.name, reader.recognises(tmp_path)) == ("csv", "labels.csv")
    assert reader.recognises(tmp_path / "labels.csv") == "labels.csv"
    dataset = open_dataset(tmp_path, None)
    assert (dataset.view, dataset.failures) == (View.AP, ())
    assert dataset.notes[1:] == ("1 image left out, not mentioned in labels.csv",)
    assert dataset.samples[0].image == "images/a.png"
    np.testing.assert_array_equal(dataset.samples[0].keypoints_px, POINTS)


@pytest.mark.parametrize("rows", [LONG, WIDE, ENDPLATES], ids=["long", "wide", "ends"])
@pytest.mark.parametrize(
    ("delimiter", "comma", "start", "encoding"),
    [
        (";", True, "", "utf-8-sig"),
        (";", True, "sep=;\r\n", "utf-8"),
        (";", False, "\n\n", "utf-8"),
        ("\t", True, "", "utf-16"),
        ("\t", False, "", "utf-8"),
        (",", False, "", "utf-8-sig"),
    ],
)
def test_what_spreadsheets_write(
    tmp_path: Path, rows: Rows, delimiter: str, comma: bool, start: str, encoding: str
) -> None:
    body = [[f"{c}".replace(".", ",") if isinstance(c, float) and comma else c for c in row] for row in rows]
    write(tmp_path, (start + text(body, delimiter)).encode(encoding))
    assert reader_of(tmp_path).name == "csv"
    np.testing.assert_array_equal(points(tmp_path), POINTS)


def test_columns_are_told_by_their_names_in_any_order(tmp_path: Path) -> None:
    write(tmp_path, [row[::-1] for row in LONG])
    np.testing.assert_array_equal(points(tmp_path), POINTS)
    more: Rows = [["Vertebral Level", "Y (ignored)", "Y", "x_px", "Corner", "File Name"]]
    more += [[v, 3, y, x, c, image] for image, v, c, x, y in LONG[1:]]
    write(tmp_path, more)
    np.testing.assert_array_equal(points(tmp_path), POINTS)
    turned = [f"{name}{sign}{axis}" for name in NAMES for sign, axis in (("_", "y"), (".", "X"))]
    write(tmp_path, [["file", *turned], ["a.png", *POINTS[:, ::-1].ravel().tolist()]])
    np.testing.assert_array_equal(points(tmp_path), POINTS)
    write(
        tmp_path, [["img", *(f"{a}_{n}" for n in NAMES for a in "xy")], ["a.png", *POINTS.ravel().tolist()]]
    )
    np.testing.assert_array_equal(points(tmp_path), POINTS)


@pytest.mark.parametrize(
    "image", ["a", "a.png", "images/a.png", "C:\\data\\a.png", "/data/../a.png", "a.dcm.png"]
)
def test_an_image_is_found_by_its_name_alone(tmp_path: Path, image: str) -> None:
    write(tmp_path, [LONG[0], *([image, *row[1:]] for row in LONG[1:])])
    if image == "a.dcm.png":
        assert "no such image" in reason(tmp_path)
    else:
        np.testing.assert_array_equal(points(tmp_path), POINTS)


def test_empty_cells_absent_rows_and_invisible_points_are_not_labelled(tmp_path: Path) -> None:
    rows = [[*row, "visible" if at == 0 else 2] for at, row in enumerate(LONG)]
    rows[3][3:5] = "", ""
    rows[4][3:5] = "NaN", "n/a"
    rows[5][5], rows[6][5], rows[7][5] = 0, "false", 1
    del rows[20]
    write(tmp_path, rows)
    assert unlabelled(tmp_path) == [2, 3, 4, 5, 19]
    wide = [WIDE[0], [*WIDE[1][:39], "", ""]]
    write(tmp_path, wide)
    assert unlabelled(tmp_path) == [19]


def test_a_value_stands_for_not_labelled_only_where_it_is_said(tmp_path: Path) -> None:
    for value, said in ((-1, "-1"), (0, "0")):
        rows = [*LONG]
        rows[6] = [*LONG[6][:3], value, f"{value}.0"]
        write(tmp_path, rows)
        assert reason(tmp_path) == (
            f"labels.csv: line 7: L2 UR at {said}, {said}: if not labelled, say so:"
            f" --missing-value {said} or missing_value in [data]"
        )
        assert unlabelled(tmp_path, float(value)) == [5]
    # Half a sentinel: a point may lie at x = 0, none lies at −1.
    rows[6] = [*LONG[6][:3], 0, 40]
    write(tmp_path, rows)
    assert points(tmp_path, 0)[5].tolist() == [0, 40]
    rows[6] = [*LONG[6][:3], -1, 40]
    write(tmp_path, rows)
    assert unlabelled(tmp_path, -1) == [5]
    rows[6] = [*LONG[6][:3], -999, -999]
    write(tmp_path, rows)
    assert unlabelled(tmp_path, -999) == [5]


def test_the_upper_endplate_of_the_sacrum_makes_it_lateral(tmp_path: Path) -> None:
    write(tmp_path, [*ENDPLATES, ["a.png", "S1", "superior", 12, 180, 50, 181]])
    dataset = open_dataset(tmp_path, None)
    assert dataset.samples[0].skeleton is LA
    assert dataset.samples[0].keypoints_px[20:].tolist() == [[12, 180], [50, 181]]


def test_ends_of_endplates_that_are_turned_are_refused(tmp_path: Path) -> None:
    turned = [[*row[:3], *row[5:], *row[3:5]] for row in ENDPLATES]
    write(tmp_path, [ENDPLATES[0], *turned[1:]])
    assert refusal(tmp_path) == (
        "labels.csv: x1 lies right of x2 in 10 of 10 endplates: x1, y1 is the end on the left of the image"
    )


def test_own_names_and_names_that_mean_nothing(tmp_path: Path) -> None:
    names = [f"p{k}" for k in range(20)]
    write(tmp_path, keypoints_long(names=names))
    assert "no name means a keypoint of AP, such as L1 UL: found p0, p1" in refusal(tmp_path)
    own = dict(zip(names, AP.keypoint_names, strict=True))
    np.testing.assert_array_equal(opened(tmp_path, own=own).samples[0].keypoints_px, POINTS)


def test_vertebrae_of_unknown_level_are_counted_from_above(tmp_path: Path) -> None:
    write(tmp_path, [LONG[0], *([row[0], LUMBAR.index(row[1]), *row[2:]] for row in LONG[1:])])
    np.testing.assert_array_equal(points(tmp_path), POINTS)
    assert "vertebrae have no level in labels.csv: counted from above" in opened(tmp_path).notes


def test_several_tables_and_rows_without_an_image(tmp_path: Path) -> None:
    write(tmp_path, [*LONG, ["", "L1", "UL", 1, 2], [], ["", "", "", "", ""]])
    write(tmp_path, [WIDE[0], ["b", *WIDE[1][1:]]], "more.tsv")
    (tmp_path / "pixel_spacing.csv").write_text("image,mm\na,0.2\n")
    (tmp_path / "patients.csv").write_text("image,patient\na,x\nb,y\n")
    (tmp_path / "notes.csv").write_text("image,x\na,1\n")
    dataset = opened(tmp_path)
    assert [sample.image for sample in dataset.samples] == ["images/a.png", "images/b.png"]
    assert dataset.samples[0].spacing == PixelSpacing(0.2, 0.2)
    assert "labels.csv: 1 row without an image left out" in dataset.notes


def test_one_point_twice(tmp_path: Path) -> None:
    write(tmp_path, [*LONG, LONG[5]])
    np.testing.assert_array_equal(points(tmp_path), POINTS)
    write(tmp_path, [*LONG, [*LONG[5][:3], 1, 2]])
    assert reason(tmp_path) == "labels.csv, line 2: L2 UL is marked twice: keep one"
    write(tmp_path, [*WIDE, WIDE[1]])
    assert reason(tmp_path) == "labels.csv: line 3: a second row for this image, after line 2"
    write(tmp_path, [*WIDE, ["a", *WIDE[1][1:]]])
    (failure,) = opened(tmp_path).failures
    assert "a second entry for this image, after labels.csv, line 2" in failure.reason


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (["b.png", "L1", "UL", "left", 2], "line 22: 'left' is not a number"),
        (["b.png", "L1", "UL", "1,5", 2], "line 22: '1,5' is not a number"),
        (["b.png", "L1", "UL", "1_5", 2], "line 22: '1_5' is not a number"),
        (["b.png", "L1", "UL", "inf", 2], "line 22: 'inf' is not a number"),
        (["b.png", "L1", "UL", "1e308", 2], "no image is that large"),
        (["b.png", "L1", "UL", "1e999", 2], "'1e999' is not a number"),
        (["b.png", "L1", "UL", 3, ""], "line 22: L1 UL has only one of x and y"),
        (["b.png", "L1", "UL", 3], "line 22: 4 cells, the header has 5"),
        (["b.png", "L1", "UL", 3, 4, 5], "line 22: 6 cells, the header has 5"),
        (["b.png", "L1", "UL", "", ""], "no keypoint of it is labelled"),
        (["../../b", "L1", "UL", "x", 4], "'x' is not a number"),
    ],
)
def test_a_wrong_row_fails_its_image(tmp_path: Path, row: list[Any], problem: str) -> None:
    write(tmp_path, [*LONG, row])
    dataset = opened(tmp_path)
    assert [sample.image for sample in dataset.samples] == ["images/a.png"]
    (failure,) = dataset.failures
    assert failure.image == "images/b.png"
    assert failure.reason.startswith(("labels.csv: ", "labels.csv, line 22: "))
    assert problem in failure.reason


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (text(LONG).encode() + b"\xff,L1,UL,1,2\n", "labels.csv: not UTF-8: save it as CSV UTF-8"),
        (text(LONG).encode("utf-16") + b"\x00\xd8\x41", "not UTF-8"),
        (text(LONG) + '"' + "x" * 200_000, "after line 21: not a table: field larger than field limit"),
        (text([[*WIDE[0], "L1 UL_x", "L1_UL_x"], WIDE[1]]), "two columns L1_UL_x"),
        (text([WIDE[0][:-1], WIDE[1][:-1]]), "L5_LR has only one of x and y"),
        (text([["image", "mm"], ["a.png", 3]]), "no table with a header such as image,vertebra,corner,x,y"),
        (b"", "no table with a header"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, content: str | bytes, problem: str) -> None:
    write(tmp_path, content)
    assert problem in refusal(tmp_path)


def test_a_visibility_that_says_nothing(tmp_path: Path) -> None:
    write(tmp_path, [[*LONG[0], "visible"], *([*row, "perhaps"] for row in LONG[1:])])
    assert "'perhaps' does not say whether a point is visible" in reason(tmp_path)


@pytest.mark.parametrize(
    "header",
    [
        "scorer,DLC,DLC\nbodyparts,L1_UL,L1_UL\ncoords,x,y\n",
        "image,mm\n",
        "image,patient\n",
        "image,x,y\n",
        "image,bbox_x,bbox_y\n",
        "x,y,vertebra,corner\n",
        "12,13,14,15,0\n",
        "sep=;",
        "sep=\x00\nimage,keypoint,x,y",
        "\n\n",
    ],
)
def test_what_is_not_recognised(tmp_path: Path, header: str) -> None:
    write(tmp_path, header)
    assert reader_of(tmp_path, "csv").recognises(tmp_path) is None


def test_a_header_of_many_separators_is_read_at_once(tmp_path: Path) -> None:
    """A pattern that tried every way to part them would take minutes."""
    began = time.process_time()
    (tmp_path / "a.csv").write_text("image," + "_" * 60_000 + "z,L1_UL_x,L1_UL_y\na,1,2,3\n")
    assert reader_of(tmp_path, "csv").recognises(tmp_path) == "a.csv"
    assert time.process_time() - began < 5


def test_units_in_a_header_are_no_part_of_a_name(tmp_path: Path) -> None:
    write(tmp_path, [["image", "Level", "corner", "X (px)", "Y [pixels]"], *LONG[1:]])
    assert np.array_equal(points(tmp_path), POINTS)
    wide = [[cell if cell == "image" else f"{cell} (px)" for cell in WIDE[0]], WIDE[1]]
    write(tmp_path, wide)
    assert np.array_equal(points(tmp_path), POINTS)


@pytest.mark.parametrize(("rows", "column"), [(LONG, "x"), (LONG, "image"), (ENDPLATES, "y2")])
def test_a_column_that_is_there_twice_is_refused(tmp_path: Path, rows: Rows, column: str) -> None:
    write(tmp_path, [[*rows[0], column], *([*row, "7"] for row in rows[1:])])
    with pytest.raises(DataError, match=f"two columns {column}: keep one"):
        opened(tmp_path)
