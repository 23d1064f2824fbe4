"""What radial errors are measured in: everything that is said of a unit is said here, once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.diagnosis.error_scales import diagonal_px, percent_of, spine_height_px, vertebra_width_px
from mahtdiag.diagnosis.metrics.metric import Need
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.worst_images import mean_of_known
from mahtdiag.schema.choices import LeadingUnit

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

FOUND: Final = Need(
    "none of these keypoints is both labelled and predicted",
    "none of these keypoints is labelled and predicted in both runs",
)
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
    run has to know for it; `scale`: of images, NaN of those whose errors cannot be told in it.
    """

    choice: LeadingUnit
    key: str
    words: str
    short: str
    errors: Callable[[RunTable], Floats]
    thresholds: tuple[float, ...]
    need: Need | None = None
    scale: Callable[[RunTable], Floats] | None = None

    def missed(self, table: RunTable) -> Bools:
        """Which keypoints have a label and no prediction, `[N, K]`, in images whose errors it can tell."""
        if self.scale is None:
            return table.missed
        return table.missed & np.isfinite(self.scale(table))[:, np.newaxis]

    def urgency(self, table: RunTable) -> Floats:
        """By what images are called worst, `[N]`: their mean error in this unit, severity without labels."""
        if not table.labelled or self.choice is LeadingUnit.PX:
            return table.urgency
        return mean_of_known(self.errors(table))


def _spacing(table: RunTable) -> Floats:
    """The pixel spacing of each image along x, mm; 1 where only errors in mm tell that there is one."""
    found = np.where(np.isfinite(table.error_mm).any(axis=1), 1.0, np.nan)
    for column in (RunTable.pixel_spacing_mm, RunTable.pixel_spacing_x_mm):
        if table.has(column):
            values = np.asarray(table.values_of(column.name), dtype=np.float64)
            found = np.where(np.isnan(found), values, found)
    return found


def _in_input(table: RunTable) -> Floats:
    """The diagonal of each image that reaches the input of a network of known size."""
    if table.conditions.input_frames is None:
        return np.full(len(table), np.nan)
    return diagonal_px(table)


def _of_diagonal(table: RunTable) -> Floats:
    return percent_of(table.error_px, diagonal_px(table))


def _of_width(table: RunTable) -> Floats:
    return percent_of(table.error_px, table.vertebra_width_px)


def _of_height(table: RunTable) -> Floats:
    return percent_of(table.error_px, table.spine_height_px)


ERROR_UNITS: Final = (
    ErrorUnit(LeadingUnit.PX, "px", "px", "px", lambda table: table.error_px, (2.0, 4.0, 8.0, 16.0), FOUND),
    ErrorUnit(
        LeadingUnit.MM,
        "mm",
        "mm",
        "mm",
        lambda table: table.error_mm,
        (2.0, 2.5, 3.0, 4.0),
        SPACING,
        _spacing,
    ),
    ErrorUnit(
        *(LeadingUnit.INPUT_PX, "input_px", "input px", "input px"),
        *(lambda table: table.error_input_px, (2.0, 4.0, 8.0, 16.0), INPUT, _in_input),
    ),
    ErrorUnit(
        *(LeadingUnit.DIAGONAL, "diagonal_pct", "% of the image diagonal", "% diagonal"),
        *(lambda table: table.once(_of_diagonal), (0.5, 1.0, 2.0, 4.0), SIZE, diagonal_px),
    ),
    ErrorUnit(
        *(LeadingUnit.WIDTH, "width_pct", "% of the vertebra width", "% width"),
        *(lambda table: table.once(_of_width), (5.0, 10.0, 20.0, 50.0), WIDTH, vertebra_width_px),
    ),
    ErrorUnit(
        *(LeadingUnit.HEIGHT, "height_pct", "% of the spine height", "% height"),
        *(lambda table: table.once(_of_height), (1.0, 2.0, 4.0, 8.0), HEIGHT, spine_height_px),
    ),
)
"""In the order of tables."""

UNIT_OF: Final = {unit.choice: unit for unit in ERROR_UNITS}
