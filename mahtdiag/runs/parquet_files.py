"""Parquet files as tables of a schema, and what goes wrong with them in words."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from mahtdiag.diagnosis.run_table import COLUMNS
from mahtdiag.errors import RunFolderError
from mahtdiag.opening import open_file
from mahtdiag.opening.parquet import Texts, UnpacksTooFarError, checked_pages, parquet_source
from mahtdiag.runs.possible import CHECKED_BY, contradiction_in, impossible_in
from mahtdiag.schema.safe_text import brief

_ROWS_OF_ANY: Final = 3_000_000
_BYTES_PER_ROW: Final = 2
LATER_COLUMNS: Final = frozenset(name for column in COLUMNS if column.later for name in column.names)
"""Columns that run folders of earlier versions lack; there they are read as null."""


def row_count(path: Path) -> int | None:
    """Number of rows of a table; None where there is no readable table."""
    try:
        with open_file(path) as content:
            return int(pq.read_metadata(content).num_rows)
    except (OSError, pa.ArrowException, UnicodeError):
        return None


def read_table(path: Path, schema: pa.Schema) -> pa.Table:
    """Reads a whole table; see `iter_tables`."""
    return pa.concat_tables([schema.empty_table(), *iter_tables(path, schema)])


def metadata_of(path: Path) -> pq.FileMetaData:
    """What a file says of its row groups. Raises RunFolderError as `iter_tables`."""
    with _opened(path) as (_, file):
        return file.metadata


def iter_tables(
    path: Path,
    schema: pa.Schema,
    *,
    groups: Iterable[int] | None = None,
    metadata: pq.FileMetaData | None = None,
) -> Iterator[pa.Table]:
    """Reads a table row group by row group, with the columns of `schema` in its order.

    A column that earlier versions did not write is null where it is missing. `groups`: only these, by their
    numbers; `metadata`: of the file, which is then not read again.

    Raises:
        RunFolderError: the file is missing, damaged, lacks a column or has a number that no run has.
    """
    with _opened(path, metadata) as (content, file):
        stored = Counter(file.schema_arrow.names)
        twice = next((name for name in schema.names if stored[name] > 1), None)
        if twice is not None:
            raise RunFolderError(f"{path}: column {twice} is there twice; restore the file or evaluate again")
        missing = [name for name in schema.names if name not in {*stored, *LATER_COLUMNS}]
        if missing:
            raise RunFolderError(f"{path}: no column {', '.join(missing)}; written by another program?")
        size = path.stat().st_size
        numbers = range(file.num_row_groups) if groups is None else list(groups)
        # An error is checked by its places, wherever it is read.
        names = [*dict.fromkeys((*schema.names, *(CHECKED_BY if "error_px" in schema.names else ())))]
        packed = checked_pages(content, file.metadata, size, names, numbers)
        whole = pq.ParquetFile(content, metadata=file.metadata, read_dictionary=packed) if packed else file
        texts = Texts(size)
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        starts = [0, *accumulate(sizes)]
        for group in numbers:
            found = whole.read_row_group(group, columns=names)
            if (problem := contradiction_in(found, starts[group])) is not None:
                raise RunFolderError(f"{path}: {problem}; restore the file or evaluate again")
            table = completed(texts.of(found) if packed else found, schema)
            # That texts are UTF-8, which is found out nowhere else before they are shown.
            table.validate(full=True)
            if (problem := impossible_in(table, starts[group])) is not None:
                raise RunFolderError(f"{path}: {problem}; restore the file or evaluate again")
            yield table


@contextmanager
def _opened(
    path: Path, metadata: pq.FileMetaData | None = None
) -> Iterator[tuple[pa.NativeFile | BinaryIO, pq.ParquetFile]]:
    try:
        with parquet_source(path) as content, pq.ParquetFile(content, metadata=metadata) as file:
            _require_size(path, file.metadata.num_rows)
            yield content, file
    except FileNotFoundError as error:
        raise RunFolderError(f"{path}: missing from the run folder; evaluate again") from error
    except UnpacksTooFarError as error:
        raise RunFolderError(f"{path}: {error}, which no run has; evaluate again") from error
    except (OSError, pa.ArrowException, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunFolderError(f"{path}: damaged ({brief(reason, 200)}); evaluate again") from error


def _require_size(path: Path, rows: int) -> None:
    """Refuse far more rows than a file of this size has: what is all the same packs very well."""
    size = path.stat().st_size
    if rows > _ROWS_OF_ANY + size // _BYTES_PER_ROW:
        raise RunFolderError(f"{path}: {rows:,} rows in {size:,} bytes, which no run has; evaluate again")


def completed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The columns of a schema, null where the table has none of that name."""
    found = [
        table.column(field.name) if field.name in table.column_names else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    # Most are of their type, and what casts takes a while to import.
    typed = [
        column if column.type == field.type else column.cast(field.type)
        for column, field in zip(found, schema, strict=True)
    ]
    return pa.Table.from_arrays(typed, schema=schema)
