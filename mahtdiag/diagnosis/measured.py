"""What clinicians read from the keypoints of a run: on predictions and labels, and how well the two agree."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.agreement import (
    BlandAltman,
    Detection,
    Icc,
    Kappa,
    bland_altman,
    confusion_table,
    detection,
    icc_a1,
    weighted_kappa,
)
from mahtdiag.anatomy.difference_shape import (
    PercentileLimits,
    RegressionLimits,
    difference_shape,
    percentile_limits,
    regression_limits,
)
from mahtdiag.anatomy.facing import Facing, facing_alone, facing_by_others, given_facing, slip_codes
from mahtdiag.anatomy.measured_columns import MeasuredColumn, measurement_columns
from mahtdiag.anatomy.measurements import (
    FrontalMeasurements,
    LateralMeasurements,
    chain_measurements,
    meyerding_grade,
    sizes_alone,
)
from mahtdiag.anatomy.pairs import PointPairs
from mahtdiag.anatomy.whole_spine import measure_ap, measure_la, paired_curves
from mahtdiag.diagnosis.paired import holm
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.schema.choices import FacingSide
from mahtdiag.schema.skeleton import CORNERS_PER_ENDPLATE, Skeleton, View
from mahtdiag.statistics.spread import Bounded, spread_over_units

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MEYERDING = (1, 2, 3, 4, 5)
SIGNIFICANCE = 0.05
_NORMAL_95 = 1.959963984540054
SLIP_PERCENT = 5.0
"""A slip of this size and more counts as one against the codes of listhesis; a choice."""

TITLES = {
    "cobb_deg": "coronal Cobb angle",
    "midline_cobb_deg": "midline Cobb angle",
    "curve_deg": "curve",
    "thoracic_kyphosis_deg": "thoracic kyphosis",
    "cervical_lordosis_deg": "cervical lordosis",
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
    """One measurement of one level on labels and predictions, `[N]` each, and how well they agree.

    `sem`: standard error of measurement, SD of the differences / √2, which is that of one of the two if both
    err alike; `mdc`: minimal detectable change, 1.96 √2 SEM: what differs by less may not differ at all.
    `percentiles`: limits that stand in for those of `difference` where differences are not normal (and there
    are enough for percentiles, None otherwise); `not_normal` says so. `regression`: limits by size where
    differences or their spread grow with it, else None.
    """

    name: str
    level: str
    unit: str
    labelled: Floats
    predicted: Floats
    difference: BlandAltman
    icc: Icc
    sem: Bounded
    mdc: Bounded
    not_normal: bool = False
    percentiles: PercentileLimits | None = None
    regression: RegressionLimits | None = None

    @property
    def title(self) -> str:
        """What is measured, in words."""
        return TITLES[self.name]


@dataclass(frozen=True, slots=True)
class CodedSlips:
    """How well slips of labels and of predictions find the levels that a reader coded as listhesis."""

    labels: Detection
    predictions: Detection


@dataclass(frozen=True, slots=True)
class Measured:
    """All measurements of a set of images.

    `meyerding` (lateral views only): counts `[grade of label, grade of prediction]`, I to V, over the levels
    whose slip is known in both; `kappa` their agreement. `coded`: slips of `SLIP_PERCENT` and more in labels
    and in predictions against the codes of listhesis, None where the run has none. `facing` of the images:
    None in AP.
    """

    pairs: tuple[MeasuredPair, ...]
    meyerding: NDArray[np.int64] | None
    facing: Facing | None
    kappa: Kappa | None = None
    coded: CodedSlips | None = None


def measure_run(table: RunTable, facing: FacingSide | None = None) -> Measured:
    """The measurements of a run; `facing`: the anterior side of all images, where that was said."""
    codes = table.by_parts(_level_codes)
    pairs = PointPairs(len(table), lambda: ((part.pred_px, part.gt_px) for part in table.parts()))
    return measure_pairs(pairs, table.skeleton, table.units, codes, facing)


def measure_agreement(
    pred_px: Floats,
    label_px: Floats,
    skeleton: Skeleton,
    units: Ints,
    codes: Floats | None = None,
    given: FacingSide | None = None,
) -> Measured:
    """Every measurement of the projection, on predictions and labels `[N, K, 2]`, and how well they agree.

    `units` `[N]`; `codes` `[N, V−1]` of listhesis by level, where there are any; `given`: the anterior side.
    Lateral predictions are measured under the facing of their labels, which show the same patient (their own
    where nothing is labelled). Where it is known of most images, what depends on it leaves out the others;
    else it is a size without sign in all.
    """
    return measure_pairs(PointPairs.of(pred_px, label_px), skeleton, units, codes, given)


def measure_pairs(
    pairs: PointPairs,
    skeleton: Skeleton,
    units: Ints,
    codes: Floats | None = None,
    given: FacingSide | None = None,
) -> Measured:
    """The same of points that come in blocks: what is held are the measurements."""
    labelled: LateralMeasurements | FrontalMeasurements
    predicted: LateralMeasurements | FrontalMeasurements
    meyerding, kappa, found = None, None, None
    codes = np.full((pairs.images, len(skeleton.vertebrae) - 1), np.nan) if codes is None else codes
    if skeleton.view is View.LA:
        found = _facing(pairs, skeleton, codes, units, given)
        blocks = [_lateral(label, pred, skeleton, found, rows) for rows, pred, label in pairs.placed()]
        lateral = [chain_measurements(of) for of in zip(*blocks, strict=True)]
        labelled, predicted = lateral
        slips = lateral[0].slip_percent, lateral[1].slip_percent
        grades = [meyerding_grade(slip) for slip in slips]
        meyerding = confusion_table(grades[0], grades[1], MEYERDING)
        kappa = weighted_kappa(grades[0], grades[1], units, MEYERDING)
    else:
        both = [[measure_ap(points, skeleton) for points in block] for block in pairs.blocks()]
        frontal = [chain_measurements(of) for of in zip(*both, strict=True)]
        labelled, predicted = paired_curves(frontal[1], frontal[0])
        slips = frontal[1].lateral_slip_percent, frontal[0].lateral_slip_percent
    columns = zip(
        *(measurement_columns(labelled, skeleton), measurement_columns(predicted, skeleton)),
        strict=True,
    )
    measured = [_pair(ours, theirs, units) for ours, theirs in columns]
    coded = _coded_slips(codes, slips, units)
    return Measured(_with_limits(measured, units), meyerding, found, kappa, coded)


def _facing(
    pairs: PointPairs, skeleton: Skeleton, codes: Floats, units: Ints, given: FacingSide | None
) -> Facing:
    """Which way the images face, by their labels, or by predictions where nothing is labelled."""
    if given is not None:
        return given_facing(pairs.images, given)
    is_labelled = any(bool(np.isfinite(label).any()) for _, label in pairs.blocks())
    alone = [
        facing_alone(label if is_labelled else pred, skeleton, codes[rows])
        for rows, pred, label in pairs.placed()
    ]
    own, lordotic = (np.concatenate(of) for of in zip(*alone, strict=True))
    return facing_by_others(own, lordotic, units)


def _pair(ours: MeasuredColumn, theirs: MeasuredColumn, units: Ints) -> MeasuredPair:
    """One measurement of labels and predictions."""
    difference = theirs.values - ours.values
    return MeasuredPair(
        name=ours.name,
        level=ours.level,
        unit=ours.unit,
        labelled=ours.values,
        predicted=theirs.values,
        difference=bland_altman(theirs.values, ours.values, units),
        icc=icc_a1(np.stack([ours.values, theirs.values], axis=1), units),
        sem=spread_over_units(difference, units, 1 / np.sqrt(2)),
        mdc=spread_over_units(difference, units, _NORMAL_95),
    )


def _with_limits(pairs: Sequence[MeasuredPair], units: Ints) -> tuple[MeasuredPair, ...]:
    """The same with other limits where the usual ones do not hold, by tests corrected for all of them."""
    shapes = [difference_shape(pair.predicted, pair.labelled, units) for pair in pairs]
    p_values = np.array([(shape.p_normal, shape.p_bias, shape.p_spread) for shape in shapes]).reshape(-1, 3)
    tested = np.isfinite(p_values)
    said = np.zeros(p_values.shape, dtype=np.bool_)
    said[tested] = np.array(holm(p_values[tested].tolist())) < SIGNIFICANCE
    return tuple(
        replace(
            pair,
            not_normal=bool(row[0]),
            percentiles=percentile_limits(pair.predicted, pair.labelled, units) if row[0] else None,
            regression=regression_limits(pair.predicted, pair.labelled) if row[1] or row[2] else None,
        )
        for pair, row in zip(pairs, said, strict=True)
    )


def _coded_slips(codes: Floats, slips: tuple[Floats, Floats], units: Ints) -> CodedSlips | None:
    """Slips of labels and predictions, `[N, V−1]` each, against the codes of their levels."""
    if not np.isfinite(codes).any():
        return None
    said = np.where(np.isnan(codes), -1, codes > 0).astype(np.int64)
    found = [np.where(np.isnan(slip), -1, np.abs(slip) >= SLIP_PERCENT).astype(np.int64) for slip in slips]
    return CodedSlips(detection(said, found[0], units), detection(said, found[1], units))


def _level_codes(table: RunTable) -> Floats:
    """The codes of listhesis by level, `[N, V−1]`."""
    codes = endplate_codes(table)
    if table.skeleton.first_endplate is not None:
        # As if there were an upper one.
        codes = np.concatenate([np.full((len(codes), 1), np.nan), codes], axis=1)
    return slip_codes(codes)


def endplate_codes(table: RunTable) -> Floats:
    """The code of listhesis of every endplate `[N, E]`; NaN where the run does not know it."""
    if not table.has(RunTable.listhesis):
        return np.full((len(table), table.skeleton.endplates), np.nan)
    return table.listhesis[:, ::CORNERS_PER_ENDPLATE]


def _lateral(
    label_px: Floats, pred_px: Floats, skeleton: Skeleton, facing: Facing, rows: slice
) -> tuple[LateralMeasurements, LateralMeasurements]:
    """Labels and predictions of these images, all signed, of unknown facing NaN, or all without sign."""
    side = facing.side[rows] if facing.signed else np.zeros_like(facing.side[rows])
    labelled = measure_la(label_px, skeleton, side)
    predicted = measure_la(pred_px, skeleton, side)
    if not facing.signed:
        return sizes_alone(labelled, predicted)
    return _known_alone(labelled, side), _known_alone(predicted, side)


def _known_alone(measured: LateralMeasurements, side: NDArray[np.int64]) -> LateralMeasurements:
    """What depends on the facing is NaN where that is unknown."""
    found = {of.name: getattr(measured, of.name).copy() for of in fields(measured)}
    for name, values in found.items():
        if name != "disc_height_index":
            values[side == 0] = np.nan
    return replace(measured, **found)
