"""The optional spacing file of a data folder: millimetres per pixel, per image."""

import csv
import io
import math
import os
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from mahtdiag.data.files import SPACING_FILE, shown
from mahtdiag.errors import DataError

# Detectors lie between 0.05 and 0.5 mm; the limits only catch another unit.
_SMALLEST_MM, _LARGEST_MM = 0.005, 5.0


def read_spacing(*folders: Path) -> dict[str, float]:
    """Spacings by image name (see `parse_spacing`) from the spacing files of these folders; later ones win.

    Raises DataError where a spacing file cannot be read or is wrong.
    """
    spacing_mm: dict[str, float] = {}
    for path in (folder / SPACING_FILE for folder in folders):
        if os.path.lexists(path) and not path.is_dir():
            try:
                spacing_mm |= parse_spacing(path.read_bytes(), shown(path))
            except OSError as error:
                raise DataError(f"{shown(path)}: cannot be read: {error.strerror or error}") from error
    return spacing_mm


def parse_spacing(content: bytes, name: str) -> dict[str, float]:
    """Read rows of `image,mm`, for example `0001-F-037Y0.jpg,0.143`.

    The image is named with or without extension and view folder; blank lines are skipped, and so is a first
    line that says `image,mm`. Raises DataError with every problem: a row without two cells, a spacing that is
    not a number between 0.005 and 5 mm, an image named twice.
    """
    spacing_mm: dict[str, float] = {}
    problems: list[str] = []
    try:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), skipinitialspace=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{name}: not a CSV in UTF-8 ({error}): write rows of image,mm") from error
    for number, row in enumerate(rows, start=1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or (number == 1 and cells == ["image", "mm"]):
            continue
        key = unicodedata.normalize("NFC", cells[0])
        if len(cells) != 2 or not key:
            problems.append(f"{name}: line {number}: expected image,mm")
        elif (mm := _millimetres(cells[1])) is None:
            limits = f"between {_SMALLEST_MM} and {_LARGEST_MM} mm"
            problems.append(f"{name}: line {number}: '{cells[1]}' is not a spacing {limits}")
        elif key in spacing_mm:
            problems.append(f"{name}: line {number}: {key} is named twice")
        else:
            spacing_mm[key] = mm
    if problems:
        raise DataError(*problems)
    return spacing_mm


def spacing_of(image: str, spacing_mm: Mapping[str, float]) -> float | None:
    """Millimetres per pixel of an image, or None where no row names it; the most exact name wins.

    `image` is its path relative to the data folder, with forward slashes.
    """
    path = unicodedata.normalize("NFC", image)
    file_name = path.rpartition("/")[2]
    names = (path, path.rpartition(".")[0], file_name, file_name.rpartition(".")[0])
    return next((spacing_mm[name] for name in names if name in spacing_mm), None)


def _millimetres(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and _SMALLEST_MM <= value <= _LARGEST_MM else None
