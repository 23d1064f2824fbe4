"""The marks over the radiograph: outlines, error vectors, σ ellipses, emphasis and names."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mahtdiag.reports import palette
from mahtdiag.reports.lettering import Lettering
from mahtdiag.reports.overlay_brush import (
    DIAMOND,
    EMPHASIS_Z,
    ERROR_Z,
    LABEL_Z,
    PREDICTION_Z,
    Brush,
)
from mahtdiag.reports.overlay_scene import BORDER_PX, SIGMAS, Box, Scene, edges, exit_point
from mahtdiag.reports.overlay_text import pixels
from mahtdiag.schema.records import ImageRecord

Points = NDArray[np.float64]

NAME_PX = 19.0
NOTE_PX = 14.0
LINE_HEIGHT = 1.25
GAP_PX = 6.0
RING_PX = 15.0
DIAMOND_PX = 9.0
DOT_PX = 3.4


def draw_marks(brush: Brush, scene: Scene) -> None:
    """Everything but text."""
    ends = edges(scene.view)
    for points, colour, dashed, z in (
        (scene.label, palette.LABEL, False, LABEL_Z),
        (scene.prediction, palette.PREDICTION, True, PREDICTION_Z),
    ):
        sides = points[ends]
        brush.lines(sides[np.isfinite(sides).all(axis=(1, 2))], colour, 2.0, z, dashed=dashed)
        brush.dots(points[_known(points)], colour, DOT_PX, z + 0.5)
    spread = _known(scene.sigma) & _known(scene.prediction)
    brush.ellipses(scene.prediction[spread], SIGMAS * scene.sigma[spread], palette.PREDICTION)
    _errors(brush, scene)
    here = ~scene.off_stage & _known(scene.prediction)
    worst, blamed = (np.array(ks, dtype=np.intp) for ks in (scene.worst, scene.blamed))
    brush.rings(scene.prediction[worst[here[worst]]], palette.WORST, RING_PX)
    brush.rings(scene.prediction[blamed[here[blamed]]], palette.FINDING, DIAMOND_PX, shape=DIAMOND)


def _known(points: Points) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(points).all(axis=1))


def _errors(brush: Brush, scene: Scene) -> None:
    both = _known(scene.label) & _known(scene.prediction) & ~scene.off_stage
    brush.arrows(scene.label[both], scene.prediction[both], palette.ERROR)
    for k in np.flatnonzero(scene.off_stage):
        start, tip = off_stage_arrow(scene, int(k))
        if scene.stage.box.contains(scene.label[k : k + 1])[0]:
            brush.lines(np.stack([start, tip])[None], palette.ERROR, 1.8, ERROR_Z)
        colour = palette.WORST if int(k) in scene.worst else palette.PREDICTION
        along = scene.prediction[k] - start
        brush.heads(tip[None], along[None], np.array([20.0]), colour)


def off_stage_arrow(scene: Scene, keypoint: int) -> tuple[Points, Points]:
    """Start and tip of the arrow to a prediction beyond the visible rectangle; the tip is at the border."""
    box = scene.stage.box
    centre = np.array([(box.left + box.right) / 2, (box.top + box.bottom) / 2])
    label = scene.label[keypoint]
    start = label if box.contains(label[None])[0] else centre
    return start, exit_point(start, scene.prediction[keypoint], box.inset(BORDER_PX))


@dataclass(slots=True)
class _Placer:
    """Finds places for texts: inside the stage, off each other, and off the keypoints where it can."""

    stage: Box
    keypoints: Points
    taken: list[Box] = field(default_factory=list)

    def cost(self, box: Box, distance: float) -> float:
        """Distance, plus what the text would hide (a text more than a keypoint), plus what would be cut off."""
        margin = self.stage.inset(3)
        cut_off = box.width * box.height - box.shared_area(margin)
        hidden = float(np.count_nonzero(box.inset(-3).contains(self.keypoints)))
        return distance + 40 * hidden + sum(box.shared_area(t) for t in self.taken) + 50 * cut_off

    def take(self, choices: list[tuple[Box, float]]) -> Box:
        """The cheapest of (box, distance), moved into the stage if it sticks out."""
        best = min(choices, key=lambda choice: self.cost(*choice))[0]
        shift_x = max(0.0, self.stage.left + 3 - best.left) - max(0.0, best.right + 3 - self.stage.right)
        shift_y = max(0.0, self.stage.top + 3 - best.top) - max(0.0, best.bottom + 3 - self.stage.bottom)
        placed = Box(best.left + shift_x, best.top + shift_y, best.right + shift_x, best.bottom + shift_y)
        self.taken.append(placed)
        return placed


def write_names(lettering: Lettering, brush: Brush, scene: Scene, record: ImageRecord) -> None:
    """Names of the vertebrae with the codes of their findings, and the worst keypoints with their errors."""
    points = np.concatenate([scene.label, scene.prediction])
    placer = _Placer(scene.stage.box, points[_known(points)])
    codes = _codes_by_vertebra(scene, record)
    for number, name in enumerate(scene.view.vertebrae):
        rows = slice(4 * number, min(4 * number + 4, scene.view.keypoints))
        body = scene.label[rows]
        if not _known(body).any():
            body = scene.prediction[rows]
        body = body[_known(body) & scene.stage.box.contains(body)]
        if len(body):
            _write_name(lettering, placer, body, name, codes.get(name, ()))
    errors = record.keypoints.error_px
    names = scene.view.keypoint_names
    for k in scene.worst:
        _write_note(lettering, brush, placer, scene, k, f"{names[k]} {pixels(errors[k])}", palette.WORST)
    for k in np.flatnonzero(scene.off_stage):
        if int(k) not in scene.worst:
            _write_note(lettering, brush, placer, scene, int(k), names[k], palette.PREDICTION)


def _codes_by_vertebra(scene: Scene, record: ImageRecord) -> dict[str, tuple[str, ...]]:
    """Codes per vertebra; a finding between two stands at the first vertebra that it blames."""
    codes: dict[str, dict[str, None]] = {}
    for finding in record.findings:
        place = finding.vertebra
        if place not in scene.view.vertebrae:
            blamed = [k for k in finding.keypoints if 0 <= k < scene.view.keypoints]
            place = scene.view.vertebra_of[blamed[0]] if blamed else ""
        codes.setdefault(place, {})[finding.code] = None
    return {place: tuple(found) for place, found in codes.items()}


def _write_name(
    lettering: Lettering, placer: _Placer, body: Points, name: str, codes: tuple[str, ...]
) -> None:
    lines = [(name, NAME_PX, palette.INK, True)]
    # Two codes to a line keep the block small.
    lines += [
        (" ".join(codes[at : at + 2]), NOTE_PX, palette.FINDING, True) for at in range(0, len(codes), 2)
    ]
    width = max(lettering.width_px(text, size, bold=bold) for text, size, _, bold in lines) + 6
    height = sum(size * LINE_HEIGHT for _, size, _, _ in lines)
    left, right = float(body[:, 0].min()) - GAP_PX - 12, float(body[:, 0].max()) + GAP_PX + 12
    middle = float(body[:, 1].mean())
    top, bottom = middle - height / 2, middle + height / 2
    centre = (left + right) / 2
    box = placer.take(
        [
            (Box(left - width, top, left, bottom), 0.0),
            (Box(left - width - 40, top, left - 40, bottom), 30.0),
            (Box(right, top, right + width, bottom), 40.0),
            (Box(right + 40, top, right + width + 40, bottom), 70.0),
            (Box(centre - width / 2, top, centre + width / 2, bottom), 90.0),
        ]
    )
    y = box.top
    for text, size, colour, bold in lines:
        lettering.write(
            text,
            (box.left + box.right) / 2,
            y + size * LINE_HEIGHT / 2,
            size,
            colour,
            bold=bold,
            align="center",
            halo_px=2.2,
        )
        y += size * LINE_HEIGHT


def _write_note(
    lettering: Lettering, brush: Brush, placer: _Placer, scene: Scene, k: int, text: str, colour: str
) -> None:
    """A text beside a prediction, with a thin line to it when it had to go far."""
    at = off_stage_arrow(scene, k)[1] if scene.off_stage[k] else scene.prediction[k]
    width = lettering.width_px(text, NOTE_PX, bold=True) + 8
    height = NOTE_PX * LINE_HEIGHT + 2
    choices = []
    for reach in (RING_PX * brush.scale + 4, 34.0, 60.0, 100.0, 150.0):
        for turn in np.arange(16) * (np.pi / 8):
            dx, dy = float(np.cos(turn)), float(np.sin(turn))
            # The nearest edge of the box, not its centre, keeps the distance.
            x, y = at[0] + dx * (reach + width / 2), at[1] + dy * (reach + height / 2)
            box = Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            choices.append((box, reach + 8 * abs(dy)))
    box = placer.take(choices)
    near = np.clip(at, [box.left, box.top], [box.right, box.bottom])
    if np.hypot(*(near - at)) > RING_PX * brush.scale + 12:
        brush.lines(np.stack([near, at])[None], colour, 1.0, EMPHASIS_Z - 0.5)
    lettering.write(
        text,
        (box.left + box.right) / 2,
        (box.top + box.bottom) / 2,
        NOTE_PX,
        colour,
        bold=True,
        align="center",
        halo_px=2.4,
    )
