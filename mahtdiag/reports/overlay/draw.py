"""One picture per image: the radiograph with labels, predictions, errors and σ, and the numbers beside it.

And two of them side by side: what run A and what run B made of it. A picture is a PNG file that its command
knows again.
"""

import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import BinaryIO, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.rule import Sign
from mahtdiag.reports import palette
from mahtdiag.reports.overlay.heat import Heat
from mahtdiag.reports.overlay.lettering import Lettering, shorten
from mahtdiag.reports.overlay.marks import (
    DrawnQuantity,
    Mark,
    draw_marks,
    draw_quantities,
    draw_second_peaks,
    shown_quantities,
)
from mahtdiag.reports.overlay.names import write_names
from mahtdiag.reports.overlay.panel import COLUMN_PX, DETAILS, PanelLayout, draw_panel, lay_out, panel_blocks
from mahtdiag.reports.overlay.scene import Box, Scene, Stage, make_scene
from mahtdiag.reports.overlay.sheet import FRAME_Z, Brush, Sheet, rgb_bytes
from mahtdiag.schema.frames import Size
from mahtdiag.schema.records import ImageRecord
from mahtdiag.schema.skeleton import Skeleton

Points = NDArray[np.float64]
Image = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.uint8 | np.uint16]

# Stretched radiographs show grey values beyond these percentiles as black and white.
PERCENTILES: Final = (0.5, 99.5)
# An 8-bit radiograph is stretched where it uses less than half of the scale, and not so far that noise shows.
NARROW: Final = 128
MAX_GAIN: Final = 3.0

# Wider than this, the panel goes below the radiograph.
WIDE: Final = 1.2
MAX_ENLARGEMENT: Final = 12.0
MOST_PX: Final = 1600  # height of the picture


@dataclass(frozen=True, slots=True)
class _Limits:
    """Largest size of the shown radiograph, and smallest of its stage, in pixels."""

    radiograph: Size
    stage: Size


BESIDE: Final = _Limits(Size(1300, 1100), Size(480, 480))
BELOW: Final = _Limits(Size(950, 4 * COLUMN_PX), Size(300, 3 * COLUMN_PX))


def draw_overlay(
    image: Image,
    record: ImageRecord,
    skeleton: Skeleton,
    *,
    worst: int = 3,
    rule_titles: Mapping[str, str] = MappingProxyType({}),
    second_peaks: Points | None = None,
    labels_judged: bool = False,
    heat: Heat | None = None,
) -> bytes:
    """Draw one evaluated image as a PNG of at most 1600 pixels a side; nothing is written.

    `image`: `[H, W]` or `[H, W, 3]` (RGB), uint8 or uint16, the whole radiograph; it may have been shrunk,
    since keypoints are placed by the record's width and height. `worst`: how many of the largest errors are
    marked with name and value. `rule_titles`: what a finding's code means, written below it where given.
    `second_peaks`: where an ambiguous heatmap peaks again, `[K, 2]` in original pixels, NaN where none does.
    `labels_judged`: the findings are about the labels, which are drawn alone, not about the predictions.
    `heat`: `[h, w]` from 0 to 1 over the whole image, how much a heatmap holds at each place.

    What the most severe findings measured is drawn: endplates extended until they meet, the crossing of an
    outline, an overlap, lengths; the panel lists the other findings.

    Missing labels and undefined predictions are not drawn, but counted in the panel; a prediction beyond the
    picture becomes an arrow at its border. Raises ValueError for an image or a record of the wrong shape. The
    same input gives the same bytes. Safe to call from several threads: each call draws its own figure.
    """
    _check(image, record, skeleton, worst, second_peaks)
    original = Size(max(record.size.height, 1), max(record.size.width, 1))
    below = original.width > WIDE * original.height
    limits = BELOW if below else BESIDE
    shown = _shown_size(original, limits.radiograph)
    pixels, stretched = for_display(image, shown)
    if heat is not None:
        pixels = blended(pixels, heat)

    scene = make_scene(
        record,
        skeleton,
        _stage(original, shown, limits.stage),
        worst,
        second_peaks=second_peaks,
        labels_judged=labels_judged,
    )
    quantities = shown_quantities(scene, record.findings)
    factor = float(scene.stage.shown_per_original.mean())
    marks = _marks(scene, quantities)
    for detail in DETAILS:
        blocks = panel_blocks(
            record, skeleton, factor, worst, rule_titles, marks,
            stretched=stretched, labels_judged=labels_judged, detail=detail,
        )  # fmt: skip
        panel = lay_out(blocks, int(scene.stage.box.width) // COLUMN_PX if below else 1)
        page = _page(scene, quantities, panel, below)
        if page.size.height <= MOST_PX:
            break
    return png_bytes(_draw(page, pixels, record))


def _check(
    image: Image, record: ImageRecord, skeleton: Skeleton, worst: int, second_peaks: Points | None
) -> None:
    if image.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"image is {image.dtype}; an overlay needs uint8 or uint16")
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)) or image.size == 0:
        raise ValueError(f"image has shape {image.shape}; an overlay needs [H, W] or [H, W, 3]")
    shape, expected = record.keypoints.gt_px.shape, (skeleton.keypoints, 2)
    if shape != expected:
        raise ValueError(f"record has keypoints {shape}; skeleton {skeleton} has {expected}")
    if worst < 0:
        raise ValueError(f"worst is {worst}; it counts keypoints and cannot be negative")
    if second_peaks is not None and second_peaks.shape != expected:
        raise ValueError(f"second peaks are {second_peaks.shape}; skeleton {skeleton} has {expected}")


@dataclass(frozen=True, slots=True)
class _Page:
    """The figure's size, what is shown over the radiograph, and the panel with its upper left corner."""

    size: Size
    scene: Scene
    quantities: tuple[DrawnQuantity, ...]
    panel: PanelLayout
    panel_left: int
    panel_top: int


def _shown_size(original: Size, most: Size) -> Size:
    factor = min(most.width / original.width, most.height / original.height, MAX_ENLARGEMENT)
    return Size(max(1, round(original.height * factor)), max(1, round(original.width * factor)))


def _stage(original: Size, shown: Size, least: Size) -> Stage:
    width, height = max(shown.width, least.width), max(shown.height, least.height)
    left, top = (width - shown.width) // 2, (height - shown.height) // 2
    return Stage(Box(0, 0, width, height), Box(left, top, left + shown.width, top + shown.height), original)


def _page(scene: Scene, quantities: tuple[DrawnQuantity, ...], panel: PanelLayout, below: bool) -> _Page:
    """The panel beside a tall radiograph or below a wide one; the page grows so that neither is cut off."""
    width, height = int(scene.stage.box.width), int(scene.stage.box.height)
    if below:
        size = Size(height + panel.height, width)
        return _Page(size, scene, quantities, panel, (width - panel.width) // 2, height)
    size = Size(max(height, panel.height), width + panel.width)
    return _Page(size, scene, quantities, panel, width, 0)


def _marks(scene: Scene, quantities: tuple[DrawnQuantity, ...]) -> dict[Mark | Sign, bool]:
    """Which marks the picture holds: the legend explains these and no others."""
    label = np.isfinite(scene.label).all(axis=1)
    prediction = np.isfinite(scene.prediction).all(axis=1)
    drawn = prediction & ~scene.off_stage
    return {
        Mark.LABEL: bool(label.any()),
        Mark.PREDICTION: bool(prediction.any()),
        Mark.ERROR: bool((label & prediction).any()),
        Mark.SPREAD: bool((np.isfinite(scene.sigma).all(axis=1) & drawn).any()),
        Mark.WORST: bool(drawn[list(scene.worst)].any()),
        Mark.FINDING: bool(scene.stage.box.contains(scene.judged)[list(scene.blamed)].any()),
        Mark.OFF_STAGE: bool(scene.off_stage.any()),
        Mark.SECOND_PEAK: bool(scene.with_second_peak.any()),
        **{quantity.mark: True for quantity in quantities if quantity.mark},
    }


def _draw(page: _Page, pixels: NDArray[np.uint8], record: ImageRecord) -> NDArray[np.uint8]:
    """The picture as `[H, W, 4]`, RGBA, opaque."""
    stage = page.scene.stage
    place, box = stage.radiograph, stage.box
    sheet = Sheet(page.size, palette.PAPER)
    sheet.show(pixels, int(place.left), int(place.top))
    lettering = Lettering(sheet)
    brush = Brush(sheet, box, page.scene.mark_scale)
    if place != box:
        brush.outline(place.corners, palette.RULE, 1.0, FRAME_Z)
    draw_marks(brush, page.scene)
    draw_quantities(brush, page.quantities)
    draw_second_peaks(brush, page.scene)
    write_names(lettering, brush, page.scene, page.quantities, record)
    draw_panel(lettering, Brush(sheet), page.panel, page.panel_left, page.panel_top)
    return sheet.pixels()


HEADER_PX: Final = 46
GAP_PX: Final = 8
FONT_PX: Final = 19.0


@dataclass(frozen=True, slots=True)
class Half:
    """One overlay as PNG, with the letter and the name of its run and its mean radial error in words."""

    png: bytes
    letter: str
    run: str
    error: str


def draw_side_by_side(a: Half, b: Half) -> bytes:
    """Both overlays as one PNG, A at the left, each below a line that says whose it is.

    The same input gives the same bytes.
    """
    overlays = [_decoded(half.png) for half in (a, b)]
    middle = overlays[0].shape[1]
    lefts = 0, middle + GAP_PX
    size = Size(HEADER_PX + max(map(len, overlays)), lefts[1] + overlays[1].shape[1])
    sheet = Sheet(size, palette.PAPER)
    lettering = Lettering(sheet)
    for half, overlay, left in zip((a, b), overlays, lefts, strict=True):
        sheet.show(overlay, left, HEADER_PX)
        text = f"{half.letter}   mean {half.error}   {half.run}"
        text = shorten(text, overlay.shape[1] - 28, FONT_PX, bold=True, keep_end=True)
        lettering.write(text, left + 14, HEADER_PX / 2, FONT_PX, bold=True)
    sheet.show(np.tile(rgb_bytes(palette.RULE), (size.height, GAP_PX, 1)), middle, 0)
    return png_bytes(sheet.pixels())


def _decoded(png: bytes) -> NDArray[np.uint8]:
    """The pixels of a picture, RGB."""
    picture = np.asarray(cv2.imdecode(np.frombuffer(png, dtype=np.uint8), cv2.IMREAD_COLOR), dtype=np.uint8)
    return np.ascontiguousarray(picture[..., ::-1])


def for_display(image: Image, size: Size) -> tuple[NDArray[np.uint8], bool]:
    """The image in this size as 8-bit RGB, and whether its grey values were stretched.

    Those of 16-bit images always are. Area averaging when shrinking, cubic interpolation when enlarging.
    """
    smaller = size.height * size.width < image.shape[0] * image.shape[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    shown = np.asarray(
        cv2.resize(np.ascontiguousarray(image), (size.width, size.height), interpolation=method)
    )
    low, high = _percentiles(shown[::2, ::2])
    deep = image.dtype == np.uint16
    stretched = deep or 0 < high - low < NARROW
    if stretched:
        table = _stretch(np.arange(np.iinfo(image.dtype).max + 1), low, high, np.inf if deep else MAX_GAIN)
        shown = table[shown]
    rgb = shown if shown.ndim == 3 else cv2.cvtColor(shown, cv2.COLOR_GRAY2RGB)
    return np.asarray(rgb, dtype=np.uint8), stretched


HEAT_OPACITY: Final = 0.75


def blended(rgb: NDArray[np.uint8], heat: Heat) -> NDArray[np.uint8]:
    """A picture with a layer of heat over it, from nothing at 0 to a light colour at 1."""
    layer = cv2.resize(heat, (rgb.shape[1], rgb.shape[0]), interpolation=cv2.INTER_LINEAR)
    share = np.clip(np.nan_to_num(layer), 0.0, 1.0)
    colours = cv2.applyColorMap((255 * share).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    weight = (HEAT_OPACITY * np.sqrt(share))[..., None]
    return np.asarray(np.rint((1 - weight) * rgb + weight * colours), dtype=np.uint8)


def _percentiles(image: NDArray[np.generic]) -> tuple[float, float]:
    """The grey values below which PERCENTILES of the pixels lie, as numpy interpolates them, by counting."""
    below = np.bincount(image.ravel()).cumsum()
    low, high = (share / 100 * (image.size - 1) for share in PERCENTILES)
    return _ranked(below, low), _ranked(below, high)


def _ranked(below: NDArray[np.int64], rank: float) -> float:
    """The value of this rank, between two pixels a mean of theirs."""
    first, second = np.searchsorted(below, [math.floor(rank), math.ceil(rank)], side="right").tolist()
    return float(first + (rank - math.floor(rank)) * (second - first))


def _stretch(values: NDArray[np.int64], low: float, high: float, max_gain: float) -> NDArray[np.uint8]:
    """What each grey value becomes."""
    gain = 255 / max(high - low, 1.0)
    black = 0.0
    if gain > max_gain:
        # The rest of the scale is shared out so that a dark radiograph stays dark and a bright one bright.
        gain = max_gain
        black = (255 - gain * (high - low)) * low / (low + 255 - high)
    return np.asarray(np.clip((values - low) * gain + black, 0, 255), dtype=np.uint8)


# Each byte less the one above it: nearly as small for radiographs as the best filter of each row, which
# costs as much time to find as the compression itself. Versions of OpenCV that cannot be told take that time.
_UP_FILTER: Final = (
    [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP] if hasattr(cv2, "IMWRITE_PNG_FILTER") else []
)
_SETTINGS: Final = [cv2.IMWRITE_PNG_COMPRESSION, 1, *_UP_FILTER]
_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
# Signature and header chunk, which are equally long in every PNG.
_HEAD_BYTES: Final = 33


def png_bytes(rgba: NDArray[np.uint8]) -> bytes:
    """An opaque picture `[H, W, 4]` as PNG, RGB; the same pixels give the same bytes."""
    done, encoded = cv2.imencode(".png", cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGR), _SETTINGS)
    if not done:
        raise RuntimeError("OpenCV could not encode a PNG")
    return encoded.tobytes()


def signed(png: bytes, command: str) -> bytes:
    """The same picture, which now says that this command drew it, so that the command may remove it later.

    A text chunk (ISO/IEC 15948) behind the header, which OpenCV cannot write; Pillow could only by encoding
    the picture a second time.
    """
    return png[:_HEAD_BYTES] + _mark(command) + png[_HEAD_BYTES:]


def is_signed(file: BinaryIO, command: str) -> bool:
    """Whether a file is a picture that this command signed."""
    mark = _mark(command)
    start = file.read(_HEAD_BYTES + len(mark))
    return start.startswith(_SIGNATURE) and start[_HEAD_BYTES:] == mark


def _mark(command: str) -> bytes:
    text = b"Software\0mahtdiag " + command.encode("latin-1")
    chunk = b"tEXt" + text
    return struct.pack(">I", len(text)) + chunk + struct.pack(">I", zlib.crc32(chunk))
