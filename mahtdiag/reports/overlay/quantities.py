"""What a finding measured, as strokes and shapes over the radiograph: one drawing per finding."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.reports.overlay.expected import expected_place, usual_way, way
from mahtdiag.reports.overlay.findings import MAX_FINDINGS, most_severe
from mahtdiag.reports.overlay.geometry import arc, clipped, crossing_point, extended, meeting_point
from mahtdiag.reports.overlay.rows import Mark
from mahtdiag.reports.overlay.scene import Scene
from mahtdiag.schema.findings import Finding
from mahtdiag.schema.skeleton import CORNERS_PER_VERTEBRA, LL, LR, UL, UR

Points = NDArray[np.float64]

ARC_PX: Final = 34.0
BORDER_BAR_PX: Final = 26.0
BORDER_INSET_PX: Final = 5.0


class Shape(Enum):
    """How a set of points is drawn: strokes `[N, 2, 2]`, one area `[corners, 2]`, or places `[N, 2]`."""

    LINE = auto()
    DASHED = auto()
    BAR = auto()
    ARROW = auto()
    AREA = auto()
    CROSS = auto()
    RING = auto()
    SQUARE = auto()


Shapes = tuple[tuple[Shape, Points], ...]


@dataclass(frozen=True, slots=True)
class Quantity:
    """One finding's drawing in figure pixels; `at` `[2]` is what its text points to.

    `mark` explains it in the legend; None where the text alone says it.
    """

    finding: Finding
    mark: Mark | None
    shapes: Shapes
    at: Points

    def strokes(self) -> Points:
        """All straight lines and rims of the drawing, `[N, 2, 2]`."""
        lines = [np.empty((0, 2, 2))]
        for shape, points in self.shapes:
            if shape is Shape.AREA:
                lines.append(np.stack([points, np.roll(points, -1, axis=0)], axis=1))
            elif points.ndim == 3:
                lines.append(points)
        return np.concatenate(lines)


def shown_quantities(scene: Scene, findings: tuple[Finding, ...]) -> tuple[Quantity, ...]:
    """Drawings of the most severe findings; one that cannot be seen in the picture is left to the panel."""
    found = (_quantity(scene, finding) for finding in most_severe(findings)[:MAX_FINDINGS])
    return tuple(quantity for quantity in found if quantity is not None and _visible(quantity, scene))


def _visible(quantity: Quantity, scene: Scene) -> bool:
    places = [quantity.at[None], *(points.reshape(-1, 2) for _, points in quantity.shapes)]
    known = all(bool(np.isfinite(points).all()) for points in places)
    return known and bool(scene.stage.box.contains(quantity.at[None])[0])


def _quantity(scene: Scene, finding: Finding) -> Quantity | None:
    first = finding.vertebra.partition("/")[0]
    drawing = _DRAWINGS.get(finding.code)
    if drawing is None or first not in scene.skeleton.vertebrae:
        return None
    mark, draw = drawing
    drawn = draw(scene, finding, scene.skeleton.vertebrae.index(first))
    return None if drawn is None else Quantity(finding, mark, *drawn)


Drawn = tuple[Shapes, Points] | None


def _endplate(scene: Scene, number: int) -> Points:
    """Left and right end, `[2, 2]`; NaN beyond the last endplate."""
    ends = scene.judged[2 * number : 2 * number + 2]
    return ends if len(ends) == 2 else np.full((2, 2), np.nan)


def _corners(scene: Scene, vertebra: int) -> Points:
    """The corners in file order, `[4, 2]`; of S1 the two that there are."""
    return scene.judged[CORNERS_PER_VERTEBRA * vertebra :][:CORNERS_PER_VERTEBRA]


def _centre(scene: Scene, vertebra: int) -> Points:
    corners = _corners(scene, vertebra)
    return _middle(corners[np.isfinite(corners).all(axis=1)])


def _middle(points: Points) -> Points:
    return points.mean(axis=0) if len(points) else np.full(2, np.nan)


def _between(scene: Scene, upper: int, lower: int) -> Drawn:
    """Two endplates extended until they meet or leave the picture, and the angle where they meet."""
    box = scene.stage.box
    plates = [_endplate(scene, upper), _endplate(scene, lower)]
    at = meeting_point(*plates)
    lines = [clipped(extended(plate, at), box) for plate in plates]
    kept = np.array([line for line in lines if np.isfinite(line).all()]).reshape(-1, 2, 2)
    if not (np.isfinite(plates).all() and len(kept)):
        return None
    if not box.contains(at[None])[0]:
        # They meet beyond the picture: the text stands at the side where they would.
        away = at if np.isfinite(at).all() else kept[0, 1]
        ends = [line[int(np.hypot(*(line - away).T).argmin())] for line in kept]
        return ((Shape.LINE, kept),), _middle(np.array(ends))
    directions = [_farther_end(plate, at) - at for plate in plates]
    angle = _angle(scene, at, *directions)
    return ((Shape.LINE, np.concatenate([kept, angle])),), at


def _farther_end(segment: Points, at: Points) -> Points:
    return np.asarray(segment[int(np.hypot(*(segment - at).T).argmax())], dtype=np.float64)


def _angle(scene: Scene, at: Points, one: Points, other: Points) -> Points:
    """An arc for the acute angle between two lines."""
    other = other if float(one @ other) >= 0 else -other
    return arc(at, one, other, ARC_PX * scene.mark_scale)


def _of_vertebra(scene: Scene, finding: Finding, vertebra: int) -> Drawn:
    return _between(scene, 2 * vertebra, 2 * vertebra + 1)


def _of_disc(scene: Scene, finding: Finding, vertebra: int) -> Drawn:
    return _between(scene, 2 * vertebra + 1, 2 * vertebra + 2)


def _tilt(scene: Scene, finding: Finding, vertebra: int) -> Drawn:
    """The endplate, and through its middle the direction that those next to it lead one to expect."""
    if not finding.keypoints:
        return None
    number = min(finding.keypoints) // 2
    plate = _endplate(scene, number)
    own, usual = way(plate), usual_way(scene.judged, number)
    middle, reach = _middle(plate), 0.75 * float(np.hypot(*(plate[1] - plate[0])))
    ways = [np.stack([middle - reach * way, middle + reach * way])[None] for way in (own, usual)]
    angles = [_angle(scene, middle, sign * own, sign * usual) for sign in (1.0, -1.0)]
    shown = scene.stage.box.contains(ways[1][0])
    at = ways[1][0, 1 if shown[1] else 0]
    return ((Shape.LINE, np.concatenate([ways[0], *angles])), (Shape.DASHED, ways[1])), at


def _overlap(scene: Scene, finding: Finding, vertebra: int) -> Drawn:
    """The area in which the lower endplate lies beyond the next upper one."""
    lower, upper = _endplate(scene, 2 * vertebra + 1), _endplate(scene, 2 * vertebra + 2)
    down = _centre(scene, vertebra + 1) - _centre(scene, vertebra)
    down = down if down[1] >= 0 else -down
    beyond = (upper - lower) @ down < 0
    area = np.concatenate([lower, upper[::-1]])
    at = crossing_point(lower, upper)
    if beyond.any() and not beyond.all() and np.isfinite(at).all():
        side = int(beyond.argmax())
        area = np.stack([at, lower[side], upper[side]])
    return ((Shape.AREA, area),), _middle(area)


def _arrow(start: Points, end: Points) -> Drawn:
    return ((Shape.ARROW, np.stack([start, end])[None]),), (start + end) / 2


def _descent(scene: Scene, finding: Finding, vertebra: int) -> Drawn:
    return _arrow(_centre(scene, vertebra), _centre(scene, vertebra + 1))


def _exchange(scene: Scene, finding: Finding, vertebra: int) -> Drawn:
    return _arrow(_middle(_endplate(scene, 2 * vertebra)), _middle(_endplate(scene, 2 * vertebra + 1)))


def _mirrored(scene: Scene, finding: Finding, vertebra: int) -> Drawn:
    corners = _corners(scene, vertebra)
    return _arrow(_middle(corners[0::2]), _middle(corners[1::2]))


def _extents(scene: Scene, vertebra: int) -> Points:
    """Width and height of a vertebra between the middles of its sides and endplates, `[2, 2, 2]`."""
    corners = _corners(scene, vertebra)
    if len(corners) < CORNERS_PER_VERTEBRA:
        return np.full((2, 2, 2), np.nan)
    ends = ((corners[0::2], corners[1::2]), (corners[:2], corners[2:]))
    return np.array([[_middle(one), _middle(other)] for one, other in ends])


def _ratio(scene: Scene, finding: Finding, vertebra: int) -> Drawn:
    bars = _extents(scene, vertebra)
    return ((Shape.BAR, bars),), bars[0, 1]


def _jump(scene: Scene, finding: Finding, vertebra: int) -> Drawn:
    which = 0 if finding.unit.endswith("width") else 1
    bars = np.stack([_extents(scene, number)[which] for number in (vertebra, vertebra + 1)])
    return ((Shape.BAR, bars),), bars[:, 1].mean(axis=0)


def _spacing(scene: Scene, finding: Finding, vertebra: int) -> Drawn:
    if finding.unit == "heights":
        ends = [_middle(_endplate(scene, 2 * vertebra + side)) for side in (1, 2)]
    else:
        ends = [_centre(scene, vertebra), _centre(scene, vertebra + 1)]
    return ((Shape.BAR, np.stack(ends)[None]),), _middle(np.stack(ends))


def _crossing(scene: Scene, finding: Finding, vertebra: int) -> Drawn:
    corners = _corners(scene, vertebra)
    if len(corners) < CORNERS_PER_VERTEBRA:
        return None
    around = corners[[UL, UR, LR, LL]]
    for side in (0, 1):
        at = crossing_point(around[[side, side + 1]], around[[side + 2, (side + 3) % 4]])
        if np.isfinite(at).all():
            return ((Shape.CROSS, at[None]),), at
    return None


def _dent(scene: Scene, finding: Finding, vertebra: int) -> Drawn:
    """The corner and the line between its two neighbours, beyond which it should lie."""
    corners = _corners(scene, vertebra)
    if not finding.keypoints or len(corners) < CORNERS_PER_VERTEBRA:
        return None
    corner = min(finding.keypoints) % CORNERS_PER_VERTEBRA
    chord = corners[[UR, LL] if corner in (UL, LR) else [UL, LR]]
    along = chord[1] - chord[0]
    share = float((corners[corner] - chord[0]) @ along / max(float(along @ along), 1e-9))
    foot = chord[0] + share * along
    strokes = np.stack([chord, np.stack([corners[corner], foot])])
    return ((Shape.DASHED, strokes), (Shape.SQUARE, foot[None])), corners[corner]


def _off_line(scene: Scene, finding: Finding, vertebra: int) -> Drawn:
    """Each corner joined to where the corners next to it lead one to expect it."""
    if not finding.keypoints:
        return None
    corners = list(finding.keypoints)
    expected = np.array([expected_place(scene.judged, k) for k in corners])
    joined = np.stack([scene.judged[corners], expected], axis=1)
    return ((Shape.DASHED, joined), (Shape.SQUARE, expected)), joined[0].mean(axis=0)


def _outside(scene: Scene, finding: Finding, vertebra: int) -> Drawn:
    """A bar at the border where each keypoint left the image, and the way to those that can be seen."""
    place, stage = scene.stage.radiograph, scene.stage.box
    inside = place.inset(BORDER_INSET_PX)
    strokes = []
    for point in scene.judged[list(finding.keypoints)]:
        if not np.isfinite(point).all():
            continue
        border = np.clip(point, [inside.left, inside.top], [inside.right, inside.bottom])
        beside = (point[0] < place.left) or (point[0] > place.right)
        way = np.array([0.0, 1.0] if beside else [1.0, 0.0]) * BORDER_BAR_PX * scene.mark_scale
        strokes.append(np.stack([border - way, border + way]))
        if stage.contains(point[None])[0]:
            strokes.append(np.stack([border, point]))
    if not strokes:
        return None
    return ((Shape.LINE, np.array(strokes)),), _middle(strokes[0])


def _coinciding(scene: Scene, finding: Finding, vertebra: int) -> Drawn:
    points = scene.judged[list(finding.keypoints)]
    points = points[scene.stage.box.contains(points)]
    return (((Shape.RING, points),), points[0]) if len(points) else None


def _undefined(scene: Scene, finding: Finding, vertebra: int) -> Drawn:
    """No shape: the text stands where the vertebra is, as far as anything tells."""
    rows = slice(CORNERS_PER_VERTEBRA * vertebra, CORNERS_PER_VERTEBRA * (vertebra + 1))
    known = np.concatenate([scene.judged[rows], scene.label[rows]])
    known = known[scene.stage.box.contains(known)]
    return ((), _middle(known)) if len(known) else None


_DRAWINGS: Final[dict[str, tuple[Mark | None, Callable[[Scene, Finding, int], Drawn]]]] = {
    "A101": (Mark.DOWN, _descent),
    "A102": (Mark.OVERLAP, _overlap),
    "A103": (Mark.DOWN, _exchange),
    "A201": (Mark.ANGLE, _of_vertebra),
    "A202": (Mark.ANGLE, _of_disc),
    "A203": (Mark.TILT, _tilt),
    "A301": (Mark.LENGTH, _ratio),
    "A302": (Mark.LENGTH, _jump),
    "A401": (Mark.CROSSING, _crossing),
    "A402": (Mark.SIDEWAYS, _mirrored),
    "A403": (Mark.EXPECTED, _dent),
    "A404": (Mark.EXPECTED, _off_line),
    "A405": (Mark.EXPECTED, _off_line),
    "A501": (Mark.LENGTH, _spacing),
    "A601": (Mark.BORDER, _outside),
    "A602": (Mark.COINCIDING, _coinciding),
    "A603": (None, _undefined),
}
