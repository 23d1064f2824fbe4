"""What each kind of mistake costs, in millimetres where they are known."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.error_types import ErrorType, ErrorTypes, RepairRow, repair_table
from mahtdiag.diagnosis.image_errors import MM, PX
from mahtdiag.diagnosis.metrics.anatomy import gain_of, repairs_of
from mahtdiag.diagnosis.metrics.error_units import ErrorUnit
from mahtdiag.diagnosis.metrics.measures import Mean, Terms
from mahtdiag.diagnosis.metrics.metric import Estimate, Metric
from mahtdiag.diagnosis.metrics.registry import metrics_of
from mahtdiag.diagnosis.numbers import estimate
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.spacing import spacing_xy_mm

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Repairs:
    """Kinds of mistakes by what they cost, the largest gain first.

    `mean`: the mean error of the keypoints whose kind is known, in `unit`, as `repaired_mean` of the rows and
    `gains` are: how much lower it is if a kind is repaired, with its interval. `left_out`: keypoints of
    images without a pixel spacing, where they are told in millimetres.
    """

    unit: ErrorUnit
    mean: float
    rows: tuple[RepairRow, ...]
    gains: Mapping[ErrorType, Estimate]
    left_out: int = 0


def repairs_in(table: RunTable, leading: ErrorUnit) -> Repairs | None:
    """In mm if these lead and `mm_per_px` knows them, else in pixels; None where no kind is known."""
    kinds = _kinds(table)
    known = kinds.types != ErrorType.UNKNOWN
    if not known.any():
        return None
    scale = mm_per_px(table) if leading is MM else None
    if scale is None:
        rows = table.once(repairs_of)
        return Repairs(PX, float(kinds.error_px[known].mean()), rows, _gains(table, rows))
    in_mm = known & np.isfinite(scale)[:, None]
    kinds = replace(kinds, types=np.where(in_mm, kinds.types, ErrorType.UNKNOWN))
    rows = repair_table(kinds, scale)
    mean = float((kinds.error_px * scale[:, None])[in_mm].mean())
    return Repairs(MM, mean, rows, _gains(table, rows, in_mm=True), int((known & ~in_mm).sum()))


def mm_per_px(table: RunTable) -> Floats | None:
    """Millimetres per pixel of each image `[N]`, NaN where unknown.

    None where no judged image has any, and where an error is known in millimetres of an image whose spacing
    is not known to be the same along x and y: what is left of a repaired error has no direction.
    """
    if not (table.has(RunTable.pixel_spacing_mm) and table.has(RunTable.error_mm)):
        return None
    scale = _scale(table)
    told = table.by_parts(
        lambda part: ((part.error_types.types != ErrorType.UNKNOWN) & np.isfinite(part.error_mm)).any(axis=1)
    )
    return scale if bool(told.any() and np.isfinite(scale[told]).all()) else None


def _kinds(table: RunTable) -> ErrorTypes:
    return ErrorTypes(
        table.kinds_of_error,
        table.by_parts(lambda part: part.error_types.error_px),
        table.by_parts(lambda part: part.error_types.repaired_px),
    )


def _scale(table: RunTable) -> Floats:
    """Millimetres per pixel of each image `[N]`; NaN where unknown, or other along x than along y."""
    x_mm, y_mm = spacing_xy_mm(table).T
    return np.where(x_mm == y_mm, x_mm, np.nan)


def _gains(table: RunTable, rows: tuple[RepairRow, ...], *, in_mm: bool = False) -> dict[ErrorType, Estimate]:
    """What each kind costs, in pixels as the table tells it, or in millimetres where they are known."""
    registered = metrics_of(table.skeleton)
    metrics: dict[ErrorType, Metric] = {
        row.error_type: registered[gain_of(row.error_type)]
        for row in rows
        if row.error_type is not ErrorType.GOOD
    }
    if in_mm:
        metrics = {kind: _in_mm(metric, kind) for kind, metric in metrics.items()}
    found = estimate(metrics.values(), table)
    return {kind: found[metric.name] for kind, metric in metrics.items()}


def _in_mm(metric: Metric, kind: ErrorType) -> Metric:
    def gain_mm(table: RunTable) -> Floats:
        kinds, scale = table.error_types, _scale(table)[:, None]
        told = (kinds.types == kind) & np.isfinite(scale)
        return np.where(told, (kinds.error_px - kinds.repaired_px) * scale, 0.0)

    return replace(metric, unit=MM.words, measure=Mean(Terms(gain_mm, _told_in_mm)))


def _told_in_mm(table: RunTable) -> NDArray[np.bool_]:
    known: NDArray[np.bool_] = table.error_types.types != ErrorType.UNKNOWN
    return known & np.isfinite(_scale(table))[:, None]
