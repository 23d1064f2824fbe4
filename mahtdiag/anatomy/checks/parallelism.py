"""A201–A203: endplates that face each other, or follow each other, are tilted alike."""

import numpy as np

from mahtdiag.anatomy.checks.measure import (
    END_STRENGTH,
    ROUNDING,
    Measure,
    disc_bits,
    pair_rows,
    peaks,
    vertebra_bits,
    vertebra_rows,
)
from mahtdiag.anatomy.geometry import Geometry
from mahtdiag.anatomy.limits import Limits
from mahtdiag.schema.skeleton import LUMBAR


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
    """A203: how far each endplate leans against those next to it, degrees, where that peaks.

    An inner endplate: its tilt minus the mean of its two neighbours'. The first and the last have one
    neighbour: the wedge between the two, less what the next wedge of its kind makes usual. That is half the
    wedge of the next body, and all of the wedge of the next disc for S1, which has a limit of its own.
    """
    change_deg = geometry.tilt_changes_deg
    share = 1.0 if change_deg.shape[0] == 2 * len(LUMBAR) else 0.5
    first = change_deg[:1] - 0.5 * change_deg[2:3]
    last = change_deg[-1:] - share * change_deg[-3:-2]
    leaning_deg = np.abs(np.concatenate([first, (change_deg[:-1] - change_deg[1:]) / 2, last]))
    strengths = leaning_deg.copy()
    strengths[[0, -1]] *= END_STRENGTH
    peaks_deg = peaks(leaning_deg, 1, strengths)
    # Of the three that the first and the last are measured by, any that is tilted moves their value as well.
    for end, others in ((0, slice(1, 4)), (-1, slice(-4, -1))):
        beaten = np.fmax.reduce(leaning_deg[others], axis=0) > strengths[end] * (1.0 + ROUNDING)
        peaks_deg[end, beaten] = np.nan
    endplates = np.arange(peaks_deg.shape[0], dtype=np.int64)
    bits = (np.int64(3) << 2 * endplates)[:, None]
    body = 2 * len(LUMBAR)
    measures = [Measure("A203", peaks_deg[:body], endplates[:body] // 2, bits[:body])]
    if endplates.size > body:
        measures.append(Measure("A203-S1", peaks_deg[body:], endplates[body:] // 2, bits[body:]))
    return tuple(measures)
