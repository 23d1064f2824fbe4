"""DeepLabCut: `CollectedData_*.csv`, a table with three or four header rows."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np

from mahtdiag.data.files import counted
from mahtdiag.data.json_files import files_with
from mahtdiag.data.labelled import ImageLabels, LabelledSet, Shape
from mahtdiag.errors import DataError
from mahtdiag.opening import open_file, read_bytes
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.safe_text import shown

_LOOKED_AT_BYTES: Final = 64 * 1024
_MOST_LOOKED_AT: Final = 64
_LARGEST_FILE_BYTES: Final = 256 * 2**20
_HEADER: Final = ("scorer", "individuals", "bodyparts", "coords")
_INDEX_COLUMNS: Final = (1, 3)


@dataclass(frozen=True, slots=True)
class DeepLabCut:
    """The reader (see `Reader`)."""

    name: str = "deeplabcut"
    title: str = "DeepLabCut CSV"

    def recognises(self, path: Path) -> str | None:
        """The first CSV whose header rows begin with scorer, bodyparts and coords."""
        found = next(tables_of(path, _MOST_LOOKED_AT), None)
        if found is None:
            return None
        return shown(found.relative_to(path) if path.is_dir() else found.name)

    def read(self, path: Path, options: ReadOptions) -> LabelledSet:
        """Every table of labels in the set; tables with a likelihood are predictions and left out."""
        root = path if path.is_dir() else path.parent
        labels: list[ImageLabels] = []
        used: list[str] = []
        predicted = 0
        for file in tables_of(path):
            name = shown(file.relative_to(root))
            table = LabelTable.parse(text_of(file, name), name)
            if "likelihood" in table.coords:
                predicted += 1
                continue
            used.append(name)
            labels += table.labels()
        if predicted and not used:
            raise DataError(
                f"{shown(root)}: predictions of DeepLabCut (with a likelihood), no labels: name the folder of"
                " CollectedData_*.csv"
            )
        notes = (f"{counted(predicted, 'table')} with a likelihood left out, predictions",) * bool(predicted)
        first = used[0] if used else ""
        return LabelledSet(root, self.name, first, tuple(labels), options, notes)


def tables_of(path: Path, most: int | None = None) -> Iterator[Path]:
    for file in islice(files_with(path, (".csv",)), most):
        try:
            with open_file(file) as opened:
                head = opened.read(_LOOKED_AT_BYTES).replace(b"\0", b"")
        except OSError:
            continue
        starts = [line.split(b",")[0].strip(b'"\xef\xbb\xbf\xff\xfe \r') for line in head.split(b"\n", 4)[:4]]
        wanted = [key.encode() for key in _HEADER]
        if starts[:3] == [wanted[0], wanted[2], wanted[3]] or starts == wanted:
            yield file


def text_of(file: Path, name: str) -> str:
    try:
        if (size := file.stat().st_size) > _LARGEST_FILE_BYTES:
            raise DataError(f"{name}: {size} bytes: a table of labels has at most {_LARGEST_FILE_BYTES}")
        content = read_bytes(file)
    except OSError as error:
        raise DataError(f"{name}: cannot be read: {error.strerror or error}") from error
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: not UTF-8 at byte {error.start}: save it as UTF-8") from error


@dataclass(frozen=True, slots=True)
class LabelTable:
    """A table, its header checked: per column of places the individual, the body part and x or y."""

    name: str
    index_columns: int
    individuals: tuple[str, ...]
    parts: tuple[str, ...]
    coords: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]

    @classmethod
    def parse(cls, text: str, name: str) -> "LabelTable":
        """Raises DataError: no table, or header rows that do not fit together."""
        rows = []
        try:
            reader = csv.reader(io.StringIO(text, newline=""))
            rows = [(reader.line_num, tuple(row)) for row in reader if any(cell.strip() for cell in row)]
        except csv.Error as error:
            raise DataError(f"{name}: not a table: {error}") from error
        header = {row[0].strip(): row for _, row in rows[:4] if row and row[0].strip() in _HEADER}
        if not {"bodyparts", "coords"} <= header.keys():
            raise DataError(f"{name}: no header rows bodyparts and coords: save it with DeepLabCut again")
        coords = header["coords"]
        index_columns = next((at for at, cell in enumerate(coords) if at and cell.strip()), len(coords))
        if index_columns not in _INDEX_COLUMNS or len(set(map(len, header.values()))) > 1:
            raise DataError(f"{name}: its header rows do not fit together: save it with DeepLabCut again")
        body = tuple(rows[len(header) :])
        # pandas writes the names of the index in a row of their own, where it has some.
        if body and not any(cell.strip() for cell in body[0][1][index_columns:]) and "" in body[0][1][:1]:
            body = body[1:]
        individuals = header.get("individuals", ("",) * len(coords))
        cells = [
            tuple(c.strip() for c in row[index_columns:])
            for row in (individuals, header["bodyparts"], coords)
        ]
        return cls(name, index_columns, cells[0], cells[1], cells[2], body)

    def labels(self, *coords: str) -> list[ImageLabels]:
        """What each row says, a column of `Shape.points` for each of these, by default x and y.

        Raises DataError where the columns are not these of each body part.
        """
        wanted = coords or ("x", "y")
        columns: dict[tuple[str, str], dict[str, int]] = {}
        for at, (individual, part, coord) in enumerate(
            zip(self.individuals, self.parts, self.coords, strict=True)
        ):
            if coord in columns.setdefault((individual, part), {}):
                raise DataError(f"{self.name}: {coord} of {shown(part[:40])} is there twice")
            columns[(individual, part)][coord] = at
        odd = next((part for (_, part), places in columns.items() if places.keys() != set(wanted)), None)
        if odd is not None or not columns:
            each = " and ".join(f"one {coord}" for coord in wanted)
            raise DataError(f"{self.name}: {shown((odd or 'a body part')[:40])} has not {each}")
        return [self._row(line, row, columns, wanted) for line, row in self.rows]

    def _row(
        self,
        line: int,
        row: Sequence[str],
        columns: dict[tuple[str, str], dict[str, int]],
        coords: Sequence[str],
    ) -> ImageLabels:
        image = "/".join(cell.strip() for cell in row[: self.index_columns])
        where = f"{self.name}, line {line}"
        cells = row[self.index_columns :]
        if len(cells) != len(self.coords):
            wanted = len(self.coords) + self.index_columns
            return ImageLabels(image, where, (), problem=f"{len(row)} columns, the header has {wanted}")
        by_individual: dict[str, list[tuple[str, list[float]]]] = {}
        for (individual, part), at in columns.items():
            try:
                place = [_number(cells[at[coord]]) for coord in coords]
            except ValueError as error:
                return ImageLabels(image, where, (), problem=f"{shown(part[:40])}: {error}")
            by_individual.setdefault(individual, []).append((part, place))
        shapes = []
        for individual, parts in by_individual.items():
            points = np.array([place for _, place in parts], dtype=np.float64)
            if np.isfinite(points[:, :2]).all(axis=1).any():
                shapes.append(Shape(individual, tuple(part for part, _ in parts), points))
        return ImageLabels(image, where, tuple(shapes))


def _number(cell: str) -> float:
    """A coordinate, NaN where the cell is empty. Raises ValueError for what is none."""
    text = cell.strip()
    if not text:
        return float("nan")
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"'{shown(text[:40])}' is not a number") from None
    if np.isinf(value):
        raise ValueError(f"'{shown(text[:40])}' is infinite")
    return value
