"""How a column of a run's table is declared: once, for whoever writes it, reads it or takes it apart."""

from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar, cast, overload

import numpy as np
from numpy.typing import NDArray

from mahtdiag.schema.records import ImageRecord

Values = NDArray[Any] | tuple[Any, ...]
T = TypeVar("T")
V = TypeVar("V")

_TEXTS: Final = ("string", "list<string>")
_OF_KEYPOINTS: Final = "keypoints."


class HasColumns(Protocol):
    """What has columns."""

    def values_of(self, name: str) -> Values:
        """The values of a column by its name."""

    def once(self, compute: Callable[[Any], T]) -> T:
        """What a function says of the table, computed the first time."""


class ColumnNotReadError(LookupError):
    """A programming error: a column was asked for that its table was read without."""


class Column(Generic[V]):
    """One column of a table: what it is called on disk, what it holds, and where a record has it.

    `dtype`: `float64`, `int32`, `int8`, `bool`, `string` or `list<string>`, empty for what is in no file;
    numbers that may be null are floats in memory, NaN where there is none. `names`: its columns on disk,
    several for points, by default its own name. `record`: where an `ImageRecord` has it; what is in
    `keypoints` has a value per keypoint. `optional`: a record has None where it has no value. `later`:
    earlier versions wrote no such column; it is null there. `compute`: it follows from others and is never
    read; `by_keypoint`: it has a value per keypoint all the same.
    """

    def __init__(
        self,
        dtype: str = "",
        *names: str,
        record: str = "",
        nullable: bool = True,
        optional: bool = False,
        later: bool = False,
        compute: Callable[[Any], V] | None = None,
        by_keypoint: bool = False,
    ) -> None:
        self.name = ""
        self.dtype = dtype
        self.names = names
        self.record = record
        self.nullable = nullable
        self.optional = optional
        self.later = later
        self.compute = compute
        self.by_keypoint = by_keypoint

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self.names = self.names or (name,)

    @overload
    def __get__(self, table: None, owner: type) -> "Column[V]": ...
    @overload
    def __get__(self, table: HasColumns, owner: type) -> V: ...
    def __get__(self, table: HasColumns | None, owner: type) -> "Column[V] | V":
        if table is None:
            return self
        if self.compute is not None:
            return table.once(self.compute)
        return cast(V, table.values_of(self.name))

    @property
    def of_keypoints(self) -> bool:
        """Whether it has a value per keypoint, not per image."""
        return self.by_keypoint or self.record.startswith(_OF_KEYPOINTS)

    @property
    def number_type(self) -> type[np.generic] | None:
        """The type of its array in memory; None for texts, which are tuples."""
        if self.dtype in _TEXTS:
            return None
        if self.dtype == "bool":
            return np.bool_
        return np.float64 if self.nullable else np.int64

    def by_image(self, rows: NDArray[Any], keypoints: int) -> NDArray[Any]:
        """Rows of keypoints `[N·K, names]` as `[N, K]`, or `[N, K, names]` where it has several names."""
        parts = () if len(self.names) == 1 else (len(self.names),)
        return rows.reshape(-1, keypoints, *parts)

    def of_records(self, records: Sequence[ImageRecord], keypoints: int) -> Values:
        """Its values in these records; NaN where a record does not know it."""
        found = [_part(record, self.record) for record in records]
        if self.number_type is None:
            return tuple(found)
        if not self.of_keypoints:
            return np.array([np.nan if value is None else value for value in found], dtype=self.number_type)
        unknown = self.by_image(np.full((keypoints, len(self.names)), np.nan), keypoints)[0]
        known = [unknown if value is None else value for value in found]
        return np.array(known, dtype=self.number_type).reshape(len(known), *unknown.shape)

    def of_row(self, values: Values, row: int) -> object:
        """The value of one image, as an `ImageRecord` has it."""
        value = values[row]
        if self.of_keypoints:
            return value
        if self.number_type is None:
            return value if self.optional or value is not None else ""
        if self.optional and np.isnan(value):
            return None
        return float(value) if self.dtype == "float64" else int(value)


def _part(record: object, path: str) -> Any:
    """What a record has at a path with dots; None where a part of the way is None."""
    for name in path.split("."):
        record = None if record is None else getattr(record, name)
    return record
