"""The worst images of a run side by side, each cut to its spine."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mahtdiag.reports import palette
from mahtdiag.reports.figures.style import DPI, MM, MUTED, PAGE, SMALL
from mahtdiag.reports.overlay.draw import Image
from mahtdiag.reports.overlay.paper import draw_cut_out
from mahtdiag.reports.text import shorten
from mahtdiag.schema.records import ImageRecord
from mahtdiag.schema.safe_text import one_line
from mahtdiag.schema.skeleton import Skeleton

COLUMNS: Final = 4
ASPECT: Final = 0.62
PANEL: Final = 44 * MM
PIXELS: Final = 640
STRIP_PIXELS: Final = 420
NAME: Final = 26


@dataclass(frozen=True, slots=True)
class WorstImage:
    """One picture of the sheet: its record, what it is called worst by, and its pixels, None where gone."""

    record: ImageRecord
    why: str
    image: Image | None


def cut_out(worst: WorstImage, skeleton: Skeleton, longest_px: int = PIXELS) -> NDArray[np.uint8]:
    """What is shown of it, RGB; keypoints alone, on grey, where the image is gone."""
    record = worst.record
    image = worst.image
    if record.width is None or record.height is None:
        points = np.concatenate([record.keypoints.gt_px, record.keypoints.pred_px])
        width, height = np.nanmax(points, axis=0, initial=1.0).tolist()
        record = replace(record, width=round(1.1 * width), height=round(1.1 * height))
    if image is None:
        size = record.size
        factor = min(1.0, 1000 / max(size.height, size.width, 1))
        shape = max(1, round(size.height * factor)), max(1, round(size.width * factor))
        image = np.full(shape, 90, dtype=np.uint8)
    drawn = draw_cut_out(image, record, skeleton, longest_px=longest_px, aspect=ASPECT, names=False)
    return np.ascontiguousarray(drawn[..., :3])


def cut_out_jpeg(worst: WorstImage, skeleton: Skeleton) -> bytes:
    """The same as a small JPEG for a page."""
    picture = cut_out(worst, skeleton, STRIP_PIXELS)
    done, encoded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])
    if not done:
        raise RuntimeError("OpenCV could not encode a JPEG")
    return encoded.tobytes()


def contact_sheet_figure(images: Sequence[WorstImage], skeleton: Skeleton) -> Figure:
    """The images in their order, four to a row; labels are whole lines, predictions dashed, errors arrows."""
    rows = -(-len(images) // COLUMNS)
    columns = min(COLUMNS, len(images))
    figure = Figure(figsize=(PAGE, rows * (PANEL / ASPECT + 9 * MM) + 6 * MM), dpi=DPI, layout="constrained")
    panels = figure.subplots(rows, columns if rows == 1 else COLUMNS, squeeze=False).flat
    for number, (axes, worst) in enumerate(zip(panels, images, strict=False), start=1):
        axes.imshow(cut_out(worst, skeleton), interpolation="antialiased")
        name = shorten(one_line(worst.record.image), NAME)
        gone = "" if worst.image is not None else " (image gone)"
        axes.set_title(f"{number}. {name}\n{worst.why}{gone}", fontsize=SMALL)
    for axes in figure.axes:
        axes.set_axis_off()
    figure.axes[0].plot([], [], color=palette.LABEL, label="label")
    figure.axes[0].plot([], [], color=palette.PREDICTION, linestyle=(0, (4, 2)), label="prediction")
    figure.axes[0].plot([], [], color=MUTED, marker=">", linewidth=0.8, markersize=3, label="error")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=3)
    return figure
