"""The columns of a finished run of many images, each read when it is asked for, row group by row group."""

from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mahtdiag.diagnosis.column_values import ColumnValues, ReadColumns
from mahtdiag.diagnosis.columns import Column, Values
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.errors import RunFolderError
from mahtdiag.runs.parquet_files import iter_tables, metadata_of
from mahtdiag.runs.tables import OK, Columns, images_schema, keypoints_schema, read_images, values_in
from mahtdiag.schema.records import Failure
from mahtdiag.schema.skeleton import Skeleton

HELD_PER_KEYPOINT: Final = 16
"""Bytes of columns that stay in memory: as many as labels or predictions take."""

_BYTES_OF_TEXT: Final = 100


class StoredColumns:
    """Both tables of a run, opened: they list the same images, in the same order, K keypoints each.

    Raises:
        RunFolderError: a table is missing or damaged, or does not fit the other.
    """

    def __init__(self, images: Path, keypoints: Path, skeleton: Skeleton, label: str) -> None:
        self._images_path, self._keypoints_path, self._skeleton = images, keypoints, skeleton
        self._metadata = metadata_of(keypoints)
        names: list[str] = []
        evaluated: list[NDArray[np.bool_]] = []
        failures: list[Failure] = []
        shas = (RunTable.image_sha256, RunTable.annotation_sha256)
        for rows in iter_tables(images, images_schema(skeleton, (RunTable.image, *shas))):
            found, failed = read_images(rows, (RunTable.image,))
            names += found[RunTable.image.name]
            failures += failed
            evaluated.append(np.array(rows.column("status").to_numpy() == OK, dtype=np.bool_))
        self._names, self.failures, self._evaluated = tuple(names), tuple(failures), np.concatenate(evaluated)
        self._starts = self._first_images()
        if not self._has_names():
            raise RunFolderError(f"{label}: its tables list different images; damaged, evaluate again")
        if len(set(self._names)) != len(self._names):
            raise RunFolderError(f"{label}: its tables list an image twice; damaged, evaluate again")
        # Texts take more than they hold, and what comes next is made of other arrays.
        pa.default_memory_pool().release_unused()

    def columns(self, wanted: Columns) -> ColumnValues:
        """These columns; the names of the images are always held."""
        by_name = {column.name: column for column in wanted}
        self._require(wanted)
        count, k = len(self._names), self._skeleton.keypoints
        read = ReadColumns(
            count,
            {name: _bytes_per_image(column, k) for name, column in by_name.items()},
            lambda name, first, last: self._read(by_name[name], first, last),
            in_parts=frozenset(name for name, column in by_name.items() if column.of_keypoints),
            most_bytes=HELD_PER_KEYPOINT * count * k,
        )
        return ColumnValues({RunTable.image.name: self._names}, read)

    def _read(self, column: Column[Any], first: int, last: int) -> Values:
        if column.of_keypoints:
            return self._of_keypoints(column, first, last)
        stored = self._image_rows((RunTable.image, column)).select([*column.names]).column(0)
        if not self._evaluated.all():
            stored = stored.filter(pa.array(self._evaluated))
        return values_in(stored, column)[first:last]

    def _of_keypoints(self, column: Column[Any], first: int, last: int) -> NDArray[Any]:
        k = self._skeleton.keypoints
        rows = np.empty(((last - first) * k, len(column.names)), dtype=column.number_type)
        schema = pa.schema([keypoints_schema(self._skeleton, (column,)).field(name) for name in column.names])
        # Row groups hold whole images.
        group = bisect_right(self._starts, first) - 1
        while group < len(self._starts) - 1 and self._starts[group] < last:
            (table,) = self._tables(schema, group)
            begin, end = max(first, self._starts[group]), min(last, self._starts[group + 1])
            within = slice((begin - self._starts[group]) * k, (end - self._starts[group]) * k)
            for part, name in enumerate(column.names):
                rows[(begin - first) * k : (end - first) * k, part] = table.column(name).to_numpy()[within]
            group += 1
        return column.by_image(rows, k)

    def _tables(self, schema: pa.Schema, *groups: int) -> Iterator[pa.Table]:
        return iter_tables(self._keypoints_path, schema, groups=groups or None, metadata=self._metadata)

    def _image_rows(self, columns: Columns) -> pa.Table:
        schema = images_schema(self._skeleton, tuple(dict.fromkeys(columns)))
        return pa.concat_tables([schema.empty_table(), *iter_tables(self._images_path, schema)])

    def _first_images(self) -> list[int]:
        """The first image of each row group of keypoints, and the number of images."""
        k, starts = self._skeleton.keypoints, [0]
        for group in range(self._metadata.num_row_groups):
            rows = self._metadata.row_group(group).num_rows
            if rows % k:
                raise RunFolderError(
                    f"{self._keypoints_path}: {rows} rows are not {k} per image; damaged, evaluate again"
                )
            starts.append(starts[-1] + rows // k)
        return starts

    def _has_names(self) -> bool:
        """Whether the keypoints are of these images, in this order; their rows must be 0 to K − 1 of each."""
        k, first = self._skeleton.keypoints, 0
        whole = keypoints_schema(self._skeleton, ())
        for table in self._tables(pa.schema([whole.field("image"), whole.field("index")])):
            index = table.column("index").to_numpy()
            if not np.array_equal(index, np.resize(np.arange(k), index.size)):
                raise RunFolderError(
                    f"{self._keypoints_path}: rows out of order; restore the file or evaluate again"
                )
            names = table.column("image").take(pa.array(range(0, table.num_rows, k))).to_pylist()
            if tuple(map(str, names)) != self._names[first : first + len(names)]:
                return False
            first += len(names)
        return first == len(self._names)

    def _require(self, wanted: Columns) -> None:
        """Raises RunFolderError where a table lacks one of these columns, before anything is made of it."""
        of_keypoints = [column for column in wanted if column.of_keypoints]
        of_images = [column for column in wanted if not column.of_keypoints]
        for path, schema in (
            (self._images_path, images_schema(self._skeleton, (RunTable.image, *of_images))),
            (self._keypoints_path, keypoints_schema(self._skeleton, of_keypoints)),
        ):
            for _ in iter_tables(path, schema, groups=()):
                pass


def _bytes_per_image(column: Column[Any], keypoints: int) -> int:
    if column.number_type is None:
        return _BYTES_OF_TEXT
    size = np.dtype(column.number_type).itemsize
    return size * len(column.names) * keypoints if column.of_keypoints else size
