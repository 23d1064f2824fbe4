"""YOLO pose: a YAML file that says what is marked, and a text file of shares beside each image."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
import yaml
from numpy.typing import NDArray

from mahtdiag.data.files import counted
from mahtdiag.data.image_index import ImageIndex
from mahtdiag.data.json_files import files_with
from mahtdiag.data.labelled import ImageLabels, LabelledSet, Shape
from mahtdiag.data.shares import require_shares, shares_to_px
from mahtdiag.data.text_files import decoded, read_bounded
from mahtdiag.errors import DataError
from mahtdiag.opening import open_file
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.safe_text import shown

Floats = NDArray[np.float64]
_LARGEST_YAML_BYTES: Final = 128 * 1024
_LARGEST_LABELS_BYTES: Final = 4 * 2**20
_MOST_LOOKED_AT: Final = 16
_MOST_POINTS: Final = 10_000
_BOX: Final = 5
_SPLITS: Final = ("train", "val", "test")
_SHAPE_KEY: Final = re.compile(rb"""(?m)(?:^|[{,])[ \t]*["']?kpt_shape["']?[ \t]*:""")
_SPLIT_KEY: Final = re.compile(rb"""(?m)(?:^|[{,])[ \t]*["']?(?:path|train|val|test)["']?[ \t]*:""")


@dataclass(frozen=True, slots=True)
class YoloPose:
    """The reader (see `Reader`)."""

    name: str = "yolo-pose"
    title: str = "YOLO pose"

    def recognises(self, path: Path) -> str | None:
        """The first YAML file with a `kpt_shape` and a split; a network's own file has no split."""
        found = _descriptions(path)
        return shown(found[0].relative_to(path) if path.is_dir() else found[0].name) if found else None

    def read(self, path: Path, options: ReadOptions) -> LabelledSet:
        """Every label file of the folder, whatever machine and split its YAML file speaks of."""
        root = path if path.is_dir() else path.parent
        files = _descriptions(path)
        if not files:
            raise DataError(f"{shown(path)}: no YAML file with kpt_shape: name the folder with data.yaml")
        names = [shown(file.relative_to(root)) for file in files]
        read = [
            _Description.parse(read_bounded(f, n, _LARGEST_YAML_BYTES), n)
            for f, n in zip(files, names, strict=True)
        ]
        if len({(each.dims, each.classes, each.points) for each in read}) > 1:
            raise DataError(f"{shown(root)}: {' and '.join(names[:2])} say different things: keep one")
        labels = _LabelFiles(root, read[0])
        found = tuple(labels.read(ImageIndex.of(root, frozenset((".txt",))).images))
        notes = (*labels.notes(), *read[0].notes(labels.images))
        return LabelledSet(root, self.name, names[0], found, options, notes)


def class_names(root: Path) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The classes of a set with the names of their keypoints. Raises DataError as `YoloPose.read` does."""
    files = _descriptions(root)
    if not files:
        return ()
    name = shown(files[0].relative_to(root))
    said = _Description.parse(read_bounded(files[0], name, _LARGEST_YAML_BYTES), name)
    return tuple(zip(said.classes, said.points, strict=True))


@dataclass(frozen=True, slots=True)
class _Description:
    """What the YAML file says: classes, the names of the points of each, numbers per point, image folders."""

    name: str
    classes: tuple[str, ...]
    points: tuple[tuple[str, ...], ...]
    dims: int
    splits: Mapping[str, tuple[str, ...]]

    @classmethod
    def parse(cls, content: bytes, name: str) -> "_Description":
        """Raises DataError, one line, where it cannot be read or contradicts itself."""
        try:
            # Texts, lists and mappings alone: no tag makes an object, and what an alias repeats is shared.
            said = yaml.load(content, Loader=yaml.BaseLoader)
        except RecursionError as error:
            raise DataError(f"{name}: nested too deeply for a data.yaml") from error
        except (yaml.YAMLError, ValueError) as error:
            problem = " ".join(str(error).split())[:200]
            raise DataError(f"{name}: not YAML: {shown(problem)}") from error
        if not isinstance(said, dict):
            raise DataError(f"{name}: not a mapping of keys such as kpt_shape and names")
        count, dims = _shape(said.get("kpt_shape"), name)
        classes = _texts(said.get("names")) or ("",) * min(_count(said.get("nc")) or 1, _MOST_POINTS)
        points = _point_names(said, classes, name)
        for names in points:
            if names and len(names) != count:
                raise DataError(f"{name}: {len(names)} names of keypoints, kpt_shape says {count}")
        numbered = tuple(map(str, range(count)))
        splits = {split: _texts(said.get(split)) for split in _SPLITS}
        return cls(name, classes, tuple(names or numbered for names in points), dims, splits)

    @property
    def columns(self) -> int:
        """Numbers in a line: class, box, points."""
        return _BOX + self.dims * len(self.points[0])

    def notes(self, images: Sequence[str]) -> list[str]:
        """Which splits were read together, and which are not there."""
        folders = [PurePosixPath(image).parent.parts for image in images]
        counts: dict[str, int] = {}
        said, seen = [], set[str]()
        for split, places in self.splits.items():
            for place in places:
                # A folder that is named for two splits is one.
                if place in seen:
                    continue
                seen.add(place)
                if place.lower().endswith(".txt"):
                    said.append(f"{shown(place)} ({split}) is not read: every image with labels counts")
                elif not (found := _below(place, folders)):
                    said.append(f"{self.name}: {split}: no labelled images in {shown(place)}")
                else:
                    counts[split] = counts.get(split, 0) + found
        if len(counts) > 1:
            together = ", ".join(f"{split} {number}" for split, number in counts.items())
            said.append(f"splits read together: images of {together}")
        return said


class _LabelFiles:
    """Reads the label files; counts what is left out."""

    def __init__(self, root: Path, description: _Description) -> None:
        self.root = root
        self.said = description
        self.images: list[str] = []
        self.zeros = 0
        self.repeated = 0

    def read(self, files: Sequence[str]) -> list[ImageLabels]:
        """The labels of each file that lies in a folder `labels`, or beside an image of its name."""
        images = ImageIndex.of(self.root)
        stems = {path.rpartition(".")[0] for path in images.images}
        labels = []
        for file in files:
            place = PurePosixPath(file)
            folders = list(place.parent.parts)
            beside = file.rpartition(".")[0] in stems
            if "labels" in folders and not beside:
                at = len(folders) - 1 - folders[::-1].index("labels")
                folders[at] = "images"
                if place.name in ("classes.txt", "labels.txt") and not images.find(place.stem):
                    continue
            elif not beside:
                continue
            image = str(PurePosixPath(*folders, place.stem))
            self.images.append(image)
            labels.append(self._image(image, file))
        return labels

    def _image(self, image: str, file: str) -> ImageLabels:
        name = shown(file)
        try:
            content = read_bounded(self.root / file, name, _LARGEST_LABELS_BYTES)
            shapes = self._shapes(decoded(content, name))
        except DataError as error:
            problem = "; ".join(error.problems).removeprefix(f"{name}: ")
            return ImageLabels(image, name, (), problem=problem)
        return ImageLabels(image, name, shapes, to_px=shares_to_px)

    def _shapes(self, content: str) -> tuple[Shape, ...]:
        rows: dict[tuple[float, ...], int] = {}
        for number, line in enumerate(content.splitlines(), start=1):
            if cells := line.split():
                row = self._row(cells, number)
                self.repeated += row in rows
                rows.setdefault(row, number)
        return tuple(self._marked(row, number) for row, number in rows.items())

    def _row(self, cells: Sequence[str], number: int) -> tuple[float, ...]:
        if len(cells) != self.said.columns:
            shape = f"[{len(self.said.points[0])}, {self.said.dims}]"
            also = {_BOX: ", a box alone", self.said.columns + 1: ", a confidence too"}.get(len(cells), "")
            raise DataError(
                f"line {number}: {counted(len(cells), 'number')}{also}, kpt_shape {shape} makes"
                f" {self.said.columns}"
            )
        try:
            row = tuple(map(float, cells))
        except ValueError:
            row = (math.nan,)
        if not all(map(math.isfinite, row)) or any("_" in cell for cell in cells):
            wrong = next((cell for cell in cells if not _is_number(cell)), "")
            raise DataError(f"line {number}: '{shown(wrong[:40])}' is not a number")
        return row

    def _marked(self, row: tuple[float, ...], number: int) -> Shape:
        label = row[0]
        if label not in range(len(self.said.classes)):
            raise DataError(
                f"line {number}: class {label:g}, {self.said.name} has {len(self.said.classes)} from 0"
            )
        values = np.array(row[_BOX:]).reshape(-1, self.said.dims)
        points = values[:, :2].copy()
        if self.said.dims == 3:
            points[values[:, 2] <= 0] = np.nan
        else:
            unset = (points == 0).all(axis=1) | (points < 0).all(axis=1)
            self.zeros += int(unset.sum())
            points[unset] = np.nan
        try:
            require_shares(points)
        except DataError as error:
            raise DataError(*(f"line {number}: {problem}" for problem in error.problems)) from error
        return Shape(self.said.classes[int(label)], self.said.points[int(label)], points)

    def notes(self) -> list[str]:
        said = []
        if self.zeros:
            shape = f"[{len(self.said.points[0])}, 2]"
            said.append(
                f"{counted(self.zeros, 'keypoint')} at 0, 0 taken as not labelled (kpt_shape {shape})"
            )
        if self.repeated:
            said.append(f"{counted(self.repeated, 'repeated line')} left out")
        return said


def _descriptions(path: Path) -> list[Path]:
    found = []
    for number, file in enumerate(files_with(path, (".yaml", ".yml"))):
        if number == _MOST_LOOKED_AT:
            break
        try:
            with open_file(file) as opened:
                head = opened.read(_LARGEST_YAML_BYTES)
        except OSError:
            continue
        if head.startswith((b"\xff\xfe", b"\xfe\xff")):
            head = head.replace(b"\0", b"")
        if _SHAPE_KEY.search(head) and _SPLIT_KEY.search(head):
            found.append(file)
    return found


def _shape(said: object, name: str) -> tuple[int, int]:
    pair = said if isinstance(said, list) and len(said) == 2 else ()
    count, dims = (_count(value) or 0 for value in pair or ("", ""))
    if not 0 < count <= _MOST_POINTS or dims not in (2, 3):
        raise DataError(f"{name}: kpt_shape is not [number of keypoints, 2 or 3]")
    return count, dims


def _point_names(said: Mapping[object, object], classes: Sequence[str], name: str) -> list[tuple[str, ...]]:
    """The names of the points of each class, empty where the file has none."""
    for key in ("kpt_names", "node_names", "keypoint_names"):
        value = said.get(key)
        if isinstance(value, dict) and value and all(isinstance(own, list) for own in value.values()):
            unknown = [each for each in value if _count(each) is None or int(each) >= len(classes)]
            if unknown:
                raise DataError(f"{name}: {key}: there is no class {shown(str(unknown[0])[:40])}")
            of_class = {int(each): _texts(own) for each, own in value.items()}
            only = next(iter(of_class.values())) if len(of_class) == 1 else ()
            return [of_class.get(number, only) for number in range(len(classes))]
        if names := _texts(value):
            return [names] * len(classes)
    return [()] * len(classes)


def _texts(value: object) -> tuple[str, ...]:
    """A text, a list of texts or numbered texts (`0: L1`) in their order; empty for anything else."""
    if isinstance(value, dict):
        numbers = [_count(key) for key in value]
        if sorted(number for number in numbers if number is not None) != list(range(len(value))):
            return ()
        value = [value[key] for key in sorted(value, key=int)]
    if isinstance(value, str):
        return (value,) if value and value not in ("null", "~") else ()
    return tuple(value) if isinstance(value, list) and all(isinstance(v, str) for v in value) else ()


def _count(value: object) -> int | None:
    """A whole number of at most six digits."""
    return int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,6}", value, re.ASCII) else None


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell)) and "_" not in cell
    except ValueError:
        return False


def _below(place: str, folders: Sequence[tuple[str, ...]]) -> int:
    """How many images lie in the folder that a path of any machine means: its longest end that is one."""
    parts = [part for part in re.split(r"[/\\]", place) if part not in ("", ".", "..")]
    for first in range(len(parts)):
        wanted = tuple(parts[first:])
        if number := sum(folder[: len(wanted)] == wanted for folder in folders):
            return number
    return 0
