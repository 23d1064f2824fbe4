"""A201–A203: endplates that face each other, or follow each other, are tilted alike."""

import numpy as np

from mahtdiag.anatomy.checks.measure import (
    Measure,
    disc_bits,
    pair_rows,
    peaks,
    vertebra_bits,
    vertebra_rows,
)
from mahtdiag.anatomy.geometry import Geometry
from mahtdiag.anatomy.limits import Limits
from mahtdiag.schema.views import LUMBAR


def endplates_parallel(geometry: Geometry, limits: Limits) -> tuple[Measure, ...]:
    """A201: angle between the two endplates of each vertebra, degrees."""
    angle_deg = np.abs(geometry.tilt_changes_deg[0::2])
    count = angle_deg.shape[0]
    return (Measure("A201", angle_deg, vertebra_rows(count), vertebra_bits(count)),)


def discs_not_wedged(geometry: Geometry, limits: Limits) -> tuple[Measure, ...]:
    """A202: angle between the endplates around each disc, degrees; L5/S1 has a limit of its own."""
    wedge_deg = np.abs(geometry.tilt_changes_deg[1::2])
    inner = len(LUMBAR) - 1
    rows, bits = pair_rows(geometry.view, wedge_deg.shape[0]), disc_bits(wedge_deg.shape[0])
    measures = [Measure("A202", wedge_deg[:inner], rows[:inner], bits[:inner])]
    if wedge_deg.shape[0] > inner:
        measures.append(Measure("A202-S1", wedge_deg[inner:], rows[inner:], bits[inner:]))
    return tuple(measures)


def endplates_in_line(geometry: Geometry, limits: Limits) -> tuple[Measure, ...]:
    """A203: tilt of each inner endplate minus the mean of its two neighbours', degrees, where it peaks."""
    change_deg = geometry.tilt_changes_deg
    against_deg = peaks(np.abs(change_deg[:-1] - change_deg[1:]) / 2, step=1)
    endplates = 1 + np.arange(against_deg.shape[0], dtype=np.int64)
    return (Measure("A203", against_deg, endplates // 2, (np.int64(3) << 2 * endplates)[:, None]),)
