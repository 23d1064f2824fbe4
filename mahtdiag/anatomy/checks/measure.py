"""What every check delivers: values by row and image, and whom to blame."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.geometry import Bools, Floats, Geometry
from mahtdiag.anatomy.limits import Limits
from mahtdiag.schema.skeleton import CORNERS_PER_ENDPLATE, Skeleton

ROUNDING = 1e-9
"""Values that differ by less than this share are the same."""

END_STRENGTH = 0.75
"""What a value at the end of the spine counts against its neighbours' in `peaks`.

An end that is off adds half of that to its neighbour's value; a neighbour that is off adds all of it to the
end's.
"""


@dataclass(frozen=True, slots=True)
class Places:
    """What the rows of a quantity stand for.

    `levels` `[R]`: index into the skeleton's `levels`; `members` `[R, K]`: the keypoints of each.
    """

    levels: NDArray[np.int64]
    members: Bools

    def __getitem__(self, rows: slice) -> "Places":
        return Places(self.levels[rows], self.members[rows])

    @staticmethod
    def vertebrae(skeleton: Skeleton) -> "Places":
        """All vertebrae, each with its keypoints."""
        levels = np.arange(len(skeleton.vertebrae))
        return Places(levels, skeleton.vertebra_index == levels[:, None])

    @staticmethod
    def bodies(skeleton: Skeleton) -> "Places":
        """The vertebrae with four corners."""
        return Places.vertebrae(skeleton)[slice(0, len(skeleton.bodies))]

    @staticmethod
    def pairs(skeleton: Skeleton) -> "Places":
        """Neighbouring vertebrae, with the keypoints of both."""
        single = Places.vertebrae(skeleton)
        levels = single.levels.size + single.levels[:-1]
        return Places(levels, single.members[:-1] | single.members[1:])

    @staticmethod
    def discs(skeleton: Skeleton) -> "Places":
        """Neighbouring vertebrae, with the keypoints of the two endplates that face each other."""
        count = len(skeleton.vertebrae)
        upper = np.arange(count - 1)
        # An endplate is facing the disc below its vertebra where its number is odd, above it where even.
        disc = (np.arange(skeleton.keypoints) // CORNERS_PER_ENDPLATE + 1) // 2 - 1
        return Places(count + upper, disc == upper[:, None])

    @staticmethod
    def endplates(skeleton: Skeleton) -> "Places":
        """All endplates, under the name of their vertebra."""
        numbers = np.arange(skeleton.endplates)
        members = np.arange(skeleton.keypoints) // CORNERS_PER_ENDPLATE == numbers[:, None]
        return Places(numbers // 2, members)


@dataclass(frozen=True, slots=True)
class Measure:
    """One quantity, to be held against the limit `key`.

    `values` `[R, n]`, NaN where it cannot be measured; `places`: what the rows stand for, and whom a finding
    blames; of these keypoints those alone that are annotated, or that `points` `[K, n]` names.
    """

    key: str
    values: Floats
    places: Places
    points: Bools | None = None


Check = Callable[[Geometry, Limits], tuple[Measure, ...]]


def peaks(values: Floats, step: int, strengths: Floats | None = None) -> Floats:
    """Values `[R, n]` whose strength none `step` rows before or after exceeds; NaN in place of the others.

    A point that is off by d moves what its neighbours are held against: without this it would accuse them
    too. `strengths` are the values themselves where not given. Those that differ by rounding alone are equal.
    """
    strengths = values if strengths is None else strengths
    kept = values.copy()
    beaten = strengths * (1.0 + ROUNDING)
    kept[step:][strengths[:-step] > beaten[step:]] = np.nan
    kept[:-step][strengths[step:] > beaten[:-step]] = np.nan
    return kept
