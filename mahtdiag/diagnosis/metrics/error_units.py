"""What radial errors are measured in: everything that is said of a unit is said here, once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.diagnosis.error_scales import diagonal_px, percent_of
from mahtdiag.diagnosis.metrics.metric import Need
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.schema.choices import LeadingUnit

Floats = NDArray[np.float64]

SPACING: Final = Need(
    "no image has a pixel spacing; give --pixel-spacing", "no image has a pixel spacing in both runs"
)
INPUT: Final = Need(
    "the size of the network's input is not known; give --input-size",
    "the size of the network's input is not known in both runs",
)
SIZE: Final = Need("the size of no image is known", "the size of no image is known in both runs")
WIDTH: Final = Need(
    "no label has a vertebra with a whole endplate", "no label has a vertebra with a whole endplate in both"
)
HEIGHT: Final = Need(
    "no label has both the first and the last endplate",
    "no label has both the first and the last endplate in both runs",
)


@dataclass(frozen=True, slots=True)
class ErrorUnit:
    """A unit of radial errors.

    `key`: as names of numbers have it (`radial_error_KEY`, `sdr_KEY`); `words` and `short`: in tables;
    `errors`: of a table, `[N, K]`, NaN where unknown; `thresholds` of success detection rates; `need`: what a
    run has to know for it.
    """

    choice: LeadingUnit
    key: str
    words: str
    short: str
    errors: Callable[[RunTable], Floats]
    thresholds: tuple[float, ...]
    need: Need | None = None


def _of_diagonal(table: RunTable) -> Floats:
    return percent_of(table.error_px, diagonal_px(table))


def _of_width(table: RunTable) -> Floats:
    return percent_of(table.error_px, table.vertebra_width_px)


def _of_height(table: RunTable) -> Floats:
    return percent_of(table.error_px, table.spine_height_px)


ERROR_UNITS: Final = (
    ErrorUnit(LeadingUnit.PX, "px", "px", "px", lambda table: table.error_px, (2.0, 4.0, 8.0, 16.0)),
    ErrorUnit(LeadingUnit.MM, "mm", "mm", "mm", lambda table: table.error_mm, (2.0, 2.5, 3.0, 4.0), SPACING),
    ErrorUnit(
        *(LeadingUnit.INPUT_PX, "input_px", "input px", "input px"),
        *(lambda table: table.error_input_px, (2.0, 4.0, 8.0, 16.0), INPUT),
    ),
    ErrorUnit(
        *(LeadingUnit.DIAGONAL, "diagonal_pct", "% of the image diagonal", "% diagonal"),
        *(lambda table: table.once(_of_diagonal), (0.5, 1.0, 2.0, 4.0), SIZE),
    ),
    ErrorUnit(
        *(LeadingUnit.WIDTH, "width_pct", "% of the vertebra width", "% width"),
        *(lambda table: table.once(_of_width), (5.0, 10.0, 20.0, 50.0), WIDTH),
    ),
    ErrorUnit(
        *(LeadingUnit.HEIGHT, "height_pct", "% of the spine height", "% height"),
        *(lambda table: table.once(_of_height), (1.0, 2.0, 4.0, 8.0), HEIGHT),
    ),
)
"""In the order of tables."""

UNIT_OF: Final = {unit.choice: unit for unit in ERROR_UNITS}
