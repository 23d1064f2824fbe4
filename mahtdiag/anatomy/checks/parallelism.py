"""A201–A203: endplates that face each other, or follow each other, are tilted alike."""

import numpy as np

from mahtdiag.anatomy.checks.measure import (
    END_STRENGTH,
    ROUNDING,
    Measure,
    Places,
    peaks,
)
from mahtdiag.anatomy.geometry import Floats, Geometry
from mahtdiag.anatomy.limits import Limits


def endplates_parallel(geometry: Geometry, limits: Limits) -> tuple[Measure, ...]:
    """A201: angle between the two endplates of each vertebra, degrees."""
    angle_deg = np.abs(geometry.tilt_changes_deg[0::2])
    return (Measure("A201", angle_deg, Places.bodies(geometry.skeleton)),)


def discs_not_wedged(geometry: Geometry, limits: Limits) -> tuple[Measure, ...]:
    """A202: angle between the endplates around each disc, degrees; the last one may have its own limit."""
    wedge_deg = np.abs(geometry.tilt_changes_deg[1::2])
    return _apart("A202", wedge_deg, Places.discs(geometry.skeleton), len(geometry.skeleton.bodies) - 1)


def _apart(key: str, values: Floats, places: Places, inner: int) -> tuple[Measure, ...]:
    """The first `inner` rows under `key`; the rest, which a last endplate adds, under its own limit."""
    above, last = slice(0, inner), slice(inner, None)
    measures = (Measure(key, values[above], places[above]), Measure(f"{key}-S1", values[last], places[last]))
    return measures if values.shape[0] > inner else measures[:1]


def endplates_in_line(geometry: Geometry, limits: Limits) -> tuple[Measure, ...]:
    """A203: how far each endplate leans against those next to it, degrees, where that peaks.

    An inner endplate: its tilt minus the mean of its two neighbours'. The first and the last have one
    neighbour: the wedge between the two, less what the next wedge of its kind makes usual. That is half the
    wedge of the next body, and all of the wedge of the next disc for a last endplate, which has a
    limit of its own.
    """
    change_deg = geometry.tilt_changes_deg
    share = 0.5 if geometry.skeleton.last_endplate is None else 1.0
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
    endplates = Places.endplates(geometry.skeleton)
    return _apart("A203", peaks_deg, endplates, 2 * len(geometry.skeleton.bodies))
