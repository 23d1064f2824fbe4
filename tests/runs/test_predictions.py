"""The few columns that a comparison needs: the same numbers as all of them, for less."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from mahtdiag.errors import RunFolderError
from mahtdiag.runs import folder as folder_module
from mahtdiag.runs.predictions import read_predictions
from mahtdiag.runs.reading import open_run
from mahtdiag.schema.skeleton import View

from .builders import uninterrupted, unseal


@pytest.mark.parametrize("view", list(View))
@pytest.mark.parametrize("spread", [False, True])
def test_they_are_those_of_the_whole_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, view: View, spread: bool
) -> None:
    monkeypatch.setattr(folder_module, "IMAGES_PER_ROW_GROUP", 3)
    uninterrupted(tmp_path / "x", view)
    run = open_run(tmp_path / "x", tmp_path)
    found, whole = read_predictions(run, spread=spread), run.keypoints()
    assert found.image == whole.image
    for name in ("gt_px", "pred_px", "error_px", "sigma_px"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))
    assert (found.spread_px2 is not None) is spread
    if found.spread_px2 is not None:
        np.testing.assert_array_equal(found.spread_px2, whole.spread_px2)


def test_a_table_that_is_none_is_named(tmp_path: Path) -> None:
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
            read_predictions(open_run(tmp_path / "x", tmp_path))
    path.unlink()
    with pytest.raises(RunFolderError, match="missing from the run folder"):
        read_predictions(open_run(tmp_path / "x", tmp_path))
