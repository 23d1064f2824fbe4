"""Columns of a long table gathered into arrays of known length."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mahtdiag.errors import RunFolderError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Blocks:
    """Arrays that are filled table by table, so that a file is never in memory as a whole beside them."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._filled = 0
        self._columns: list[tuple[str, NDArray[np.generic]]] = []

    def floats(self, *names: str) -> Floats:
        """An array `[rows, len(names)]` that will hold these columns."""
        block = np.empty((self._rows, len(names)))
        self._columns += [(name, block[:, column]) for column, name in enumerate(names)]
        return block

    def bools(self, *names: str) -> Bools:
        """The same for columns of truth values."""
        block = np.zeros((self._rows, len(names)), dtype=np.bool_)
        self._columns += [(name, block[:, column]) for column, name in enumerate(names)]
        return block

    def integers(self, name: str) -> NDArray[np.int64]:
        """An array `[rows]` that will hold this column."""
        block = np.zeros(self._rows, dtype=np.int64)
        self._columns.append((name, block))
        return block

    @property
    def names(self) -> tuple[str, ...]:
        """The columns asked for."""
        return tuple(name for name, _ in self._columns)

    def fill(self, table: pa.Table) -> None:
        """Copies the next rows into place."""
        rows = slice(self._filled, self._filled + table.num_rows)
        for name, target in self._columns:
            target[rows] = table.column(name).to_numpy()
        self._filled = rows.stop


def fill_by_image(blocks: Blocks, tables: Iterable[pa.Table], k: int, path: Path) -> tuple[str, ...]:
    """Fills the arrays with the k rows of each image, table by table, and returns the images' names.

    Raises RunFolderError unless keypoints 0 to k − 1 of one image follow those of another.
    """
    images: list[str] = []
    for table in tables:
        index = table.column("index").to_numpy()
        if not np.array_equal(index, np.resize(np.arange(k), index.size)):
            raise RunFolderError(f"{path}: rows out of order; restore the file or evaluate again")
        blocks.fill(table)
        firsts = np.arange(0, table.num_rows, k)
        images += (str(name) for name in table.column("image").take(firsts).to_pylist())
    return tuple(images)


def require_rows(rows: int, k: int, path: Path) -> None:
    """Raises RunFolderError unless there are k rows per image."""
    if rows % k:
        raise RunFolderError(f"{path}: {rows} rows are not {k} per image; damaged, evaluate again")
