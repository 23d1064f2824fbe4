"""Puts the points of marked shapes onto a skeleton, those of many images at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.data.files import counted
from mahtdiag.schema.skeleton import CORNERS_PER_VERTEBRA, Skeleton

Floats = NDArray[np.float64]
# No radiograph is that large: beyond it lie damaged numbers, such as 1e308.
LARGEST_COORDINATE_PX: Final = 1e6


@dataclass(frozen=True, slots=True)
class Slots:
    """Where points of a kind of shape go: `index` `[n]` of keypoints, or corners where no level is known."""

    index: NDArray[np.int64]
    used: NDArray[np.bool_]
    level_known: bool


@dataclass(frozen=True, slots=True)
class Placed:
    """The keypoints of N images `[N, K, columns]`, NaN where not labelled, and what is wrong with which."""

    keypoints: Floats
    problems: Mapping[int, str]


def place_shapes(
    skeleton: Skeleton, shapes: Sequence[Sequence[tuple[Slots, Floats]]], columns: int = 2
) -> Placed:
    """The shapes of each image, in their order, onto the skeleton.

    `columns` of their points, the first two x and y.
    """
    placing = _Placing(skeleton, len(shapes), columns)
    for image, of_image in enumerate(shapes):
        for turn, (slots, points) in enumerate(of_image):
            placing.add(image, turn, slots, points)
    return placing.placed()


class _Placing:
    """Collects the shapes of some images, then places them together, the first of every image first."""

    def __init__(self, skeleton: Skeleton, images: int, columns: int) -> None:
        self.skeleton = skeleton
        self.columns = columns
        self.keypoints = np.full((images, skeleton.keypoints, columns), np.nan)
        self.problems: dict[int, str] = {}
        self.without_level: dict[int, list[Floats]] = {}
        self._turns: list[dict[int, tuple[Slots, list[int], list[Floats]]]] = []

    def add(self, image: int, turn: int, slots: Slots, points: Floats) -> None:
        """Take in the shape of an image that is its first, second, … (`turn`, from 0)."""
        if turn == len(self._turns):
            self._turns.append({})
        _, images, collected = self._turns[turn].setdefault(id(slots), (slots, [], []))
        images.append(image)
        collected.append(points)

    def placed(self) -> Placed:
        """Everything that was taken in, as far as it does not contradict itself."""
        for kinds in self._turns:
            for slots, images, collected in kinds.values():
                if slots.used.any():
                    points = np.concatenate(collected).reshape(len(images), -1, self.columns)[:, slots.used]
                    self._place(np.array(images), slots, points)
        self._by_height()
        places = self.keypoints[..., :2]
        largest = np.abs(places).max(axis=(1, 2), initial=0.0, where=np.isfinite(places))
        for image in np.flatnonzero(largest > LARGEST_COORDINATE_PX).tolist():
            self._say(image, f"a coordinate of {largest[image]:g}: no image is that large")
        return Placed(self.keypoints, self.problems)

    def _say(self, image: int, problem: str) -> None:
        """The first problem of an image is the one that is said."""
        self.problems.setdefault(image, problem)

    def _place(self, images: NDArray[np.int64], slots: Slots, points: Floats) -> None:
        """Shapes of one kind, no two of one image. Half a point is none."""
        at = slots.index[slots.used]
        marked = np.asarray(np.isfinite(points[..., :2]).all(axis=-1))
        if not slots.level_known:
            corners = np.full((len(images), CORNERS_PER_VERTEBRA, self.columns), np.nan)
            corners[:, at] = np.where(marked[..., None], points, np.nan)
            for image, quad in zip(images.tolist(), corners, strict=True):
                self.without_level.setdefault(image, []).append(quad)
            return
        places = (images[:, None], at)
        before = self.keypoints[places]
        twice = np.asarray(
            marked & np.isfinite(before[..., 0]) & (before[..., :2] != points[..., :2]).any(axis=-1)
        )
        for row in np.flatnonzero(twice.any(axis=1)).tolist():
            name = self.skeleton.keypoint_names[at[twice[row].argmax()]]
            self._say(int(images[row]), f"{name} is marked twice: keep one")
        self.keypoints[places] = np.where(marked[..., None], points, before)

    def _by_height(self) -> None:
        """Vertebrae without a level, ordered from above.

        A problem where some have a level and others none, and where their number is not the skeleton's: which
        one is missing, nothing tells.
        """
        wanted = len(self.skeleton.vertebrae)
        ready: list[int] = []
        for image, quads in self.without_level.items():
            if np.isfinite(self.keypoints[image, :, :2]).any():
                self._say(image, "some vertebrae have a level and others none: name all of them")
            elif len(quads) != wanted:
                self._say(image, self._wrong_number(len(quads)))
            elif not all(np.isfinite(quad[:, :2]).any() for quad in quads):
                self._say(image, "a vertebra without a level has no corner: its place cannot be told")
            else:
                ready.append(image)
        if ready:
            self._order(np.array(ready), np.stack([np.stack(self.without_level[image]) for image in ready]))

    def _order(self, images: NDArray[np.int64], quads: Floats) -> None:
        """`quads` `[N, V, 4, columns]`, each with a corner, by their mean height."""
        with np.errstate(over="ignore"):
            heights = np.nanmean(quads[..., 1], axis=-1)
        order = np.argsort(heights, axis=1, kind="stable")
        ordered = np.take_along_axis(quads, order[:, :, None, None], axis=1)
        corners = ordered.reshape(len(images), -1, self.columns)
        self.keypoints[images] = corners[:, self.skeleton.index_in_vertebrae]

    def _wrong_number(self, found: int) -> str:
        first, end = self.skeleton.vertebrae[0], self.skeleton.vertebrae[-1]
        return (
            f"{counted(found, 'vertebra').replace('vertebras', 'vertebrae')} without a level,"
            f" {first} to {end} are {len(self.skeleton.vertebrae)}: which are missing cannot be told,"
            " name the levels"
        )
