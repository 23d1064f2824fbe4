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
    kinds = table.error_types
    known = kinds.types != ErrorType.UNKNOWN
    if not known.any():
        return None
    scale = mm_per_px(table) if leading is MM else None
    if scale is None:
        rows = table.once(repairs_of)
        return Repairs(PX, float(kinds.error_px[known].mean()), rows, _gains(table, rows, kinds, None))
    in_mm = known & np.isfinite(scale)[:, None]
    kinds = replace(kinds, types=np.where(in_mm, kinds.types, ErrorType.UNKNOWN))
    rows = repair_table(kinds, scale)
    mean = float((kinds.error_px * scale[:, None])[in_mm].mean())
    return Repairs(MM, mean, rows, _gains(table, rows, kinds, scale), int((known & ~in_mm).sum()))


def mm_per_px(table: RunTable) -> Floats | None:
    """Millimetres per pixel of each image `[N]`, NaN where unknown.

    None where no judged image has any, and where an error is known in millimetres of an image whose spacing
    is not known to be the same along x and y: what is left of a repaired error has no direction.
    """
    if not (table.has(RunTable.pixel_spacing_mm) and table.has(RunTable.error_mm)):
        return None
    x_mm, y_mm = spacing_xy_mm(table).T
    scale = np.where(x_mm == y_mm, x_mm, np.nan)
    judged = table.error_types.types != ErrorType.UNKNOWN
    told = (judged & np.isfinite(table.error_mm)).any(axis=1)
    return scale if bool(told.any() and np.isfinite(scale[told]).all()) else None


def _gains(
    table: RunTable, rows: tuple[RepairRow, ...], kinds: ErrorTypes, scale: Floats | None
) -> dict[ErrorType, Estimate]:
    """What each kind costs; of `kinds` with a scale, else as the table tells it."""
    registered = metrics_of(table.skeleton)
    metrics: dict[ErrorType, Metric] = {
        row.error_type: registered[gain_of(row.error_type)]
        for row in rows
        if row.error_type is not ErrorType.GOOD
    }
    if scale is not None:
        metrics = {kind: _in_mm(metric, kind, kinds, scale) for kind, metric in metrics.items()}
    found = estimate(metrics.values(), table)
    return {kind: found[metric.name] for kind, metric in metrics.items()}


def _in_mm(metric: Metric, kind: ErrorType, kinds: ErrorTypes, scale: Floats) -> Metric:
    gain_mm = np.where(kinds.types == kind, (kinds.error_px - kinds.repaired_px) * scale[:, None], 0.0)
    known = kinds.types != ErrorType.UNKNOWN
    return replace(metric, unit=MM.words, measure=Mean(Terms(lambda _: gain_mm, lambda _: known)))
