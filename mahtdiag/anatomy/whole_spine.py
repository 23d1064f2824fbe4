"""What is measured of more than the lumbar spine: what that has, and what needs more levels."""

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.coronal import midline_cobb, midline_tilt_deg, regional_curves
from mahtdiag.anatomy.measurements import (
    FrontalMeasurements,
    LateralMeasurements,
    measure_frontal,
    measure_lateral,
)
from mahtdiag.anatomy.sagittal import CERVICAL_LORDOSIS, THORACIC_KYPHOSIS, sagittal_bend_deg
from mahtdiag.schema.skeleton import Region, Skeleton

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CurveMeasurements(FrontalMeasurements):
    """Of an AP image of more than the lumbar spine.

    `midline_cobb_deg` `[N]`: largest angle between two midlines. `curve_deg`: sizes of the largest curve of
    each region by its midlines, NaN where there is none; `[N, 3, 2]` to the left and to the right as in
    `coronal.RegionalCurves`, or `[N, 3]` one of the two (see `paired_curves`).
    """

    midline_cobb_deg: Floats
    curve_deg: Floats


@dataclass(frozen=True, slots=True)
class BendMeasurements(LateralMeasurements):
    """Of a lateral image of more than the lumbar spine: see `sagittal.BENDS`, `[N]` each."""

    thoracic_kyphosis_deg: Floats
    cervical_lordosis_deg: Floats


def is_whole(skeleton: Skeleton) -> bool:
    """Whether a skeleton has more bodies than lumbar ones."""
    return any(Region.of(body) is not Region.LUMBAR for body in skeleton.bodies)


def measure_ap(points_px: Floats, skeleton: Skeleton) -> FrontalMeasurements:
    """All that is measured of `[N, K, 2]` points in AP: `CurveMeasurements` where the spine is whole."""
    frontal = measure_frontal(points_px, skeleton)
    if not is_whole(skeleton):
        return frontal
    return CurveMeasurements(
        **{of.name: getattr(frontal, of.name) for of in fields(frontal)},
        midline_cobb_deg=midline_cobb(midline_tilt_deg(points_px, skeleton)).angle_deg,
        curve_deg=regional_curves(points_px, skeleton).midline_deg,
    )


def measure_la(points_px: Floats, skeleton: Skeleton, facing: Ints) -> LateralMeasurements:
    """The same of lateral points: `BendMeasurements` where the spine is whole."""
    lateral = measure_lateral(points_px, skeleton, facing)
    if not is_whole(skeleton):
        return lateral
    return BendMeasurements(
        **{of.name: getattr(lateral, of.name) for of in fields(lateral)},
        thoracic_kyphosis_deg=sagittal_bend_deg(points_px, skeleton, facing, THORACIC_KYPHOSIS),
        cervical_lordosis_deg=sagittal_bend_deg(points_px, skeleton, facing, CERVICAL_LORDOSIS),
    )


def paired_curves(
    labelled: FrontalMeasurements, predicted: FrontalMeasurements
) -> tuple[FrontalMeasurements, FrontalMeasurements]:
    """The same with one curve of each region: the label's larger one, and the prediction's to the same side.

    So a curve is held against another to the same side alone. Where the label has none, it is the larger one
    of the prediction.
    """
    if not (isinstance(labelled, CurveMeasurements) and isinstance(predicted, CurveMeasurements)):
        return labelled, predicted
    sizes = [np.nan_to_num(of.curve_deg, nan=-1.0) for of in (labelled, predicted)]
    is_labelled = (sizes[0] > 0).any(axis=2, keepdims=True)
    side = np.argmax(np.where(is_labelled, sizes[0], sizes[1]), axis=2)[..., None]
    ours, theirs = (
        replace(of, curve_deg=np.take_along_axis(of.curve_deg, side, axis=2)[..., 0])
        for of in (labelled, predicted)
    )
    return ours, theirs
