"""What the gallery knows of every image, as JSON inside the page, and its small pictures."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from mahtdiag.anatomy.error_types import ErrorType
from mahtdiag.diagnosis.metrics.losses import LOSS_NAMES
from mahtdiag.reports.overlay.image import Image, for_display
from mahtdiag.reports.text import one_line
from mahtdiag.schema.frames import Size
from mahtdiag.schema.skeleton import LL, LR, UL, UR, Skeleton

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

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
class GalleryImage:
    """One evaluated image, what is wrong with it in words, and its picture or why there is none.

    Points and σ `[K, 2]`, errors, peaks and `types` (values of `ErrorType`) `[K]`, original pixels, NaN where
    missing; `losses` by name, unweighted. `findings`: code and sentence of each kind of violation;
    `label_codes`: what its label breaks; `level_shift`: +1 where all is marked one level too low.
    """

    name: str
    size: Size
    pixel_spacing_mm: float | None
    label_px: Floats
    pred_px: Floats
    sigma_px: Floats
    error_px: Floats
    peak: Floats
    types: Ints
    mean_error_px: float
    max_error_px: float
    losses: Mapping[str, float]
    findings: tuple[tuple[str, str], ...]
    label_codes: tuple[str, ...]
    severity: float
    level_shift: int
    picture: Picture | None
    no_picture: str = ""


@dataclass(frozen=True, slots=True)
class Gallery:
    """The shown images of a run, the failed ones with their reasons, and what the reader has to know.

    `rule_titles` by code, `weights` of the loss parts by name.
    """

    skeleton: Skeleton
    images: tuple[GalleryImage, ...]
    failed: tuple[tuple[str, str], ...]
    rule_titles: Mapping[str, str]
    weights: Mapping[str, float]
    notes: tuple[str, ...] = field(default=())

    @property
    def pictures(self) -> tuple[Picture | None, ...]:
        """The pictures, in the order of the images."""
        return tuple(image.picture for image in self.images)


def gallery_json(gallery: Gallery) -> Markup:
    """Everything but the pictures; nothing in it can end the script block or open a tag."""
    names = [kind for kind in ErrorType if kind is not ErrorType.UNKNOWN]
    content: dict[str, Json] = {
        "keypoints": [*gallery.skeleton.keypoint_names],
        "outlines": _outlines(gallery.skeleton),
        "losses": [*LOSS_NAMES],
        "weights": {name: float(weight) for name, weight in gallery.weights.items()},
        "types": {str(int(kind)): kind.title for kind in names},
        "rules": dict(gallery.rule_titles),
        "images": [_image_json(image) for image in gallery.images],
        "failed": [{"name": one_line(name), "reason": one_line(reason)} for name, reason in gallery.failed],
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


def _image_json(image: GalleryImage) -> Json:
    covers = None if image.picture is None else image.picture.covers
    return {
        "name": one_line(image.name),
        "size": [image.size.width, image.size.height],
        "covers": None if covers is None else [covers.width, covers.height],
        "missing": one_line(image.no_picture),
        "error": _significant(image.mean_error_px),
        "max": _significant(image.max_error_px),
        "sigma": _significant(_mean_sigma(image.sigma_px)),
        "losses": [_significant(image.losses[name]) for name in LOSS_NAMES],
        "severity": _significant(image.severity),
        "findings": [[code, sentence] for code, sentence in image.findings],
        "label_codes": [*image.label_codes],
        "shift": image.level_shift,
        "spacing": image.pixel_spacing_mm,
        "label": _rounded(image.label_px),
        "pred": _rounded(image.pred_px),
        "spread": _rounded(image.sigma_px) if np.isfinite(image.sigma_px).any() else None,
        "errors": _rounded(image.error_px, 2),
        "peaks": _rounded(image.peak, 3),
        "types": [None if kind == ErrorType.UNKNOWN else kind for kind in image.types.tolist()],
    }


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
