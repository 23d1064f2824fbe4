"""The two views, their keypoints, and how a keypoint index is made."""

from enum import StrEnum
from typing import Final

LUMBAR: Final = ("L1", "L2", "L3", "L4", "L5")
CORNERS: Final = ("UL", "UR", "LL", "LR")
UL, UR, LL, LR = range(4)
CORNERS_PER_VERTEBRA: Final = 4
LUMBAR_KEYPOINTS: Final = len(LUMBAR) * CORNERS_PER_VERTEBRA


class View(StrEnum):
    """A projection: anteroposterior (20 keypoints) or lateral (22: S1's upper endplate comes last).

    Keypoint index = 4·vertebra + corner; corners are upper-left, upper-right, lower-left, lower-right as
    seen in the image (left = smaller x). S1 is 20 (left end) and 21 (right end).
    """

    AP = "AP"
    LA = "LA"

    @property
    def keypoints(self) -> int:
        """Number of keypoints, K."""
        return LUMBAR_KEYPOINTS + (2 if self is View.LA else 0)

    @property
    def endplates(self) -> int:
        """Number of annotated endplates: upper and lower of L1–L5, and the upper one of S1 in LA."""
        return self.keypoints // 2

    @property
    def vertebrae(self) -> tuple[str, ...]:
        """Names of the annotated vertebrae, from above."""
        return (*LUMBAR, "S1") if self is View.LA else LUMBAR

    @property
    def vertebra_of(self) -> tuple[str, ...]:
        """Vertebra name of each keypoint, length K."""
        return tuple(self.vertebrae[k // CORNERS_PER_VERTEBRA] for k in range(self.keypoints))

    @property
    def corner_of(self) -> tuple[str, ...]:
        """Corner name of each keypoint, length K."""
        return tuple(CORNERS[k % CORNERS_PER_VERTEBRA] for k in range(self.keypoints))

    @property
    def keypoint_names(self) -> tuple[str, ...]:
        """Names as printed in tables, for example `L3 UL`."""
        return tuple(f"{v} {c}" for v, c in zip(self.vertebra_of, self.corner_of, strict=True))

    @property
    def endplate_names(self) -> tuple[str, ...]:
        """Names of the annotated endplates in file order: `L1 upper`, `L1 lower`, … `S1 upper`."""
        return tuple(f"{self.vertebrae[e // 2]} {('upper', 'lower')[e % 2]}" for e in range(self.endplates))

    @staticmethod
    def from_keypoints(count: int) -> "View | None":
        """The view that has this many keypoints, or None."""
        return next((view for view in View if view.keypoints == count), None)
