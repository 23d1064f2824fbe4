"""What the gallery knows of every image, as JSON inside the page, and its small pictures."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from mahtdiag.anatomy.error_types import ErrorType
from mahtdiag.anatomy.findings import group_reason, grouped
from mahtdiag.anatomy.rules import RULES
from mahtdiag.diagnosis.anatomy import JudgedImage
from mahtdiag.diagnosis.metrics.losses import LOSS_NAMES
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.spacing import error_by_spacing_mm, spacing_xy_mm
from mahtdiag.diagnosis.worst_images import largest_known, mean_of_known
from mahtdiag.reports.html.sections import ReportContent
from mahtdiag.reports.overlay.draw import Image, for_display
from mahtdiag.reports.overlay.scene import errors_in_sigma
from mahtdiag.reports.rendering import Json
from mahtdiag.reports.text import pixels, sigmas
from mahtdiag.schema.frames import Size
from mahtdiag.schema.safe_text import one_line
from mahtdiag.schema.skeleton import LL, LR, UL, UR, Skeleton

Floats = NDArray[np.float64]

DECIMALS_PX = 1
SIGNIFICANT = 4
# So many images at most have pictures of this height, in pixels, beside each other.
HEIGHTS: Final = ((60, 1000), (150, 800), (400, 640))
LEAST_HEIGHT: Final = 480
# A page of 60 MB holds 42 MB of JPEG as text (4 signs for 3 bytes) and a few MB of everything else.
ALL_BYTES: Final = 40_000_000
MOST_BYTES: Final = 160_000
QUALITIES: Final = (85, 75, 60, 45, 30)
SHRINK: Final = 0.7
SMALLEST_HEIGHT: Final = 32


@dataclass(frozen=True, slots=True)
class Picture:
    """A small JPEG of a radiograph.

    `covers`: the original pixels that it shows, from the upper left corner of the image; an image whose size
    is no multiple of the shrinking has fewer, the rest is padding.
    """

    jpeg: bytes
    covers: Size


@dataclass(frozen=True, slots=True)
class Gallery:
    """Which images of a run are shown, as rows of its table, each with its picture or why there is none."""

    rows: Sequence[int]
    pictures: Sequence[Picture | str]
    notes: tuple[str, ...]


def gallery_json(gallery: Gallery, report: ReportContent) -> Markup:
    """Everything but the pictures; nothing in it can end the script block or open a tag."""
    table = report.table
    names = [kind for kind in ErrorType if kind is not ErrorType.UNKNOWN]
    judged = report.anatomy.verdict.images
    content: dict[str, Json] = {
        "keypoints": [*table.skeleton.keypoint_names],
        "outlines": _outlines(table.skeleton),
        "losses": [*LOSS_NAMES],
        "weights": {name: float(weight) for name, weight in report.loss_weights.items()},
        "types": {str(int(kind)): kind.title for kind in names},
        "rules": {rule.code: rule.title for rule in RULES},
        "images": [
            _image_json(table, row, judged.of_row(row), picture)
            for row, picture in zip(gallery.rows, gallery.pictures, strict=True)
        ],
        "failed": [
            {"name": one_line(failure.image), "reason": one_line(failure.reason)}
            for failure in table.failures
        ],
    }
    return script_json(content)


def script_json(content: Json) -> Markup:
    """JSON for a script block: what HTML or JavaScript could take for markup is escaped."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "&<>\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def _outlines(skeleton: Skeleton) -> list[Json]:
    """Keypoint indices around each vertebra; an endplate alone is a line."""
    around = {name: [UL, UR, LR, LL] if name in skeleton.bodies else [UL, UR] for name in skeleton.vertebrae}
    return [skeleton.keypoints_of(name)[corners].tolist() for name, corners in around.items()]


def _image_json(table: RunTable, row: int, judged: JudgedImage, picture: Picture | str) -> Json:
    """One evaluated image: original pixels, null where missing; `losses` are unweighted.

    `findings`: code and sentence of each kind of violation; `label_codes`: what its label breaks; `shift`: +1
    where all is marked one level too low; `missing`: why there is no picture.
    """
    sigma_px, spacing = table.sigma_px[row], spacing_xy_mm(table)[row]
    in_mm = error_by_spacing_mm(table)[row]
    types: list[int] = table.error_types.types[row].tolist()
    return {
        "name": one_line(table.image[row]),
        "size": _size(table, row),
        "covers": None if isinstance(picture, str) else [picture.covers.width, picture.covers.height],
        "missing": one_line(picture) if isinstance(picture, str) else "",
        "error": _significant(float(table.radial_error_px[row])),
        "max": _significant(float(table.max_error_px[row])),
        "mean_mm": _significant(float(mean_of_known(in_mm[None])[0])),
        "max_mm": _significant(float(largest_known(in_mm[None])[0])),
        "sigma": _significant(_mean_sigma(sigma_px)),
        "texts": _texts(table, row, in_mm),
        "losses": [_significant(float(table.loss(name)[row])) for name in LOSS_NAMES],
        "severity": _significant(judged.severity),
        "findings": [
            [group[0].code, group_reason(group, table.skeleton)]
            for group in grouped(judged.findings, table.skeleton)
        ],
        "label_codes": [*judged.label_codes],
        "shift": int(table.level_shift[row]),
        "spacing": [*dict.fromkeys(spacing.tolist())] if np.isfinite(spacing).all() else None,
        "errors_mm": _rounded(in_mm, 3) if np.isfinite(in_mm).any() else None,
        "label": _rounded(table.gt_px[row]),
        "pred": _rounded(table.pred_px[row]),
        "spread": _rounded(sigma_px) if np.isfinite(sigma_px).any() else None,
        "errors": _rounded(table.error_px[row], 2),
        "peaks": _rounded(table.peak[row], 3),
        "types": [None if kind == ErrorType.UNKNOWN else kind for kind in types],
    }


def _texts(table: RunTable, row: int, in_mm: Floats) -> dict[str, Json]:
    """Errors as tables write them: rounded once, here."""
    known_mm = in_mm[np.isfinite(in_mm)]
    in_sigma = errors_in_sigma(table.record(row).keypoints)
    return {
        "mean": pixels(float(table.radial_error_px[row])),
        "max": pixels(float(table.max_error_px[row])),
        "mean_mm": pixels(float(known_mm.mean())) if known_mm.size else None,
        "max_mm": pixels(float(known_mm.max())) if known_mm.size else None,
        "errors": [pixels(value) for value in table.error_px[row].tolist()],
        "errors_mm": [pixels(value) for value in in_mm.tolist()] if known_mm.size else None,
        "in_sigma": [sigmas(value) for value in in_sigma.tolist()] if np.isfinite(in_sigma).any() else None,
    }


def _size(table: RunTable, row: int) -> list[Json]:
    """Width and height of an image; where they are not known, room for its keypoints."""
    size = table.sizes_px[row]
    if not np.isfinite(size).all():
        points = np.concatenate([table.gt_px[row], table.pred_px[row]])
        size = np.ceil(1.1 * np.nanmax(points, axis=0)).clip(1, None)
    return [int(size[0]), int(size[1])]


def _mean_sigma(sigma_px: Floats) -> float:
    """Root mean square over the known σ of an image, NaN if there is none."""
    known = sigma_px[np.isfinite(sigma_px)]
    return float(np.sqrt(np.mean(known**2))) if known.size else float("nan")


def _significant(value: float) -> float | None:
    """A number with as many digits as a reader wants; None where there is none."""
    return float(f"{value:.{SIGNIFICANT}g}") if np.isfinite(value) else None


def _rounded(values: Floats, decimals: int = DECIMALS_PX) -> list[Json]:
    """Numbers in one flat list, null where there is none."""
    flat: Sequence[float] = np.round(values, decimals).reshape(-1).tolist()
    return [value if np.isfinite(value) else None for value in flat]


def picture_height(count: int) -> int:
    """The height of the pictures of a gallery of so many images, in pixels."""
    return next((height for most, height in HEIGHTS if count <= most), LEAST_HEIGHT)


def picture_bytes(count: int) -> int:
    """How large a picture of such a gallery may be."""
    return min(MOST_BYTES, ALL_BYTES // max(1, count))


def small_picture(image: Image, covers: Size, height: int, most_bytes: int) -> Picture:
    """A grey JPEG of at most this height and so many bytes, in the best quality that fits.

    `covers`: the original pixels that the whole of `image` shows. Grey values are shown as in overlays.
    """
    rows, columns = image.shape[:2]
    height = min(height, rows)
    while True:
        size = Size(height, max(1, round(columns * height / rows)))
        grey = for_display(image, size)[0][:, :, 0]
        for quality in QUALITIES:
            done, encoded = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, quality])
            if not done:
                raise RuntimeError("OpenCV could not encode a JPEG")
            if encoded.size <= most_bytes or (quality == QUALITIES[-1] and height <= SMALLEST_HEIGHT):
                return Picture(encoded.tobytes(), covers)
        height = max(SMALLEST_HEIGHT, int(SHRINK * height))
