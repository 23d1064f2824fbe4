"""What a Parquet file may unpack to: pages and texts that are all the same pack to next to nothing.

The footer tells rows; pages, elements of lists and texts are told by the pages alone. Their headers are read
here before anything is unpacked (structs of Thrift's compact protocol, see
https://github.com/apache/parquet-format, `PageHeader`), and texts are counted while they are still numbers of
a dictionary.
"""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

import numpy as np

from mahtdiag.opening import open_file, require_regular

MOST_BYTES: Final = 256 << 20
BYTES_PER_BYTE: Final = 50
MOST_VALUES: Final = 3_000_000
_LARGEST_HEADER: Final = 1 << 20
_FIRST_READ: Final = 1 << 12
# A text that begins as the one before it is written as its rest alone.
_DELTA_BYTE_ARRAY: Final = 7
_DATA, _DICTIONARY, _DATA_V2 = 5, 7, 8
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _BINARY, _STRUCT = 1, 2, 3, 4, 5, 6, 8, 12
Fields: TypeAlias = "dict[int, int | Fields]"
Source: TypeAlias = "BinaryIO | Any"


class UnpacksTooFarError(ValueError):
    """A Parquet file that would take far more memory than such a file can need."""


def parquet_source(path: Path) -> Source:
    """The file, opened by pyarrow; by Python where its path is no valid Unicode, which pyarrow refuses.

    Threads of pyarrow that still hold a piece of a file of Python's when the process ends abort it.
    """
    import pyarrow as pa

    try:
        str(path).encode()
    except UnicodeEncodeError:
        return open_file(path)
    require_regular(path)
    return pa.OSFile(str(path), "rb")


def most_bytes(size: int) -> int:
    """What the pages, or the texts, of a file of `size` bytes may take."""
    return MOST_BYTES + BYTES_PER_BYTE * size


def checked_pages(
    content: Source, metadata: Any, size: int, columns: Collection[str], groups: Iterable[int]
) -> list[str]:
    """Refuse pages that unpack to more than `most_bytes`, or have more values than `MOST_VALUES + size / 2`.

    `metadata`: what pyarrow reads of the file; `columns`: the names of those that will be read. Returns the
    columns of texts that have dictionaries, as `read_dictionary` of pyarrow takes them: see `Texts`.

    Raises:
        UnpacksTooFarError: they do, or a text is written as the rest of the one before it.
        ValueError: a header is damaged.
    """
    unpacked, most = 0, most_bytes(size)
    with_dictionary = dict[str, None]()
    for group in groups:
        of_group = metadata.row_group(group)
        # Of a group without rows nothing is read, and it has no offsets.
        for number in range(of_group.num_columns if of_group.num_rows else 0):
            chunk = of_group.column(number)
            if chunk.path_in_schema.partition(".")[0] not in columns:
                continue
            of_lists = "." in chunk.path_in_schema
            values = longest = 0
            for header in _headers(content, chunk, size):
                data = _part(header, _DATA) or _part(header, _DATA_V2)
                if _DICTIONARY in header and chunk.physical_type == "BYTE_ARRAY":
                    with_dictionary[chunk.path_in_schema] = None
                    longest = _number(header, 2)
                # Lists are of few short words: each is taken as the longest.
                unpacked += _number(header, 2) + of_lists * longest * _number(data, 1)
                values += _number(data, 1)
                encoding = data.get(4 if header.get(_DATA_V2) else 2)
                if unpacked > most:
                    raise UnpacksTooFarError(f"unpacks to more than {most >> 20:,} MiB")
                if values > MOST_VALUES + size // 2:
                    raise UnpacksTooFarError(f"more than {MOST_VALUES + size // 2:,} values in a column")
                if encoding == _DELTA_BYTE_ARRAY:
                    raise UnpacksTooFarError("a text is written as a part of the one before it")
    return [path for path in with_dictionary if "." not in path]


class Texts:
    """Counts what the texts of a file take, and refuses the first that are too many."""

    def __init__(self, size: int) -> None:
        self._most = most_bytes(size)
        self._bytes = 0

    def of(self, table: Any) -> Any:
        """A table, or a batch of one, as it would have been read without dictionaries.

        Raises:
            UnpacksTooFarError: the texts of the file until here are too long.
        """
        columns = [self._decoded(column) for column in table.columns]
        return type(table).from_arrays(columns, table.schema.names)

    def _decoded(self, column: Any) -> Any:
        """A column as it would have been read without dictionaries; chunk by chunk.

        Raises:
            UnpacksTooFarError: the texts of the file until here are too long.
        """
        import pyarrow as pa

        if not pa.types.is_dictionary(column.type):
            return column
        if not isinstance(column, pa.ChunkedArray):
            return self._plain(column)
        chunks = [self._plain(chunk) for chunk in column.chunks]
        return pa.chunked_array(chunks) if chunks else column

    def _plain(self, texts: Any) -> Any:
        import pyarrow as pa

        # Numbers beyond the dictionary are found out nowhere else before they are followed.
        texts.validate(full=True)
        words = texts.dictionary.cast(pa.large_binary())
        ends = np.frombuffer(words.buffers()[1] or bytes(8), np.int64)[words.offset :][: len(words) + 1]
        at = texts.indices.drop_null().to_numpy(zero_copy_only=False)
        self._bytes += int(np.diff(ends)[at].sum())
        if self._bytes > self._most:
            raise UnpacksTooFarError(f"texts of more than {self._most >> 20:,} MiB")
        return texts.dictionary_decode()


def _headers(content: Source, chunk: Any, size: int) -> Iterator[Fields]:
    """The headers of the pages of a column in a row group."""
    starts = [chunk.data_page_offset]
    if chunk.has_dictionary_page and chunk.dictionary_page_offset:
        starts.append(chunk.dictionary_page_offset)
    at = min(starts)
    end = min(at + chunk.total_compressed_size, size)
    while 0 <= at < end:
        header, length = _header(content, at, end)
        yield header
        packed = _number(header, 3)
        at += length + packed


def _header(content: Source, at: int, end: int) -> tuple[Fields, int]:
    most = min(_LARGEST_HEADER, end - at)
    for read in (min(_FIRST_READ, most), most):
        content.seek(at)
        held = content.read(read)
        try:
            return _struct(held, 0)
        except IndexError:
            # Statistics can be long.
            if read == most:
                raise ValueError("a page has no whole header") from None
    raise AssertionError


def _struct(held: bytes, at: int, depth: int = 0) -> tuple[Fields, int]:
    """The fields of a struct by their numbers, and where it ends. Raises IndexError where it does not."""
    fields: Fields = {}
    number = 0
    while kind := held[at]:
        at += 1
        if kind >> 4:
            number += kind >> 4
        else:
            number, at = _signed(held, at)
        kind &= 15
        if kind in (_TRUE, _FALSE):
            fields[number] = int(kind == _TRUE)
        elif kind == _BYTE:
            at += 1
        elif kind in (_I16, _I32, _I64):
            fields[number], at = _signed(held, at)
        elif kind == _BINARY:
            length, at = _unsigned(held, at)
            at += length
        elif kind == _STRUCT and depth < 2:
            fields[number], at = _struct(held, at, depth + 1)
        else:
            raise ValueError("a page has a header of another kind")
    return fields, at + 1


def _unsigned(held: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        value |= (held[at] & 127) << shift
        at += 1
        if not held[at - 1] & 128:
            return value, at
    raise ValueError("a page has a header with a number without end")


def _signed(held: bytes, at: int) -> tuple[int, int]:
    value, at = _unsigned(held, at)
    return (value >> 1) ^ -(value & 1), at


def _part(header: Fields, number: int) -> Fields:
    part = header.get(number, {})
    return part if isinstance(part, dict) else {}


def _number(fields: Fields, number: int) -> int:
    value = fields.get(number, 0)
    if not isinstance(value, int) or value < 0:
        raise ValueError("a page has a header with a size below 0")
    return value
