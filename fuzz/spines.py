"""What the mutated sets show: a few small radiographs of drawn spines, and where their corners lie."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from mahtdiag.schema.skeleton import AP, CORNERS

Floats = NDArray[np.float64]
NAMES: Final = ("a", "b", "c")
WIDTH, HEIGHT, WHOLE_HEIGHT = 120, 200, 560
LEVELS: Final = AP.vertebrae
WHOLE_LEVELS: Final = (*(f"T{i}" for i in range(1, 13)), *LEVELS)
KEYPOINTS: Final = tuple(f"{level}_{corner}" for level in LEVELS for corner in CORNERS)
_VERTEBRA: Final = np.array([[0.0, 0.0], [40.0, 0.0], [0.0, 20.0], [40.0, 20.0]])
_LEFT, _TOP, _STEP = 40.0, 15.0, 31.0


def corners(name: str, levels: int = len(LEVELS)) -> Floats:
    """`[levels, 4, 2]`: upper left, upper right, lower left, lower right of each vertebra from above."""
    down = _STEP * np.arange(levels)[:, None, None] * np.array([0.0, 1.0])
    moved = np.array([3.0 * NAMES.index(name), 0.0])
    places: Floats = np.round(_VERTEBRA + down + moved + np.array([_LEFT, _TOP]), 2)
    return places


def radiograph(name: str, levels: int = len(LEVELS)) -> NDArray[np.uint8]:
    """Grey values `[H, W]` that show them."""
    height = HEIGHT if levels == len(LEVELS) else WHOLE_HEIGHT
    image: NDArray[np.uint8] = np.tile(np.linspace(10, 90, WIDTH).astype(np.uint8), (height, 1))
    for quad in corners(name, levels).astype(int):
        image[quad[0, 1] : quad[3, 1], quad[0, 0] : quad[3, 0]] += 120
    return image


def png(name: str, levels: int = len(LEVELS)) -> bytes:
    """The file of it."""
    return encoded(".png", radiograph(name, levels))


def encoded(ending: str, image: NDArray[np.uint8 | np.uint16 | np.float32]) -> bytes:
    """An image file as OpenCV writes it."""
    _, content = cv2.imencode(ending, image)
    return content.tobytes()
