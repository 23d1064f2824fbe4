"""A run's table as `images.parquet` and `keypoints.parquet`, and back; until it is complete, in parts.

Names, types and order of the columns are those that `RunTable` declares. A missing number is null in the
files and NaN in arrays. Rows are ordered by image name. Finished batches are small tables on disk, that are
later merged into two:

    parts/failures.parquet                       images that failed before any batch was made
    parts/keypoints/00000000-00000007.parquet    keypoints of batches 0 to 7
    parts/images/00000000-00000007.parquet       images of batches 0 to 7

The images table of a part is renamed into place last: it is the commit mark, and a keypoints table without
one belongs to no part. Batches are consecutive ranges of the image list sorted by name, so that the parts in
the order of their batches are the rows in the order of the images.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mahtdiag import __version__
from mahtdiag.diagnosis.columns import Column, Values
from mahtdiag.diagnosis.run_table import COLUMNS, IMAGES_AT_ONCE, RunTable
from mahtdiag.errors import RunFolderError
from mahtdiag.runs.document import SCHEMA_VERSION
from mahtdiag.runs.files import TEMPORARY_PREFIX, remove_temporary_files, replacing, require_own
from mahtdiag.runs.parquet_files import completed, read_table, row_count
from mahtdiag.schema.records import Failure
from mahtdiag.schema.skeleton import Skeleton

Columns = Sequence[Column[Any]]
Field: TypeAlias = "pa.Field[Any]"

OK: Final = "ok"
FAILED: Final = "failed"
TYPES: Final = {
    **{name: pa.type_for_alias(name) for name in ("float64", "int32", "int8", "bool", "string")},
    "list<string>": pa.list_(pa.string()),
}
OF_IMAGES: Final = tuple(column for column in COLUMNS if not column.of_keypoints)
OF_KEYPOINTS: Final = tuple(column for column in COLUMNS if column.of_keypoints)
OF_FAILURES: Final = ["image", "reason", "image_sha256", "annotation_sha256"]
# What the files have beside the columns of a table.
OUTCOME: Final = (pa.field("status", pa.string(), nullable=False), pa.field("reason", pa.string()))
KEYS: Final = (
    pa.field("image", pa.string(), nullable=False),
    pa.field("index", pa.int16(), nullable=False),
    pa.field("vertebra", pa.string(), nullable=False),
    pa.field("corner", pa.string(), nullable=False),
)


def _fields(columns: Columns) -> list[Field]:
    return [
        pa.field(name, TYPES[column.dtype], nullable=column.nullable)
        for column in columns
        for name in column.names
    ]


def _schema(fields: Iterable[Field], skeleton: Skeleton) -> pa.Schema:
    about: dict[str | bytes, str | bytes] = {
        "mahtdiag": __version__,
        "schema": str(SCHEMA_VERSION),
        "view": skeleton.view.value,
    }
    if skeleton is not skeleton.view.skeleton:
        about["levels"] = str(skeleton.levels)
    return pa.schema(list(fields), metadata=about)


def images_schema(skeleton: Skeleton, columns: Columns = OF_IMAGES) -> pa.Schema:
    """Columns of `images.parquet`, with product version, schema version and view as file metadata."""
    name, *others = _fields(columns)
    return _schema((name, *OUTCOME, *others), skeleton)


def keypoints_schema(skeleton: Skeleton, columns: Columns = OF_KEYPOINTS) -> pa.Schema:
    """Columns of `keypoints.parquet`, with product version, schema version and view as file metadata."""
    return _schema((*KEYS, *_fields(columns)), skeleton)


def images_rows(table: RunTable) -> pa.Table:
    """One row per image, evaluated and failed ones together, in the order of their names."""
    schema = images_schema(table.skeleton)
    evaluated: dict[str, Any] = {column.name: getattr(table, column.name) for column in OF_IMAGES}
    evaluated["status"] = [OK] * len(table)
    failed = {name: [getattr(failure, name) for failure in table.failures] for name in OF_FAILURES}
    failed["status"] = [FAILED] * len(table.failures)
    parts = [
        pa.table({name: pa.array(of, schema.field(name).type, from_pandas=True) for name, of in each.items()})
        for each in (failed, evaluated)
    ]
    return sorted_by_image(pa.concat_tables(completed(part, schema) for part in parts))


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
        values = np.asarray(getattr(table, column.name)).reshape(count * k, len(column.names))
        columns += [values[:, part] for part in range(len(column.names))]
    schema = keypoints_schema(table.skeleton)
    arrays = [
        pa.array(values, field.type, from_pandas=True) for values, field in zip(columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def read_images(rows: pa.Table, columns: Columns) -> tuple[dict[str, Values], tuple[Failure, ...]]:
    """These columns of the evaluated images, and the images that failed."""
    evaluated = np.array([status == OK for status in rows.column("status").to_pylist()], dtype=np.bool_)
    failed = [] if evaluated.all() else rows.select(OF_FAILURES).filter(pa.array(~evaluated)).to_pylist()
    failures = tuple(
        Failure(row["image"], row["reason"] or "unknown", row["image_sha256"], row["annotation_sha256"])
        for row in failed
    )
    kept = rows.filter(pa.array(evaluated)) if failed else rows
    return {column.name: values_in(kept.column(column.names[0]), column) for column in columns}, failures


def values_in(stored: "pa.ChunkedArray[Any]", column: Column[Any]) -> Values:
    """A column on disk as it is in memory."""
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
        names = table.column("image")
        images += (str(names[row]) for row in range(0, table.num_rows, k))
        first = last
    values: dict[str, Values] = {}
    for column, block in zip(columns, blocks, strict=True):
        values[column.name] = column.by_image(block, k)
    return tuple(images), values


IMAGES_PER_ROW_GROUP: Final = IMAGES_AT_ONCE

_NAME: Final = re.compile(r"(\d{8,})-(\d{8,})\.parquet")


@dataclass(frozen=True, slots=True, order=True)
class BatchRange:
    """Batches `first` to `last`, both included."""

    first: int
    last: int

    @property
    def file_name(self) -> str:
        """Name of the part's files."""
        return f"{self.first:08d}-{self.last:08d}.parquet"

    @property
    def count(self) -> int:
        """How many batches."""
        return max(0, self.last + 1 - self.first)

    @property
    def batches(self) -> range:
        """The batch numbers."""
        return range(self.first, self.last + 1)


def consecutive_ranges(batches: Iterable[int]) -> list[BatchRange]:
    """Batch numbers gathered into ranges without gaps."""
    ranges: list[BatchRange] = []
    for batch in sorted(batches):
        if ranges and batch == ranges[-1].last + 1:
            ranges[-1] = BatchRange(ranges[-1].first, batch)
        else:
            ranges.append(BatchRange(batch, batch))
    return ranges


@dataclass(frozen=True, slots=True)
class PartFiles:
    """The parts of one run folder."""

    root: Path
    skeleton: Skeleton

    @property
    def failures_path(self) -> Path:
        """Table of the images that failed before any batch was made."""
        return self.root / "failures.parquet"

    def images_path(self, part: BatchRange) -> Path:
        """Images table of a part."""
        return self.root / "images" / part.file_name

    def keypoints_path(self, part: BatchRange) -> Path:
        """Keypoints table of a part."""
        return self.root / "keypoints" / part.file_name

    def prepare(self, failures: pa.Table) -> None:
        """Creates the folders, removes what a crash left incomplete and stores the early failures."""
        for folder in (self.root, self.root / "images", self.root / "keypoints"):
            require_own(self.root.parent, folder.relative_to(self.root.parent))
            folder.mkdir(exist_ok=True)
            remove_temporary_files(folder)
        whole = {part.file_name for part in self.whole()}
        for name in ("images", "keypoints"):
            for table in (self.root / name).glob("*.parquet"):
                if table.name not in whole:
                    table.unlink()
        write_table(self.failures_path, [failures], images_schema(self.skeleton))

    def is_unstarted(self, entry: Path) -> bool:
        """Whether a file or folder is all that a process killed before the start of its run leaves behind."""
        own = (self.root, self.root / "images", self.root / "keypoints", self.failures_path)
        return entry in own or entry.name.startswith(TEMPORARY_PREFIX)

    def ranges(self) -> list[BatchRange]:
        """The committed parts, in order.

        Raises:
            RunFolderError: two parts hold the same batch.
        """
        matches = (_NAME.fullmatch(path.name) for path in (self.root / "images").glob("*.parquet"))
        found = sorted(BatchRange(int(m[1]), int(m[2])) for m in matches if m)
        for before, after in pairwise(found):
            if after.first <= before.last:
                raise RunFolderError(
                    f"{self.images_path(after)}: holds batches of {before.file_name} too; remove it "
                    "and continue with --resume"
                )
        return found

    def whole(self) -> list[BatchRange]:
        """The parts of which both tables are there; a batch has at least one image.

        Raises RunFolderError as `ranges`.
        """
        return [
            part
            for part in self.ranges()
            if row_count(self.keypoints_path(part)) is not None
            and part.count <= (row_count(self.images_path(part)) or 0)
        ]

    def write(self, part: BatchRange, images: pa.Table, keypoints: pa.Table) -> None:
        """Stores a part; it counts from the moment that its images table has its name."""
        write_table(self.keypoints_path(part), [keypoints], keypoints_schema(self.skeleton))
        write_table(self.images_path(part), [images], images_schema(self.skeleton))

    def images(self) -> Iterator[pa.Table]:
        """Image rows in the order of their names, early failures among them."""
        schema = images_schema(self.skeleton)
        waiting = read_table(self.failures_path, schema)
        last = ""
        for part in self.ranges():
            rows = read_table(self.images_path(part), schema)
            if not rows.num_rows:
                continue
            last = _require_order(rows, last, self.images_path(part))
            passed = sum(1 for name in waiting.column("image").to_pylist() if str(name) <= last)
            yield sorted_by_image(pa.concat_tables([waiting.slice(0, passed), rows])) if passed else rows
            waiting = waiting.slice(passed)
        yield waiting

    def keypoints(self) -> Iterator[pa.Table]:
        """Keypoint rows in the order of image names and keypoint indices."""
        schema = keypoints_schema(self.skeleton)
        return (read_table(self.keypoints_path(part), schema) for part in self.ranges())

    def merge(self, images: Path, keypoints: Path) -> tuple[int, int]:
        """Writes all parts into two tables; returns their numbers of rows."""
        rows = IMAGES_PER_ROW_GROUP, IMAGES_PER_ROW_GROUP * self.skeleton.keypoints
        written = (
            write_table(images, self.images(), images_schema(self.skeleton), rows[0]),
            write_table(keypoints, self.keypoints(), keypoints_schema(self.skeleton), rows[1]),
        )
        # What comes next is made of other arrays.
        pa.default_memory_pool().release_unused()
        return written


def _require_order(rows: pa.Table, after: str, path: Path) -> str:
    names = [str(name) for name in rows.column("image").to_pylist()]
    if names != sorted(names) or names[0] < after:
        raise RunFolderError(
            f"{path}: batches out of the order of the image names; the run cannot be merged, evaluate again"
        )
    return names[-1]


def _row_groups(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of `rows` each, so that the file does not depend on how the parts were cut."""
    held: list[pa.Table] = []
    count = 0
    for table in tables:
        held.append(table)
        count += table.num_rows
        while count >= rows:
            joined = pa.concat_tables(held)
            held = [joined.slice(rows)]
            columns = joined.slice(0, rows).columns
            del joined
            yield _in_one_piece(columns, held[0].schema)
            count -= rows
    if count:
        yield pa.concat_tables(held).combine_chunks()


def _in_one_piece(columns: "list[pa.ChunkedArray[Any]]", schema: pa.Schema) -> pa.Table:
    """A table of these columns, each of which is let go of once it is in one piece."""
    arrays = []
    while columns:
        arrays.append(columns.pop(0).combine_chunks())
    return pa.Table.from_arrays(arrays, schema=schema)


def write_table(path: Path, tables: Iterable[pa.Table], schema: pa.Schema, rows: int | None = None) -> int:
    """Writes tables one after another into one Parquet file, atomically; returns the number of rows.

    `rows` is the size of a row group; None makes one row group of each table. Only one is held in memory.
    """
    written = 0
    with replacing(path) as file:
        # Coordinates hardly repeat: a dictionary of them costs time and space, and texts compress well alone.
        writer = pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=False)
        try:
            for table in _row_groups(tables, rows) if rows else tables:
                writer.write_table(table)
                written += table.num_rows
            writer.close()
        finally:
            # A writer that could not finish would try again, and fail again, when it is collected.
            writer.is_open = False
    return written
