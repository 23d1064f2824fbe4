"""Radiograph files to pixels, and pixels to the arrays that a network takes."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from mahtdiag.data.files import read_file
from mahtdiag.data.images.container import Container
from mahtdiag.data.images.containers import open_container, orientation_of
from mahtdiag.data.images.dicom import decode_dicom, dicom_size, is_dicom
from mahtdiag.data.images.jpeg import decode_jpeg, decode_jpeg_shrunk
from mahtdiag.data.images.lost_block import require_no_lost_block
from mahtdiag.data.images.network_input import FULL_SCALE, Image, as_grey, as_integers, to_network_input
from mahtdiag.data.images.png import sound_png
from mahtdiag.data.images.room import ROOM
from mahtdiag.data.images.tiff import check_tiff
from mahtdiag.data.time_limit import within_limit
from mahtdiag.errors import DataError
from mahtdiag.schema.dicom_window import FIRST_WINDOW, DicomWindow
from mahtdiag.schema.frames import Size
from mahtdiag.schema.model_spec import ModelInput
from mahtdiag.schema.records import LoadedImage
from mahtdiag.schema.setup import THUMBNAIL_SIDE, ImagePixels

# A JPEG can be shrunk while it is decoded, which costs a fraction of the time.
_JPEG_FACTORS: Final = (8, 4, 2)


class ImageError(DataError):
    """An image that cannot be used; `image_sha256` is that of its bytes, None where they cannot be read."""

    def __init__(self, *problems: str, image_sha256: str | None = None) -> None:
        super().__init__(*problems)
        self.image_sha256 = image_sha256


@dataclass(frozen=True, slots=True)
class ReducedImage:
    """A grey image `[H, W]`, uint8 or uint16, perhaps shrunk.

    `original`: the size of the file's own image. `covers`: the original pixels that the shrunk one shows from
    the upper left corner; a little more than the image where its sides are no multiples of the shrinking.
    """

    pixels: Image
    original: Size
    covers: Size


def load_image(
    path: str | Path,
    name: str,
    spec: ModelInput,
    window: DicomWindow = FIRST_WINDOW,
    *,
    upright: bool = False,
) -> LoadedImage:
    """Read, decode and prepare one radiograph; `name` is what messages call it. Safe to call from threads.

    `window`: which values of a DICOM become black and white; `upright`: turned by its tag first.
    `spec.full_scale` is for files that do not say themselves which value is white, as a DICOM, a JPEG 2000
    and floating-point values do.

    Raises ImageError, one line, for a file that cannot be read or decoded, and UsageError where `spec`
    contradicts itself.
    """
    sha256 = None

    def load() -> LoadedImage:
        nonlocal sha256
        content = read_file(path, name)
        sha256 = hashlib.sha256(content).hexdigest()
        with _decoded(content, name, window, upright) as (image, says_white):
            pixels = describe_pixels(image, 1 if upright else orientation_of(content))
            shown = replace(spec, full_scale=None) if says_white else spec
            return LoadedImage(Size(*image.shape[:2]), to_network_input(image, shown), sha256, pixels)

    try:
        return within_limit(load, name)
    except DataError as error:
        raise ImageError(*error.problems, image_sha256=sha256) from error


_SAMPLED_SIDE: Final = 64


def describe_pixels(image: Image, orientation: int = 1) -> ImagePixels:
    """What the pixels `[H, W]` or `[H, W, 3]` of an image are like, from a grid of at most 127 a side."""
    rows, columns = (max(1, side // _SAMPLED_SIDE) for side in image.shape[:2])
    sampled = np.ascontiguousarray(image[rows // 2 :: rows, columns // 2 :: columns])
    full = FULL_SCALE[image.dtype]
    colour = 0.0 if sampled.ndim == 2 else float(np.ptp(sampled.astype(np.float64), axis=2).mean() / full)
    grey = as_grey(sampled)
    small = cv2.resize(grey, (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA)
    levels = (small.astype(np.float64) * (255 / full)).round().astype(np.uint8)
    return ImagePixels(
        bits=8 * image.dtype.itemsize,
        low=float(grey.min() / full),
        high=float(grey.max() / full),
        colour=colour,
        orientation=orientation,
        thumbnail=levels.tobytes().hex(),
    )


@dataclass(frozen=True, slots=True)
class DescribedImage:
    """The size of an image, what its pixels are like, and the digest of its file."""

    original: Size
    pixels: ImagePixels
    image_sha256: str


def describe_image(
    path: str | Path, name: str, window: DicomWindow = FIRST_WINDOW, *, upright: bool = False
) -> DescribedImage:
    """What there is to say of an image that no network will see. Safe to call from threads.

    Raises DataError, one line, for a file that cannot be read or decoded.
    """

    def describe() -> DescribedImage:
        content = read_file(path, name)
        image = decode_image(content, name, window, upright=upright)
        pixels = describe_pixels(image, 1 if upright else orientation_of(content))
        return DescribedImage(Size(*image.shape[:2]), pixels, hashlib.sha256(content).hexdigest())

    return within_limit(describe, name)


def read_image_size(path: str | Path, name: str, *, upright: bool = False) -> Size:
    """The size that an image file states, without decoding it; that of the turned image with `upright`.

    Raises DataError, one line, for a file that cannot be read or is damaged as far as its structure tells.
    """

    def read() -> Size:
        content = read_file(path, name)
        size = dicom_size(content, name) if is_dicom(content) else open_container(content, name).size
        return Size(size.width, size.height) if upright and orientation_of(content) > 4 else size

    return within_limit(read, name)


def decode_image(
    content: bytes, name: str, window: DicomWindow = FIRST_WINDOW, *, upright: bool = False
) -> Image:
    """Decode an image of any kind that is read into `[H, W]` grey or `[H, W, 3]` RGB, uint8 or uint16.

    Pixels come as stored, or with `upright` as the orientation tag turns them; no colour profile or gamma
    changes them. Alpha is dropped, palettes are resolved, 1-bit becomes 0 and 255, and a grey scale stored
    with white as zero is turned so that larger is brighter. Floating-point values of a TIFF are shares, 0 to
    1, and become 0 to 65535; so do the values of a JPEG 2000 with 9 to 15 bits.

    A DICOM is read by `decode_dicom`: 16 bits over its window.

    Raises DataError, one line, for what `open_container` refuses, pixels that are not 8 or 16 bit nor shares,
    and files the decoder cannot read.
    """

    def decode() -> Image:
        with _decoded(content, name, window, upright) as (image, _):
            return image

    return within_limit(decode, name)


@contextmanager
def _decoded(content: bytes, name: str, window: DicomWindow, upright: bool) -> Iterator[tuple[Image, bool]]:
    """An image, and whether its file says which value is white, so that it is that of its integer type.

    The memory of both the decoder's pixels and ours is taken for as long as they are in use.
    """
    orientation = orientation_of(content) if upright else 1
    if is_dicom(content):
        image = decode_dicom(content, name, window)
        with ROOM.taken(image.nbytes):
            yield turned(image, orientation), True
        return
    container = open_container(content, name)
    size = container.size
    with ROOM.taken(2 * size.height * size.width * container.pixel_bytes):
        image, says_white = _stored(container, name)
        yield turned(image, orientation), says_white


def turned(image: Image, orientation: int) -> Image:
    """An image `[h, w]` or `[h, w, 3]` as viewers turn it by its tag, 1 to 8.

    Source: Exif 2.32, tag 0x0112.
    """
    if orientation == 1:
        return image
    if orientation > 4:
        image = image.swapaxes(0, 1)
    rows = slice(None, None, -1 if orientation in (3, 4, 7, 8) else 1)
    columns = slice(None, None, -1 if orientation in (2, 3, 6, 7) else 1)
    return np.ascontiguousarray(image[rows, columns])


def _stored(container: Container, name: str) -> tuple[Image, bool]:
    """The same as stored."""
    image, says_white = _opened(container, name)
    if Size(*image.shape[:2]) != container.size:
        raise DataError(
            f"{name}: the size in the {container.kind} header is not that of its pixels: save it again"
        )
    # OpenCV turns 8-bit grey scales itself, but hands out 16-bit ones as stored.
    if container.white_is_zero and image.dtype == np.uint16:
        image = np.subtract(FULL_SCALE[image.dtype], image, dtype=np.uint16)
    return image, says_white


def _opened(container: Container, name: str) -> tuple[Image, bool]:
    """The pixels of a file that is no DICOM, grey or RGB, and whether it says which value is white."""
    if container.kind == "JPEG":
        image = decode_jpeg(container, name)
        if image is not None:
            return image, False
    if container.kind == "TIFF":
        check_tiff(container.content, name)
    png = container.kind == "PNG"
    decoded = _by_opencv(sound_png(container.content, name) if png else container.content)
    if decoded is None:
        raise DataError(f"{name}: the {container.kind} is damaged or of a rare kind: save it again")
    if container.kind in ("TIFF", "BMP"):
        _require_whole(decoded, container, name)
    says_white = container.bits is not None or decoded.dtype.kind == "f"
    if decoded.dtype.kind == "f":
        decoded = _of_shares(decoded, name)
    if decoded.dtype not in FULL_SCALE:
        raise DataError(f"{name}: {decoded.dtype} pixels: save it with 8 or 16 bit per channel")
    return _grey_or_rgb(_full_scale(decoded, container.bits), name), says_white


def _require_whole(decoded: cv2.typing.MatLike, container: Container, name: str) -> None:
    """Raise DataError where bytes among pixels were zeroed, which these kinds store as they are."""
    # OpenCV has turned grey scales in which white is zero; rows of a BMP begin at the bottom, mostly.
    stored = 255 - decoded if container.white_is_zero and decoded.dtype == np.uint8 else decoded
    require_no_lost_block(stored, name)
    if container.kind == "BMP":
        require_no_lost_block(stored[::-1], name)


def _of_shares(decoded: cv2.typing.MatLike, name: str) -> NDArray[np.uint16]:
    """Shares, 0 to 1, as 16 bits. Raises DataError for other numbers, whose range nothing tells."""
    low, high = float(decoded.min()), float(decoded.max())
    if not (low >= 0.0 and high <= 1.0):
        raise DataError(
            f"{name}: floating-point values from {low:g} to {high:g}, 0 to 1 are read: divide them by their"
            " range, or save it with 16 bit"
        )
    return np.asarray(np.rint(decoded * 65535.0), dtype=np.uint16)


def _full_scale(decoded: cv2.typing.MatLike, bits: int | None) -> cv2.typing.MatLike:
    """Values of so many bits over the whole range of their integer type."""
    full = FULL_SCALE[decoded.dtype]
    if bits is None or 2**bits - 1 == full:
        return decoded
    return np.asarray(np.rint(decoded * (full / (2**bits - 1))), dtype=decoded.dtype)


def decode_reduced(content: bytes, name: str, least_height: int, *, upright: bool = False) -> ReducedImage:
    """Decode an image to grey, no smaller than `least_height` rows unless it has fewer.

    Pixels as `decode_image` hands them out, colour turned to grey (0.299 R + 0.587 G + 0.114 B); only a JPEG
    is shrunk, each pixel being the mean of a square of 2, 4 or 8. Safe to call from threads.

    Raises DataError, one line, for whatever `decode_image` refuses.
    """
    return within_limit(partial(_reduced, content, name, least_height, upright=upright), name)


def _reduced(content: bytes, name: str, least_height: int, *, upright: bool) -> ReducedImage:
    as_stored = not upright or orientation_of(content) == 1
    container = None if is_dicom(content) else open_container(content, name)
    if as_stored and container is not None and container.kind == "JPEG":
        for factor in _JPEG_FACTORS:
            if container.size.height // factor >= least_height:
                shrunk = _shrunk(container, name, factor)
                if shrunk is not None:
                    return shrunk
    image = decode_image(content, name, upright=upright)
    size = Size(*image.shape[:2])
    return ReducedImage(as_grey(image), size, size)


def _by_opencv(content: bytes) -> cv2.typing.MatLike | None:
    """What OpenCV makes of a file, None where it cannot."""
    # The DataError says what OpenCV would log; versions 4 and 5 have the switch in two places.
    set_log_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
    set_log_level(0)
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None


def _shrunk(container: Container, name: str, factor: int) -> ReducedImage | None:
    """None where the decoder does not shrink such a file: it is decoded whole then."""
    pixels = decode_jpeg_shrunk(container, name, factor)
    if pixels is None:
        return None
    covers = Size(pixels.shape[0] * factor, pixels.shape[1] * factor)
    return ReducedImage(pixels, container.size, covers)


def _grey_or_rgb(decoded: cv2.typing.MatLike, name: str) -> Image:
    image = as_integers(decoded)
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels == 1:
        return image.reshape(image.shape[:2])
    if channels == 3:
        return as_integers(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    if channels == 4:
        return as_integers(cv2.cvtColor(image, cv2.COLOR_BGRA2RGB))
    raise DataError(f"{name}: {channels} channels per pixel: save it as grey or RGB")
