"""Which numbers the tables of a run can hold; what lies beyond was not written by any evaluation."""

from collections.abc import Callable
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mahtdiag.diagnosis.run_table import COLUMNS, RunTable
from mahtdiag.schema.places import LARGEST_FACTOR, LARGEST_PX, SMALLEST_FACTOR, SMALLEST_SIGMA_PX
from mahtdiag.schema.spacing import LARGEST_MM, SMALLEST_MM, SPACING_LIMITS

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MOST_SIDE_PX: Final = 2**28
LEAST_SIGMA_PX: Final = SMALLEST_SIGMA_PX * SMALLEST_FACTOR
MOST_SIGMA_PX: Final = LARGEST_PX * LARGEST_FACTOR
_ROUNDED: Final = 1e-9


def _of_side(values: Floats) -> Bools:
    return np.asarray((values >= 1) & (values <= MOST_SIDE_PX))


def _of_spacing(values: Floats) -> Bools:
    return np.asarray((values >= SMALLEST_MM * (1 - _ROUNDED)) & (values <= LARGEST_MM * (1 + _ROUNDED)))


def _of_place(values: Floats) -> Bools:
    return np.asarray(np.abs(values) <= LARGEST_PX)


def _of_peak(values: Floats) -> Bools:
    # Networks that overflow give infinity, which is told of the keypoint.
    return np.asarray(_of_place(values) | np.isinf(values))


def _of_sigma(values: Floats) -> Bools:
    # Heads may give 0, infinity and negative numbers; judgements of sigma count them as unusable.
    size = np.abs(values)
    normal = (size >= LEAST_SIGMA_PX * (1 - _ROUNDED)) & (size <= MOST_SIGMA_PX * (1 + _ROUNDED))
    return np.asarray(normal | (size == 0) | np.isinf(size))


def _of_error(values: Floats) -> Bools:
    size = (values == 0) | (values >= LEAST_ERROR)
    return np.asarray(size & ((values <= MOST_ERROR) | np.isinf(values)))


def _of_square(values: Floats) -> Bools:
    return np.asarray((np.abs(values) <= MOST_SIGMA_PX**2 * (1 + _ROUNDED)) | np.isinf(values))


# Of two places, in pixels of the input or in millimetres.
LEAST_ERROR, MOST_ERROR = 1e-100, 1e3 * LARGEST_PX
_TABLE: Final = RunTable
_KINDS: Final = (
    (_of_side, f"1 to {MOST_SIDE_PX:,} pixels", (_TABLE.width, _TABLE.height)),
    (
        _of_spacing,
        SPACING_LIMITS,
        (_TABLE.pixel_spacing_mm, _TABLE.pixel_spacing_x_mm, _TABLE.pixel_spacing_y_mm),
    ),
    (
        _of_place,
        f"a place within {LARGEST_PX:g} pixels",
        (_TABLE.gt_px, _TABLE.gt2_px),
    ),
    (
        _of_peak,
        f"a place within {LARGEST_PX:g} pixels",
        (_TABLE.pred_px, _TABLE.second_px, _TABLE.argmax_px, _TABLE.local_px),
    ),
    (
        _of_sigma,
        f"0 or {LEAST_SIGMA_PX:g} to {MOST_SIGMA_PX:g} pixels",
        (_TABLE.sigma_px, _TABLE.sigma_aleatoric_px, _TABLE.sigma_epistemic_px),
    ),
    (
        _of_error,
        f"0, or {LEAST_ERROR:g} to {MOST_ERROR:g}",
        (_TABLE.error_px, _TABLE.error_mm, _TABLE.radial_error_px, _TABLE.max_error_px),
    ),
    (
        _of_square,
        f"at most {MOST_SIGMA_PX**2:g} square pixels",
        (_TABLE.spread_px2, _TABLE.averaged_px2, _TABLE.head_covariance_px2),
    ),
)
MOST_OF_ANY: Final = 1e100


def _of_any(values: Floats) -> Bools:
    # Losses of what overflows are infinite.
    return np.asarray((np.abs(values) <= MOST_OF_ANY) | np.isinf(values))


_NUMBERS: Final = tuple(column for column in COLUMNS if column.dtype == "float64")
_POSSIBLE: Final[dict[str, tuple[Callable[[Floats], Bools], str]]] = {
    name: (is_possible, said)
    for is_possible, said, columns in ((_of_any, f"at most {MOST_OF_ANY:g}", _NUMBERS), *_KINDS)
    for column in columns
    for name in column.names
}


CHECKED_BY: Final = (*_TABLE.gt_px.names, *_TABLE.pred_px.names)
"""The columns that an error is checked by."""


def contradiction_in(table: pa.Table, first_row: int) -> str | None:
    """The first error that is there without both its places, or is not where they are: its row from 1.

    A table without `error_px` or the columns of `CHECKED_BY` has none.
    """
    if not {_TABLE.error_px.name, *CHECKED_BY} <= {*table.column_names}:
        return None
    gt_x, gt_y, pred_x, pred_y, error = (
        np.asarray(table.column(name).cast(pa.float64()).to_numpy(), dtype=np.float64)
        for name in (*CHECKED_BY, _TABLE.error_px.name)
    )
    distance = np.hypot(pred_x - gt_x, pred_y - gt_y)
    # What is infinite is told of the keypoint, and may have no error.
    wrong = np.flatnonzero((np.isfinite(error) != np.isfinite(distance)) & ~np.isinf(distance))
    if not wrong.size:
        return None
    row = int(wrong[0])
    expected = "no number" if np.isnan(distance[row]) else f"{distance[row]:g}"
    return f"column error_px, row {first_row + row + 1:,}: {error[row]:g}, by its places {expected}"


def impossible_in(table: pa.Table, first_row: int) -> str | None:
    """The first number of a table that no evaluation writes: its column, its row from 1, and what it can be.

    A number that is missing is possible everywhere. `first_row`: rows of the file before the table.
    """
    for name in table.column_names:
        if name not in _POSSIBLE:
            continue
        is_possible, said = _POSSIBLE[name]
        values = np.asarray(table.column(name).to_numpy(), dtype=np.float64)
        wrong = np.flatnonzero(~(is_possible(values) | np.isnan(values)))
        if wrong.size:
            row = int(wrong[0])
            return f"column {name}, row {first_row + row + 1:,}: {values[row]:g}, expected {said}"
    return None
