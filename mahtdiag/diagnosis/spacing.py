"""Millimetres of a run: its spacings in both directions, and errors by them."""

import numpy as np

from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.schema.records import Floats


def spacing_xy_mm(table: RunTable) -> Floats:
    """Millimetres per pixel along x and y, `[N, 2]`, NaN where not known.

    A run of an earlier version knows one for both directions.
    """
    either = np.stack([table.pixel_spacing_mm] * 2, axis=1)
    if not table.has(RunTable.pixel_spacing_x_mm):
        return either
    both = np.stack([table.pixel_spacing_x_mm, table.pixel_spacing_y_mm], axis=1)
    return np.where(np.isfinite(either), either, both)


def error_by_spacing_mm(table: RunTable) -> Floats:
    """Radial errors `[N, K]` by the spacings of the table: √((Δx·s_x)² + (Δy·s_y)²), mm; NaN without one."""
    return table.by_parts(_by_spacing_mm)


def _by_spacing_mm(table: RunTable) -> Floats:
    x_mm, y_mm = (spacing_xy_mm(table)[:, None, axis] for axis in range(2))
    step_px = table.pred_px - table.gt_px
    both = np.hypot(step_px[..., 0] * x_mm, step_px[..., 1] * y_mm)
    return np.asarray(np.where(x_mm == y_mm, table.error_px * x_mm, both))
