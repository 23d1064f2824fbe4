"""Finished batches on disk, before a run is complete: small tables that are later merged into two.

    parts/failures.parquet                       images that failed before any batch was made
    parts/keypoints/00000000-00000007.parquet    keypoints of batches 0 to 7
    parts/images/00000000-00000007.parquet       images of batches 0 to 7

The images table of a part is renamed into place last: it is the commit mark, and a keypoints table without
one belongs to no part. Batches are consecutive ranges of the image list sorted by name, so that the parts in
the order of their batches are the rows in the order of the images.
"""

import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from mahtdiag.errors import RunFolderError
from mahtdiag.runs.files import TEMPORARY_PREFIX, remove_temporary_files, replacing
from mahtdiag.runs.tables import LATER_COLUMNS, images_schema, keypoints_schema, sorted_by_image
from mahtdiag.schema.skeleton import View

IMAGES_PER_ROW_GROUP: Final = 4096

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
    view: View

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
            folder.mkdir(exist_ok=True)
            remove_temporary_files(folder)
        whole = {part.file_name for part in self.ranges() if self._is_whole(part)}
        for name in ("images", "keypoints"):
            for table in (self.root / name).glob("*.parquet"):
                if table.name not in whole:
                    table.unlink()
        write_table(self.failures_path, [failures], images_schema(self.view))

    def is_unstarted(self, entry: Path) -> bool:
        """Whether a file or folder is all that a process killed before the start of its run leaves behind."""
        own = (self.root, self.root / "images", self.root / "keypoints", self.failures_path)
        return entry in own or entry.name.startswith(TEMPORARY_PREFIX)

    def _is_whole(self, part: BatchRange) -> bool:
        return (
            row_count(self.images_path(part)) is not None and row_count(self.keypoints_path(part)) is not None
        )

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

    def write(self, part: BatchRange, images: pa.Table, keypoints: pa.Table) -> None:
        """Stores a part; it counts from the moment that its images table has its name."""
        write_table(self.keypoints_path(part), [keypoints], keypoints_schema(self.view))
        write_table(self.images_path(part), [images], images_schema(self.view))

    def images(self) -> Iterator[pa.Table]:
        """Image rows in the order of their names, early failures among them."""
        schema = images_schema(self.view)
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
        schema = keypoints_schema(self.view)
        return (read_table(self.keypoints_path(part), schema) for part in self.ranges())

    def remove(self) -> None:
        """Removes all parts."""
        shutil.rmtree(self.root)


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
            yield joined.slice(0, rows).combine_chunks()
            held = [joined.slice(rows)]
            count -= rows
    if count:
        yield pa.concat_tables(held).combine_chunks()


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


def row_count(path: Path) -> int | None:
    """Number of rows of a table; None where there is no readable table."""
    try:
        with path.open("rb") as content:
            return int(pq.read_metadata(content).num_rows)
    except (OSError, pa.ArrowException):
        return None


def read_table(path: Path, schema: pa.Schema) -> pa.Table:
    """Reads a whole table; see `iter_tables`."""
    return pa.concat_tables([schema.empty_table(), *iter_tables(path, schema)])


def iter_tables(path: Path, schema: pa.Schema) -> Iterator[pa.Table]:
    """Reads a table row group by row group, with the columns of `schema` in its order.

    A column that earlier versions did not write is null where it is missing.

    Raises:
        RunFolderError: the file is missing, damaged or lacks a column.
    """
    try:
        # Opened here: pyarrow takes a path for an address, and one that is no valid Unicode for an error.
        with path.open("rb") as content, pq.ParquetFile(content) as file:
            stored = set(file.schema_arrow.names)
            missing = [name for name in schema.names if name not in stored | LATER_COLUMNS]
            if missing:
                raise RunFolderError(f"{path}: no column {', '.join(missing)}; written by another program?")
            for group in range(file.num_row_groups):
                yield _completed(file.read_row_group(group, columns=schema.names), schema)
    except FileNotFoundError as error:
        raise RunFolderError(f"{path}: missing from the run folder; evaluate again") from error
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunFolderError(f"{path}: damaged ({reason}); evaluate again") from error


def _completed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The columns of a schema, null where the table has none of that name."""
    columns = [
        table.column(field.name).cast(field.type)
        if field.name in table.column_names
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)
