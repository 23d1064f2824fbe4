"""Labels of the sample sets, as `[N, K, 2]` in pixels, and outlines to draw."""

from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from PIL import Image

from mahtdiag.data.readers.buu_annotation import parse_annotation
from mahtdiag.schema.skeleton import LL, LR, UL, UR

Floats = NDArray[np.float64]

SAMPLES: Final = Path(__file__).parents[2] / "sample_data"
AROUND: Final = (UL, UR, LR, LL, UL)


@cache
def sample_labels(view: str) -> Floats:
    """Labels of every sample image of a view, in the order of their names."""
    files = sorted((SAMPLES / view).glob("*.csv"))
    return np.stack([parse_annotation(file.read_bytes(), file.name).keypoints_px for file in files])


@cache
def sample_sizes(view: str) -> Floats:
    """Width and height of every sample image of a view, `[N, 2]`."""
    found = []
    for file in sorted((SAMPLES / view).glob("*.csv")):
        picture = next(each for each in sorted(file.parent.glob(f"{file.stem}.*")) if each.suffix != ".csv")
        with Image.open(picture) as image:
            found.append(image.size)
    return np.array(found, dtype=np.float64)


def median_height(points: Floats) -> float:
    """Median height of the bodies of a spine `[K, 2]`."""
    bodies = points[: len(points) // 4 * 4].reshape(-1, 4, 2)
    return float(np.median(np.linalg.norm(bodies[:, 2:].mean(1) - bodies[:, :2].mean(1), axis=-1)))


def outlines(axes: Axes, points: Floats, colour: str, style: str = "-", label: str = "") -> None:
    """The bodies of a spine `[K, 2]`, and a last endplate."""
    whole = len(points) // 4 * 4
    for number, body in enumerate(points[:whole].reshape(-1, 4, 2)):
        around = body[list(AROUND)]
        axes.plot(*around.T, color=colour, linestyle=style, label="" if number else label)
    if whole < len(points):
        axes.plot(*points[whole:].T, color=colour, linestyle=style)


def as_image(axes: Axes) -> None:
    """Equal axes, y down, without ticks."""
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
