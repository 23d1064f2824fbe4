"""Decoded pixels to the array that a network takes."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from mahtdiag.errors import UsageError
from mahtdiag.schema.frames import Placement, Size
from mahtdiag.schema.model_spec import ModelInput
from mahtdiag.schema.normalization import Normalization, Step, StepKind
from mahtdiag.schema.preprocessing import Bars, ChannelOrder, Flip, Interpolation, Resize

Image = NDArray[np.uint8 | np.uint16]
Planes = NDArray[np.float32]
FULL_SCALE: Final = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}
_WHITE: Final = 255.0


def to_network_input(image: Image, spec: ModelInput) -> Planes:
    """Prepare a decoded image `[h, w]` or `[h, w, 3]` RGB: float32 `[C, H, W]`.

    In this order: colour to grey where one channel is wanted, or for CLAHE (0.299 R + 0.587 G + 0.114 B);
    mirrored; black for white; CLAHE, on 8 bits; resize in the image's own integer type; value/white, see
    `white_of`;
    the other steps of the normalisation, by the statistics of the resized image without its bars; bars for
    letterbox; grey repeated where three channels are wanted, or colours in the network's order; (value −
    mean)/std. Every resize keeps pixel centres (the half-pixel convention).

    Raises UsageError where the normalisation has another number of channels than the network.
    """
    normalization = spec.normalization
    if spec.channels == 1:
        image = as_grey(image)
    if spec.flip is not Flip.NONE:
        image = np.ascontiguousarray(image[:, ::-1])
    white = white_of(image, spec.full_scale)
    if spec.invert:
        image = as_integers(np.subtract(white, np.minimum(image, white), dtype=image.dtype))
    for step in normalization.steps:
        if step.kind is StepKind.CLAHE:
            image, white = _equalised(as_grey(image), step, white), int(_WHITE)
    placement = Placement.of(Size(*image.shape[:2]), spec.size, spec.resize)
    resized = _resized(image, placement.resized, spec.interpolation)
    scaled = resized.astype(np.float32) / np.float32(white)
    boxed = _letterboxed(scaled, placement, spec.size, spec.resize)
    for step in normalization.steps:
        scaled, boxed = _stepped(scaled, boxed, step)
    planes = boxed[np.newaxis] if boxed.ndim == 2 else boxed.transpose(2, 0, 1)
    if spec.channel_order is ChannelOrder.BGR:
        planes = planes[::-1]
    planes = np.broadcast_to(planes, (spec.channels, *planes.shape[1:]))
    values = _normalized(planes, normalization, spec.channel_order)
    if spec.resize.bars is Bars.MEAN and placement.resized != spec.size:
        return _without_bars(values, placement)
    return values


def white_of(image: Image, full_scale: int | None) -> int:
    """The value that is white: `full_scale`, but 255 of 8-bit images that cannot hold it; 255 or 65535."""
    largest = FULL_SCALE[image.dtype]
    return largest if full_scale is None or full_scale > largest else full_scale


def as_grey(image: Image) -> Image:
    """`[h, w]`: 0.299 R + 0.587 G + 0.114 B where there is colour."""
    return image if image.ndim == 2 else as_integers(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


def as_integers(image: cv2.typing.MatLike) -> Image:
    """The same array: OpenCV keeps the integer type it was given, which its type hints cannot say."""
    return image.astype(np.uint16 if image.dtype == np.uint16 else np.uint8, copy=False)


def _resized(image: Image, wanted: Size, interpolation: Interpolation) -> Image:
    if Size(*image.shape[:2]) == wanted:
        return image
    match interpolation:
        case Interpolation.AREA:
            return _averaged(image, wanted)
        case Interpolation.LINEAR | Interpolation.CUBIC:
            method = cv2.INTER_LINEAR if interpolation is Interpolation.LINEAR else cv2.INTER_CUBIC
            return as_integers(cv2.resize(image, (wanted.width, wanted.height), interpolation=method))
    return _by_pillow(image, wanted, interpolation)


def _averaged(image: Image, wanted: Size) -> Image:
    """Each axis that shrinks averaged over areas, then each that grows linear."""
    height, width = image.shape[:2]
    for size, interpolation in (
        (Size(min(height, wanted.height), min(width, wanted.width)), cv2.INTER_AREA),
        (wanted, cv2.INTER_LINEAR),
    ):
        if image.shape[:2] != (size.height, size.width):
            image = as_integers(cv2.resize(image, (size.width, size.height), interpolation=interpolation))
    return image


def _by_pillow(image: Image, wanted: Size, interpolation: Interpolation) -> Image:
    """By Pillow; 16 bits through its floating-point images, a channel at a time."""
    from PIL import Image as Pillow

    bilinear = interpolation is Interpolation.PIL_BILINEAR
    method = Pillow.Resampling.BILINEAR if bilinear else Pillow.Resampling.BICUBIC
    size = (wanted.width, wanted.height)
    if image.dtype == np.uint8:
        resized_8: NDArray[np.uint8] = np.asarray(
            Pillow.fromarray(np.ascontiguousarray(image)).resize(size, method)
        )
        return resized_8
    planes = image[..., np.newaxis] if image.ndim == 2 else image
    resized = [
        np.asarray(Pillow.fromarray(planes[..., channel].astype(np.float32)).resize(size, method))
        for channel in range(planes.shape[2])
    ]
    joined: NDArray[np.uint16] = (
        np.stack(resized, axis=-1).round().clip(0, FULL_SCALE[image.dtype]).astype(np.uint16)
    )
    return joined.reshape(*joined.shape[: image.ndim])


def _equalised(grey: Image, step: Step, white: int) -> Image:
    """OpenCV's contrast-limited adaptive histogram equalisation, at the image's own size."""
    levels = grey
    if white != _WHITE:
        levels = np.rint(np.minimum(grey * (_WHITE / white), _WHITE)).astype(np.uint8)
    tiles = int(step.second)
    return as_integers(cv2.createCLAHE(step.first, (tiles, tiles)).apply(levels))


def _stepped(image: Planes, boxed: Planes, step: Step) -> tuple[Planes, Planes]:
    """An image and the same with bars after a step whose statistics are those of the image."""
    match step.kind:
        case StepKind.CLAHE:
            return image, boxed
        case StepKind.RAW255:
            return image * np.float32(_WHITE), boxed * np.float32(_WHITE)
        case StepKind.ZSCORE:
            low, spread = image.mean(dtype=np.float64), image.std(dtype=np.float64)
        case StepKind.MINMAX:
            low, spread = image.min(), np.ptp(image)
        case StepKind.PERCENTILE:
            low, high = np.percentile(image.astype(np.float64), (step.first, step.second))
            spread = high - low
            image, boxed = (np.clip(values, low, high) for values in (image, boxed))
    # An image of one grey value has nothing to spread.
    spread = spread if spread > 0 else 1.0
    image, boxed = (((values - low) / spread).astype(np.float32) for values in (image, boxed))
    return image, boxed


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


def _normalized(planes: Planes, normalization: Normalization, order: ChannelOrder) -> Planes:
    for values in (normalization.mean, normalization.std):
        if len(values) not in (1, len(planes)):
            raise UsageError(
                f"normalization {normalization.name} has {len(values)} channels, the network takes"
                f" {len(planes)}: give one value, or one per channel"
            )
    mean = np.array(normalization.mean, dtype=np.float32).reshape(-1, 1, 1)
    std = np.array(normalization.std, dtype=np.float32).reshape(-1, 1, 1)
    if normalization.by_colour and order is ChannelOrder.BGR:
        mean, std = mean[::-1], std[::-1]
    if not mean.any() and (std == 1).all():
        return np.ascontiguousarray(planes)
    return np.ascontiguousarray((planes - mean) / std)
