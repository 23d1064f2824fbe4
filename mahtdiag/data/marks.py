"""Points, polygons and boxes as drawing tools keep them, put together to vertebrae.

Such tools know no vertebra: a corner is a point of its own, or one of four in a polygon; which belong
together, labels and groups say.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.data.files import counted
from mahtdiag.data.labelled import ImageLabels, Shape
from mahtdiag.data.quads import clockwise, in_one_order
from mahtdiag.schema.frames import Size
from mahtdiag.schema.keypoint_names import place_of, renamed
from mahtdiag.schema.safe_text import shown
from mahtdiag.schema.skeleton import CORNERS_PER_VERTEBRA, LA

_IN_ORDER: Final = tuple(str(i + 1) for i in range(CORNERS_PER_VERTEBRA))
_MOST_SAID: Final = 3


class Drawn(Enum):
    """What a mark is: one point, points in an order, a line from end to end, what has no corner (a box), or
    nothing in itself but a name of its group.
    """

    POINT = auto()
    POLYGON = auto()
    LINE = auto()
    OTHER = auto()
    NAME = auto()


@dataclass(frozen=True, slots=True)
class Mark:
    """One thing that was drawn.

    `label` as in the file, `points` `[n, 2]`; marks of one `group` are one vertebra.
    """

    label: str
    drawn: Drawn
    points: NDArray[np.float64]
    group: Hashable = None


@dataclass(frozen=True, slots=True)
class MarkedImage:
    """What was drawn in one image; the rest as in `ImageLabels`."""

    image: str
    where: str
    marks: tuple[Mark, ...]
    size: Size | None = None
    problem: str | None = None
    to_px: Callable[[Path, NDArray[np.float64]], NDArray[np.float64]] | None = None


def labels_of(
    images: Sequence[MarkedImage], own_names: Mapping[str, str]
) -> tuple[tuple[ImageLabels, ...], tuple[str, ...]]:
    """The labels of images by what was drawn in them, and a note on what was left out.

    - A point whose label says vertebra and corner is that keypoint.
    - A point that says its corner alone belongs to its group: the vertebra is what the label of another mark
      of the group says, or has no level.
    - Four points of one label, or of one group, that say no corner are its corners in the order of the file;
      a polygon likewise.
      Polygons that begin at different corners are turned first.
    - A line that says `S1` is its upper endplate, from left to right.
    - Everything else is left out, unless nothing of the set can be used: then the error can list its names.
    """
    own = _Labels(own_names)
    has_levels = any(own.place(mark.label)[0] for image in images for mark in image.marks)
    images, started = _started_alike(images, lambda mark: _is_outline(mark, own, has_levels))
    left_out: Counter[str] = Counter()
    made = []
    for image in images:
        shapes, unused, problem = _Vertebrae(own, has_levels).of(image.marks)
        left_out.update(mark.label for mark in unused)
        made.append((shapes, unused, problem))
    nothing = not any(shapes or problem for shapes, _, problem in made)
    labels = tuple(
        ImageLabels(
            image=image.image,
            where=image.where,
            shapes=tuple(shapes if not nothing else map(_as_it_is, unused)),
            size=image.size,
            problem=image.problem or problem,
            to_px=image.to_px,
        )
        for image, (shapes, unused, problem) in zip(images, made, strict=True)
    )
    if nothing or not left_out:
        return labels, started
    names = sorted(left_out)
    listed = ", ".join(f"'{shown(name[:40])}'" for name in names[:_MOST_SAID])
    listed += ", …" * (len(names) > _MOST_SAID)
    left = f"{counted(left_out.total(), 'mark')} left out, not corners of a vertebra: {listed}"
    return labels, (*started, left)


def _started_alike(
    images: Sequence[MarkedImage], is_vertebra: Callable[[Mark], bool]
) -> tuple[Sequence[MarkedImage], tuple[str, ...]]:
    """Outlines of vertebrae, turned to begin at one corner where they do not, and a note that says so."""
    outlines = [
        mark.points[:CORNERS_PER_VERTEBRA] for image in images for mark in image.marks if is_vertebra(mark)
    ]
    if not outlines or in_one_order(np.stack(outlines)):
        return images, ()
    turned = iter(clockwise(np.stack(outlines)))
    alike = []
    for image in images:
        marks = (replace(m, points=next(turned)) if is_vertebra(m) else m for m in image.marks)
        alike.append(replace(image, marks=tuple(marks)))
    return alike, ("polygons begin at different corners: each is taken clockwise from its upper left",)


@dataclass(frozen=True, slots=True)
class _Labels:
    own_names: Mapping[str, str]

    def place(self, label: str) -> tuple[str | None, str | None]:
        return place_of(renamed(label, self.own_names))


def _is_outline(mark: Mark, own: _Labels, has_levels: bool) -> bool:
    """Whether it is a polygon of four corners that is taken for a vertebra."""
    count = len(mark.points)
    closed = count == CORNERS_PER_VERTEBRA + 1 and bool((mark.points[0] == mark.points[-1]).all())
    quad = mark.drawn is Drawn.POLYGON and (closed or count == CORNERS_PER_VERTEBRA)
    return quad and (not has_levels or own.place(mark.label)[0] is not None)


class _Vertebrae:
    """Puts the marks of one image together."""

    def __init__(self, labels: _Labels, has_levels: bool) -> None:
        self.labels = labels
        self.has_levels = has_levels
        self.shapes: list[Shape] = []
        self.marked: set[str | None] = set()
        self.unused: list[Mark] = []
        self.problems: list[str] = []
        self.loose: dict[tuple[Hashable, str], list[Mark]] = {}
        self.grouped: dict[Hashable, list[Mark]] = {}

    def of(self, marks: Sequence[Mark]) -> tuple[list[Shape], list[Mark], str | None]:
        """Shapes, what was not used, and the problem of the image if there is one."""
        others = []
        for mark in marks:
            if mark.drawn is Drawn.POINT:
                self._point(mark)
            elif mark.drawn is not Drawn.NAME:
                others.append(mark)
        names = self._group_names(marks)
        for group, members in self.grouped.items():
            corners = tuple(mark.label for mark in members)
            points = np.concatenate([mark.points for mark in members])
            self._add(Shape(names.get(group, ""), corners, points))
        self._loose_points(names)
        for mark in others:
            self._outline(mark, mark.group in self.grouped)
        return self.shapes, self.unused, "; ".join(self.problems[:_MOST_SAID]) or None

    def _point(self, mark: Mark) -> None:
        vertebra, corner = self.labels.place(mark.label)
        if corner is None:
            self.loose.setdefault((mark.group, mark.label), []).append(mark)
        elif vertebra is not None:
            self._add(Shape(mark.label, ("",), mark.points))
        elif mark.group is not None:
            self.grouped.setdefault(mark.group, []).append(mark)
        else:
            self.problems.append(f"'{shown(mark.label[:40])}' says no vertebra and has no group: say L1_UL")

    def _group_names(self, marks: Sequence[Mark]) -> dict[Hashable, str]:
        """What tells the vertebra of a group: the label of its first mark that says one and no corner."""
        names: dict[Hashable, str] = {}
        for mark in marks:
            vertebra, corner = self.labels.place(mark.label)
            if mark.group is not None and vertebra is not None and corner is None:
                names.setdefault(mark.group, mark.label)
        return names

    def _loose_points(self, names: Mapping[Hashable, str]) -> None:
        """Points that say no corner: four together are corners in their order."""
        for (group, label), members in self.loose.items():
            vertebra, _ = self.labels.place(label)
            names_group = group in self.grouped and names.get(group) == label
            if len(members) == CORNERS_PER_VERTEBRA and (vertebra or group is not None):
                points = np.concatenate([mark.points for mark in members])
                level = label if vertebra else names.get(group, label)
                self._add(Shape(level, _IN_ORDER, points))
            elif vertebra and len(members) > 1:
                count = counted(len(members), "point")
                self.problems.append(f"{count} '{shown(label[:40])}': a vertebra has 4 corners")
            elif not names_group:
                self.unused += members

    def _outline(self, mark: Mark, names_group: bool) -> None:
        """A polygon of four corners, the line of an endplate; others only name their group."""
        vertebra, _ = self.labels.place(mark.label)
        points = mark.points
        if len(points) == CORNERS_PER_VERTEBRA + 1 and (points[0] == points[-1]).all():
            points = points[:-1]
        if names_group:
            return
        if mark.drawn is Drawn.LINE and vertebra == LA.last_endplate and len(points) == 2:
            self._add(Shape(mark.label, ("UL", "UR"), points[np.argsort(points[:, 0], kind="stable")]))
        elif mark.drawn is Drawn.POLYGON and len(points) == CORNERS_PER_VERTEBRA:
            if vertebra or not self.has_levels:
                self._add(Shape(mark.label, _IN_ORDER, points))
            else:
                self.unused.append(mark)
        elif mark.drawn is Drawn.POLYGON and vertebra and vertebra not in self.marked:
            label = shown(mark.label[:40])
            self.problems.append(f"'{label}': {len(points)} points, a vertebra has 4 corners")
        else:
            self.unused.append(mark)

    def _add(self, shape: Shape) -> None:
        self.shapes.append(shape)
        self.marked.add(self.labels.place(shape.label)[0])


def _as_it_is(mark: Mark) -> Shape:
    return Shape(mark.label, ("",) * len(mark.points), mark.points)
