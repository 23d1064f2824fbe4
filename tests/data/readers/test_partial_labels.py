"""Annotations with gaps are read with them, and refused only where that is asked for."""

from pathlib import Path

import numpy as np
import pytest

from mahtdiag.data.readers import open_dataset
from mahtdiag.data.readers.buu_annotation import parse_annotation
from mahtdiag.errors import DataError
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.skeleton import View
from tests.data.builders import annotation, write_pair


def with_cells(row: int, *cells: str) -> bytes:
    """A valid AP annotation whose row begins with these cells."""
    rows = [line.split(",") for line in annotation(View.AP).splitlines()]
    rows[row][: len(cells)] = cells
    return "\n".join(",".join(row) for row in rows).encode()


@pytest.mark.parametrize("cell", ["", "nan", "NaN", "-nan"])
def test_a_keypoint_without_a_coordinate_is_missing(cell: str) -> None:
    points = parse_annotation(with_cells(3, "60", cell), "x.csv").keypoints_px
    assert np.argwhere(np.isnan(points)).tolist() == [[6, 0], [6, 1]]


@pytest.mark.parametrize(
    "cells",
    [("x",), ("inf",), ("-Infinity",), ("1e999",), ("1", "2", "3", "4", "nan"), ("1", "2", "3", "4", "")],
)
def test_words_infinities_and_labels_are_still_errors(cells: tuple[str, ...]) -> None:
    with pytest.raises(DataError):
        parse_annotation(with_cells(0, *cells), "x.csv")


def test_an_annotation_without_any_keypoint_is_an_error() -> None:
    with pytest.raises(DataError) as caught:
        parse_annotation("\n".join([",,,,0"] * 10).encode(), "x.csv")
    assert caught.value.problems == ("x.csv: no keypoint is labelled: every coordinate is empty",)


def test_a_set_with_gaps(tmp_path: Path) -> None:
    write_pair(tmp_path, "a", View.AP)
    write_pair(tmp_path, "b", View.AP)
    write_pair(tmp_path, "c", View.AP, rows=9)
    (tmp_path / "b.csv").write_bytes(with_cells(0, "nan"))
    lenient = open_dataset(tmp_path, View.AP)
    strict = open_dataset(tmp_path, View.AP, ReadOptions(complete_only=True))
    assert [sample.image for sample in lenient.samples] == ["a.png", "b.png"]
    assert [failure.image for failure in lenient.failures] == ["c.png"]
    assert [sample.image for sample in strict.samples] == ["a.png"]
    assert [failure.reason for failure in strict.failures if failure.image == "b.png"] == [
        "1 of 20 keypoints not labelled (L1 UL), --complete-only"
    ]
