"""The product's own `keypoints.parquet`, alone or in its run folder."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fuzz.running import measured
from tests.data.predictions.sets import (
    IMAGES,
    PREDICTED,
    plain_set,
    points,
    predictions,
    refusal,
    score,
    sigma,
)
from tests.data.readers.marked import NAMES


def table(**more: Any) -> pa.Table:
    vertebrae, corners = zip(*(name.split("_") for name in NAMES), strict=True)
    places = np.concatenate([PREDICTED[image] for image in IMAGES])
    columns = {
        "image": np.repeat(IMAGES, 20),
        "index": np.tile(np.arange(20), 3),
        "vertebra": vertebrae * 3,
        "corner": corners * 3,
        "gt_x": places[:, 0] + 99,
        "pred_x": places[:, 0],
        "pred_y": places[:, 1],
        "sigma_x": np.full(60, 1.5),
        "sigma_y": np.full(60, 2.5),
        "peak": np.full(60, 0.75),
    } | more
    return pa.table({name: values for name, values in columns.items() if values is not None})


def write(tmp_path: Path, content: pa.Table, view: str = "AP", rows: int = 50) -> Path:
    file = tmp_path / "my.run" / "keypoints.parquet"
    file.parent.mkdir()
    pq.write_table(content.replace_schema_metadata({"view": view}), file, row_group_size=rows)
    return file


def same(rows: int, **more: Any) -> pa.Table:
    """A table of so many rows that are all the same but for what is said; it packs very well."""
    columns = {"image": "a.png", "vertebra": "L1", "corner": "UL", "pred_x": 1.0, "pred_y": 1.0}
    repeated = {name: np.full(rows, value) for name, value in columns.items()} | more
    return pa.table({name: pa.array(values).dictionary_encode() for name, values in repeated.items()})


def test_more_rows_than_a_file_of_its_size_has(tmp_path: Path) -> None:
    file = write(tmp_path, same(1_700_000), rows=1_700_000)
    dataset, size = plain_set(tmp_path / "data"), file.stat().st_size
    with measured() as spent:
        said = refusal(file, dataset)
    assert said == f"keypoints.parquet: 1700000 rows in {size} bytes: at most {1_000_000 + 16 * size}"
    assert spent.mb < 50


def test_very_many_rows_of_images(tmp_path: Path) -> None:
    """Of one image, and of two by turns."""
    dataset, count = plain_set(tmp_path / "data"), 200_000
    names = np.where(np.arange(count) % 2, "a.png", "b.png")
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    files = [write(tmp_path / "one", same(count), rows=count)]
    files.append(write(tmp_path / "two", same(count, image=names), rows=count))
    with measured() as spent:
        one, two = (predictions(file, dataset) for file in files)
    (problem,) = one.problems.values()
    assert problem.endswith("keypoints.parquet, row 0: 200000 rows for one image")
    assert [*two.problems] == ["b.png", "a.png"]
    assert "a second prediction for this image" in two.problems["a.png"]
    assert spent.seconds < 4


@pytest.mark.parametrize("folder", [False, True])
def test_predictions_of_a_run(tmp_path: Path, folder: bool) -> None:
    file = write(tmp_path, table())
    found = predictions(file.parent if folder else file, plain_set(tmp_path / "data"))
    assert found.format == "mahtdiag"
    for image in IMAGES:
        np.testing.assert_array_equal(points(found, image), PREDICTED[image])
        np.testing.assert_array_equal(sigma(found, image), np.full((20, 2), [1.5, 2.5]))
        assert (score(found, image) == 0.75).all()


def test_a_run_without_sigma_has_none(tmp_path: Path) -> None:
    file = write(tmp_path, table(sigma_x=pa.nulls(60, pa.float64()), sigma_y=None, peak=None))
    prediction = predictions(file, plain_set(tmp_path / "data")).by_image["a.png"]
    assert prediction.sigma_px is None
    assert prediction.score is None


def test_an_image_whose_rows_lie_apart_is_there_twice(tmp_path: Path) -> None:
    names = np.repeat(IMAGES, 20)
    names[-5:] = "a.png"
    found = predictions(write(tmp_path, table(image=names)), plain_set(tmp_path / "data"))
    assert "a second prediction" in found.problems["a.png"]
    names = np.repeat(IMAGES, 20)
    names[:] = "b.png"
    file = tmp_path / "again.parquet"
    pq.write_table(table(image=names), file)
    assert predictions(file, plain_set(tmp_path / "data")).problems == {
        "b.png": "again.parquet, row 0: a keypoint has two rows"
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pred_x": None}, "no column pred_x: name the keypoints.parquet of a run"),
        ({"vertebra": np.arange(60)}, "image, vertebra and corner are not names"),
        ({"pred_x": ["x"] * 60}, "cannot be read"),
        (
            {"vertebra": [f"T{5 + k // 4 % 5}" for k in range(60)]},
            "no name means a keypoint of AP, such as L1 UL",
        ),
    ],
)
def test_a_table_of_something_else_is_refused(tmp_path: Path, change: Any, words: str) -> None:
    assert words in refusal(write(tmp_path, table(**change)), plain_set(tmp_path / "data"))


def test_a_run_of_another_view_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path, table(), "LA")
    assert "predictions of the view LA, the data are AP" in refusal(file, plain_set(tmp_path / "data"))


@pytest.mark.parametrize("kept", [4, 100, -10])
def test_a_truncated_file_is_refused(tmp_path: Path, kept: int) -> None:
    file = write(tmp_path, table())
    file.write_bytes(file.read_bytes()[:kept])
    assert "keypoints.parquet: cannot be read" in refusal(file, plain_set(tmp_path / "data"))
