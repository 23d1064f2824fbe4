"""An overlay for a paper: the spine alone, cut out of its radiograph, with outlines and errors, no panel."""

from dataclasses import replace
from typing import Final, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from mahtdiag.reports.overlay.draw import Image, blended, for_display, png_bytes
from mahtdiag.reports.overlay.heat import Heat
from mahtdiag.reports.overlay.lettering import Lettering
from mahtdiag.reports.overlay.marks import draw_marks
from mahtdiag.reports.overlay.names import write_names
from mahtdiag.reports.overlay.scene import Box, Stage, make_scene
from mahtdiag.reports.overlay.sheet import Brush, Sheet
from mahtdiag.schema.frames import Size
from mahtdiag.schema.records import ImageRecord
from mahtdiag.schema.skeleton import Skeleton

MARGIN: Final = 0.12
LONGEST_PX: Final = 1100
LEAST_PX: Final = 40
WHITE: Final = "#FFFFFF"
P = TypeVar("P", bound=np.generic)


def draw_cut_out(
    image: Image,
    record: ImageRecord,
    skeleton: Skeleton,
    *,
    heat: Heat | None = None,
    longest_px: int = LONGEST_PX,
    aspect: float | None = None,
    names: bool = True,
) -> NDArray[np.uint8]:
    """The spine of one image with labels (whole), predictions (dashed) and errors (arrows), RGBA `[H, W, 4]`.

    What is shown is the box around all labels and predictions that lie in the image, 12 % larger on each
    side; the whole image where there are none. `aspect`: width over height, for pictures that stand beside
    each other. `names`: of the vertebrae. `heat`: see `draw_overlay`.
    """
    original = Size(max(record.size.height, 1), max(record.size.width, 1))
    box = spine_box(record, original, aspect)
    shown = _shown(box, longest_px)
    pixels = np.full((shown.height, shown.width, 3), 255, dtype=np.uint8)
    # What lies beyond the image stays white.
    seen = Box(
        max(box.left, 0), max(box.top, 0), min(box.right, original.width), min(box.bottom, original.height)
    )
    factor = shown.width / box.width
    left, top = round((seen.left - box.left) * factor), round((seen.top - box.top) * factor)
    size = Size(
        min(max(1, round(seen.height * factor)), shown.height - top),
        min(max(1, round(seen.width * factor)), shown.width - left),
    )
    picture, _ = for_display(_cut(image, seen, np.array(image.shape[1::-1]) / original.xy), size)
    if heat is not None:
        picture = blended(picture, _cut(heat, seen, np.array(heat.shape[1::-1]) / original.xy))
    pixels[top : top + size.height, left : left + size.width] = picture
    moved = _moved(record, box)
    page = Box(0, 0, shown.width, shown.height)
    scene = make_scene(moved, skeleton, Stage(page, page, moved.size), 0)
    sheet = Sheet(shown, WHITE)
    sheet.show(pixels, 0, 0)
    brush = Brush(sheet, page, scene.mark_scale)
    draw_marks(brush, scene)
    if names:
        write_names(Lettering(sheet), brush, scene, (), moved)
    return sheet.pixels()


def draw_paper(image: Image, record: ImageRecord, skeleton: Skeleton, *, heat: Heat | None = None) -> bytes:
    """`draw_cut_out` as a PNG; the same input gives the same bytes."""
    return png_bytes(draw_cut_out(image, record, skeleton, heat=heat))


def spine_box(record: ImageRecord, original: Size, aspect: float | None = None) -> Box:
    """Whole original pixels around what is labelled or predicted in the image; in it, but for the aspect."""
    points = np.concatenate([record.keypoints.gt_px, record.keypoints.pred_px])
    whole = Box(0, 0, original.width, original.height)
    points = points[whole.contains(points)]
    if not len(points):
        return whole
    low, high = points.min(axis=0), points.max(axis=0)
    size = np.maximum((high - low) * (1 + 2 * MARGIN), LEAST_PX)
    # A narrow spine keeps some of what is beside it.
    size = np.maximum(size, 0.45 * size.max())
    size = np.minimum(np.ceil(size), [original.width, original.height])
    start = np.clip(np.floor((low + high - size) / 2), 0, [original.width, original.height] - size)
    if aspect is not None:
        wanted = np.ceil(np.maximum(size, [size[1] * aspect, size[0] / aspect]))
        start, size = np.floor(start - (wanted - size) / 2), wanted
    left, top = (float(each) for each in start)
    return Box(left, top, left + float(size[0]), top + float(size[1]))


def _cut(image: NDArray[P], box: Box, per_px: NDArray[np.float64]) -> NDArray[P]:
    """The box, in original pixels, out of an image that has so many pixels to each of them."""
    size = np.maximum(np.round(np.array([box.width, box.height]) * per_px), 1)
    matrix = np.array([[1, 0, -box.left * per_px[0]], [0, 1, -box.top * per_px[1]]], dtype=np.float64)
    shape = int(size[0]), int(size[1])
    moved = cv2.warpAffine(np.ascontiguousarray(image), matrix, shape, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, dtype=image.dtype)


def _shown(box: Box, longest: int) -> Size:
    factor = longest / max(box.width, box.height)
    return Size(max(1, round(box.height * factor)), max(1, round(box.width * factor)))


def _moved(record: ImageRecord, box: Box) -> ImageRecord:
    """The record of what the box holds, without σ and findings."""
    keypoints, corner = record.keypoints, np.array([box.left, box.top])
    return replace(
        record,
        width=round(box.width),
        height=round(box.height),
        findings=(),
        keypoints=replace(
            keypoints,
            gt_px=keypoints.gt_px - corner,
            pred_px=keypoints.pred_px - corner,
            sigma_px=np.full_like(keypoints.sigma_px, np.nan),
        ),
    )
