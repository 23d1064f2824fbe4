"""Clinical measurements of predictions against those of the labels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.measurements import (
    BlandAltman,
    FrontalMeasurements,
    Icc,
    LateralMeasurements,
    bland_altman,
    confusion_table,
    facing_from_lordosis,
    icc_a1,
    measure_frontal,
    measure_lateral,
    measurement_columns,
    meyerding_grade,
)
from mahtdiag.schema.skeleton import Skeleton, View

Floats = NDArray[np.float64]
MEYERDING = (1, 2, 3, 4, 5)
TITLES = {
    "cobb_deg": "coronal Cobb angle",
    "lateral_slip_percent": "lateral slip",
    "tilt_deg": "vertebral tilt",
    "slip_percent": "slip",
    "lordosis_deg": "lumbar lordosis",
    "segmental_deg": "segmental angle",
    "disc_height_index": "disc height index",
    "wedging": "front/back height",
}


@dataclass(frozen=True, slots=True)
class MeasuredPair:
    """One measurement of one level on labels and predictions, `[N]` each, and how well they agree."""

    name: str
    level: str
    unit: str
    labelled: Floats
    predicted: Floats
    difference: BlandAltman
    icc: Icc

    @property
    def title(self) -> str:
        """What is measured, in words."""
        return TITLES[self.name]


@dataclass(frozen=True, slots=True)
class Measured:
    """All measurements of a set of images.

    `meyerding` (lateral views only): counts `[grade of label, grade of prediction]`, I to V, over the levels
    whose slip is known in both. `facing_unknown`: images whose front side the labels do not tell.
    """

    pairs: tuple[MeasuredPair, ...]
    meyerding: NDArray[np.int64] | None
    facing_unknown: int


def measure_agreement(pred_px: Floats, label_px: Floats, skeleton: Skeleton) -> Measured:
    """Every measurement of the projection, on predictions and labels `[N, K, 2]`, and how well the two agree.

    Lateral predictions are measured under the facing of their labels: they show the same patient.
    """
    labelled: LateralMeasurements | FrontalMeasurements
    predicted: LateralMeasurements | FrontalMeasurements
    meyerding, unknown = None, 0
    if skeleton.view is View.LA:
        facing = facing_from_lordosis(label_px, skeleton)
        unknown = int((facing == 0).sum())
        labelled = measure_lateral(label_px, skeleton, facing)
        predicted = measure_lateral(pred_px, skeleton, facing)
        grades = [meyerding_grade(each.slip_percent) for each in (labelled, predicted)]
        meyerding = confusion_table(grades[0], grades[1], MEYERDING)
    else:
        labelled, predicted = measure_frontal(label_px, skeleton), measure_frontal(pred_px, skeleton)
    columns = zip(
        measurement_columns(labelled, skeleton), measurement_columns(predicted, skeleton), strict=True
    )
    pairs = tuple(
        MeasuredPair(
            name=ours.name,
            level=ours.level,
            unit=ours.unit,
            labelled=ours.values,
            predicted=theirs.values,
            difference=bland_altman(theirs.values, ours.values),
            icc=icc_a1(np.stack([ours.values, theirs.values], axis=1)),
        )
        for ours, theirs in columns
    )
    return Measured(pairs, meyerding, unknown)
