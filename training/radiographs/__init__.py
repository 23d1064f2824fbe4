"""Synthetic radiographs of lumbar and whole spines with exact keypoints, for training and the sample sets."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.radiographs import ap, chest, la
from training.radiographs.drawing import Canvas
from training.radiographs.exposure import develop, gas
from training.radiographs.spine import Spine, View, sample_spine
from training.radiographs.whole import sample_whole_spine

__all__ = [
    "Radiograph",
    "Spine",
    "View",
    "draw_radiograph",
    "draw_whole_spine",
    "sample_spine",
    "sample_whole_spine",
]

_VIEWS: dict[str, View] = {"AP": "AP", "LA": "LA"}


@dataclass(frozen=True, slots=True)
class Radiograph:
    """One synthetic radiograph and what is true about it."""

    image: NDArray[np.uint8]
    """Grey values, shape [H, W]."""
    keypoints_px: NDArray[np.float64]
    """Corners (x, y), shape [20, 2] (AP), [22, 2] (LA) or [68, 2] (whole spine).

    The centre of the top-left pixel is (0, 0).
    """
    t12_px: NDArray[np.float64]
    """Corners of T12, on a lumbar film the vertebra above the annotated ones, shape [4, 2]."""
    listhesis: tuple[int, ...]
    """Code of every annotated endplate: 10 (AP), 11 (LA) or 34 (whole)."""
    difficulty: float
    """0 easy .. 1 hard."""
    sex: str
    age: int


def draw_radiograph(view: str, seed: int, height: int | None = None) -> Radiograph:
    """Draw the radiograph that `seed` stands for.

    `height` fixes the image height in pixels (default: 900 to 1300, by the seed); the picture is the same at
    every height. Keypoints are exact: the true corners, not rounded. Raises ValueError for an unknown view.
    """
    if view not in _VIEWS:
        raise ValueError(f"view {view!r} is not known: use 'AP' or 'LA'")
    rng = np.random.default_rng([seed, len(view) + ord(view[0])])
    own_height = int(rng.integers(900, 1301))
    sex, age = str(rng.choice(["F", "M"])), int(rng.integers(22, 86))
    spine = sample_spine(_VIEWS[view], rng)
    rows = own_height if height is None else height
    canvas = Canvas(rows, round(rows * spine.aspect), rng)
    painter = ap if view == "AP" else la
    bones = painter.paint_bones(spine, canvas)
    tissue = painter.paint_tissue(spine, canvas)
    bubbles = gas(painter.gas_outlines(spine, rng), canvas)
    image = develop(bones, tissue, bubbles, spine, canvas)
    return _radiograph(image, spine, canvas, sex, age)


def draw_whole_spine(seed: int, height: int | None = None) -> Radiograph:
    """Draw the radiograph of a whole spine from the front, T1 to L5 annotated, that `seed` stands for.

    `height` as above; by default 1,400 to 1,600 pixels.
    """
    rng = np.random.default_rng([seed, 68])
    own_height = int(rng.integers(1400, 1601))
    sex, age = str(rng.choice(["F", "M"])), int(rng.integers(11, 80))
    spine = sample_whole_spine(rng)
    rows = own_height if height is None else height
    canvas = Canvas(rows, round(rows * spine.aspect), rng)
    bones = chest.paint_bones(spine, canvas)
    tissue = chest.paint_tissue(spine, canvas)
    bubbles = gas(chest.gas_outlines(spine, rng), canvas)
    image = develop(bones, tissue, bubbles, spine, canvas)
    return _radiograph(image, spine, canvas, sex, age)


def _radiograph(image: NDArray[np.uint8], spine: Spine, canvas: Canvas, sex: str, age: int) -> Radiograph:
    keypoints, t12 = canvas.pixels(spine.keypoints), canvas.pixels(spine.thoracic[0].corners)
    return Radiograph(image, keypoints, t12, spine.listhesis, spine.hardness, sex, age)
