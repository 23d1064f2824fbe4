"""Run folders as they are read: the latest or a named one, whole, damaged or foreign."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from mahtdiag.errors import RunFolderError
from mahtdiag.runs import tables
from mahtdiag.runs.folder import RunFolder
from mahtdiag.runs.reading import open_run
from mahtdiag.schema.skeleton import View

from .builders import (
    EACH_BATCH,
    EVALUATED,
    FAILED,
    append_missing,
    batches,
    finished,
    header,
    uninterrupted,
    unseal,
)


@pytest.mark.parametrize("view", list(View))
def test_arrays_have_the_shapes_of_their_names(tmp_path: Path, view: View) -> None:
    uninterrupted(tmp_path / "x", view)
    run = open_run(tmp_path / "x", tmp_path)
    table, k = run.table(), view.skeleton.keypoints
    assert run.view is table.view is view
    for points in (
        table.gt_px,
        table.pred_px,
        table.sigma_px,
        table.at_min,
        table.at_max,
    ):
        assert points.shape == (EVALUATED, k, 2)
    for values in (table.error_px, table.error_mm, table.peak, table.flags):
        assert values.shape == (EVALUATED, k)
    assert table.spread_px2.shape == (EVALUATED, k, 3)
    assert table.flags.dtype == np.int64
    assert table.at_min.dtype == np.bool_
    assert table.width.shape == table.loss_total.shape == (EVALUATED,)
    assert len(table) == len(table.image) == len(table.violations) == EVALUATED
    assert len(table.failures) == FAILED
    assert {failure.image for failure in table.failures} & set(table.image) == set()


def test_image_columns_follow_from_keypoint_columns(tmp_path: Path) -> None:
    uninterrupted(tmp_path / "x")
    run = open_run(tmp_path / "x", tmp_path)
    table, errors = run.table(), run.table().error_px
    assert np.isnan(errors[:, 3]).all()
    np.testing.assert_allclose(table.radial_error_px, np.nanmean(errors, axis=1), rtol=1e-12)
    np.testing.assert_array_equal(table.max_error_px, np.nanmax(errors, axis=1))


def test_an_interrupted_run_is_read_like_a_complete_one(tmp_path: Path) -> None:
    uninterrupted(tmp_path / "whole")
    folder = RunFolder.create(tmp_path / "x", header(EVALUATED + FAILED), limits=EACH_BATCH)
    append_missing(folder, batches())
    parts, whole = open_run(tmp_path / "x", tmp_path), open_run(tmp_path / "whole", tmp_path)
    assert parts.document.status == "interrupted"
    assert parts.table().image == whole.table().image
    for name in (
        "gt_px",
        "pred_px",
        "error_px",
        "sigma_px",
        "spread_px2",
        "peak",
        "flags",
        "at_min",
        "at_max",
    ):
        np.testing.assert_array_equal(getattr(parts.table(), name), getattr(whole.table(), name))


def test_row_groups_are_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uninterrupted(tmp_path / "one")
    monkeypatch.setattr(tables, "IMAGES_PER_ROW_GROUP", 3)
    uninterrupted(tmp_path / "many")
    assert pq.read_metadata(tmp_path / "one" / "keypoints.parquet").num_row_groups == 1
    assert pq.read_metadata(tmp_path / "many" / "keypoints.parquet").num_row_groups == 3
    assert pq.read_metadata(tmp_path / "many" / "images.parquet").num_row_groups == 5
    one, many = open_run(tmp_path / "one", tmp_path), open_run(tmp_path / "many", tmp_path)
    assert one.table().failures == many.table().failures
    assert one.table().image == many.table().image
    np.testing.assert_array_equal(one.table().pred_px, many.table().pred_px)


def test_a_run_in_which_all_failed_has_empty_arrays(tmp_path: Path) -> None:
    start = header(1)
    folder = RunFolder.create(tmp_path / "x", start)
    folder.append(0, [], batches()[1][1])
    folder.finish(finished(start, 0, 1), tmp_path)
    run = open_run(tmp_path / "x", tmp_path)
    assert run.table().gt_px.shape == (0, 20, 2)
    assert (len(run.table()), len(run.table().failures)) == (0, 1)


def test_without_a_name_the_latest_finished_run_is_read(tmp_path: Path) -> None:
    for name in ("first", "second"):
        uninterrupted(tmp_path / "runs" / name)
        start = header(EVALUATED + FAILED)
        folder = RunFolder.create(tmp_path / "runs" / f"{name}-again", start)
        folder.finish(finished(header(0), 0, 0).model_copy(update={"failures": ()}), tmp_path)
    RunFolder.create(tmp_path / "runs" / "unfinished", header())
    assert open_run(None, tmp_path).path == tmp_path / "runs" / "second-again"
    assert open_run(Path("runs/first"), tmp_path).path == tmp_path / "runs" / "first"


def test_a_folder_that_is_no_run_is_explained(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for name, message in (
        ("gone", "gone: no such run folder; check the name"),
        ("empty", r"empty: not a run folder, it has no run\.json"),
        ("file", "file: a file, not a run folder"),
        ("file/deeper", "file/deeper: no such run folder"),
        ("x" * 300, "File name too long"),
    ):
        with pytest.raises(RunFolderError, match=message):
            open_run(Path(name), tmp_path)


def test_a_document_of_another_version_is_refused(tmp_path: Path) -> None:
    uninterrupted(tmp_path / "x")
    path = tmp_path / "x" / "run.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, "schema": 2, "mahtdiag": "3.0"}), encoding="utf-8")
    with pytest.raises(RunFolderError, match=r"schema version 2, written by mahtdiag 3\.0"):
        open_run(tmp_path / "x", tmp_path)


@pytest.mark.parametrize("name", ["images.parquet", "keypoints.parquet"])
@pytest.mark.parametrize("keep", [0, 3, 100, 0.5, 0.99])
def test_a_damaged_table_is_named(tmp_path: Path, name: str, keep: float) -> None:
    uninterrupted(tmp_path / "x")
    unseal(tmp_path / "x")
    path = tmp_path / "x" / name
    content = path.read_bytes()
    path.write_bytes(content[: int(keep if keep >= 3 or keep == 0 else len(content) * keep)])
    with pytest.raises(RunFolderError) as caught:
        open_run(tmp_path / "x", tmp_path).table()
    assert str(caught.value).startswith(f"{path}: damaged")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["images.parquet", "keypoints.parquet"])
def test_damage_inside_a_table_is_noticed(tmp_path: Path, name: str) -> None:
    uninterrupted(tmp_path / "x")
    unseal(tmp_path / "x")
    path = tmp_path / "x" / name
    content = bytearray(path.read_bytes())
    content[4:400] = bytes(396)
    path.write_bytes(content)
    with pytest.raises(RunFolderError, match="damaged"):
        open_run(tmp_path / "x", tmp_path).table()


@pytest.mark.parametrize("name", ["images.parquet", "keypoints.parquet"])
def test_a_missing_table_or_column_is_named(tmp_path: Path, name: str) -> None:
    uninterrupted(tmp_path / "x")
    unseal(tmp_path / "x")
    path = tmp_path / "x" / name
    column = "loss_total" if name == "images.parquet" else "gt_x"
    table = pq.read_table(path)
    pq.write_table(table.drop_columns([column]), path)
    with pytest.raises(RunFolderError, match=f"no column {column}"):
        open_run(tmp_path / "x", tmp_path).table()
    path.unlink()
    with pytest.raises(RunFolderError, match="missing from the run folder"):
        open_run(tmp_path / "x", tmp_path).table()


def test_more_columns_and_another_order_are_no_obstacle(tmp_path: Path) -> None:
    uninterrupted(tmp_path / "x")
    unseal(tmp_path / "x")
    path = tmp_path / "x" / "keypoints.parquet"
    before = open_run(tmp_path / "x", tmp_path).table()
    table = pq.read_table(path)
    reader = table.select(list(reversed(table.column_names))).append_column("reader", table.column("image"))
    pq.write_table(reader, path)
    np.testing.assert_array_equal(open_run(tmp_path / "x", tmp_path).table().gt_px, before.gt_px)


def test_keypoint_rows_that_were_moved_are_noticed(tmp_path: Path) -> None:
    uninterrupted(tmp_path / "x")
    unseal(tmp_path / "x")
    path = tmp_path / "x" / "keypoints.parquet"
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    with pytest.raises(RunFolderError, match="159 rows are not 20 per image"):
        open_run(tmp_path / "x", tmp_path).table()
    pq.write_table(table.sort_by("pred_x"), path)
    with pytest.raises(RunFolderError, match="rows out of order"):
        open_run(tmp_path / "x", tmp_path).table()


@pytest.mark.parametrize("without_parts_of_sigma", [True, False])
def test_what_earlier_versions_did_not_write_is_unknown(tmp_path: Path, without_parts_of_sigma: bool) -> None:
    folder = tmp_path / "x"
    uninterrupted(folder)
    unseal(folder)
    path = folder / "keypoints.parquet"
    before = open_run(folder, tmp_path).table()
    table = pq.read_table(path)
    later = [
        "second_peak",
        *(f"{name}_{axis}" for name in ("second", "argmax", "local") for axis in "xy"),
        *(f"sigma_{part}_{axis}" for part in ("aleatoric", "epistemic") for axis in "xy"),
    ]
    pq.write_table(table.drop_columns(later if without_parts_of_sigma else later[:7]), path)
    after = open_run(folder, tmp_path).table()
    np.testing.assert_array_equal(after.pred_px, before.pred_px)
    np.testing.assert_array_equal(after.at_max, before.at_max)
    peaks = after.peaks
    unknown = (peaks.second_share, peaks.second, peaks.argmax, peaks.local, after.sigma_epistemic_px)
    assert all(np.isnan(values).all() for values in unknown)
    pq.write_table(table.drop_columns(["listhesis"]), path)
    assert np.isnan(open_run(folder, tmp_path).table().listhesis).all()
    assert peaks.local.shape == before.pred_px.shape
