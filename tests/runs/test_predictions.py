"""The few columns that a comparison needs: the same numbers as all of them, for less."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from mahtdiag.diagnosis.columns import ColumnNotReadError
from mahtdiag.diagnosis.run_table import COLUMNS, RunTable
from mahtdiag.errors import RunFolderError
from mahtdiag.runs import reading, tables
from mahtdiag.runs.reading import open_run
from mahtdiag.schema.skeleton import View

from .builders import FAILED, uninterrupted, unseal

FEW = (RunTable.pixel_spacing_mm, RunTable.gt_px, RunTable.error_px, RunTable.at_min)


@pytest.mark.parametrize("held", [0, 4096])
@pytest.mark.parametrize("view", list(View))
def test_they_are_those_of_the_whole_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, view: View, held: int
) -> None:
    monkeypatch.setattr(tables, "IMAGES_PER_ROW_GROUP", 3)
    uninterrupted(tmp_path / "x", view)
    run = open_run(tmp_path / "x", tmp_path)
    whole = run.closed().table()
    monkeypatch.setattr(reading, "IMAGES_HELD", held)
    found = run.table(FEW)
    assert (found.image, found.failures) == (whole.image, whole.failures)
    assert len(found.failures) == FAILED
    for column in FEW:
        np.testing.assert_array_equal(found.values_of(column.name), whole.values_of(column.name))
    for column in COLUMNS:
        if column.compute is None and column not in (RunTable.image, *FEW):
            with pytest.raises(ColumnNotReadError, match=f"without {column.name}"):
                getattr(found, column.name)
    # One table per run: what is missing is read when it is asked for.
    assert run.table() is found
    for column in COLUMNS:
        a, b = getattr(found, column.name), getattr(whole, column.name)
        if isinstance(a, tuple):
            assert a == b
        else:
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("held", [0, 4096])
def test_a_table_that_is_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    monkeypatch.setattr(reading, "IMAGES_HELD", held)
    uninterrupted(tmp_path / "x")
    unseal(tmp_path / "x")
    path = tmp_path / "x" / "keypoints.parquet"
    table = pq.read_table(path)
    for content, message in (
        (table.slice(1), "159 rows are not 20 per image"),
        (table.sort_by("pred_x"), "rows out of order"),
        (table.drop_columns(["gt_x"]), "no column gt_x"),
    ):
        pq.write_table(content, path)
        with pytest.raises(RunFolderError, match=message):
            open_run(tmp_path / "x", tmp_path).table(FEW)
    path.unlink()
    with pytest.raises(RunFolderError, match="missing from the run folder"):
        open_run(tmp_path / "x", tmp_path).table(FEW)
