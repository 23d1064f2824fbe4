"""A run's table as `images.parquet` and `keypoints.parquet`, and back.

Names, types and order of the columns are those that `RunTable` declares. A missing number is null in the
files and NaN in arrays. Rows are ordered by image name.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mahtdiag import __version__
from mahtdiag.diagnosis.columns import Column, Values
from mahtdiag.diagnosis.run_table import COLUMNS, RunTable
from mahtdiag.errors import RunFolderError
from mahtdiag.runs.document import SCHEMA_VERSION
from mahtdiag.schema.records import Failure
from mahtdiag.schema.skeleton import Skeleton, View

Columns = Sequence[Column[Any]]
Field: TypeAlias = "pa.Field[Any]"

OK: Final = "ok"
FAILED: Final = "failed"
TYPES: Final = {
    "float64": pa.float64(),
    "int32": pa.int32(),
    "int8": pa.int8(),
    "bool": pa.bool_(),
    "string": pa.string(),
    "list<string>": pa.list_(pa.string()),
}
OF_IMAGES: Final = tuple(column for column in COLUMNS if not column.of_keypoints)
OF_KEYPOINTS: Final = tuple(column for column in COLUMNS if column.of_keypoints)
# What the files have beside the columns of a table.
OUTCOME: Final = (pa.field("status", pa.string(), nullable=False), pa.field("reason", pa.string()))
KEYS: Final = (
    pa.field("image", pa.string(), nullable=False),
    pa.field("index", pa.int16(), nullable=False),
    pa.field("vertebra", pa.string(), nullable=False),
    pa.field("corner", pa.string(), nullable=False),
)

LATER_COLUMNS: Final = frozenset(name for column in COLUMNS if column.later for name in column.names)
"""Columns that run folders of earlier versions lack; there they are read as null."""


def _fields(columns: Columns) -> list[Field]:
    return [
        pa.field(name, TYPES[column.dtype], nullable=column.nullable)
        for column in columns
        for name in column.names
    ]


def _schema(fields: Iterable[Field], view: View) -> pa.Schema:
    return pa.schema(
        list(fields),
        metadata={"mahtdiag": __version__, "schema": str(SCHEMA_VERSION), "view": view.value},
    )


def images_schema(view: View, columns: Columns = OF_IMAGES) -> pa.Schema:
    """Columns of `images.parquet`, with product version, schema version and view as file metadata."""
    name, *others = _fields(columns)
    return _schema((name, *OUTCOME, *others), view)


def keypoints_schema(view: View, columns: Columns = OF_KEYPOINTS) -> pa.Schema:
    """Columns of `keypoints.parquet`, with product version, schema version and view as file metadata."""
    return _schema((*KEYS, *_fields(columns)), view)


def images_rows(table: RunTable) -> pa.Table:
    """One row per image, evaluated and failed ones together, in the order of their names."""
    schema = images_schema(table.view)
    evaluated: dict[str, object] = {column.name: getattr(table, column.name) for column in OF_IMAGES}
    evaluated["status"] = [OK] * len(table)
    failed = {
        "image": [failure.image for failure in table.failures],
        "status": [FAILED] * len(table.failures),
        "reason": [failure.reason for failure in table.failures],
        "image_sha256": [failure.image_sha256 for failure in table.failures],
        "annotation_sha256": [failure.annotation_sha256 for failure in table.failures],
    }
    parts = (_filled(failed, len(table.failures), schema), _filled(evaluated, len(table), schema))
    return sorted_by_image(pa.concat_tables(parts))


def _filled(columns: dict[str, Any], rows: int, schema: pa.Schema) -> pa.Table:
    """A table of a schema; a column that is not given is null."""
    arrays = [
        pa.array(columns[field.name], field.type, from_pandas=True)
        if field.name in columns
        else pa.nulls(rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def sorted_by_image(table: pa.Table) -> pa.Table:
    """The rows in the order of the image names (code points); rows of one name keep their order."""
    names = table.column("image").to_pylist()
    return table.take(pa.array(sorted(range(len(names)), key=lambda row: str(names[row])), pa.int64()))


def keypoints_rows(table: RunTable) -> pa.Table:
    """One row per evaluated image and keypoint, by image name and keypoint index."""
    skeleton = table.skeleton
    k, count = skeleton.keypoints, len(table)
    columns: list[NDArray[Any] | Sequence[str]] = [
        np.repeat(np.array(table.image, dtype=object), k),
        np.tile(np.arange(k), count),
        skeleton.vertebra_of * count,
        skeleton.corner_of * count,
    ]
    for column in OF_KEYPOINTS:
        values = np.asarray(table.values_of(column.name)).reshape(count * k, len(column.names))
        columns += [values[:, part] for part in range(len(column.names))]
    schema = keypoints_schema(table.view)
    arrays = [
        pa.array(values, field.type, from_pandas=True) for values, field in zip(columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def read_images(rows: pa.Table, columns: Columns) -> tuple[dict[str, Values], tuple[Failure, ...]]:
    """These columns of the evaluated images, and the images that failed."""
    evaluated = np.array([status == OK for status in rows.column("status").to_pylist()], dtype=np.bool_)
    lost = [*("image", "reason", "image_sha256", "annotation_sha256")]
    failures = tuple(
        Failure(row["image"], row["reason"] or "unknown", row["image_sha256"], row["annotation_sha256"])
        for row in rows.select(lost).filter(pa.array(~evaluated)).to_pylist()
    )
    kept = rows.filter(pa.array(evaluated)) if failures else rows
    return {column.name: _values(kept.column(column.names[0]), column) for column in columns}, failures


def _values(stored: "pa.ChunkedArray[Any]", column: Column[Any]) -> Values:
    if column.dtype == "list<string>":
        return tuple(tuple(texts or ()) for texts in stored.to_pylist())
    if column.number_type is None:
        return tuple(stored.to_pylist())
    return np.asarray(stored.to_numpy(), dtype=column.number_type)


def read_keypoints(
    tables: Iterable[pa.Table], rows: int, columns: Columns, skeleton: Skeleton, path: Path
) -> tuple[tuple[str, ...], dict[str, Values]]:
    """Names of the images and these columns of their keypoints, from tables with `rows` rows together.

    The arrays are filled table by table, so that a file is never in memory as a whole beside them.

    Raises:
        RunFolderError: not keypoints 0 to K − 1 of one image after those of another.
    """
    k = skeleton.keypoints
    if rows % k:
        raise RunFolderError(f"{path}: {rows} rows are not {k} per image; damaged, evaluate again")
    blocks = [np.zeros((rows, len(column.names)), dtype=column.number_type) for column in columns]
    images: list[str] = []
    first = 0
    for table in tables:
        index = table.column("index").to_numpy()
        if not np.array_equal(index, np.resize(np.arange(k), index.size)):
            raise RunFolderError(f"{path}: rows out of order; restore the file or evaluate again")
        last = first + table.num_rows
        for column, block in zip(columns, blocks, strict=True):
            for part, name in enumerate(column.names):
                block[first:last, part] = table.column(name).to_numpy()
        names = table.column("image").take(np.arange(0, table.num_rows, k)).to_pylist()
        images += (str(name) for name in names)
        first = last
    values: dict[str, Values] = {}
    for column, block in zip(columns, blocks, strict=True):
        values[column.name] = column.by_image(block, k)
    return tuple(images), values
