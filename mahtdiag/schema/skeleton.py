"""Which vertebrae a network marks, with which corners, and at which index each keypoint stands.

A skeleton is data: whoever needs to know what keypoint 7 is, or how many there are, asks it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, cached_property
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

CORNERS: Final = ("UL", "UR", "LL", "LR")
"""Upper left, upper right, lower left, lower right as seen in the image (left = smaller x)."""
UL, UR, LL, LR = range(4)
CORNERS_PER_VERTEBRA: Final = 4
CORNERS_PER_ENDPLATE: Final = 2
CERVICAL: Final = tuple(f"C{n}" for n in range(2, 8))
THORACIC: Final = tuple(f"T{n}" for n in range(1, 13))
LUMBAR: Final = ("L1", "L2", "L3", "L4", "L5")
SACRUM: Final = "S1"
SPINE: Final = (*CERVICAL, *THORACIC, *LUMBAR, SACRUM)
"""Every vertebra that can have a keypoint, from above: of the first its lower endplate, of the last its upper
one, of all others four corners."""

Ints = NDArray[np.int64]


class View(StrEnum):
    """A projection: anteroposterior or lateral."""

    AP = "AP"
    LA = "LA"

    @property
    def skeleton(self) -> "Skeleton":
        """The skeleton that radiographs of this projection are marked with where nothing else is said.

        L1 to L5, 20 keypoints; laterally the upper endplate of S1 comes last, 22.
        """
        return next(skeleton for skeleton in SKELETONS if skeleton.view is self)


class Region(StrEnum):
    """A part of the spine."""

    CERVICAL = "cervical"
    THORACIC = "thoracic"
    LUMBAR = "lumbar"
    SACRAL = "sacral"

    @staticmethod
    def of(vertebra: str) -> "Region":
        """The region of a vertebra, by the letter of its name."""
        return _REGIONS[vertebra[0]]


_REGIONS: Final = {"C": Region.CERVICAL, "T": Region.THORACIC, "L": Region.LUMBAR, "S": Region.SACRAL}


_LONGEST_NAMED, _LONGEST_LIST = 20, 80


def _require_known(names: Iterable[str]) -> None:
    unknown = list(dict.fromkeys(repr(name[:_LONGEST_NAMED]) for name in names if name not in SPINE))
    if unknown:
        raise ValueError(f"no vertebra {' and '.join(unknown)}: levels are {SPINE[0]} to {SPINE[-1]}")


@dataclass(frozen=True, slots=True)
class Levels:
    """An unbroken run of vertebrae between C2 and S1: the uppermost and the lowest of them.

    Raises ValueError for a name that is no vertebra, and where the first lies below the last.
    """

    first: str
    last: str

    def __post_init__(self) -> None:
        _require_known((self.first, self.last))
        if SPINE.index(self.first) > SPINE.index(self.last):
            raise ValueError(f"the upper one comes first, {self.first} lies below {self.last}")

    def __str__(self) -> str:
        return self.first if self.first == self.last else f"{self.first}-{self.last}"

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, from above."""
        return SPINE[SPINE.index(self.first) : SPINE.index(self.last) + 1]

    @staticmethod
    def around(names: Iterable[str]) -> "Levels | None":
        """The shortest run that holds all of these names, None for none; ValueError for unknown ones."""
        places = sorted(SPINE.index(name) for name in names)
        return Levels(SPINE[places[0]], SPINE[places[-1]]) if places else None

    def shared_with(self, other: "Levels") -> "Levels | None":
        """The levels that both have."""
        return Levels.around(set(self.names) & set(other.names))

    def within(self, other: "Levels") -> bool:
        """Whether the other run has all of these."""
        return set(self.names) <= set(other.names)


@dataclass(frozen=True)
class Skeleton:
    """Keypoints of a run of vertebrae, from above: an endplate at most, four corners of each body, another.

    `bodies` are vertebrae with four corners, `first_endplate` the vertebra above them of which the lower
    endplate alone is marked (C2) and `last_endplate` that below them of which the upper one is (S1), or None.
    Keypoints follow each other by vertebra, and within it in the order `CORNERS`.
    """

    name: str
    view: View
    bodies: tuple[str, ...]
    last_endplate: str | None = None
    first_endplate: str | None = None

    def __str__(self) -> str:
        return self.name

    @property
    def in_words(self) -> str:
        """`AP view`, and the levels where they are not the usual ones: `AP view, T1-L5`."""
        usual = self.levels == self.view.skeleton.levels
        return f"{self.view} view" if usual else f"{self.view} view, {self.levels}"

    @staticmethod
    def of(view: View, levels: Levels) -> "Skeleton":
        """The skeleton of a run of vertebrae in a projection: always the same object."""
        return _skeleton(view, levels)

    @cached_property
    def levels(self) -> Levels:
        """The run of vertebrae that it is of. Raises ValueError where its names are none."""
        return Levels(self.vertebrae[0], self.vertebrae[-1])

    @cached_property
    def regions(self) -> tuple[Region, ...]:
        """The regions that its vertebrae are of, from above."""
        return tuple(dict.fromkeys(map(Region.of, self.vertebrae)))

    @cached_property
    def vertebrae(self) -> tuple[str, ...]:
        """Names of all vertebrae with a keypoint, from above."""
        ends = self.first_endplate, self.last_endplate
        above, below = (() if end is None else (end,) for end in ends)
        return (*above, *self.bodies, *below)

    @cached_property
    def body_keypoints(self) -> int:
        """Number of keypoints of the vertebrae with four corners."""
        return CORNERS_PER_VERTEBRA * len(self.bodies)

    @cached_property
    def first_body_keypoint(self) -> int:
        """Index of the first keypoint of the vertebrae with four corners."""
        return 0 if self.first_endplate is None else CORNERS_PER_ENDPLATE

    @cached_property
    def of_bodies(self) -> slice:
        """The keypoints of the vertebrae with four corners."""
        return slice(self.first_body_keypoint, self.first_body_keypoint + self.body_keypoints)

    @cached_property
    def keypoints(self) -> int:
        """Number of keypoints, K."""
        ends = (self.first_endplate is not None) + (self.last_endplate is not None)
        return self.body_keypoints + CORNERS_PER_ENDPLATE * ends

    @cached_property
    def index_in_vertebrae(self) -> Ints:
        """Where each keypoint stands if all vertebrae had four corners, 4·vertebra + corner, `[K]`."""
        hidden = 0 if self.first_endplate is None else CORNERS_PER_VERTEBRA - CORNERS_PER_ENDPLATE
        return np.arange(self.keypoints) + hidden

    @cached_property
    def endplates(self) -> int:
        """Number of endplates: upper and lower of each body, the first and the last one."""
        return self.keypoints // CORNERS_PER_ENDPLATE

    @cached_property
    def places(self) -> tuple[str, ...]:
        """Names that a place in the spine can have: the vertebrae, then the pairs of neighbours (`L4/L5`)."""
        return self.vertebrae + tuple(f"{above}/{below}" for above, below in pairwise(self.vertebrae))

    @cached_property
    def vertebra_index(self) -> Ints:
        """Index into `vertebrae` of each keypoint, `[K]`."""
        return self.index_in_vertebrae // CORNERS_PER_VERTEBRA

    @cached_property
    def corner_index(self) -> Ints:
        """Index into `CORNERS` of each keypoint, `[K]`."""
        return self.index_in_vertebrae % CORNERS_PER_VERTEBRA

    @cached_property
    def vertebra_of(self) -> tuple[str, ...]:
        """Vertebra name of each keypoint, length K."""
        return tuple(self.vertebrae[v] for v in self.vertebra_index.tolist())

    @cached_property
    def corner_of(self) -> tuple[str, ...]:
        """Corner name of each keypoint, length K."""
        return tuple(CORNERS[corner] for corner in self.corner_index.tolist())

    @cached_property
    def keypoint_names(self) -> tuple[str, ...]:
        """Names as printed in tables, for example `L3 UL`."""
        return tuple(f"{v} {c}" for v, c in zip(self.vertebra_of, self.corner_of, strict=True))

    @cached_property
    def endplate_names(self) -> tuple[str, ...]:
        """Names of the endplates from above: `L1 upper`, `L1 lower`, … `S1 upper`."""
        firsts = slice(None, None, CORNERS_PER_ENDPLATE)
        pairs = zip(self.vertebra_of[firsts], self.corner_of[firsts], strict=True)
        return tuple(f"{vertebra} {'upper' if corner[0] == 'U' else 'lower'}" for vertebra, corner in pairs)

    @cached_property
    def regions_apart(self) -> tuple[Region, ...]:
        """Regions with a body, from above, where these are several; none where there is one alone."""
        found = tuple(dict.fromkeys(map(Region.of, self.bodies)))
        return found if len(found) > 1 else ()

    def keypoints_in(self, region: Region) -> Ints:
        """Indices of the keypoints of a region's vertebrae."""
        return np.array([k for k, name in enumerate(self.vertebra_of) if Region.of(name) is region])

    def keypoints_of(self, vertebra: str) -> Ints:
        """Indices of the keypoints of a vertebra, four or two. Raises ValueError for a name it lacks."""
        return np.flatnonzero(self.vertebra_index == self.vertebrae.index(vertebra))

    def keypoints_at(self, corner: str) -> Ints:
        """Indices of the keypoints of one corner, from above."""
        return np.flatnonzero(np.array(self.corner_of) == corner)


def name_of(view: View, levels: Levels) -> str:
    """The projection alone where its levels are the usual ones, else both: `AP T1-L5`."""
    return str(view) if levels == _USUAL[view] else f"{view} {levels}"


@cache
def _skeleton(view: View, levels: Levels) -> Skeleton:
    names = levels.names
    first = names[0] if names[0] == SPINE[0] else None
    last = names[-1] if names[-1] == SPINE[-1] else None
    bodies = tuple(name for name in names if name not in (first, last))
    return Skeleton(name_of(view, levels), view, bodies, last, first)


_USUAL: Final = {View.AP: Levels("L1", "L5"), View.LA: Levels("L1", SACRUM)}
AP: Final = Skeleton.of(View.AP, _USUAL[View.AP])
LA: Final = Skeleton.of(View.LA, _USUAL[View.LA])
SKELETONS: Final = (AP, LA)
"""The skeleton of each projection where nothing else is said."""

WHOLE: Final = tuple(Skeleton.of(view, Levels(SPINE[0], SPINE[-1])) for view in View)
"""The skeleton of all vertebrae in each projection: every name of a number is that of one of them."""

NAMED: Final = {
    "thoracolumbar": Levels("T1", "L5"),
    "cervical": Levels("C2", "C7"),
}
"""Names that runs of vertebrae have; `lumbar` is the usual one of the projection."""
LUMBAR_SET: Final = "lumbar"


def parse_levels(text: str) -> Levels | None:
    """`T1-L5`, `C2-C7`, `T12`, `thoracolumbar`, `cervical`; None for `lumbar`, the usual ones of each view.

    Raises ValueError with what is wrong.
    """
    name = text.strip()
    if name.lower() == LUMBAR_SET:
        return None
    if name.lower() in NAMED:
        return NAMED[name.lower()]
    if "," in name:
        listed = [each.strip().upper() for each in name.split(",")]
        _require_known(listed)
        levels = Levels.around(listed)
        if levels is None or list(levels.names) != listed:
            raise ValueError(
                f"{text[:_LONGEST_LIST]}: levels follow each other from above without a gap, such as T10-L2"
            )
        return levels
    first, _, last = (
        part.strip().upper() for part in name.replace("..", "-").replace("\N{EN DASH}", "-").partition("-")
    )
    levels = Levels(first, last or first)
    if not Skeleton.of(View.AP, levels).bodies:
        raise ValueError(f"no vertebra with four corners in {levels}: take a neighbour along")
    return levels


def known_levels(text: str) -> str:
    """A text of levels as it is, for fields that hold one; ValueError where it is none (`parse_levels`)."""
    parse_levels(text)
    return text


def skeleton_said(view: View, levels: str | None) -> Skeleton:
    """The skeleton of levels as users and files say them, None the usual ones; ValueError as above."""
    found = None if levels is None else parse_levels(levels)
    return view.skeleton if found is None else Skeleton.of(view, found)


def skeleton_with(keypoints: int) -> Skeleton | None:
    """The usual skeleton of so many keypoints, or None."""
    return next((skeleton for skeleton in SKELETONS if skeleton.keypoints == keypoints), None)


def levels_with(keypoints: int) -> tuple[Levels, ...]:
    """Every run of vertebrae with so many keypoints, those with a name first."""
    every = [Levels(a, b) for i, a in enumerate(SPINE) for b in SPINE[i:]]
    fit = [levels for levels in every if Skeleton.of(View.AP, levels).keypoints == keypoints]
    named = {*NAMED.values(), *_USUAL.values()}
    return tuple(sorted(fit, key=lambda levels: levels not in named))
