"""HDF5 files of which a table has other rows, other columns, or was never written."""

import importlib
import io
import random
from typing import Any, Final

import numpy as np

_ROWS: Final = (0, 1, 50_000, 10**6, 3 * 10**7, 10**12)


def changed_hdf5(content: bytes, rng: random.Random) -> bytes:
    """The file after one such change."""
    h5py: Any = importlib.import_module("h5py")
    held = io.BytesIO(content)
    with h5py.File(held, "r+") as opened:
        name = rng.choice([key for key in opened if isinstance(opened[key], h5py.Dataset)])
        table = opened[name]
        kind, values = table.dtype, np.asarray(table[()])
        del opened[name]
        change = rng.choice(("unwritten", "unwritten", "rows", "column", "shape"))
        if change == "unwritten":
            rows = rng.choice(_ROWS)
            opened.create_dataset(name, (rows,), kind, chunks=(min(rows, 1000),) if rows else None)
        elif change == "rows":
            opened[name] = np.repeat(values, rng.choice((0, 2, 1000)))
        elif change == "column" and kind.names:
            opened[name] = values[[column for column in kind.names if column != rng.choice(kind.names)]]
        else:
            opened[name] = rng.choice(
                (values[None], values[:0], np.arange(5), np.float64(1), np.bytes_(b"x"))
            )
    return held.getvalue()
