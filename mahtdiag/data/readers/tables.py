"""Tables of keypoints: a row per point, per image or per endplate, the columns told by their names."""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from mahtdiag.data.files import PATIENTS_FILE, SPACING_FILE, counted
from mahtdiag.data.json_files import files_with
from mahtdiag.data.labelled import MOST_POINTS, ImageLabels, LabelledSet, Shape
from mahtdiag.errors import DataError
from mahtdiag.opening import open_file
from mahtdiag.schema.keypoint_names import LONGEST_NAME, place_of
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.safe_text import shown

_ENDINGS: Final = (".csv", ".tsv")
_MOST_LOOKED_AT: Final = 64
_HEAD_BYTES: Final = 64 * 1024
_LARGEST_BYTES: Final = 128 * 2**20
_DELIMITERS: Final = (";", "\t", ",")
_LEAST_PAIRS: Final = 4
# What columns are called, in small letters, words joined by `_`; the first of a row that is there counts.
_IMAGE: Final = (
    "image", "image_name", "image_file", "image_filename", "image_path", "filename", "file_name", "file",
    "file_path", "filepath", "img", "img_name", "img_path", "image_id",
)  # fmt: skip
_VERTEBRA: Final = ("vertebra", "level", "vertebra_level", "vertebral_level", "vertebra_name")
_CORNER: Final = ("corner", "corner_name")
_KEYPOINT: Final = (
    "keypoint", "keypoint_name", "landmark", "landmark_name", "point", "point_name", "label", "name",
)  # fmt: skip
_ENDPLATE: Final = ("endplate", "endplate_name", "plate")
_X: Final = ("x", "x_px", "x_coord", "x_coordinate")
_Y: Final = ("y", "y_px", "y_coord", "y_coordinate")
_VISIBLE: Final = ("visible", "visibility", "v", "labelled", "labeled")
_ENDS: Final = ("x1", "y1", "x2", "y2")
_PAIR: Final = (
    re.compile(r"(?P<name>.(?:.*?[^\s_.:/-])??)[\s_.:/-]+(?P<axis>[xy])(?:_?px)?", re.IGNORECASE),
    re.compile(r"(?P<axis>[xy])[\s_.:/-]+(?P<name>[^\s_.:/-].*|.)", re.IGNORECASE),
)
_IN_PIXELS: Final = re.compile(r"(?<!\s)\s*(?:\((?:px|pixels?)\)|\[(?:px|pixels?)\])$")
_NOTHING: Final = frozenset(("", "-", "na", "n/a", "nan", "null", "none"))
_NO, _YES = frozenset(("false", "no", "f", "n")), frozenset(("true", "yes", "t", "y"))
# Where people put a point that they have not marked; nothing lies there in earnest.
_SUSPICIOUS: Final = ((0.0, 0.0), (-1.0, -1.0))


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """What columns of keypoints and their places are called; the first that is there counts."""

    keypoint: tuple[str, ...] = _KEYPOINT
    x: tuple[str, ...] = _X
    y: tuple[str, ...] = _Y


LABELS: Final = ColumnNames()


@dataclass(frozen=True, slots=True)
class Tables:
    """The reader (see `Reader`)."""

    name: str = "csv"
    title: str = "a table (CSV)"

    def recognises(self, path: Path) -> str | None:
        """The first table with a header that names an image and coordinates."""
        for number, file in enumerate(_files(path)):
            if number == _MOST_LOOKED_AT:
                break
            if header_of(file) is not None:
                return shown(file.relative_to(path) if path.is_dir() else file.name)
        return None

    def read(self, path: Path, options: ReadOptions) -> LabelledSet:
        """Every such table. Points that a row leaves empty are not labelled."""
        root = path if path.is_dir() else path.parent
        found = [(file, header) for file in _files(path) if (header := header_of(file)) is not None]
        if not found:
            raise DataError(
                f"{shown(path)}: no table with a header such as image,vertebra,corner,x,y or"
                " image,L1_UL_x,L1_UL_y,…"
            )
        labels: list[ImageLabels] = []
        notes: list[str] = []
        for file, header in found:
            table = Table(shown(file.relative_to(root)), header, options.missing_value)
            labels += table.read(file)
            notes += table.notes()
        name = shown(found[0][0].relative_to(root))
        return LabelledSet(root, self.name, name, tuple(labels), options, tuple(notes))


@dataclass(frozen=True, slots=True)
class Header:
    """How a table is to be read; columns by their number.

    `pairs`: a name and the columns of its x and y, in each row. `label` and `name` are columns of names: of
    the vertebra, and of the point or endplate, None where pairs have their own. `more`: for each pair the
    columns of further numbers that go with the point, None for one that is not there. `cells` of the header.
    """

    delimiter: str
    skipped_lines: int
    width: int
    image: int
    pairs: tuple[tuple[str, int, int], ...]
    label: int | None = None
    name: int | None = None
    visible: int | None = None
    problem: str | None = None
    more: tuple[tuple[int | None, ...], ...] = ()
    cells: tuple[str, ...] = ()

    @property
    def is_of_endplates(self) -> bool:
        return len(self.pairs) == 2 and self.name is not None


# A name, x, y and further numbers.
_Point = tuple[str, tuple[float, ...]]


@dataclass(slots=True)
class _Image:
    """What the rows of one image say: names and points of each label."""

    line: int
    shapes: dict[str, list[_Point]] = field(default_factory=dict)
    points: int = 0
    problem: str | None = None


class Table:
    """Reads one table."""

    def __init__(self, name: str, header: Header, missing: float | None) -> None:
        self.name = name
        self.header = header
        self.missing = missing
        self.images: dict[str, _Image] = {}
        self.without_image = 0
        self.reversed = Counter[bool]()

    def read(self, file: Path) -> list[ImageLabels]:
        """Raises DataError where the table as a whole cannot be read."""
        if self.header.problem:
            raise DataError(f"{self.name}: {self.header.problem}")
        line = 0
        try:
            with open_file(file) as opened:
                if opened.seek(0, io.SEEK_END) > _LARGEST_BYTES:
                    raise DataError(f"{self.name}: larger than {_LARGEST_BYTES} bytes: split it")
                opened.seek(0)
                text = io.TextIOWrapper(opened, encoding=_encoding(opened.read(2)), newline="")
                opened.seek(0)
                rows = csv.reader(text, delimiter=self.header.delimiter, skipinitialspace=True)
                for row in rows:
                    line = rows.line_num
                    if line > self.header.skipped_lines and any(cell.strip() for cell in row):
                        self._row([cell.strip() for cell in row], line)
        except OSError as error:
            raise DataError(f"{self.name}: cannot be read: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise DataError(f"{self.name}: not UTF-8: save it as CSV UTF-8") from error
        except csv.Error as error:
            raise DataError(f"{self.name}: after line {line}: not a table: {error}") from error
        if self.reversed[True] > self.reversed[False]:
            raise DataError(
                f"{self.name}: x1 lies right of x2 in {self.reversed[True]} of {self.reversed.total()}"
                " endplates: x1, y1 is the end on the left of the image"
            )
        return [self._labels(image, found) for image, found in self.images.items()]

    def _row(self, row: Sequence[str], line: int) -> None:
        image = row[self.header.image] if self.header.image < len(row) else ""
        if not image:
            self.without_image += 1
            return
        one_row = self.header.name is None
        found = self.images.setdefault(image, _Image(line))
        found.points += len(self.header.pairs)
        try:
            if found.points > MOST_POINTS:
                raise DataError(f"more than {MOST_POINTS:,} points in one image")
            if one_row and found.shapes:
                raise DataError(f"a second row for this image, after line {found.line}")
            label, points = self._points(row)
        except DataError as error:
            found.problem = found.problem or f"line {line}: {'; '.join(error.problems)}"
            return
        found.shapes.setdefault(label, []).extend(points)

    def _points(self, row: Sequence[str]) -> tuple[str, list[_Point]]:
        """The label of a row and its points. Raises DataError: what is wrong with it."""
        header = self.header
        if len(row) < header.width or any(row[header.width :]):
            raise DataError(f"{counted(len(row), 'cell')}, the header has {header.width}")
        own = "" if header.name is None else row[header.name]
        label = "" if header.label is None else row[header.label]
        visible = header.visible is None or _is_visible(row[header.visible])
        points: list[_Point] = []
        for pair, (name, at_x, at_y) in enumerate(header.pairs):
            named = f"{own} {name}".strip()
            x, y = (_number(row[at], header.delimiter) for at in (at_x, at_y))
            place = self._place(f"{label} {named}".strip(), x, y, visible)
            more = header.more[pair] if header.more else ()
            also = (math.nan if at is None else _number(row[at], header.delimiter) for at in more)
            points.append((named, (*place, *also)))
        if header.is_of_endplates and points[0][1][0] != points[1][1][0]:
            x1, x2 = points[0][1][0], points[1][1][0]
            self.reversed[x1 > x2] += math.isfinite(x1) and math.isfinite(x2)
        return label, points

    def _place(self, name: str, x: float, y: float, visible: bool) -> tuple[float, float]:
        """The point, NaN where it is not labelled. Raises DataError where that cannot be told."""
        nowhere = (math.nan, math.nan)
        if not visible or (math.isnan(x) and math.isnan(y)):
            return nowhere
        missing = self.missing
        if missing is not None and ((x, y) == (missing, missing) or (missing < 0 and missing in (x, y))):
            return nowhere
        if math.isnan(x) or math.isnan(y):
            raise DataError(f"{shown(name)} has only one of x and y")
        if (x, y) in _SUSPICIOUS:
            raise DataError(
                f"{shown(name)} at {x:g}, {y:g}: if not labelled, say so: --missing-value {x:g} or"
                " missing_value in [data]"
            )
        return x, y

    def _labels(self, image: str, found: _Image) -> ImageLabels:
        shapes = []
        for label, points in found.shapes.items():
            names = tuple(name for name, _ in points)
            places = np.array([place for _, place in points])
            if len(set(names)) == len(names):
                shapes.append(Shape(label, names, places))
            else:
                # A point named twice is one only if both rows say the same.
                shapes += [
                    Shape(label, (name,), place[None]) for name, place in zip(names, places, strict=True)
                ]
        where = self.name if found.problem else f"{self.name}, line {found.line}"
        return ImageLabels(image, where, tuple(shapes), problem=found.problem)

    def notes(self) -> list[str]:
        if not self.without_image:
            return []
        return [f"{self.name}: {counted(self.without_image, 'row')} without an image left out"]


def _files(path: Path) -> Iterator[Path]:
    return (f for f in files_with(path, _ENDINGS) if f.name not in (SPACING_FILE, PATIENTS_FILE))


def _encoding(start: bytes) -> str:
    return "utf-16" if start in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def header_of(file: Path, called: ColumnNames = LABELS) -> Header | None:
    """How a table is to be read, None for what is none."""
    for delimiter, skipped, cells in _first_rows(file):
        if (header := _of_names(cells, delimiter, skipped, called)) is not None:
            return replace(header, cells=tuple(cells))
    return None


def cells_of(file: Path) -> list[str]:
    """What the first row of a table says, by the separator that makes most of it; none for what is none."""
    rows = (cells for _, _, cells in _first_rows(file))
    return max(rows, key=len, default=[])


def _first_rows(file: Path) -> Iterator[tuple[str, int, list[str]]]:
    """A separator, how many lines come before the second row, and the cells of the first row by it."""
    try:
        with open_file(file) as opened:
            head = opened.read(_HEAD_BYTES)
    except OSError:
        return
    lines = head.decode(_encoding(head[:2]), "replace").splitlines()
    skipped = next((number for number, line in enumerate(lines) if line.strip()), len(lines))
    delimiters: Sequence[str] = _DELIMITERS
    # Excel's own way to say what separates cells.
    if skipped < len(lines) and (said := re.fullmatch(r"sep=(.)", lines[skipped].strip(), re.IGNORECASE)):
        delimiters, skipped = said[1], skipped + 1
    if skipped >= len(lines):
        return
    for delimiter in delimiters:
        try:
            cells = next(csv.reader([lines[skipped]], delimiter=delimiter, skipinitialspace=True))
        except (csv.Error, StopIteration, TypeError, ValueError):
            continue
        yield delimiter, skipped + 1, [cell.strip() for cell in cells]


def column_names(cells: Sequence[str]) -> list[str]:
    """The cells of a header in small letters, words joined by `_`, without `(px)`."""
    # A longer cell is the name of no column, and a search for its end takes the square of its length.
    return [re.sub(r"[\s._-]+", "_", _IN_PIXELS.sub("", cell[: LONGEST_NAME + 1].lower())) for cell in cells]


def _of_names(cells: Sequence[str], delimiter: str, lines: int, called: ColumnNames) -> Header | None:
    names = column_names(cells)
    image = _column(names, _IMAGE)
    if image is None:
        return None
    vertebra, corner, keypoint = (_column(names, each) for each in (_VERTEBRA, _CORNER, called.keypoint))
    x, y, endplate = _column(names, called.x), _column(names, called.y), _column(names, _ENDPLATE)
    visible = _column(names, _VISIBLE)
    used = (image, vertebra, corner, keypoint, x, y, endplate, visible)
    twice = next((at for at in used if at is not None and names.count(names[at]) > 1), None)
    problem = None if twice is None else f"two columns {shown(cells[twice][:60])}: keep one"
    width = len(cells) - next((i for i, cell in enumerate(reversed(cells)) if cell), 0)
    if endplate is not None and all(end in names for end in _ENDS):
        x1, y1, x2, y2 = map(names.index, _ENDS)
        pairs = (("left", x1, y1), ("right", x2, y2))
        problem = problem or next(
            (f"two columns {end}: keep one" for end in _ENDS if names.count(end) > 1), None
        )
        return Header(delimiter, lines, width, image, pairs, vertebra, endplate, visible, problem)
    if x is not None and y is not None:
        if vertebra is not None and corner is not None:
            return Header(delimiter, lines, width, image, (("", x, y),), vertebra, corner, visible, problem)
        if keypoint is not None:
            return Header(delimiter, lines, width, image, (("", x, y),), None, keypoint, visible, problem)
        return None
    return _wide(cells, delimiter, lines, width, image)


def _wide(cells: Sequence[str], delimiter: str, lines: int, width: int, image: int) -> Header | None:
    columns: dict[str, dict[str, int]] = {}
    problem = None
    for at, cell in enumerate(cells):
        if len(cell) > LONGEST_NAME:
            continue
        name = _IN_PIXELS.sub("", cell)
        match = next((m for pattern in _PAIR if (m := pattern.fullmatch(name))), None)
        if match is None or at == image:
            continue
        axes = columns.setdefault(match["name"], {})
        if match["axis"].lower() in axes:
            problem = problem or f"two columns {shown(cell[:60])}"
        axes[match["axis"].lower()] = at
    pairs = tuple((name, axes["x"], axes["y"]) for name, axes in columns.items() if len(axes) == 2)
    if not pairs or (len(pairs) < _LEAST_PAIRS and all(None in place_of(name) for name, _, _ in pairs)):
        return None
    alone = next((name for name, axes in columns.items() if len(axes) == 1), None)
    if alone is not None and None not in place_of(alone):
        problem = problem or f"{shown(alone[:60])} has only one of x and y"
    return Header(delimiter, lines, width, image, pairs, problem=problem)


def _column(names: Sequence[str], called: Sequence[str]) -> int | None:
    return next((names.index(name) for name in called if name in names), None)


def _number(cell: str, delimiter: str) -> float:
    """A coordinate, NaN where there is none; the comma is decimal where it does not separate cells."""
    if cell.lower() in _NOTHING:
        return math.nan
    text = cell if delimiter == "," else cell.replace(",", ".")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or "_" in cell:
        raise DataError(f"'{shown(cell[:40])}' is not a number")
    return value


def _is_visible(cell: str) -> bool:
    text = cell.lower()
    if text in _NO or text in _NOTHING:
        return False
    try:
        return text in _YES or float(text.replace(",", ".")) > 0
    except ValueError:
        raise DataError(f"'{shown(cell[:40])}' does not say whether a point is visible") from None
