"""The annotation format: what is read, what is tolerated, and what each mistake is called."""

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mahtdiag.data.file_names import parse_file_name, view_of_file_name
from mahtdiag.data.readers.buu_annotation import looks_like_annotation, parse_annotation
from mahtdiag.errors import DataError
from mahtdiag.schema.records import Patient
from mahtdiag.schema.skeleton import View
from tests.data.builders import annotation, spine
from training.annotations import format_annotation

VIEWS = st.sampled_from(list(View))


def problems_of(text: str | bytes, name: str = "0042.csv") -> tuple[str, ...]:
    with pytest.raises(DataError) as caught:
        parse_annotation(text if isinstance(text, bytes) else text.encode(), name)
    return caught.value.problems


def with_cell(row: int, column: int, cell: str, view: View = View.AP) -> str:
    """A valid annotation with one cell replaced; row and column from 0."""
    table = [line.split(",") for line in annotation(view).splitlines()]
    table[row][column] = cell
    return "\n".join(",".join(line) for line in table)


@pytest.mark.parametrize("view", list(View))
def test_rows_become_the_corners_of_each_vertebra(view: View) -> None:
    endplates = range(view.skeleton.endplates)
    rows = [(100 * e + 1, 100 * e + 2, 100 * e + 3, 100 * e + 4, e % 5) for e in endplates]
    content = "".join(",".join(map(str, row)) + "\n" for row in rows).encode()
    parsed = parse_annotation(content, "a.csv")
    by_name = dict(zip(view.skeleton.keypoint_names, parsed.keypoints_px.tolist(), strict=True))
    for endplate, (x1, y1, x2, y2, _) in enumerate(rows):
        vertebra, side = view.skeleton.endplate_names[endplate].split()
        # S1 has an upper endplate alone.
        assert by_name[f"{vertebra} {side[0].upper()}L"] == [x1, y1]
        assert by_name[f"{vertebra} {side[0].upper()}R"] == [x2, y2]
    assert parsed.skeleton is view.skeleton
    assert parsed.listhesis == tuple(row[4] for row in rows)


@given(
    view=VIEWS,
    decimals=st.integers(0, 6),
    data=st.data(),
)
def test_format_and_parse_round_trip(view: View, decimals: int, data: st.DataObject) -> None:
    points = data.draw(hnp.arrays(np.float64, (view.skeleton.keypoints, 2), elements=st.floats(-1e4, 1e4)))
    endplates = view.skeleton.endplates
    codes = data.draw(st.lists(st.integers(0, 4), min_size=endplates, max_size=endplates))
    parsed = parse_annotation(format_annotation(points, codes, decimals).encode(), "a.csv")
    assert parsed.skeleton is view.skeleton
    assert parsed.listhesis == tuple(codes)
    np.testing.assert_allclose(parsed.keypoints_px, points, rtol=1e-12, atol=0.5 * 10**-decimals + 1e-9)
    again = format_annotation(parsed.keypoints_px, parsed.listhesis, decimals)
    assert again == format_annotation(points, codes, decimals)
    assert "-0," not in again.replace("-0.0", "-0")


def test_whole_pixels_are_written_as_in_the_published_set() -> None:
    text = format_annotation(spine(View.AP), [0] * 9 + [3], decimals=0)
    assert text.splitlines()[0] == "60,20,100,20,0"
    assert text.splitlines()[9] == "60,160,100,160,3"


@pytest.mark.parametrize(
    ("points", "codes"),
    [
        (spine(View.AP)[:19], [0] * 10),
        (spine(View.AP), [0] * 11),
        (spine(View.AP), [5] * 10),
        (np.full((20, 2), math.nan), [0] * 10),
    ],
)
def test_format_refuses_what_the_format_cannot_say(points: np.ndarray, codes: list[int]) -> None:
    with pytest.raises(ValueError, match=r"no view|missing|codes"):
        format_annotation(points, codes)


PLAIN = annotation(View.LA)
TOLERATED = {
    "UTF-8 mark": b"\xef\xbb\xbf" + PLAIN.encode(),
    "UTF-16 mark, tabs": PLAIN.replace(",", "\t").encode("utf-16"),
    "UTF-16 big end first": b"\xfe\xff" + PLAIN.encode("utf-16-be"),
    "CRLF": PLAIN.replace("\n", "\r\n").encode(),
    "CR": PLAIN.replace("\n", "\r").encode(),
    "no last line end": PLAIN.rstrip().encode(),
    "blank lines": ("\n \n" + PLAIN.replace("\n", "\n\n\t\n") + "\n\n").encode(),
    "spaces": PLAIN.replace(",", " , ").encode(),
    "tabs and commas": PLAIN.replace(",", ",\t").encode(),
    "quotes": ('"' + PLAIN.replace(",", '","').rstrip().replace("\n", '"\n"') + '"').encode(),
    "quoted lines": ('"' + PLAIN.rstrip().replace("\n", '"\n"') + '"').encode(),
    "semicolons": PLAIN.replace(",", ";").encode(),
    "decimal commas": PLAIN.replace(",", ",0;").replace("\n", ",0\n").encode(),
    "tabs": PLAIN.replace(",", "\t").encode(),
    "labels as decimals": PLAIN.replace("\n", ".0\n").encode(),
    "exponents and signs": PLAIN.replace("60,20,", "+6.0e1,2.E1,").encode(),
    "one semicolon line": PLAIN.replace("60,20,100,20,0", "60;20;100;20;0").encode(),
}


@pytest.mark.parametrize("how", TOLERATED)
def test_tolerated_ways_of_writing_read_the_same(how: str) -> None:
    parsed = parse_annotation(TOLERATED[how], "a.csv")
    assert parsed.skeleton is View.LA.skeleton
    np.testing.assert_array_equal(parsed.keypoints_px, spine(View.LA))
    assert parsed.listhesis == (0,) * 11


def test_ends_in_the_wrong_order_are_kept_for_the_anatomical_rules() -> None:
    points = spine(View.AP)[:, ::-1].copy()
    points[0::2, 0], points[1::2, 0] = 100, 60
    parsed = parse_annotation(format_annotation(points, [0] * 10, 0).encode(), "a.csv")
    np.testing.assert_array_equal(parsed.keypoints_px, points)


@pytest.mark.parametrize("rows", [1, 9, 12, 20])
def test_another_number_of_rows(rows: int) -> None:
    (problem,) = problems_of(annotation(View.LA, rows))
    counted = "1 row" if rows == 1 else f"{rows} rows"
    assert problem == (
        f"0042.csv: {counted}, an AP annotation has 10 (L1 upper … L5 lower),"
        " an LA annotation 11 (then S1 upper)"
    )


@pytest.mark.parametrize(
    ("row", "column", "cell", "problem"),
    [
        (2, 1, "abc", "row 3 (L2 upper), column 2 (y1): 'abc' is not a number"),
        (1, 2, "-Inf", "row 2 (L1 lower), column 3 (x2): '-Inf' is not a finite number"),
        (1, 4, "", "row 2 (L1 lower), column 5 (label): empty: a label is 0 to 4, 0 is normal"),
        (1, 2, "1e999", "row 2 (L1 lower), column 3 (x2): '1e999' is not a finite number"),
        (1, 2, "1_0", "row 2 (L1 lower), column 3 (x2): '1_0' is not a number"),
        (1, 2, "٣", "row 2 (L1 lower), column 3 (x2): '٣' is not a number"),
        (1, 4, "5", "row 2 (L1 lower), column 5 (label): '5' is not a label: 0 to 4"),
        (1, 4, "-1", "row 2 (L1 lower), column 5 (label): '-1' is not a label: 0 to 4"),
        (1, 4, "1.5", "row 2 (L1 lower), column 5 (label): '1.5' is not a label: 0 to 4"),
        (1, 4, "x" * 99, "row 2 (L1 lower), column 5 (label): '" + "x" * 39 + "…' is not a number"),
    ],
)
def test_a_wrong_cell_is_named(row: int, column: int, cell: str, problem: str) -> None:
    (found,) = problems_of(with_cell(row, column, cell))
    assert found.startswith(f"0042.csv: {problem}")


def test_all_problems_come_at_once() -> None:
    text = with_cell(2, 1, "abc").splitlines()
    text[4] = "1,2,3,4"
    del text[9]
    assert [problem.split(":")[1] for problem in problems_of("\n".join(text))] == [
        " 9 rows, an AP annotation has 10 (L1 upper … L5 lower), an LA annotation 11 (then S1 upper)",
        " row 3 (L2 upper), column 2 (y1)",
        " row 5 (L3 upper)",
    ]


def test_a_header_is_named_and_does_not_count_as_a_row() -> None:
    assert problems_of("x1,y1,x2,y2,label\n" + PLAIN) == (
        "0042.csv: row 1 is a header ('x1,y1,x2,y2,label'): remove it",
    )


@pytest.mark.parametrize("content", [b"", b"\n \r\n", b"\xef\xbb\xbf", b"\xff\xfe"])
def test_an_empty_file(content: bytes) -> None:
    assert problems_of(content) == ("0042.csv: the annotation is empty",)


def test_a_binary_file() -> None:
    assert problems_of(b"1,2\0,3") == (
        "0042.csv: not a text file: an annotation is a CSV of x1,y1,x2,y2,label",
    )


def test_a_huge_file_is_not_reported_row_by_row() -> None:
    assert len(problems_of("a,b\n" * 99 + "a,b,c\n")) == 21
    (problem,) = problems_of(PLAIN * 1000)
    assert "bytes, an annotation has 10 or 11 short rows" in problem


@given(st.binary(max_size=300) | st.text(alphabet="0123456789.,;\t\n\r\"' -+enaif", max_size=300))
def test_any_content_is_read_or_refused_in_words(content: bytes | str) -> None:
    given_bytes = content if isinstance(content, bytes) else content.encode()
    problems: tuple[str, ...] = ()
    try:
        parsed = parse_annotation(given_bytes, "a.csv")
    except DataError as error:
        problems = error.problems
    else:
        assert np.isfinite(parsed.keypoints_px).all()
        return
    assert problems
    assert all(problem.startswith("a.csv: ") and problem.isprintable() for problem in problems)


@given(view=VIEWS, data=st.data())
def test_truncation_never_yields_half_an_annotation(view: View, data: st.DataObject) -> None:
    content = annotation(view).encode()
    cut = content[: data.draw(st.integers(0, len(content) - 3))]
    try:
        parsed = parse_annotation(cut, "a.csv")
    except DataError:
        return
    # Cut exactly behind the tenth of eleven rows, an LA file is a valid AP file.
    assert view is View.LA
    assert parsed.skeleton is View.AP.skeleton
    np.testing.assert_array_equal(parsed.keypoints_px, spine(View.AP))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        (annotation(View.AP, 9), True),
        ("image,age\na,30\n", False),
        ("x1,y1,x2,y2,label\n1;2;3;4;0\n", True),
        ("1,2,3,4,normal\n", True),
        ("1,2,3,4\n", False),
        ("\0\0", False),
        ("patient,sex,age\n" * 10_000, False),
    ],
)
def test_what_looks_like_an_annotation(text: str, expected: bool) -> None:
    assert looks_like_annotation(text.encode()) is expected


def test_file_names_of_the_published_set() -> None:
    assert parse_file_name("0001-F-037Y0") == Patient("0001", "F", 37)
    assert parse_file_name("a-b-M-104Y1") == Patient("a-b", "M", 104)
    assert view_of_file_name("0001-F-037Y0") is View.AP
    assert view_of_file_name("0001-F-037Y1") is View.LA
    for stem in ("0001", "0001-F-037Y2", "0001-X-037Y0", "0001-F-Y0", "-F-037Y0", "0001-F-037Y0 copy", ""):
        assert parse_file_name(stem) is None
        assert view_of_file_name(stem) is None


@pytest.mark.parametrize(("columns", "rows"), [(4, 10), (3, 10), (6, 11)])
def test_a_mistake_of_all_rows_is_said_once(columns: int, rows: int) -> None:
    content = "\n".join([",".join(["1"] * columns)] * rows).encode()
    with pytest.raises(DataError) as caught:
        parse_annotation(content, "0042.csv")
    assert caught.value.problems == (
        f"0042.csv: all rows have {columns} columns, expected x1,y1,x2,y2,label",
    )


def test_a_cell_of_many_digits_is_read_at_once() -> None:
    """A pattern that tried every way to part them would take minutes."""
    began = time.process_time()
    rows = annotation(View.AP).splitlines()
    with pytest.raises(DataError, match="is not a number"):
        parse_annotation("\n".join(["9" * 50_000 + "x,1,1,1,0", *rows[1:]]).encode(), "a.csv")
    assert time.process_time() - began < 5
