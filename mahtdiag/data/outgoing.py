"""Points on their way into the file of an annotation tool, and what writers of such files share."""

import json
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.data.files import IMAGE_EXTENSIONS
from mahtdiag.schema.frames import Size
from mahtdiag.schema.records import Failure
from mahtdiag.schema.skeleton import CORNERS_PER_VERTEBRA, LL, LR, UL, UR, Skeleton

Floats = NDArray[np.float64]
Json = str | int | float | bool | None | Sequence["Json"] | Mapping[str, "Json"]

PIXEL_DECIMALS: Final = 4
"""A tenth of a thousandth of a pixel: far below what anybody marks, and files stay readable."""
_LEAST_BOX_PX: Final = 1.0


@dataclass(frozen=True, slots=True)
class Points:
    """The keypoints of an image in its pixels, `[K, 2]`, NaN where there is none.

    `sigma_px` `[K, 2]` and `score` `[K]`, NaN where unknown; None for labels, which have neither.
    """

    px: Floats
    sigma_px: Floats | None = None
    score: Floats | None = None

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which keypoints there are, `[K]`."""
        return np.asarray(np.isfinite(self.px).all(axis=1))

    def mean_score(self) -> float | None:
        """Mean score of the keypoints within 0 to 1, None where none has one."""
        if self.score is None or not np.isfinite(self.score[self.known]).any():
            return None
        return float(np.clip(np.nanmean(self.score[self.known]), 0.0, 1.0))


@dataclass(frozen=True, slots=True)
class OutgoingImage:
    """One image. `image`: its path below the data folder; `link`: how a file names it.

    `hint`: predictions beside labels, for tools that show both. `mm_per_px` (x, y): the spacing that a viewer
    gives the image, None where it is not needed.
    """

    image: str
    link: str
    size: Size | None
    points: Points
    hint: Points | None = None
    mm_per_px: Floats | None = None


@dataclass(frozen=True, slots=True)
class OutgoingSet:
    """Images of one view. `labels`: whether the points are labels, not predictions of the model `model`."""

    skeleton: Skeleton
    images: tuple[OutgoingImage, ...]
    labels: bool
    model: str

    @property
    def names(self) -> tuple[str, ...]:
        """The keypoints as files call them: `L1_UL`."""
        return tuple(name.replace(" ", "_") for name in self.skeleton.keypoint_names)


@dataclass(frozen=True, slots=True)
class Written:
    """Files by their paths, `/` between folders; images that the format cannot hold, and why.

    `outside`: keypoints left out because they lie outside their image, which the format does not allow.
    """

    files: dict[str, bytes]
    left_out: tuple[Failure, ...] = ()
    outside: int = 0


def json_content(value: Json, indent: int | None = None) -> bytes:
    """UTF-8 with a newline at the end, no NaN."""
    separators = (",", ":") if indent is None else None
    text = json.dumps(value, indent=indent, separators=separators, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def within(image: OutgoingImage, points: Points) -> tuple[Points, int]:
    """The points inside the image, others NaN, and how many others there were."""
    assert image.size is not None
    with np.errstate(invalid="ignore"):
        inside = np.all((points.px >= 0) & (points.px <= image.size.xy), axis=1)
    kept = np.where(inside[:, None], points.px, np.nan)
    return replace(points, px=kept), int((points.known & ~inside).sum())


def box_px(points_px: Floats) -> Floats:
    """The smallest box around the known points `[K, 2]`: left, top, width, height, a pixel at least.

    NaN where no point is known.
    """
    known = points_px[np.isfinite(points_px).all(axis=1)]
    if not len(known):
        return np.full(4, np.nan)
    low, high = known.min(axis=0), known.max(axis=0)
    extent = np.maximum(high - low, _LEAST_BOX_PX)
    return np.concatenate([(low + high - extent) / 2, extent])


def outlines(skeleton: Skeleton) -> list[tuple[int, int]]:
    """Pairs of keypoints that a line joins: around each body, along an endplate by itself."""
    sides = ((UL, UR), (UR, LR), (LR, LL), (LL, UL))
    of_bodies = skeleton.of_bodies
    bodies = range(of_bodies.start, of_bodies.stop, CORNERS_PER_VERTEBRA)
    found = [(first + a, first + b) for first in bodies for a, b in sides]
    alone = [*range(of_bodies.start), *range(of_bodies.stop, skeleton.keypoints)]
    return [*found, *zip(alone[::2], alone[1::2], strict=True)]


def file_names(images: Sequence[OutgoingImage], ending: str, *, full: bool) -> dict[str, str]:
    """A file per image: its path with another ending; where two images would share one, with both endings.

    Without `full` images that share a file have none. Upper and lower case are the same to some disks.
    """
    names = {image.image: _without_ending(image.image) + ending for image in images}
    shared = _shared(names)
    kept = {image: name for image, name in names.items() if image not in shared}
    if not full:
        return kept
    kept |= {image: image + ending for image in shared}
    twice = _shared(kept)
    return {image: name for image, name in kept.items() if image not in twice}


def _shared(names: Mapping[str, str]) -> set[str]:
    keys = {image: unicodedata.normalize("NFC", name).casefold() for image, name in names.items()}
    counts = Counter(keys.values())
    return {image for image, key in keys.items() if counts[key] > 1}


def _without_ending(image: str) -> str:
    stem, dot, ending = image.rpartition(".")
    known = f".{ending.lower()}" in IMAGE_EXTENSIONS
    return stem if dot and known and not stem.endswith("/") and stem else image
