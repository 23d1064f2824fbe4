"""AASCE 2019, SpineWeb dataset 16: T1 to L5, as MATLAB files of pixels, a table of shares, or both.

Its layout: `data/training/NAME.jpg` and, in `labels/training`, `NAME.jpg.mat` with `p2` (68 rows of x, y),
`filenames.csv` and `landmarks.csv` (a row per image: 68 x, then 68 y, shares of the image).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.data.files import counted
from mahtdiag.data.json_files import files_with
from mahtdiag.data.labelled import ImageLabels, LabelledSet, Shape
from mahtdiag.data.matlab import read_matrix
from mahtdiag.data.shares import require_shares, shares_to_px
from mahtdiag.data.text_files import decoded, read_bounded
from mahtdiag.errors import DataError
from mahtdiag.opening import open_file
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.safe_text import shown
from mahtdiag.schema.skeleton import CORNERS

Floats = NDArray[np.float64]
VERTEBRAE: Final = (*(f"T{i}" for i in range(1, 13)), *(f"L{i}" for i in range(1, 6)))
_POINTS: Final = len(VERTEBRAE) * len(CORNERS)
_VARIABLE: Final = "p2"
_NAMES, _SHARES = "filenames.csv", "landmarks.csv"
_DEPTH: Final = 3
_MOST_LOOKED_AT: Final = 8
# A file of 68 points has 1.2 KB.
_LARGEST_MAT_BYTES: Final = 64 * 1024
_LARGEST_TABLE_BYTES: Final = 256 * 2**20
# Pixels are whole numbers in some files, shares have five digits.
_AGREE_PX, _AGREE_SHARE = 1.0, 1e-5


@dataclass(frozen=True, slots=True)
class Aasce:
    """The reader (see `Reader`)."""

    name: str = "aasce"
    title: str = "AASCE 2019 (SpineWeb dataset 16)"

    def recognises(self, path: Path) -> str | None:
        """The first table of 136 shares with its names, or MATLAB file with 68 points."""
        for table in _tables(path):
            first = _first_line(table)
            if len(first) == 2 * _POINTS and not np.isnan(_numbers(first)).any():
                return shown(table.relative_to(path) if path.is_dir() else table.name)
        for number, file in enumerate(files_with(path, (".mat",), _DEPTH)):
            if number == _MOST_LOOKED_AT:
                break
            try:
                read_points(read_bounded(file, file.name, _LARGEST_MAT_BYTES))
            except DataError:
                continue
            return shown(file.relative_to(path) if path.is_dir() else file.name)
        return None

    def read(self, path: Path, options: ReadOptions) -> LabelledSet:
        """Every image with a MATLAB file or a row; the pixels count, and both must agree."""
        root = path if path.is_dir() else path.parent
        rows: dict[tuple[Path, str], list[_Row]] = {}
        for table in _tables(path):
            for row in _rows(table, root):
                rows.setdefault((table.parent, row.image), []).append(row)
        labels = []
        files = list(files_with(path, (".mat",), _DEPTH))
        for file in files:
            labels.append(_labels(file, root, rows.pop((file.parent, file.name[:-4]), [])))
        labels += [
            ImageLabels(
                f"{folder.name}/{image}",
                row.where,
                () if row.problem else _shapes(row.shares),
                problem=row.problem,
                to_px=shares_to_px,
            )
            for (folder, image), listed in rows.items()
            for row in listed
        ]
        folders = [Path(each.where).parent.name for each in labels]
        together = [f"{shown(folder)} {folders.count(folder)}" for folder in dict.fromkeys(folders)]
        notes = (f"folders read together: images of {', '.join(together)}",) if len(together) > 1 else ()
        first = next(iter([*_tables(path), *files]), None)
        name = shown(first.relative_to(root)) if first else ""
        return LabelledSet(root, self.name, name, tuple(labels), options, notes)


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the table: its image and `[68, 2]` shares, or why it has none."""

    image: str
    where: str
    shares: Floats
    problem: str | None = None


def read_points(content: bytes) -> Floats:
    """`p2` of a MATLAB file, `[68, 2]` pixels (x, y). Raises DataError, one line, for any other file."""
    points = read_matrix(content, _VARIABLE, (_POINTS, 2))
    if np.isinf(points).any():
        raise DataError(f"{_VARIABLE}: an infinite coordinate")
    return points


def _labels(file: Path, root: Path, rows: Sequence[_Row]) -> ImageLabels:
    """What a MATLAB file, and the rows for its image, say."""
    where, image = shown(file.relative_to(root)), f"{file.parent.name}/{file.name[:-4]}"
    try:
        points = read_points(read_bounded(file, where, _LARGEST_MAT_BYTES))
    except DataError as error:
        said = "; ".join(error.problems).removeprefix(f"{where}: ")
        return ImageLabels(image, where, (), problem=said)
    problem = next((f"{row.where}: {row.problem}" for row in rows if row.problem), None)
    check = partial(_agreeing, points, tuple(rows)) if rows else None
    return ImageLabels(image, where, _shapes(points), problem=problem, to_px=check)


def _agreeing(pixels: Floats, rows: Sequence[_Row], image: Path, keypoints: Floats) -> Floats:
    """The keypoints as they are. Raises DataError where pixels and shares of an image differ."""
    for row in rows:
        in_table = shares_to_px(image, row.shares)
        apart = np.nan_to_num(np.linalg.norm(in_table - pixels, axis=1))
        if apart.max() > _AGREE_PX + _AGREE_SHARE * np.abs(in_table).max():
            worst = int(apart.argmax())
            point = f"{VERTEBRAE[worst // len(CORNERS)]} {CORNERS[worst % len(CORNERS)]}"
            raise DataError(
                f"{point} is {apart[worst]:.1f} px from where {row.where} has it: keep the one that is right,"
                " for the image as it is now"
            )
    return keypoints


def _shapes(points: Floats) -> tuple[Shape, ...]:
    quads = points.reshape(len(VERTEBRAE), len(CORNERS), 2)
    return tuple(Shape(name, CORNERS, quad) for name, quad in zip(VERTEBRAE, quads, strict=True))


def _tables(path: Path) -> list[Path]:
    """Each table of shares that has its names beside it."""
    found = (file for file in files_with(path, (_SHARES,), _DEPTH) if file.name == _SHARES)
    return [file for file in found if (file.parent / _NAMES).is_file()]


def _first_line(table: Path) -> list[str]:
    try:
        with open_file(table) as file:
            return file.readline(16 * 1024).decode("utf-8-sig", "replace").split(",")
    except OSError:
        return []


def _rows(table: Path, root: Path) -> Iterator[_Row]:
    """The rows of a table. Raises DataError where they are not as many as the names."""
    name = shown(table.relative_to(root))
    lines = _lines(table, name)
    images = [
        line.strip().strip('"') for line in _lines(table.with_name(_NAMES), name.replace(_SHARES, _NAMES))
    ]
    if len(lines) != len(images):
        raise DataError(
            f"{name}: {counted(len(lines), 'row')}, {_NAMES} beside it has {len(images)}: which row is of"
            " which image cannot be told"
        )
    for number, (line, image) in enumerate(zip(lines, images, strict=True), start=1):
        cells = line.split(",")
        values = _numbers(cells)
        problem = None
        if len(cells) != 2 * _POINTS:
            problem = f"{counted(len(cells), 'number')}, {2 * _POINTS} are expected: all x, then all y"
        elif np.isnan(values).any():
            problem = f"'{shown(cells[int(np.isnan(values).argmax())].strip()[:40])}' is not a number"
        else:
            try:
                require_shares(values)
            except DataError as error:
                problem = "; ".join(error.problems)
        shares = np.full((_POINTS, 2), np.nan) if problem else values.reshape(2, _POINTS).T
        yield _Row(image, f"{name}, row {number}", shares, problem)


def _lines(file: Path, name: str) -> list[str]:
    """The lines of a table, without empty ones at its end."""
    return decoded(read_bounded(file, name, _LARGEST_TABLE_BYTES), name).rstrip().splitlines()


def _numbers(cells: Sequence[str]) -> Floats:
    """Each cell as a number, NaN where it is none or not finite."""
    try:
        values = np.array([float(cell) if "_" not in cell else np.nan for cell in cells])
    except ValueError:
        values = np.array([_number(cell) for cell in cells])
    return np.where(np.isfinite(values), values, np.nan)


def _number(cell: str) -> float:
    try:
        return float(cell) if "_" not in cell else np.nan
    except ValueError:
        return np.nan
