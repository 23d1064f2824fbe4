"""The texts over the radiograph, placed so that they hide neither keypoints nor each other."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.reports import palette
from mahtdiag.reports.overlay.lettering import Lettering, width_px
from mahtdiag.reports.overlay.marks import HEAD_PX, RING_PX, DrawnQuantity, known, off_stage_arrow
from mahtdiag.reports.overlay.panel import in_px
from mahtdiag.reports.overlay.scene import Box, Scene, edges
from mahtdiag.reports.overlay.sheet import EMPHASIS_Z, Brush
from mahtdiag.reports.tables.anatomy import measured
from mahtdiag.schema.records import Finding, ImageRecord
from mahtdiag.schema.skeleton import Skeleton

Points = NDArray[np.float64]

NAME_PX: Final = 19.0
NOTE_PX: Final = 14.0
LINE_HEIGHT: Final = 1.25
BORDER_PX: Final = 3.0
# Codes beyond these stand in the panel alone.
MAX_CODES: Final = 4
DIRECTIONS: Final = tuple((math.cos(turn * math.pi / 8), math.sin(turn * math.pi / 8)) for turn in range(16))
REACHES_PX: Final = (4.0, 24.0, 50.0, 90.0, 140.0)


@dataclass(slots=True)
class Placer:
    """Finds places for texts on the stage; `dots` and `strokes` are points that a text should not hide."""

    stage: Box
    dots: Points
    strokes: Points
    taken: list[Box] = field(default_factory=list)

    def take(self, choices: list[tuple[Box, float]]) -> Box:
        """The cheapest of (box, price), moved into the stage if it sticks out."""
        best = self._cheapest(choices)
        inner = self.stage.inset(BORDER_PX)
        shift_x = max(0.0, inner.left - best.left) - max(0.0, best.right - inner.right)
        shift_y = max(0.0, inner.top - best.top) - max(0.0, best.bottom - inner.bottom)
        placed = Box(best.left + shift_x, best.top + shift_y, best.right + shift_x, best.bottom + shift_y)
        self.taken.append(placed)
        return placed

    def _cheapest(self, choices: list[tuple[Box, float]]) -> Box:
        least, best = math.inf, choices[0][0]
        for box, price in sorted(choices, key=itemgetter(1)):
            # Harm only adds to the price: what costs more than the best so far cannot win.
            if price >= least:
                break
            cost = price + self._harm(box)
            if cost < least:
                least, best = cost, box
        return best

    def _harm(self, box: Box) -> float:
        """What the text would hide or lose, in pixels of distance that one would go to avoid it."""
        lost = box.width * box.height - box.shared_area(self.stage.inset(BORDER_PX))
        dots = np.count_nonzero(box.inset(-BORDER_PX).contains(self.dots))
        strokes = np.count_nonzero(box.contains(self.strokes))
        return 40.0 * dots + 4.0 * strokes + sum(box.shared_area(other) for other in self.taken) + 50.0 * lost


def write_names(
    lettering: Lettering,
    brush: Brush,
    scene: Scene,
    quantities: tuple[DrawnQuantity, ...],
    record: ImageRecord,
) -> None:
    """Names of the vertebrae, then the worst keypoints with their errors and what findings measured.

    Codes of findings that are not drawn stand below the name of their vertebra.
    """
    placer = Placer(scene.stage.box, _dots(scene), _along_strokes(scene, quantities))
    skeleton = scene.skeleton
    drawn = {id(quantity.finding) for quantity in quantities}
    codes = _codes_by_vertebra(skeleton, [f for f in record.findings if id(f) not in drawn])
    for name in skeleton.vertebrae:
        rows = skeleton.keypoints_of(name)
        body = scene.label[rows]
        if not known(body).any():
            body = scene.prediction[rows]
        visible = known(body) & scene.stage.box.contains(body)
        if visible.any():
            _write_name(
                lettering, placer, np.where(visible[:, None], body, np.nan), name, codes.get(name, [])
            )
    names = skeleton.keypoint_names
    # What has no place cannot be pointed at; its findings are in the panel.
    placed = known(scene.prediction)
    for k in (k for k in scene.worst if placed[k]):
        text = f"{names[k]} {in_px(float(record.keypoints.error_px[k]))}"
        _write_note(lettering, brush, placer, _note_target(scene, k), text, palette.WORST)
    for k in np.flatnonzero(scene.off_stage & placed).tolist():
        if k not in scene.worst:
            _write_note(lettering, brush, placer, _note_target(scene, k), names[k], palette.PREDICTION)
    for quantity in quantities:
        text = f"{quantity.finding.code} {measured(quantity.finding)}"
        _write_note(lettering, brush, placer, quantity.at, text, palette.FINDING)


def _dots(scene: Scene) -> Points:
    points = np.concatenate([scene.label, scene.prediction])
    return points[known(points)]


def _along_strokes(scene: Scene, quantities: tuple[DrawnQuantity, ...]) -> Points:
    """Points along all strokes of the picture, close enough together for no text to slip between them."""
    ends = edges(scene.skeleton)
    strokes = np.concatenate(
        [scene.label[ends], scene.prediction[ends], np.stack([scene.label, scene.prediction], axis=1)]
    )
    strokes = strokes[np.isfinite(strokes).all(axis=(1, 2))]
    strokes = np.concatenate([strokes, *(quantity.strokes() for quantity in quantities)])
    share = np.linspace(0, 1, 30)[:, None, None]
    return np.asarray(((1 - share) * strokes[:, 0] + share * strokes[:, 1]).reshape(-1, 2), dtype=np.float64)


def _codes_by_vertebra(skeleton: Skeleton, findings: Sequence[Finding]) -> dict[str, list[str]]:
    """Codes per vertebra, each once; a finding between two stands at the first vertebra that it blames."""
    codes: dict[str, list[str]] = {}
    for finding in findings:
        place = finding.vertebra
        if place not in skeleton.vertebrae:
            blamed = [k for k in finding.keypoints if 0 <= k < skeleton.keypoints]
            place = skeleton.vertebra_of[min(blamed)] if blamed else ""
        here = codes.setdefault(place, [])
        if finding.code not in here:
            here.append(finding.code)
    return codes


def _write_name(lettering: Lettering, placer: Placer, body: Points, name: str, codes: list[str]) -> None:
    """`body`: the visible corners of the vertebra, in their order, NaN for the others."""
    if len(codes) > MAX_CODES:
        codes = [*codes[: MAX_CODES - 1], f"+{len(codes) - MAX_CODES + 1}"]
    # Two codes to a line keep the block small.
    notes = [" ".join(codes[at : at + 2]) for at in range(0, len(codes), 2)]
    lines = [(name, NAME_PX, palette.INK)] + [(note, NOTE_PX, palette.FINDING) for note in notes]
    width = max(width_px(text, size, bold=True) for text, size, _ in lines) + 6
    height = sum(size * LINE_HEIGHT for _, size, _ in lines)
    box = placer.take(_beside(body, width, height))
    y = box.top
    for text, size, colour in lines:
        middle = (box.left + box.right) / 2, y + size * LINE_HEIGHT / 2
        lettering.write(text, *middle, size, colour, bold=True, align="center", halo_px=2.2)
        y += size * LINE_HEIGHT


def _beside(body: Points, width: float, height: float) -> list[tuple[Box, float]]:
    """Places for a name: at the left of the vertebra if it fits, else at the right, at worst upon it."""
    corners = body[known(body)]
    centre = corners.mean(axis=0)
    choices = [(Box.around(float(centre[0]), float(centre[1]), width, height), 100.0)]
    for side, price in ((slice(0, None, 2), 0.0), (slice(1, None, 2), 25.0)):
        here = body[side][known(body[side])]
        # Right corners lie to the right even where they are all that is known.
        anchor = here.mean(axis=0) if len(here) else centre
        outwards = -1.0 if price == 0 else 1.0
        for reach in (16.0, 34.0, 60.0):
            for lift in (0.0, -18.0, 18.0):
                x, y = float(anchor[0]) + outwards * (reach + width / 2), float(anchor[1]) + lift
                choices.append((Box.around(x, y, width, height), price + reach + abs(lift) / 2))
    return choices


def _note_target(scene: Scene, keypoint: int) -> Points:
    if not scene.off_stage[keypoint]:
        return np.asarray(scene.prediction[keypoint], dtype=np.float64)
    start, tip = off_stage_arrow(scene, keypoint)
    along = scene.prediction[keypoint] - start
    return np.asarray(tip - along * (HEAD_PX / 2 / max(float(np.hypot(*along)), 1e-9)), dtype=np.float64)


def _write_note(
    lettering: Lettering, brush: Brush, placer: Placer, at: Points, text: str, colour: str
) -> None:
    """A text on a plate beside a prediction, with a line to it where it had to go far."""
    width = width_px(text, NOTE_PX, bold=True) + 12
    height = NOTE_PX * LINE_HEIGHT + 5
    ring = RING_PX * brush.scale + 4
    x, y = float(at[0]), float(at[1])
    choices = []
    for reach in REACHES_PX:
        for dx, dy in DIRECTIONS:
            # Half the box, whole from the diagonals on: a corner or an edge then keeps the distance.
            right = dx * (ring + reach) + width / 2 * min(max(1.5 * dx, -1.0), 1.0)
            down = dy * (ring + reach) + height / 2 * min(max(1.5 * dy, -1.0), 1.0)
            choices.append((Box.around(x + right, y + down, width, height), reach + 6 * abs(dy)))
    box = placer.take(choices)
    near = np.clip(at, [box.left, box.top], [box.right, box.bottom])
    if np.hypot(*(near - at)) > ring + 8:
        brush.lines(np.stack([near, at])[None], colour, 1.2, EMPHASIS_Z - 0.5)
    brush.plate(box.corners, colour)
    middle = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    lettering.write(text, *middle, NOTE_PX, bold=True, align="center")
