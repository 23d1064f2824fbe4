"""What the pages and texts of a Parquet file take is known before it is unpacked, and bounded."""

import io
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mahtdiag.opening import parquet
from mahtdiag.opening.parquet import Texts, UnpacksTooFarError, checked_pages, most_bytes

WORDS = st.none() | st.text("aé", max_size=6)
ROWS = st.lists(st.tuples(WORDS, st.none() | st.lists(WORDS, max_size=4)), max_size=40)
WRITTEN = st.fixed_dictionaries(
    {
        "use_dictionary": st.booleans(),
        "data_page_version": st.sampled_from(["1.0", "2.0"]),
        "compression": st.sampled_from(["none", "snappy", "zstd"]),
        "data_page_size": st.sampled_from([64, 1 << 20]),
        "row_group_size": st.sampled_from([1, 7, 1000]),
        "write_page_checksum": st.booleans(),
    }
)


def written(table: pa.Table, **how: Any) -> bytes:
    held = io.BytesIO()
    pq.write_table(table, held, **how)
    return held.getvalue()


def pages(content: bytes, size: int | None = None) -> list[str]:
    with pq.ParquetFile(io.BytesIO(content)) as file:
        metadata, columns = file.metadata, file.schema_arrow.names
    groups = range(metadata.num_row_groups)
    return checked_pages(io.BytesIO(content), metadata, size or len(content), columns, groups)


@given(ROWS, WRITTEN)
def test_headers_say_what_the_file_says_of_itself(
    rows: list[tuple[str | None, list[str | None] | None]], how: dict[str, Any]
) -> None:
    table = pa.table({"a": pa.array([a for a, _ in rows], pa.string()), "n": np.arange(len(rows))})
    content = written(table, **how)
    metadata = pq.read_metadata(io.BytesIO(content))
    for group in range(metadata.num_row_groups if rows else 0):
        for number in range(2):
            chunk = metadata.row_group(group).column(number)
            headers = list(parquet._headers(io.BytesIO(content), chunk, len(content)))
            data: list[Any] = [header.get(5, header.get(8)) for header in headers if {5, 8} & {*header}]
            assert sum(of[1] for of in data) == chunk.num_values
            packed = sum(parquet._number(header, 3) for header in headers)
            assert 0 < chunk.total_compressed_size - packed <= 200 * len(headers)
            assert chunk.has_dictionary_page == any(7 in header for header in headers)


@given(ROWS, WRITTEN)
def test_texts_are_the_same_without_their_dictionaries(
    rows: list[tuple[str | None, list[str | None] | None]], how: dict[str, Any]
) -> None:
    of_lists = pa.array([b for _, b in rows], pa.list_(pa.string()))
    table = pa.table({"a": pa.array([a for a, _ in rows], pa.string()), "b": of_lists})
    content = written(table, **how)
    packed = pages(content)
    assert packed in ([], ["a"])
    with pq.ParquetFile(io.BytesIO(content), read_dictionary=packed) as file:
        texts = Texts(len(content))
        found = texts.of(file.read())
        batches = [Texts(len(content)).of(batch) for batch in file.iter_batches(3, columns=["a"])]
    assert found.to_pylist() == table.to_pylist()
    assert [row["a"] for batch in batches for row in batch.to_pylist()] == table.column("a").to_pylist()
    if packed:
        assert texts._bytes == sum(len((a or "").encode()) for a, _ in rows)


def test_a_long_text_of_a_dictionary_is_counted_for_every_row() -> None:
    rows = 3000
    long = pa.array(["a" * 1_000_000] * rows, pa.dictionary(pa.int32(), pa.string()))
    content = written(pa.table({"a": long}), compression="zstd", store_schema=False)
    assert len(content) < 10_000
    with pq.ParquetFile(io.BytesIO(content), read_dictionary=pages(content)) as file:
        texts, batches = Texts(len(content)), file.iter_batches(100)
        taken = sum(texts.of(next(batches)).nbytes for _ in range(2))
        assert 2e8 < taken < most_bytes(len(content))
        with pytest.raises(UnpacksTooFarError, match="texts of more than 256 MiB"):
            texts.of(next(batches))


def test_numbers_beyond_a_dictionary_are_not_followed() -> None:
    words: Any = pa.DictionaryArray.from_arrays(pa.array([0, 7], pa.int32()), pa.array(["a"]), safe=False)
    with pytest.raises(pa.ArrowInvalid, match="out of bounds"):
        Texts(0).of(pa.table({"a": words}))


def test_a_long_text_of_a_dictionary_in_lists() -> None:
    words = pa.array(["a" * 1_000_000] * 300, pa.dictionary(pa.int32(), pa.string()))
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 300], pa.int32()), words)
    with pytest.raises(UnpacksTooFarError, match="unpacks to more than 256 MiB"):
        pages(written(pa.table({"a": lists}), compression="zstd", store_schema=False))


def test_lists_without_end() -> None:
    values = pa.array(np.zeros(4_000_000, np.int8))
    lists = pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)
    content = written(pa.table({"a": lists}), compression="zstd")
    most = 3_000_000 + len(content) // 2
    with pytest.raises(UnpacksTooFarError, match=f"more than {most:,} values in a column"):
        pages(content)


def test_pages_that_unpack_to_more_than_such_a_file_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    content = written(pa.table({"a": ["a" * 3_000_000]}), use_dictionary=False, compression="zstd")
    assert pages(content) == []
    monkeypatch.setattr(parquet, "MOST_BYTES", 2 << 20)
    with pytest.raises(UnpacksTooFarError, match="unpacks to more than 2 MiB"):
        pages(content)


def test_texts_that_begin_as_the_one_before() -> None:
    content = written(
        pa.table({"a": ["a" * 99, "a" * 99]}), use_dictionary=False, column_encoding="DELTA_BYTE_ARRAY"
    )
    with pytest.raises(UnpacksTooFarError, match="a text is written as a part of the one before it"):
        pages(content)


@given(st.data())
def test_headers_that_are_damaged_end_in_a_value_error(data: st.DataObject) -> None:
    content = bytearray(written(pa.table({"a": ["x", "y", "x"], "n": [1, 2, 3]})))
    metadata = pq.read_metadata(io.BytesIO(content))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(4, 200))] = data.draw(st.integers(0, 255))
    with suppress(ValueError):
        checked_pages(io.BytesIO(content), metadata, len(content), ["a", "n"], range(1))
