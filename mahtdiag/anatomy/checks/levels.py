"""A501: the levels follow each other in this spine's own rhythm."""

import numpy as np

from mahtdiag.anatomy.checks.measure import Measure, disc_bits, pair_rows
from mahtdiag.anatomy.geometry import Geometry, median_of_rows
from mahtdiag.anatomy.limits import Limits
from mahtdiag.schema.views import LUMBAR

_FEWEST_SPACINGS = 3


def spacing_regular(geometry: Geometry, limits: Limits) -> tuple[Measure, ...]:
    """A501: centre spacing over the image's median (L1–L5), and disc gap in heights (with L5/S1)."""
    inner = len(LUMBAR) - 1
    spacings = geometry.spacings[:inner]
    usual = median_of_rows(spacings)
    enough = (np.isfinite(spacings).sum(axis=0) >= _FEWEST_SPACINGS) & (usual > 1e-6)
    ratio = np.where(enough, spacings / usual, np.nan)
    gap = geometry.gaps / geometry.height
    rows, bits = pair_rows(geometry.view, gap.shape[0]), disc_bits(gap.shape[0])
    return (
        Measure("A501-min", ratio, rows[:inner], bits[:inner]),
        Measure("A501-max", ratio, rows[:inner], bits[:inner]),
        Measure("A501-gap", gap, rows, bits),
    )
