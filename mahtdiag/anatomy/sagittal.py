"""Bends of the spine in a lateral image, between endplates that are named."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.geometry import known_points, tilt_deg, within_half_turn_deg
from mahtdiag.schema.skeleton import Skeleton

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SagittalBend:
    """An angle between two endplates, the upper one first; `lordotic` +1 where lordosis is positive, −1 where
    kyphosis is.
    """

    name: str
    upper: str
    lower: str
    lordotic: int

    def applies(self, skeleton: Skeleton) -> bool:
        """Whether the skeleton has both endplates."""
        return {self.upper, self.lower} <= set(skeleton.endplate_names)


THORACIC_KYPHOSIS: Final = SagittalBend("thoracic_kyphosis_deg", "T4 upper", "T12 lower", -1)
CERVICAL_LORDOSIS: Final = SagittalBend("cervical_lordosis_deg", "C2 lower", "C7 lower", 1)
BENDS: Final = (THORACIC_KYPHOSIS, CERVICAL_LORDOSIS)
"""Those that clinicians read; the lumbar lordosis is `measurements.lordosis_bend_deg`."""


def sagittal_bend_deg(points_px: Floats, skeleton: Skeleton, facing: Ints, bend: SagittalBend) -> Floats:
    """The angle `[N]` of `[N, K, 2]` points; `facing` `[N]`: +1 anterior right, −1 left, 0 unknown.

    NaN without one of the endplates. Where the facing is unknown the right side is taken for the anterior
    one: the angle then has a size, but no sign.
    """
    if not bend.applies(skeleton):
        return np.full(len(points_px), np.nan)
    known = known_points(points_px)
    ends = [2 * skeleton.endplate_names.index(name) for name in (bend.upper, bend.lower)]
    upper, lower = (tilt_deg(known[:, left], known[:, left + 1]) for left in ends)
    return bend.lordotic * np.where(facing < 0, -1.0, 1.0) * within_half_turn_deg(lower - upper)
