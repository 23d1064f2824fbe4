"""The marks over the radiograph, what findings measured among them, and small ones for a legend."""

import math
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.rule import Shape, Sign, Sketch, Spine, meeting_point, middle
from mahtdiag.anatomy.rules import RULE_BY_CODE
from mahtdiag.reports import palette
from mahtdiag.reports.overlay.scene import (
    BORDER_PX,
    SIGMAS,
    Scene,
    arc,
    clipped,
    edges,
    exit_point,
    extended,
)
from mahtdiag.reports.overlay.sheet import (
    DASH,
    DIAMOND,
    DOTS,
    EMPHASIS_Z,
    ERROR_Z,
    LABEL_Z,
    PREDICTION_Z,
    Brush,
)
from mahtdiag.schema.records import Finding

Points = NDArray[np.float64]
Shapes = tuple[tuple[Shape, Points], ...]

MAX_FINDINGS: Final = 6
ARC_PX: Final = 34.0
BORDER_BAR_PX: Final = 26.0
BORDER_INSET_PX: Final = 5.0
# Above error vectors, below the marks of keypoints.
QUANTITY_Z: Final = ERROR_Z + 0.5
LINE_WIDTH: Final = 1.7
BAR_WIDTH: Final = 2.2
TICK_PX: Final = 8.0
CROSS_PX: Final = 10.0
COINCIDING_PX: Final = 15.0
SQUARE_PX: Final = 6.0
AREA_FILL: Final = 0.3
TRIANGLE: Final[Points] = np.array([[0.0, -1.0], [0.87, 0.5], [-0.87, 0.5]])
SQUARE: Final[Points] = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
TRIANGLE_PX: Final = 10.0
RING_PX: Final = 15.0
HEAD_PX: Final = 20.0
DIAMOND_PX: Final = 9.0
DOT_PX: Final = 3.4


class Mark(Enum):
    """A mark that the legend explains, beside the signs of findings."""

    LABEL = auto()
    PREDICTION = auto()
    ERROR = auto()
    SPREAD = auto()
    WORST = auto()
    FINDING = auto()
    OFF_STAGE = auto()
    SECOND_PEAK = auto()


def draw_marks(brush: Brush, scene: Scene) -> None:
    """Everything but text."""
    ends = edges(scene.skeleton)
    for mark, points in ((Mark.LABEL, scene.label), (Mark.PREDICTION, scene.prediction)):
        sides = points[ends]
        _outlines(brush, mark, sides[np.isfinite(sides).all(axis=(1, 2))], points[known(points)])
    here = known(scene.prediction) & ~scene.off_stage
    spread = known(scene.sigma) & here
    brush.ellipses(scene.prediction[spread], SIGMAS * scene.sigma[spread], palette.PREDICTION)
    _errors(brush, scene)
    worst, blamed = (np.array(ks, dtype=np.intp) for ks in (scene.worst, scene.blamed))
    brush.rings(scene.prediction[worst[here[worst]]], palette.WORST, RING_PX)
    blamed = blamed[scene.stage.box.contains(scene.judged)[blamed]]
    brush.rings(scene.judged[blamed], palette.FINDING, DIAMOND_PX, shape=DIAMOND)


def known(points: Points) -> NDArray[np.bool_]:
    """Which of the points `[N, 2]` are not missing."""
    return np.asarray(np.isfinite(points).all(axis=1))


def _errors(brush: Brush, scene: Scene) -> None:
    both = known(scene.label) & known(scene.prediction) & ~scene.off_stage
    brush.arrows(scene.label[both], scene.prediction[both], palette.ERROR)
    for k in np.flatnonzero(scene.off_stage):
        start, tip = off_stage_arrow(scene, int(k))
        if scene.stage.box.contains(scene.label[k : k + 1])[0]:
            brush.lines(np.stack([start, tip])[None], palette.ERROR, 1.8, ERROR_Z)
        colour = palette.WORST if int(k) in scene.worst else palette.PREDICTION
        along = scene.prediction[k] - start
        brush.heads(tip[None], along[None], np.array([HEAD_PX]), colour)


def off_stage_arrow(scene: Scene, keypoint: int) -> tuple[Points, Points]:
    """Start and tip of the arrow to a prediction beyond the visible rectangle; the tip is at the border."""
    box = scene.stage.box
    centre = np.array([(box.left + box.right) / 2, (box.top + box.bottom) / 2])
    label = scene.label[keypoint]
    start = label if box.contains(label[None])[0] else centre
    return start, exit_point(start, scene.prediction[keypoint], box.inset(BORDER_PX))


# About the middle of the swatch, as shapes of a finding's drawing.
_SWATCHES: Final[dict[Sign, tuple[tuple[Shape, list[object]], ...]]] = {
    Sign.ANGLE: ((Shape.LINE, [[[-18, -7], [19, 0]], [[-18, 7], [19, 0]], [[4, -3], [4, 3]]]),),
    Sign.TILT: ((Shape.LINE, [[[-18, -6], [18, 6]]]), (Shape.DASHED, [[[-19, 3], [19, -3]]])),
    Sign.OVERLAP: ((Shape.AREA, [[-18, -6], [18, -3], [18, 6], [-18, 3]]),),
    Sign.DOWN: ((Shape.ARROW, [[[0, -10], [0, 10]]]),),
    Sign.SIDEWAYS: ((Shape.ARROW, [[[-18, 0], [18, 0]]]),),
    Sign.LENGTH: ((Shape.BAR, [[[-18, 0], [18, 0]]]),),
    Sign.CROSSING: ((Shape.CROSS, [[0, 0]]),),
    Sign.EXPECTED: ((Shape.DASHED, [[[-16, 0], [14, 0]]]), (Shape.SQUARE, [[14, 0]])),
    Sign.BORDER: ((Shape.LINE, [[[14, -9], [14, 9]], [[-12, 0], [14, 0]]]),),
    Sign.COINCIDING: ((Shape.RING, [[0, 0]]),),
}


def draw_swatch(brush: Brush, mark: Mark | Sign, x: float, y: float) -> None:
    """The mark as it looks over the radiograph; (x, y) is the left end at half height."""
    left, middle, right = (np.array([[x + dx, y]]) for dx in (3.0, 22.0, 41.0))
    if isinstance(mark, Sign):
        for shape, points in _SWATCHES[mark]:
            draw_shape(brush, shape, middle + np.array(points, dtype=np.float64))
    elif mark in (Mark.LABEL, Mark.PREDICTION):
        ends = np.concatenate([left, right])
        _outlines(brush, mark, ends[None], ends)
    elif mark is Mark.ERROR:
        brush.arrows(left, right, palette.ERROR)
    elif mark is Mark.SPREAD:
        brush.ellipses(middle, np.array([[18.0, 9.0]]), palette.PREDICTION)
        brush.dots(middle, palette.PREDICTION, DOT_PX, PREDICTION_Z + 0.5)
    elif mark is Mark.WORST:
        brush.rings(middle, palette.WORST, RING_PX * 0.66)
        brush.dots(middle, palette.PREDICTION, DOT_PX, EMPHASIS_Z)
    elif mark is Mark.FINDING:
        brush.rings(middle, palette.FINDING, DIAMOND_PX, shape=DIAMOND)
    elif mark is Mark.OFF_STAGE:
        brush.heads(right, np.array([[1.0, 0.0]]), np.array([HEAD_PX]), palette.PREDICTION)
    else:
        brush.dots(left, palette.PREDICTION, DOT_PX, PREDICTION_Z + 0.5)
        draw_ambiguity(brush, left, right, right)


def _outlines(brush: Brush, mark: Mark, sides: Points, points: Points) -> None:
    """Sides `[N, 2, 2]` and points of labels or of predictions."""
    colour, z, pattern = (
        (palette.LABEL, LABEL_Z, None) if mark is Mark.LABEL else (palette.PREDICTION, PREDICTION_Z, DASH)
    )
    brush.lines(sides, colour, 2.0, z, pattern=pattern)
    brush.dots(points, colour, DOT_PX, z + 0.5)


@dataclass(frozen=True, slots=True)
class DrawnQuantity:
    """One finding's drawing in figure pixels; `at` `[2]` is what its text points to.

    `mark` explains it in the legend; None where the text alone says it. Of the shapes that need the picture
    to be drawn (ANGLE, MEETING, BORDER) strokes are left.
    """

    finding: Finding
    mark: Sign | None
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


def shown_quantities(scene: Scene, findings: tuple[Finding, ...]) -> tuple[DrawnQuantity, ...]:
    """Drawings of the most severe findings; one that cannot be seen in the picture is left to the panel."""
    found = (_quantity(scene, finding) for finding in most_severe(findings)[:MAX_FINDINGS])
    return tuple(quantity for quantity in found if quantity is not None)


def _quantity(scene: Scene, finding: Finding) -> DrawnQuantity | None:
    rule, name = RULE_BY_CODE.get(finding.code), finding.vertebra.partition("/")[0]
    if rule is None or name not in scene.skeleton.vertebrae:
        return None
    sketch = rule.sketch(Spine(scene.judged, scene.skeleton), finding)
    if sketch is None:
        return None
    shapes, places = _drawn(scene, sketch)
    if not sketch.shapes:
        places = _whereabouts(scene, name)
    visible = places[scene.stage.box.contains(places)]
    if not len(visible) or not all(np.isfinite(points).all() for _, points in shapes):
        return None
    return DrawnQuantity(finding, sketch.sign, shapes, visible[0])


def _drawn(scene: Scene, sketch: Sketch) -> tuple[Shapes, Points]:
    """The shapes of a sketch as they fit the picture, and what its text can point to, `[A, 2]`."""
    lines, places = [np.empty((0, 2, 2))], [sketch.at]
    others: list[tuple[Shape, Points]] = []
    for shape, points in sketch.shapes:
        if shape is Shape.LINE:
            lines.append(points)
        elif shape is Shape.ANGLE:
            lines += [_angle(scene, at, one - at, other - at) for at, one, other in points]
        elif shape is Shape.MEETING:
            met, at = _meeting(scene, points)
            lines.append(met)
            places.append(at[None])
        elif shape is Shape.BORDER:
            lines.append(_border(scene, points))
            places.append(lines[-1][:1].mean(axis=1))
        elif shape is Shape.RING:
            others.append((shape, points[scene.stage.box.contains(points)]))
        else:
            others.append((shape, points))
    # Strokes that touch are drawn as one, or the places where they do would be darker.
    strokes = np.concatenate(lines)
    whole = ((Shape.LINE, strokes),) if len(strokes) else ()
    return (*whole, *others), np.concatenate(places)


def _whereabouts(scene: Scene, name: str) -> Points:
    """Where a vertebra is, as far as anything tells: the middle of what is seen of it, `[1, 2]` or none."""
    rows = scene.skeleton.keypoints_of(name)
    known = np.concatenate([scene.judged[rows], scene.label[rows]])
    known = known[scene.stage.box.contains(known)]
    return middle(known)[None]


def _meeting(scene: Scene, plates: Points) -> tuple[Points, Points]:
    """Two endplates extended until they meet or leave the picture, and the angle where they meet."""
    box = scene.stage.box
    at = meeting_point(plates[0], plates[1])
    lines = [clipped(extended(plate, at), box) for plate in plates]
    kept = np.array([line for line in lines if np.isfinite(line).all()]).reshape(-1, 2, 2)
    if not (np.isfinite(plates).all() and len(kept)):
        return kept, np.full(2, np.nan)
    if not box.contains(at[None])[0]:
        # They meet beyond the picture: the text stands at the side where they would.
        away = at if np.isfinite(at).all() else kept[0, 1]
        ends = [line[int(np.hypot(*(line - away).T).argmin())] for line in kept]
        return kept, middle(np.array(ends))
    directions = [_farther_end(plate, at) - at for plate in plates]
    return np.concatenate([kept, _angle(scene, at, *directions)]), at


def _farther_end(segment: Points, at: Points) -> Points:
    return np.asarray(segment[int(np.hypot(*(segment - at).T).argmax())], dtype=np.float64)


def _angle(scene: Scene, at: Points, one: Points, other: Points) -> Points:
    """An arc for the acute angle between two lines."""
    other = other if float(one @ other) >= 0 else -other
    return arc(at, one, other, ARC_PX * scene.mark_scale)


def _border(scene: Scene, outside: Points) -> Points:
    """A bar at the border where each keypoint left the image, and the way to those that can be seen."""
    place, stage = scene.stage.radiograph, scene.stage.box
    inside = place.inset(BORDER_INSET_PX)
    strokes = [np.empty((0, 2, 2))]
    for point in outside[np.isfinite(outside).all(axis=1)]:
        border = np.clip(point, [inside.left, inside.top], [inside.right, inside.bottom])
        beside = (point[0] < place.left) or (point[0] > place.right)
        way = np.array([0.0, 1.0] if beside else [1.0, 0.0]) * BORDER_BAR_PX * scene.mark_scale
        strokes.append(np.stack([border - way, border + way])[None])
        if stage.contains(point[None])[0]:
            strokes.append(np.stack([border, point])[None])
    return np.concatenate(strokes)


def draw_quantities(brush: Brush, quantities: tuple[DrawnQuantity, ...]) -> None:
    """The shapes of every drawing; texts are placed apart."""
    for quantity in quantities:
        for shape, points in quantity.shapes:
            draw_shape(brush, shape, points)


def draw_shape(brush: Brush, shape: Shape, points: Points) -> None:
    """One set of strokes, areas or places in the colour of findings."""
    colour = palette.FINDING
    if shape is Shape.LINE:
        brush.lines(points, colour, LINE_WIDTH, QUANTITY_Z)
    elif shape is Shape.DASHED:
        brush.lines(points, colour, LINE_WIDTH, QUANTITY_Z, pattern=DASH)
    elif shape is Shape.BAR:
        brush.lines(points, colour, BAR_WIDTH, QUANTITY_Z)
        brush.lines(_ticks(points, TICK_PX * brush.scale), colour, BAR_WIDTH, QUANTITY_Z)
    elif shape is Shape.ARROW:
        brush.arrows(points[:, 0], points[:, 1], colour, width=BAR_WIDTH)
    elif shape is Shape.AREA:
        brush.shapes(points[None], colour, QUANTITY_Z, fill=AREA_FILL, width=LINE_WIDTH)
    elif shape is Shape.CROSS:
        reach = CROSS_PX * brush.scale
        for way in (np.array([reach, reach]), np.array([reach, -reach])):
            brush.lines(np.stack([points - way, points + way], axis=1), colour, 2.6, EMPHASIS_Z)
    elif shape is Shape.RING:
        brush.rings(points, colour, COINCIDING_PX)
    else:
        brush.rings(points, colour, SQUARE_PX, shape=SQUARE)


def _ticks(bars: Points, reach: float) -> Points:
    """Short strokes across both ends of each bar `[N, 2, 2]`."""
    along = bars[:, 1] - bars[:, 0]
    unit = along / np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-9)[:, None]
    across = reach * np.stack([-unit[:, 1], unit[:, 0]], axis=1)
    return np.concatenate(
        [np.stack([bars[:, end] - across, bars[:, end] + across], axis=1) for end in (0, 1)]
    )


def draw_second_peaks(brush: Brush, scene: Scene) -> None:
    """A hollow triangle at each second peak that is in the picture, joined to its prediction."""
    shown = scene.with_second_peak
    joined = shown & np.isfinite(scene.prediction).all(axis=1)
    draw_ambiguity(brush, scene.prediction[joined], scene.second_peak[joined], scene.second_peak[shown])


def draw_ambiguity(brush: Brush, starts: Points, ends: Points, peaks: Points) -> None:
    """Dotted lines from predictions to second peaks, and triangles at the peaks."""
    joined = np.stack([starts, ends], axis=1)
    brush.lines(joined, palette.SECOND_PEAK, 1.6, QUANTITY_Z, pattern=DOTS)
    brush.rings(peaks, palette.SECOND_PEAK, TRIANGLE_PX, shape=TRIANGLE)


def most_severe(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Findings by severity, the worst first; those of unknown severity last."""
    return tuple(sorted(findings, key=_least_severe_last))


def _least_severe_last(finding: Finding) -> tuple[float, str]:
    return (-finding.severity if math.isfinite(finding.severity) else 0.0, finding.code)
