"""Which vertebrae a network marks, with which corners, and at which index each keypoint stands.

A skeleton is data: whoever needs to know what keypoint 7 is, or how many there are, asks it.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

CORNERS: Final = ("UL", "UR", "LL", "LR")
"""Upper left, upper right, lower left, lower right as seen in the image (left = smaller x)."""
UL, UR, LL, LR = range(4)
CORNERS_PER_VERTEBRA: Final = 4
CORNERS_PER_ENDPLATE: Final = 2
LUMBAR: Final = ("L1", "L2", "L3", "L4", "L5")

Ints = NDArray[np.int64]


class View(StrEnum):
    """A projection: anteroposterior (20 keypoints) or lateral (22: S1's upper endplate comes last).

    Keypoint index = 4·vertebra + corner; corners are upper-left, upper-right, lower-left, lower-right as
    seen in the image (left = smaller x). S1 is 20 (left end) and 21 (right end).
    """

    AP = "AP"
    LA = "LA"

    @property
    def skeleton(self) -> "Skeleton":
        """The skeleton that radiographs of this projection are marked with."""
        return next(skeleton for skeleton in SKELETONS if skeleton.view is self)


@dataclass(frozen=True)
class Skeleton:
    """Keypoints of a run of vertebrae, from above: all four corners of each body, then at most one endplate.

    `bodies` are vertebrae with four corners, `last_endplate` the vertebra below them of which the upper
    endplate alone is marked, or None. Keypoint index = 4·vertebra + corner, corners in the order `CORNERS`.
    """

    name: str
    view: View
    bodies: tuple[str, ...]
    last_endplate: str | None = None

    def __str__(self) -> str:
        return self.name

    @cached_property
    def vertebrae(self) -> tuple[str, ...]:
        """Names of all vertebrae with a keypoint, from above."""
        return self.bodies if self.last_endplate is None else (*self.bodies, self.last_endplate)

    @cached_property
    def body_keypoints(self) -> int:
        """Number of keypoints of the vertebrae with four corners; these come first."""
        return CORNERS_PER_VERTEBRA * len(self.bodies)

    @cached_property
    def keypoints(self) -> int:
        """Number of keypoints, K."""
        return self.body_keypoints + (0 if self.last_endplate is None else CORNERS_PER_ENDPLATE)

    @cached_property
    def endplates(self) -> int:
        """Number of endplates: upper and lower of each body, and the last one."""
        return self.keypoints // CORNERS_PER_ENDPLATE

    @cached_property
    def levels(self) -> tuple[str, ...]:
        """Names that a place in the spine can have: the vertebrae, then the pairs of neighbours (`L4/L5`)."""
        return self.vertebrae + tuple(f"{above}/{below}" for above, below in pairwise(self.vertebrae))

    @cached_property
    def vertebra_index(self) -> Ints:
        """Index into `vertebrae` of each keypoint, `[K]`."""
        return np.arange(self.keypoints) // CORNERS_PER_VERTEBRA

    @cached_property
    def vertebra_of(self) -> tuple[str, ...]:
        """Vertebra name of each keypoint, length K."""
        return tuple(self.vertebrae[v] for v in self.vertebra_index.tolist())

    @cached_property
    def corner_of(self) -> tuple[str, ...]:
        """Corner name of each keypoint, length K."""
        return tuple(CORNERS[k % CORNERS_PER_VERTEBRA] for k in range(self.keypoints))

    @cached_property
    def keypoint_names(self) -> tuple[str, ...]:
        """Names as printed in tables, for example `L3 UL`."""
        return tuple(f"{v} {c}" for v, c in zip(self.vertebra_of, self.corner_of, strict=True))

    @cached_property
    def endplate_names(self) -> tuple[str, ...]:
        """Names of the endplates from above: `L1 upper`, `L1 lower`, … `S1 upper`."""
        return tuple(f"{self.vertebrae[e // 2]} {('upper', 'lower')[e % 2]}" for e in range(self.endplates))

    def keypoints_of(self, vertebra: str) -> Ints:
        """Indices of the keypoints of a vertebra, four or two. Raises ValueError for a name it lacks."""
        return np.flatnonzero(self.vertebra_index == self.vertebrae.index(vertebra))

    def keypoints_at(self, corner: str) -> Ints:
        """Indices of the keypoints of one corner, from above."""
        return np.flatnonzero(np.array(self.corner_of) == corner)


AP: Final = Skeleton("AP", View.AP, LUMBAR)
LA: Final = Skeleton("LA", View.LA, LUMBAR, "S1")
SKELETONS: Final = (AP, LA)
"""Every skeleton that the product knows, in the order in which it lists them."""

ALL_VERTEBRAE: Final = tuple(dict.fromkeys(name for skeleton in SKELETONS for name in skeleton.vertebrae))
"""Names of the vertebrae of any skeleton, from above."""


def skeleton_with(keypoints: int) -> Skeleton | None:
    """The skeleton of so many keypoints, or None: the one place where a count tells what it counts."""
    return next((skeleton for skeleton in SKELETONS if skeleton.keypoints == keypoints), None)
