"""What a violation check reports."""

from dataclasses import dataclass
from enum import StrEnum


class RuleGroup(StrEnum):
    """Groups of anatomical rules, in the order every table lists them."""

    ORDERING = "ordering"
    PARALLELISM = "parallelism"
    ASPECT_RATIO = "aspect ratio"
    SHAPE = "shape"
    LEVELS = "levels"
    POINTS = "points"


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule that fired in one image.

    `image` is the row of the image in the checked arrays; `severity` is 1 at the limit and grows with the
    excess; `keypoints` are the indices the rule blames.
    """

    code: str
    image: int
    vertebra: str
    value: float
    unit: str
    limit: float
    severity: float
    keypoints: tuple[int, ...]
