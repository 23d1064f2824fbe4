"""Who judges annotations reads them with their gaps."""

from pathlib import Path

import numpy as np
import pytest

from mahtdiag.data.readers import open_dataset
from mahtdiag.data.readers.buu_annotation import parse_annotation
from mahtdiag.errors import DataError
from mahtdiag.schema.skeleton import View
from tests.data.builders import annotation, write_pair


def with_cells(row: int, *cells: str) -> bytes:
    """A valid AP annotation whose row begins with these cells."""
    rows = [line.split(",") for line in annotation(View.AP).splitlines()]
    rows[row][: len(cells)] = cells
    return "\n".join(",".join(row) for row in rows).encode()


@pytest.mark.parametrize("cell", ["", "nan", "NaN", "inf", "-Infinity", "1e999"])
def test_a_coordinate_that_is_no_number_is_missing(cell: str) -> None:
    content = with_cells(3, "60", cell)
    with pytest.raises(DataError):
        parse_annotation(content, "x.csv")
    points = parse_annotation(content, "x.csv", missing_allowed=True).keypoints_px
    assert np.argwhere(np.isnan(points)).tolist() == [[6, 1]]


@pytest.mark.parametrize("cells", [("x",), ("1", "2", "3", "4", "nan"), ("1", "2", "3", "4", "")])
def test_words_and_labels_are_still_errors(cells: tuple[str, ...]) -> None:
    with pytest.raises(DataError):
        parse_annotation(with_cells(0, *cells), "x.csv", missing_allowed=True)


def test_a_set_with_gaps(tmp_path: Path) -> None:
    write_pair(tmp_path, "a", View.AP)
    write_pair(tmp_path, "b", View.AP)
    write_pair(tmp_path, "c", View.AP, rows=9)
    (tmp_path / "b.csv").write_bytes(with_cells(0, "nan"))
    strict = open_dataset(tmp_path, View.AP)
    lenient = open_dataset(tmp_path, View.AP, missing_allowed=True)
    assert [sample.image for sample in strict.samples] == ["a.png"]
    assert [sample.image for sample in lenient.samples] == ["a.png", "b.png"]
    assert [failure.image for failure in lenient.failures] == ["c.png"]
