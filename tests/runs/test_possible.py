"""Numbers in the tables of a run that no evaluation writes are refused where they stand."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mahtdiag.errors import RunFolderError
from mahtdiag.runs.parquet_files import iter_tables

NAN = float("nan")
INF = float("inf")
FLOAT32 = np.finfo(np.float32)


def read(folder: Path, column: str, values: list[float | int | None], whole: bool = False) -> list[object]:
    """The column as it is read back from a file of three rows in each row group."""
    table = pa.table({column: pa.array(values, pa.int32() if whole else pa.float64())})
    pq.write_table(table, folder / "t.parquet", row_group_size=3)
    tables = iter_tables(folder / "t.parquet", table.schema)
    return [value for part in tables for value in part.column(column).to_pylist()]


@pytest.mark.parametrize("value", [0, -5, 2**31 - 1, 2**28 + 1])
@pytest.mark.parametrize("column", ["width", "height"])
def test_sizes_of_images(tmp_path: Path, column: str, value: int) -> None:
    with pytest.raises(RunFolderError) as caught:
        read(tmp_path, column, [1, None, 2**28, 40, value], whole=True)
    said = f"column {column}, row 5: {value:g}, expected 1 to 268,435,456 pixels"
    line = f"{tmp_path / 't.parquet'}: {said}; restore the file or evaluate again"
    assert caught.value.problems == (line,)


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("pixel_spacing_mm", [1e308, -1.0, 0.0, 0.0049, 5.1], "between 0.005 and 5 mm"),
        ("pixel_spacing_x_mm", [1e308, -1.0, INF], "between 0.005 and 5 mm"),
        ("error_px", [-1.0, 1e60], r"0, or 1e-100 to 1e\+53"),
        ("error_mm", [-1e-9, 5e-324], r"0, or 1e-100 to 1e\+53"),
        ("loss_total", [1e300, -1e101], r"at most 1e\+100"),
        ("pred_x", [1e308, -2e200], r"a place within 1e\+50 pixels"),
        ("gt_y", [2e200, INF], r"a place within 1e\+50 pixels"),
        ("second_x", [1e308], r"a place within 1e\+50 pixels"),
        ("sigma_x", [1e-308, -1e-308, 1e308], r"0 or 1e-84 to 1e\+74 pixels"),
        ("sigma_epistemic_y", [-1e308], r"0 or 1e-84 to 1e\+74 pixels"),
        ("spread_xy", [1e200, -1e200], r"at most 1e\+148 square pixels"),
    ],
)
def test_numbers_that_no_run_has(tmp_path: Path, column: str, values: list[float], said: str) -> None:
    for value in values:
        with pytest.raises(RunFolderError, match=rf"column {column}, row 4: .*, expected {said}; restore"):
            read(tmp_path, column, [None, 1.0, NAN, value])


LARGEST = float(FLOAT32.max) * 2**28


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("pixel_spacing_mm", [0.005, 5.0, 0.143, None]),
        ("pred_x", [LARGEST, -LARGEST, 0.0, INF, -INF, None]),
        ("sigma_x", [0.0, -1.0, float(FLOAT32.smallest_subnormal) / 2**28, LARGEST, INF]),
        ("spread_xx", [0.0, -1.0, float(FLOAT32.max) * 2.0**56, INF]),
        ("argmax_x", [-1.0, INF, None, 5.0]),
    ],
)
def test_what_networks_give_is_read(tmp_path: Path, column: str, values: list[float | int | None]) -> None:
    assert read(tmp_path, column, values) == values
