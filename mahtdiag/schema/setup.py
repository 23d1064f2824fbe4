"""Words for how a network and a set of images go together: what was looked at, and what was found."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from mahtdiag.schema.choices import UncertaintyKind

Floats = NDArray[np.float64]


class SetupStatus(StrEnum):
    """What a check of the setup says."""

    FINE = "fine"
    WARNING = "warning"
    WRONG = "wrong"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class SetupEntry:
    """What one check says: its name, a status, the numbers behind it, and what to type where it is off."""

    check: str
    status: SetupStatus
    evidence: str
    advice: str = ""

    @property
    def cause(self) -> str | None:
        """The check that it takes for the likeliest cause."""
        if not self.advice.startswith(CAUSE):
            return None
        return self.advice.removeprefix(CAUSE).partition(":")[0]


CAUSE = "likeliest cause, "
"""What the advice begins with where another check names the cause; its name and what it found follow."""

THUMBNAIL_SIDE = 8
"""Rows and columns of the small copy of an image by which images are compared."""


@dataclass(frozen=True, slots=True)
class ImagePixels:
    """What the stored pixels of one image are like, from a sample of them.

    `bits`: 8 or 16 per channel; `low`, `high`: smallest and largest value as shares of the full scale;
    `colour`: the mean difference between the channels of a pixel as a share of the full scale, 0 for grey;
    `orientation`: the tag of the file that says how to turn the image, 1 to 8, 1 where there is none;
    `thumbnail`: grey levels of a copy of 8 rows and columns, two hexadecimal digits each.
    """

    bits: int
    low: float
    high: float
    colour: float
    orientation: int
    thumbnail: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a closer look at the first n images of a set found, K keypoints each.

    `places` `[n, K, 2]` in heatmap cells by way of decoding, those with a β in the first of the images alone;
    `labels_cells` `[n, K, 2]`. `peak`, `background` `[n, K]`: the highest cell and the median one of each
    heatmap; `lowest` `[n, K]`; `total` `[n, K]`: the sum over its cells. `coords` `[n, K, 2]` as the network
    returns them, `head` `[n, K]` or `[n, K, 2]` as it emits them, None where there are none. `unread`:
    outputs that nothing reads.
    `repeat_cells`: the largest distance between two passes over the same images in the same batch;
    `batch_cells`: the same between two batches of other images; None where it could not be found out,
    `problem` says why. `intended`: repeated passes differ on purpose. `heatmaps`: whether there are any;
    without, cells are the pixels of the input.
    """

    images: int
    labels_cells: Floats
    places: Mapping[str, Floats]
    peak: Floats
    background: Floats
    lowest: Floats
    total: Floats
    coords: Floats | None = None
    head: Floats | None = None
    head_kind: UncertaintyKind | None = None
    unread: tuple[str, ...] = ()
    repeat_cells: float | None = None
    batch_cells: float | None = None
    problem: str = ""
    intended: bool = False
    heatmaps: bool = True
    otherwise: "tuple[ShownOtherwise, ...]" = ()


@dataclass(frozen=True, slots=True)
class ShownOtherwise:
    """Mean errors `[n]` of the first images as they are shown to a network, and as another input shows them.

    `option`: what to type for that; `cause`: what it would mean.
    """

    option: str
    cause: str
    before_px: Floats
    after_px: Floats
