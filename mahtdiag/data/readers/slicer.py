"""3D Slicer markups: `.mrk.json` and the older `.fcsv`, places in millimetres of the patient."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.data.image_index import ImageIndex
from mahtdiag.data.json_files import files_with, keys_seen, number, read_json
from mahtdiag.data.labelled import LabelledSet
from mahtdiag.data.marks import Drawn, Mark, MarkedImage, labels_of
from mahtdiag.data.slicer_spacing import slicer_mm_per_px
from mahtdiag.errors import DataError
from mahtdiag.opening import open_file
from mahtdiag.schema.keypoint_names import place_of, renamed
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.safe_text import shown

_ENDINGS: Final = (".mrk.json", ".fcsv", ".json")
_KEYS: Final = frozenset(("markups", "controlPoints"))
_MOST_LOOKED_AT: Final = 64
_LOOKED_AT_BYTES: Final = 4096
_LARGEST_TABLE_BYTES: Final = 16 * 2**20
_MOST_POINTS: Final = 100_000
# The signs that turn a coordinate system into LPS, of which x and y run as columns and rows of the image do.
_TO_LPS: Final = {"LPS": 1.0, "1": 1.0, "RAS": -1.0, "0": -1.0}
# In the order of `vtkMRMLMarkupsNode::PositionStatus`.
_STATUS: Final = ("undefined", "preview", "defined", "missing")
_COLUMNS: Final = (
    *("id", "x", "y", "z", "ow", "ox", "oy", "oz"),
    *("vis", "sel", "lock", "label", "desc", "associatedNodeID"),
)


@dataclass(frozen=True, slots=True)
class Slicer:
    """The reader (see `Reader`)."""

    name: str = "slicer"
    title: str = "3D Slicer markups"

    def recognises(self, path: Path) -> str | None:
        """The first `.mrk.json` with markups of control points, or `.fcsv` with the header of one."""
        for file in islice(files_with(path, _ENDINGS), _MOST_LOOKED_AT):
            if _is_one(file):
                return shown(file.relative_to(path) if path.is_dir() else file.name)
        return None

    def read(self, path: Path, options: ReadOptions) -> LabelledSet:
        """A file has the name of its image, or lies with it alone in a folder: a vertebra of it, maybe."""
        root = path if path.is_dir() else path.parent
        index = ImageIndex.of(root)
        found: dict[str, list[_Points]] = {}
        names: list[str] = []
        for file in files_with(path, _ENDINGS):
            if not file.name.lower().endswith((".mrk.json", ".fcsv")) and not _is_one(file):
                continue
            name = shown(file.relative_to(root))
            names.append(name)
            image, stem = _image_of(file, root, index)
            found.setdefault(image, []).append(_Points.read(file, name, stem))
        images = [_marked(image, parts, options) for image, parts in found.items()]
        labels, notes = labels_of(images, options.keypoints)
        where = names[0] if len(names) == 1 else str(Path(names[0] if names else "").parent / "*.mrk.json")
        return LabelledSet(root, self.name, where, labels, options, notes)


def _is_one(file: Path) -> bool:
    if file.name.lower().endswith(".json"):
        return keys_seen(file) >= _KEYS
    try:
        with open_file(file) as opened:
            head = opened.read(_LOOKED_AT_BYTES)
    except OSError:
        return False
    return head.startswith(b"# Markups") or b"# CoordinateSystem" in head


def _image_of(file: Path, root: Path, index: ImageIndex) -> tuple[str, str]:
    """The image of a file, by its path below the root, and what its name says beyond that."""
    stem = file.name
    for ending in _ENDINGS:
        if stem.lower().endswith(ending):
            stem = stem[: -len(ending)]
            break
    folder = file.parent.relative_to(root).as_posix().removeprefix(".")
    named = f"{folder}/{stem}".lstrip("/")
    for candidate in (named, named.removesuffix("-markups").removesuffix("_markups")):
        found = index.find(candidate, folder)
        if found:
            return (found[0] if len(found) == 1 else candidate), ""
    beside = [image for image in index.images if image.rpartition("/")[0] == folder]
    return (beside[0], stem) if len(beside) == 1 else (named, "")


@dataclass(frozen=True, slots=True)
class _Points:
    """What one file says: labels, places `[n, 2]` in millimetres, LPS, NaN where not labelled."""

    where: str
    labels: tuple[str, ...]
    points_mm: NDArray[np.float64]
    stem: str = ""
    problem: str | None = None

    @classmethod
    def read(cls, file: Path, name: str, stem: str) -> "_Points":
        """A file that cannot be read has a problem, and no points."""
        try:
            read = _of_table(file, name) if file.suffix.lower() == ".fcsv" else _of_json(file, name)
        except DataError as error:
            problem = "; ".join(error.problems).removeprefix(f"{name}: ")
            return cls(name, (), np.zeros((0, 2)), stem, problem)
        labels, points_mm = tuple(label for label, _ in read), np.array([place for _, place in read])
        return cls(name, labels, points_mm.reshape(-1, 2), stem)

    def marks(self, options: ReadOptions) -> Iterator[Mark]:
        """A mark per labelled point. `L1-1` to `L1-4`, as Slicer numbers points itself, are four of `L1`."""
        own = options.keypoints
        group = f"file {self.stem}" if self.stem and place_of(renamed(self.stem, own))[0] else None
        if group:
            yield Mark(self.stem, Drawn.NAME, np.zeros((0, 2)), group)
        for label, point in zip(self.labels, self.points_mm, strict=True):
            if np.isnan(point).any():
                continue
            base, _, counter = label.rpartition("-")
            vertebra, corner = place_of(renamed(base, own))
            numbered = counter.isdecimal() and label not in own and vertebra is not None and corner is None
            yield Mark(base if numbered else label, Drawn.POINT, point[np.newaxis], group)


def _marked(image: str, parts: Sequence[_Points], options: ReadOptions) -> MarkedImage:
    where = parts[0].where
    problem = next((f"{part.where}: {part.problem}" for part in parts if part.problem), None)
    problem = problem.removeprefix(f"{where}: ") if problem else None
    marks = tuple(mark for part in parts for mark in part.marks(options))
    return MarkedImage(image, where, marks, None, problem, _to_px)


def _to_px(image: Path, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pixels of millimetres, by the spacing that Slicer gives the image. Raises DataError: no such kind."""
    return points_mm / slicer_mm_per_px(image)


def _of_json(file: Path, name: str) -> list[tuple[str, tuple[float, float]]]:
    """Labels and places of the control points of every node. Raises DataError."""
    content = read_json(file, name)
    nodes = content.get("markups") if isinstance(content, dict) else None
    if not isinstance(nodes, list) or not nodes:
        raise DataError(f"{name}: no 'markups': save the points from Slicer again")
    found: list[tuple[str, tuple[float, float]]] = []
    for node in nodes:
        points = node.get("controlPoints") if isinstance(node, dict) else None
        if not isinstance(points, list):
            raise DataError(f"{name}: a node of 'markups' has no list of controlPoints")
        sign = _sign(node.get("coordinateSystem", "LPS"), name)
        _require_mm(node.get("coordinateUnits", "mm"), name)
        for at, point in enumerate(points):
            if not isinstance(point, dict):
                raise DataError(f"{name}: controlPoints[{at}]: not a point")
            label = point.get("label")
            label = label if isinstance(label, str) else ""
            defined = point.get("positionStatus", "defined") == "defined"
            place = point.get("position")
            if not defined or place is None:
                found.append((label, (np.nan, np.nan)))
                continue
            if not isinstance(place, list) or len(place) != 3:
                raise DataError(f"{name}: controlPoints[{at}]: its position is not x, y, z")
            found.append((label, _place(place, sign, f"{name}: controlPoints[{at}]")))
    return found


def _of_table(file: Path, name: str) -> list[tuple[str, tuple[float, float]]]:
    """Labels and places of a `.fcsv`. Raises DataError."""
    try:
        with open_file(file) as opened:
            content = opened.read(_LARGEST_TABLE_BYTES + 1)
    except OSError as error:
        raise DataError(f"{name}: cannot be read: {error.strerror or error}") from error
    if len(content) > _LARGEST_TABLE_BYTES:
        raise DataError(f"{name}: more than {_LARGEST_TABLE_BYTES} bytes: not the points of an image")
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        lines = content.decode(encoding).splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: not UTF-8 at byte {error.start}: save it as UTF-8") from error
    # Before version 4.6 Slicer wrote RAS and did not always say so.
    system, columns = "RAS", list(_COLUMNS)
    rows: list[str] = []
    for line in lines:
        key, _, value = line.lstrip("# ").partition("=")
        if not line.startswith("#"):
            rows.append(line)
        elif key.strip() == "CoordinateSystem":
            system = value.strip()
        elif key.strip() == "columns":
            columns = [column.strip() for column in value.split(",")]
    if not {"x", "y", "label"} <= set(columns):
        raise DataError(f"{name}: its columns lack x, y or label: save the points from Slicer again")
    return _table_rows(rows, columns, _sign(system, name), name)


def _table_rows(
    rows: Sequence[str], columns: Sequence[str], sign: float, name: str
) -> list[tuple[str, tuple[float, float]]]:
    at = {column: place for place, column in enumerate(columns)}
    found: list[tuple[str, tuple[float, float]]] = []
    try:
        cells = [row for row in csv.reader(rows) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise DataError(f"{name}: not a table: {error}") from error
    for count, row in enumerate(cells, start=1):
        if len(row) <= max(at[key] for key in ("x", "y", "label")):
            raise DataError(f"{name}: point {count}: {len(row)} columns, {len(columns)} expected")
        label = row[at["label"]].strip()
        # Slicer 5 adds the status behind the columns that its header names.
        status = row[len(columns)].strip() if len(row) > len(columns) else ""
        if status.isdecimal() and int(status) < len(_STATUS) and _STATUS[int(status)] != "defined":
            found.append((label, (np.nan, np.nan)))
            continue
        try:
            place = [float(row[at["x"]]), float(row[at["y"]])]
        except ValueError as error:
            raise DataError(f"{name}: point {count}: {shown(str(error))}") from error
        found.append((label, _place(place, sign, f"{name}: point {count}")))
    return found


def _place(place: Sequence[object], sign: float, where: str) -> tuple[float, float]:
    x, y = number(place[0]), number(place[1])
    if not (np.isfinite(x) and np.isfinite(y)):
        raise DataError(f"{where}: its position is not in finite numbers")
    return sign * x + 0.0, sign * y + 0.0


def _sign(system: object, name: str) -> float:
    sign = _TO_LPS.get(str(system).strip().upper()) if isinstance(system, str | int) else None
    if sign is None:
        raise DataError(f"{name}: coordinate system {shown(str(system)[:40])}: LPS and RAS are read")
    return sign


def _require_mm(unit: Any, name: str) -> None:
    """`mm`, or a list of a code, its scheme and its meaning."""
    code = unit[0] if isinstance(unit, list) and unit else unit
    if code != "mm":
        raise DataError(f"{name}: coordinates in {shown(str(code)[:40])}: mm are read")
