"""The marks over the radiograph: outlines, error vectors, σ ellipses, emphasis and names."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.reports import palette
from mahtdiag.reports.overlay.brush import DASH, DIAMOND, ERROR_Z, LABEL_Z, PREDICTION_Z, Brush
from mahtdiag.reports.overlay.scene import BORDER_PX, SIGMAS, Scene, edges, exit_point

Points = NDArray[np.float64]

RING_PX: Final = 15.0
HEAD_PX: Final = 20.0
DIAMOND_PX: Final = 9.0
DOT_PX: Final = 3.4


def draw_marks(brush: Brush, scene: Scene) -> None:
    """Everything but text."""
    ends = edges(scene.view)
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
