"""What MAHT-Net's test script writes: the vertebrae of each image, in pixels of the network's input."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.data.files import counted
from mahtdiag.data.json_files import files_of_keys, number, read_json
from mahtdiag.data.labelled import ImageLabels, LabelledSet, Shape
from mahtdiag.errors import DataError
from mahtdiag.schema.frames import Size
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.safe_text import shown
from mahtdiag.schema.skeleton import CORNERS, LA

KEYS: Final = ("original_size", "processed_size", "vertebrae")
Floats = NDArray[np.float64]
_LARGEST_SIDE: Final = 1e5


@dataclass(frozen=True, slots=True)
class MahtNet:
    """The reader (see `Reader`)."""

    name: str = "maht-net"
    title: str = "MAHT-Net predictions"

    def recognises(self, path: Path) -> str | None:
        """The first JSON file with a size before and after processing, and vertebrae."""
        found = files_of_keys(path, *KEYS)
        return shown(found[0].relative_to(path) if path.is_dir() else found[0].name) if found else None

    def read(self, path: Path, options: ReadOptions) -> LabelledSet:
        """Every such file. A corner at 0, 0 of confidence 0 was not found."""
        root = path if path.is_dir() else path.parent
        files = files_of_keys(path, *KEYS)
        if not files:
            raise DataError(f"{shown(path)}: no JSON file with {', '.join(KEYS)} for each image")
        labels: list[ImageLabels] = []
        beyond = 0
        for file in files:
            name = shown(file.relative_to(root))
            content = read_json(file, name)
            if not isinstance(content, dict):
                raise DataError(f"{name}: not a mapping of images to what was found in them")
            for image, found in content.items():
                where = f"{name}, {shown(image[:100])}"
                try:
                    made, left_out = _labels(image, where, found)
                except DataError as error:
                    made, left_out = ImageLabels(image, where, (), problem="; ".join(error.problems)), 0
                labels.append(made)
                beyond += left_out
        name = shown(files[0].relative_to(root))
        last = len(LA.vertebrae) - 1
        notes = [f"{name}: predictions taken as labels, vertebra_idx 0 to {last} as L1 to {LA.vertebrae[-1]}"]
        if beyond:
            notes.append(f"{name}: {counted(beyond, 'corner')} of a vertebra_idx beyond {last} left out")
        return LabelledSet(root, self.name, name, tuple(labels), options, tuple(notes))


def _labels(image: str, where: str, found: object) -> tuple[ImageLabels, int]:
    """The labels of an image, and how many corners have no level. Raises DataError: not of the form."""
    original, vertebrae, beyond = found_in(found)
    shapes = tuple(Shape(level, CORNERS, corners[:, :2]) for level, corners in vertebrae)
    return ImageLabels(image, where, shapes, size=original), beyond


def found_in(found: object) -> tuple[Size, list[tuple[str, Floats]], int]:
    """The image's size, of each vertebra its level and corners, and how many corners have no level.

    Corners `[4, 3]`: x and y in pixels of the image and confidence, NaN where none was found. Raises
    DataError: not of the form.
    """
    if not isinstance(found, dict) or not isinstance(found.get("vertebrae"), list):
        raise DataError("no list of vertebrae")
    original, processed = (_size(found, key) for key in KEYS[:2])
    factors = original.xy / processed.xy
    vertebrae: list[tuple[str, Floats]] = []
    beyond = 0
    for at, vertebra in enumerate(found["vertebrae"]):
        index = vertebra.get("vertebra_idx") if isinstance(vertebra, dict) else None
        if not isinstance(index, int) or isinstance(index, bool) or index < 0:
            raise DataError(f"vertebrae[{at}]: vertebra_idx is not a number from 0")
        corners = _corners(vertebra, f"vertebrae[{at}]")
        if index < len(LA.vertebrae):
            with np.errstate(over="ignore"):  # what is infinite is told of the image
                corners[:, :2] *= factors
            vertebrae.append((LA.vertebrae[index], corners))
        else:
            beyond += int(np.isfinite(corners[:, 0]).sum())
    return original, vertebrae, beyond


def _size(found: Mapping[str, Any], key: str) -> Size:
    """Width, height in the file."""
    said = found.get(key)
    width, height = map(number, said) if isinstance(said, list) and len(said) == 2 else (np.nan, np.nan)
    if not (1 <= width <= _LARGEST_SIDE and 1 <= height <= _LARGEST_SIDE):
        raise DataError(f"{key} is not [width, height] in pixels")
    return Size(int(height), int(width))


def _corners(vertebra: Mapping[str, Any], where: str) -> Floats:
    """`[4, 3]`: x and y in pixels of the network's input, confidence; NaN where none was found."""
    corners = vertebra.get("corners")
    if not isinstance(corners, list) or len(corners) != len(CORNERS):
        raise DataError(f"{where}: not {len(CORNERS)} corners")
    points = np.full((len(CORNERS), 3), np.nan)
    for at, corner in enumerate(corners):
        said = corner if isinstance(corner, dict) else {}
        x, y, confidence = (number(said.get(key)) for key in ("x", "y", "confidence"))
        if not np.isfinite((x, y)).all():
            raise DataError(f"{where}: corners[{at}]: x and y are not numbers")
        if (x, y) != (0, 0) or confidence > 0:
            points[at] = x, y, confidence
    return points
