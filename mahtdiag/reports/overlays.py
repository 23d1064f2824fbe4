"""One picture per image: the radiograph with labels, predictions, errors and σ, and the numbers beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Affine2D, Bbox
from numpy.typing import NDArray

from mahtdiag.reports import palette
from mahtdiag.reports.lettering import Lettering
from mahtdiag.reports.overlay_brush import LABEL_Z, Brush
from mahtdiag.reports.overlay_marks import draw_marks, write_names
from mahtdiag.reports.overlay_panel import COLUMN_PX, PanelLayout, draw_panel, lay_out
from mahtdiag.reports.overlay_scene import Box, Scene, Stage, make_scene
from mahtdiag.reports.overlay_text import Mark, panel_blocks
from mahtdiag.schema.frames import Size
from mahtdiag.schema.records import ImageRecord
from mahtdiag.schema.views import View

Image = NDArray[np.uint8] | NDArray[np.uint16]

# Wider than this, the panel goes below the radiograph.
WIDE: Final = 1.2
# Largest and smallest place for the radiograph, (width, height), with the panel beside and below it.
BESIDE_PX: Final = (1100, 1300)
BELOW_PX: Final = (1480, 1100)
LEAST_BESIDE_PX: Final = (480, 480)
LEAST_BELOW_PX: Final = (3 * COLUMN_PX, 300)
MAX_ENLARGEMENT: Final = 12.0
# Grey values of 16-bit radiographs beyond these percentiles are shown black and white.
PERCENTILES: Final = (0.5, 99.5)
PNG_COMPRESSION: Final = 3


def draw_overlay(
    image: Image,
    record: ImageRecord,
    view: View,
    *,
    worst: int = 3,
    rule_titles: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """Draw one evaluated image as a PNG, at most 1600 pixels a side; nothing is written.

    `image`: `[H, W]` or `[H, W, 3]` (RGB), uint8 or uint16, the whole radiograph; it may have been shrunk, since
    keypoints are placed by the record's width and height. `worst`: how many of the largest errors are marked
    with name and value. `rule_titles`: what a finding's code means, shown below it where given.

    Missing labels and undefined predictions are not drawn, but counted in the panel; a prediction beyond the
    picture becomes an arrow at its border. Raises ValueError for an image or a record of the wrong shape. Safe
    to call from several threads: no state is shared.
    """
    _check(image, record, view, worst)
    frame = _Frame.of(Size(max(record.height, 1), max(record.width, 1)), record, view, worst, rule_titles)
    figure = Figure(
        figsize=(frame.width / 72, frame.height / 72), dpi=72, facecolor=palette.PAPER, edgecolor="none"
    )
    canvas = FigureCanvasAgg(figure)
    place = frame.scene.stage.radiograph
    figure.figimage(
        _fit(_to_rgb(image), Size(round(place.height), round(place.width))),
        xo=round(place.left),
        yo=frame.height - round(place.bottom),
        origin="upper",
    )
    _draw(figure, frame, record)
    canvas.draw()
    return _png(canvas)


def _check(image: Image, record: ImageRecord, view: View, worst: int) -> None:
    if image.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"image is {image.dtype}; an overlay needs uint8 or uint16")
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)) or image.size == 0:
        raise ValueError(f"image has shape {image.shape}; an overlay needs [H, W] or [H, W, 3]")
    if record.keypoints.gt_px.shape != (view.keypoints, 2):
        shape = record.keypoints.gt_px.shape
        raise ValueError(f"record has keypoints {shape}; view {view} has ({view.keypoints}, 2)")
    if worst < 0:
        raise ValueError(f"worst is {worst}; it counts keypoints and cannot be negative")


@dataclass(frozen=True, slots=True)
class _Frame:
    """The figure's size, and where its two parts lie."""

    width: int
    height: int
    panel: PanelLayout
    panel_left: int
    panel_top: int
    scene: Scene

    @staticmethod
    def of(original: Size, record: ImageRecord, view: View, worst: int, titles: Mapping[str, str]) -> "_Frame":
        """Panel beside a tall radiograph, below a wide one; neither part is ever cut off."""
        below = original.width > WIDE * original.height
        most, least = (BELOW_PX, LEAST_BELOW_PX) if below else (BESIDE_PX, LEAST_BESIDE_PX)
        factor = min(most[0] / original.width, most[1] / original.height, MAX_ENLARGEMENT)
        shown = Size(max(1, round(original.height * factor)), max(1, round(original.width * factor)))
        width, height = max(shown.width, least[0]), max(shown.height, least[1])
        # Which marks there are depends on the place of the radiograph, not on the height of the stage.
        scene = make_scene(record, view, _stage(original, shown, width, height), worst)
        blocks = panel_blocks(record, view, factor, worst, titles, _marks(scene))
        panel = lay_out(blocks, width // COLUMN_PX if below else 1)
        if below:
            return _Frame(width, height + panel.height, panel, (width - panel.width) // 2, height, scene)
        if panel.height > height:
            height = panel.height
            scene = make_scene(record, view, _stage(original, shown, width, height), worst)
        return _Frame(width + panel.width, height, panel, width, 0, scene)


def _stage(original: Size, shown: Size, width: int, height: int) -> Stage:
    left, top = (width - shown.width) // 2, (height - shown.height) // 2
    return Stage(
        Box(0, 0, width, height), Box(left, top, left + shown.width, top + shown.height), original
    )


def _marks(scene: Scene) -> dict[Mark, bool]:
    label = np.isfinite(scene.label).all(axis=1)
    prediction = np.isfinite(scene.prediction).all(axis=1)
    drawn = prediction & ~scene.off_stage
    return {
        Mark.LABEL: bool(label.any()),
        Mark.PREDICTION: bool(prediction.any()),
        Mark.ERROR: bool((label & prediction).any()),
        Mark.SPREAD: bool((np.isfinite(scene.sigma).all(axis=1) & prediction).any()),
        Mark.WORST: bool(drawn[list(scene.worst)].any()),
        Mark.FINDING: bool(drawn[list(scene.blamed)].any()),
        Mark.OFF_STAGE: bool(scene.off_stage.any()),
    }


def _draw(figure: Figure, frame: _Frame, record: ImageRecord) -> None:
    to_display = Affine2D().scale(1, -1).translate(0, frame.height)
    lettering = Lettering(figure, to_display)
    box = frame.scene.stage.box
    clip = Bbox.from_extents(box.left, frame.height - box.bottom, box.right, frame.height - box.top)
    brush = Brush(figure, to_display, clip, frame.scene.mark_scale)
    place = frame.scene.stage.radiograph
    if place != box:
        corners = np.array([[place.left, place.top], [place.right, place.top], [place.right, place.bottom], [place.left, place.bottom]])
        brush.lines(np.stack([corners, np.roll(corners, -1, axis=0)], axis=1), palette.RULE, 1.0, LABEL_Z - 2.5)
    draw_marks(brush, frame.scene)
    write_names(lettering, brush, frame.scene, record)
    draw_panel(lettering, Brush(figure, to_display), frame.panel, frame.panel_left, frame.panel_top)


def _to_rgb(image: Image) -> NDArray[np.uint8]:
    if image.dtype == np.uint16:
        # A sample of a quarter million values fixes the percentiles well enough, and quickly.
        step = max(1, image.size // 250_000)
        low, high = np.percentile(image.reshape(-1)[::step], PERCENTILES)
        stretched = (image.astype(np.float32) - np.float32(low)) * np.float32(255 / max(high - low, 1.0))
        shown = np.clip(stretched, 0, 255).astype(np.uint8)
    else:
        shown = np.asarray(image, dtype=np.uint8)
    return shown


def _fit(image: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """The image in the size in which it is shown, RGB: area averaging when shrinking, cubic when enlarging."""
    smaller = size.height * size.width < image.shape[0] * image.shape[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    shown = cv2.resize(np.ascontiguousarray(image), (size.width, size.height), interpolation=method)
    rgb = shown if shown.ndim == 3 else np.repeat(shown[:, :, None], 3, axis=2)
    return np.asarray(rgb, dtype=np.uint8)


def _png(canvas: FigureCanvasAgg) -> bytes:
    pixels = np.asarray(canvas.buffer_rgba(), dtype=np.uint8)
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGR)
    done, encoded = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION])
    if not done:
        raise RuntimeError("OpenCV could not encode a PNG")
    return encoded.tobytes()
