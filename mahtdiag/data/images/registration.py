"""Whether two radiographs are the same exposure: small pictures of them, and one laid onto the other.

Two exposures of one patient agree in what is large. Only copies agree in the details as well, and are brought
onto each other by scales and shifts alone.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from mahtdiag.data.files import read_file
from mahtdiag.data.images import decode_reduced
from mahtdiag.data.time_limit import within_limit
from mahtdiag.diagnosis.copies import SIDE, Candidate, Window
from mahtdiag.schema.frames import Size

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Warp = NDArray[np.float32]

_COARSE: Final = 64
_LEAST_COARSE: Final = 0.6
_LEAST_DETAILS: Final = 0.7
# Sine of the largest turn or shear between copies: 1.7 degrees.
_LARGEST_TURN: Final = 0.03
_LEAST_SHARE: Final = 0.15
_FLAT: Final = 0.3
_BORDER: Final = 4


@dataclass(frozen=True, slots=True)
class SmallPicture:
    """An image as it is searched: grey `[SIDE, SIDE]`, stretched to that form and to all its grey levels."""

    pixels: Pixels
    size: Size
    image_sha256: str


@dataclass(frozen=True, slots=True)
class Registration:
    """How one picture lies on another.

    `warp` `[2, 3]`: from shares of the sides of `b` (mirrored first, if it is) to those of `a`; `likeness`:
    correlation of the details where both show something.
    """

    warp: NDArray[np.float64]
    mirrored: bool
    likeness: float


def small_picture(path: str | Path, name: str, *, upright: bool = False) -> SmallPicture:
    """The small picture of an image file. Safe to call from threads.

    Raises DataError, one line, for a file that cannot be read or decoded.
    """

    def read() -> SmallPicture:
        content = read_file(path, name)
        image = decode_reduced(content, name, 2 * SIDE, upright=upright)
        return SmallPicture(shrunk(image.pixels), image.original, hashlib.sha256(content).hexdigest())

    return within_limit(read, name)


def shrunk(grey: NDArray[np.uint8 | np.uint16]) -> Pixels:
    """`[H, W]` of any size and depth as `[SIDE, SIDE]`, from the darkest to the brightest percentile."""
    small = cv2.resize(grey.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    low, high = np.percentile(small, (0.5, 99.5))
    stretched = (small - low) * (255.0 / max(float(high - low), 1e-6))
    return np.asarray(np.clip(np.rint(stretched), 0, 255), dtype=np.uint8)


def register(a: Pixels, b: Pixels, candidate: Candidate) -> Registration | None:
    """Lay `b` onto `a`, `[SIDE, SIDE]` each, from where the search saw it; None where they are no copies.

    The enhanced correlation coefficient (Evangelidis and Psarakis, 2008) is maximised over affine maps, on
    quarter-size pictures first. Copies have mean correlation of the middle and the fine details of at least
    0.7, turn and shear of at most 0.03, and share at least 15 % of the picture.
    """
    turned = np.ascontiguousarray(b[:, ::-1]) if candidate.mirrored else b
    small_a, small_b = _quarter(a), _quarter(turned)
    warp = _aligned(_details(small_a, 6, 1), _details(small_b, 6, 1), _start(candidate.window), 30)
    if warp is None or _correlation(small_a, small_b, warp, 6, 1) < _LEAST_COARSE:
        return None
    warp = _aligned(_details(a, 4, 1), _details(turned, 4, 1), _rescaled(warp, SIDE / _COARSE), 15)
    if warp is None or max(abs(warp[0, 1]), abs(warp[1, 0])) > _LARGEST_TURN:
        return None
    likeness = (_correlation(a, turned, warp, 6, 1) + _correlation(a, turned, warp, 2, 0.7)) / 2
    if likeness < _LEAST_DETAILS:
        return None
    shares = warp.astype(np.float64)
    shares[:, 2] = (shares[:, 2] + 0.5 - 0.5 * shares[:, :2].sum(axis=1)) / SIDE
    return Registration(shares, candidate.mirrored, likeness)


def _quarter(picture: Pixels) -> Pixels:
    small = cv2.resize(picture, (_COARSE, _COARSE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)


def _start(window: Window) -> Warp:
    """The map from pixels of a coarse picture to those of the window of another."""
    wide, high = window.right - window.left, window.bottom - window.top
    shares = np.array([[wide, 0, window.left], [0, high, window.top]], dtype=np.float32)
    shares[:, 2] = shares[:, 2] * _COARSE + 0.5 * shares[:, :2].sum(axis=1) - 0.5
    return shares


def _rescaled(warp: Warp, factor: float) -> Warp:
    """The same map between pictures with `factor` times as many pixels a side (half-pixel convention)."""
    scaled = warp.copy()
    middle = 0.5 * warp[:, :2].sum(axis=1) - 0.5
    scaled[:, 2] = (warp[:, 2] - middle) * factor + middle
    return scaled


def _details(picture: Pixels, coarsest: float, finest: float) -> Floats:
    """What differs from its surroundings, over how much it does there; 0 where nothing does."""
    pixels = picture.astype(np.float32)
    band = cv2.GaussianBlur(pixels, (0, 0), finest) - cv2.GaussianBlur(pixels, (0, 0), coarsest)
    spread = np.sqrt(cv2.GaussianBlur(band * band, (0, 0), 2 * coarsest))
    return np.where(spread > _FLAT, band / (spread + _FLAT), 0.0).astype(np.float32)


def _aligned(a: Floats, b: Floats, start: Warp, steps: int) -> Warp | None:
    """The affine map from `b` to `a` that correlates them best, from near by; None where there is none."""
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, steps, 1e-4)
    # The type hints of OpenCV know the form with all its arguments only with a mask.
    no_mask = np.full(a.shape, 255, dtype=np.uint8)
    try:
        _, warp = cv2.findTransformECC(b, a, start.copy(), cv2.MOTION_AFFINE, criteria, no_mask, 1)
    except cv2.error:
        return None
    return np.asarray(warp, dtype=np.float32) if np.isfinite(warp).all() else None


def _correlation(a: Pixels, b: Pixels, warp: Warp, coarsest: float, finest: float) -> float:
    """Pearson correlation of the details of both where both have any, −1 where they share too little."""
    details_a, details_b = _details(a, coarsest, finest), _details(b, coarsest, finest)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = cv2.warpAffine(details_a, warp, b.shape[::-1], flags=flags)
    there = cv2.warpAffine((details_a != 0).astype(np.float32), warp, b.shape[::-1], flags=flags) > 0.99
    there &= details_b != 0
    inner = np.zeros_like(there)
    inner[_BORDER:-_BORDER, _BORDER:-_BORDER] = True
    there &= inner
    if there.mean() < _LEAST_SHARE:
        return -1.0
    x, y = laid[there] - laid[there].mean(), details_b[there] - details_b[there].mean()
    return float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum() + 1e-12))
