"""Decoded pixels to the array that a network takes."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from mahtdiag.errors import UsageError
from mahtdiag.schema.frames import Placement, Size
from mahtdiag.schema.model_spec import ModelInput, Normalization
from mahtdiag.schema.preprocessing import Bars, Resize

Image = NDArray[np.uint8 | np.uint16]
Planes = NDArray[np.float32]
FULL_SCALE: Final = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}
_WHITE: Final = 255.0


def to_network_input(image: Image, spec: ModelInput) -> Planes:
    """Prepare a decoded image `[h, w]` or `[h, w, 3]` RGB: float32 `[C, H, W]`.

    In this order: colour to grey where one channel is wanted (0.299 R + 0.587 G + 0.114 B), resize in the
    image's own integer type, value/255 or value/65535, bars for letterbox, grey repeated where three channels
    are wanted, (value − mean)/std.

    Each axis that shrinks is averaged over the area of its pixels, then each that grows is interpolated
    linearly; both keep pixel centres (the half-pixel convention).

    Raises UsageError where the normalisation has another number of channels than the network.
    """
    if spec.channels == 1:
        image = as_grey(image)
    placement = Placement.of(Size(*image.shape[:2]), spec.size, spec.resize)
    scaled = _resized(image, placement.resized).astype(np.float32) / np.float32(FULL_SCALE[image.dtype])
    boxed = _letterboxed(scaled, placement, spec.size, spec.resize)
    planes = boxed[np.newaxis] if boxed.ndim == 2 else boxed.transpose(2, 0, 1)
    planes = np.broadcast_to(planes, (spec.channels, *planes.shape[1:]))
    values = _normalized(planes, spec.normalization)
    if spec.resize.bars is Bars.MEAN and placement.resized != spec.size:
        return _without_bars(values, placement)
    return values


def as_grey(image: Image) -> Image:
    """`[h, w]`: 0.299 R + 0.587 G + 0.114 B where there is colour."""
    return image if image.ndim == 2 else as_integers(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


def as_integers(image: cv2.typing.MatLike) -> Image:
    """The same array: OpenCV keeps the integer type it was given, which its type hints cannot say."""
    return image.astype(np.uint16 if image.dtype == np.uint16 else np.uint8, copy=False)


def _resized(image: Image, wanted: Size) -> Image:
    height, width = image.shape[:2]
    for size, interpolation in (
        (Size(min(height, wanted.height), min(width, wanted.width)), cv2.INTER_AREA),
        (wanted, cv2.INTER_LINEAR),
    ):
        if image.shape[:2] != (size.height, size.width):
            image = as_integers(cv2.resize(image, (size.width, size.height), interpolation=interpolation))
    return image


def _letterboxed(image: Planes, placement: Placement, size: Size, resize: Resize) -> Planes:
    """The image on bars, `[H, W]` or `[H, W, 3]`."""
    if placement.resized == size:
        return image
    top, left = placement.top, placement.left
    bottom, right = size.height - top - image.shape[0], size.width - left - image.shape[1]
    if resize.bars is Bars.EDGE:
        beside = [(top, bottom), (left, right), (0, 0)][: image.ndim]
        return np.pad(image, beside, mode="edge")
    canvas = np.full((size.height, size.width, *image.shape[2:]), resize.grey / _WHITE, dtype=np.float32)
    canvas[top : size.height - bottom, left : size.width - right] = image
    return canvas


def _without_bars(planes: Planes, placement: Placement) -> Planes:
    """The same with 0 beside the image."""
    kept = np.zeros_like(planes)
    rows = slice(placement.top, placement.top + placement.resized.height)
    columns = slice(placement.left, placement.left + placement.resized.width)
    kept[:, rows, columns] = planes[:, rows, columns]
    return kept


def _normalized(planes: Planes, normalization: Normalization) -> Planes:
    for values in (normalization.mean, normalization.std):
        if len(values) not in (1, len(planes)):
            raise UsageError(
                f"normalization {normalization.name} has {len(values)} channels, the network takes"
                f" {len(planes)}: give one value, or one per channel"
            )
    mean = np.array(normalization.mean, dtype=np.float32).reshape(-1, 1, 1)
    std = np.array(normalization.std, dtype=np.float32).reshape(-1, 1, 1)
    if not mean.any() and (std == 1).all():
        return np.ascontiguousarray(planes)
    return np.ascontiguousarray((planes - mean) / std)
