"""Parquet files of which a cell, a column, its type, its rows or their order are others."""

import contextlib
import io
import random
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Rng = random.Random
_VALUES: Final[Mapping[str, tuple[Any, ...]]] = {
    "number": (None, float("nan"), float("inf"), float("-inf"), -1.0, 0.0, 0.5, 1e308, 1e-320, 1e6),
    "whole": (None, 0, -1, 1, 5, 127, 2**31 - 1, -(2**31)),
    "word": (
        *(None, "", "x", "../x", "/etc/passwd", "\x1b[31m", "a" * 3000, "ok", "failed", b"\xff\xfe"),
        *("\u202ex", "a\nb", "L1", "AP/x.jpg"),
    ),
    "bool": (None, True, False),
    "list": (None, [], ["A101"], [None], ["zz"], ["A101"] * 500),
}
_TYPES: Final = (
    *(pa.string(), pa.float32(), pa.int8(), pa.binary(), pa.timestamp("s")),
    pa.dictionary(pa.int32(), pa.string()),
)


def changed_parquet(content: bytes, rng: Rng) -> bytes:
    """The file after one such change."""
    table = pq.read_table(io.BytesIO(content))
    change = rng.choice(
        ("cell", "cell", "column", "column", "type", "dropped", "rows", "twice", "order", "names", "bomb")
    )
    at = rng.randrange(table.num_columns)
    field = table.schema.field(at)
    if change in ("cell", "column"):
        table = _with_values(table, at, rng, whole=change == "column")
    elif change == "type":
        with contextlib.suppress(pa.ArrowException):
            table = table.set_column(at, field.name, table.column(at).cast(rng.choice(_TYPES)))
    elif change == "dropped":
        table = table.remove_column(at)
    elif change == "rows":
        table = table.slice(rng.randrange(table.num_rows), rng.randrange(table.num_rows))
    elif change == "twice":
        table = pa.concat_tables([table, table.slice(0, rng.choice((1, 20, table.num_rows)))])
    elif change == "order":
        order = rng.sample(range(table.num_rows), table.num_rows)
        table = table.take(pa.array(order, pa.int64()))
    elif change == "bomb":
        return _bomb(table, rng)
    else:
        table = table.rename_columns([rng.choice(table.column_names), *table.column_names[1:]])
    written = io.BytesIO()
    pq.write_table(table, written)
    return written.getvalue()


def _bomb(table: pa.Table, rng: Rng) -> bytes:
    """A text, or the elements of a list, that pack to next to nothing; rows may be as many."""
    kind, times = rng.choice((("word", 10**7), ("word", 3 * 10**5), ("list", 3 * 10**7), ("rows", 3 * 10**4)))
    found = [at for at, field in enumerate(table.schema) if _kind(field.type) == kind]
    if kind == "rows" or not found:
        table = pa.concat_tables([table] * min(times, 10**6 // len(table)))
    else:
        at = rng.choice(found)
        column: Any = pa.array(["a" * times] * len(table), pa.dictionary(pa.int32(), pa.string()))
        if kind == "list":
            nothing: Any = np.zeros(times, np.int8)
            ends = pa.array([0, *[times] * len(table)], pa.int32())
            column = pa.ListArray.from_arrays(ends, pa.array(["A101"]).take(pa.array(nothing)))
        table = table.set_column(at, table.column_names[at], column)
    written = io.BytesIO()
    pq.write_table(table, written, compression="zstd", store_schema=False)
    return written.getvalue()


def _with_values(table: pa.Table, at: int, rng: Rng, *, whole: bool) -> pa.Table:
    field = table.schema.field(at)
    kind = _kind(field.type)
    values, value = table.column(at).to_pylist(), rng.choice(_VALUES[kind])
    if whole:
        values = [value] * len(values)
    else:
        values[rng.randrange(len(values))] = value
    if kind == "word":
        texts = [text.encode() if isinstance(text, str) else text for text in values]
        return table.set_column(at, field.name, pa.array(texts, pa.binary()).view(pa.string()))
    try:
        return table.set_column(at, pa.field(field.name, field.type), pa.array(values, field.type))
    except (pa.ArrowException, OverflowError):  # the type holds no such value
        return table.drop_columns([field.name])


def _kind(of: pa.DataType) -> str:
    if pa.types.is_floating(of):
        return "number"
    if pa.types.is_integer(of):
        return "whole"
    if pa.types.is_boolean(of):
        return "bool"
    return "list" if pa.types.is_list(of) else "word"
