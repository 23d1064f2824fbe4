"""A table of a run: Arrow inside, arrays and frames of other libraries where they are asked for."""

from importlib import import_module
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mahtdiag.api.html import html_table
from mahtdiag.errors import UsageError

# Neither library is a dependency, and their types are not known where they are not installed.
Pandas = Any
Polars = Any

_SHOWN = 10


class Table:
    """Rows and named columns. What is not known is null in Arrow, NaN in an array of numbers.

    Libraries that read Arrow take it as it is: `polars.DataFrame(table)`, `duckdb.sql("select … from table")`
    with `table = run.keypoints.arrow`.
    """

    def __init__(self, arrow: pa.Table) -> None:
        self._arrow = arrow

    @property
    def arrow(self) -> pa.Table:
        """The table as `pyarrow` has it."""
        return self._arrow

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in their order."""
        return tuple(self._arrow.column_names)

    def __len__(self) -> int:
        return self._arrow.num_rows

    def __getitem__(self, column: str) -> NDArray[Any]:
        """A column as an array `[rows]`. Raises UsageError, which lists the columns, where there is none."""
        if column not in self.columns:
            raise UsageError(f"no column {column!r}; there are {', '.join(self.columns)}")
        values = self._arrow.column(column)
        return np.asarray(values.to_numpy())

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The Arrow interface by which libraries exchange tables without a copy."""
        stream: object = self._arrow.__arrow_c_stream__(requested_schema)  # type: ignore[no-untyped-call]
        return stream

    def to_pandas(self) -> Pandas:
        """A `pandas.DataFrame`. Raises UsageError where pandas is not installed."""
        _imported("pandas")
        return self._arrow.to_pandas()

    def to_polars(self) -> Polars:
        """A `polars.DataFrame`. Raises UsageError where polars is not installed."""
        return _imported("polars").from_arrow(self._arrow)

    def __repr__(self) -> str:
        return f"<Table: {len(self):,} rows, columns {', '.join(self.columns)}>"

    def _repr_html_(self) -> str:
        rows = [row.values() for row in self._arrow.slice(0, _SHOWN).to_pylist()]
        more = f"<p>{len(self):,} rows</p>" if len(self) > _SHOWN else ""
        return html_table(self.columns, [[_shown(value) for value in row] for row in rows]) + more


def _shown(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else value


def _imported(library: str) -> Any:
    try:
        return import_module(library)
    except ImportError:
        raise UsageError(f"{library} is not installed: pip install {library}, or use .arrow") from None
