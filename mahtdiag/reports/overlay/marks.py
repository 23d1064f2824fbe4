"""The marks over the radiograph: outlines, error vectors, σ ellipses, emphasis; small ones for a legend."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.sketch import Shape, Sign
from mahtdiag.reports import palette
from mahtdiag.reports.overlay.geometry import exit_point
from mahtdiag.reports.overlay.quantities import draw_ambiguity, draw_shape
from mahtdiag.reports.overlay.rows import Mark
from mahtdiag.reports.overlay.scene import BORDER_PX, SIGMAS, Scene, edges
from mahtdiag.reports.overlay.sheet import DASH, DIAMOND, EMPHASIS_Z, ERROR_Z, LABEL_Z, PREDICTION_Z, Brush

Points = NDArray[np.float64]

RING_PX: Final = 15.0
HEAD_PX: Final = 20.0
DIAMOND_PX: Final = 9.0
DOT_PX: Final = 3.4


def draw_marks(brush: Brush, scene: Scene) -> None:
    """Everything but text."""
    ends = edges(scene.skeleton)
    for points, colour, pattern, z in (
        (scene.label, palette.LABEL, None, LABEL_Z),
        (scene.prediction, palette.PREDICTION, DASH, PREDICTION_Z),
    ):
        sides = points[ends]
        brush.lines(sides[np.isfinite(sides).all(axis=(1, 2))], colour, 2.0, z, pattern=pattern)
        brush.dots(points[known(points)], colour, DOT_PX, z + 0.5)
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
        _line_with_dots(brush, mark, left, right)
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


def _line_with_dots(brush: Brush, mark: Mark, left: Points, right: Points) -> None:
    colour, z = (palette.LABEL, LABEL_Z) if mark is Mark.LABEL else (palette.PREDICTION, PREDICTION_Z)
    pattern = None if mark is Mark.LABEL else DASH
    brush.lines(np.stack([left[0], right[0]])[None], colour, 2.0, z, pattern=pattern)
    brush.dots(np.concatenate([left, right]), colour, DOT_PX, z + 0.5)
