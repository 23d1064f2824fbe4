"""COCO keypoints: one instance with all keypoints, a category per vertebra, or one class of vertebrae."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.data.json_files import files_where, number, read_json
from mahtdiag.data.labelled import ImageLabels, LabelledSet, Shape
from mahtdiag.errors import DataError
from mahtdiag.schema.frames import Size
from mahtdiag.schema.keypoint_names import place_of
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.safe_text import shown

_KEYS: Final = ("images", "annotations", "categories")
_MOST_SAID: Final = 3
_MOST_COUNTED: Final = 1_003
# Keys of an instance itself in which people note the level.
_LEVEL_ATTRIBUTES: Final = ("level", "vertebra", "label", "name")


@dataclass(frozen=True, slots=True)
class Coco:
    """The reader (see `Reader`)."""

    name: str = "coco"
    title: str = "COCO keypoints"

    def recognises(self, path: Path) -> str | None:
        """The first JSON file with images, annotations and categories."""
        found = files_where(path, _is_coco)
        return shown(found[0].relative_to(path) if path.is_dir() else found[0].name) if found else None

    def read(self, path: Path, options: ReadOptions) -> LabelledSet:
        """Every annotation file of the set. A keypoint of visibility 0 is not labelled, wherever it lies."""
        root = path if path.is_dir() else path.parent
        files = files_where(path, _is_coco)
        labels: list[ImageLabels] = []
        notes: list[str] = []
        for file in files:
            name = shown(file.relative_to(root))
            content = CocoFile.parse(read_json(file, name), name)
            content.require_keypoints()
            labels += content.labels()
            notes += content.notes()
        names = shown(files[0].relative_to(root)) if files else ""
        return LabelledSet(root, self.name, names, tuple(labels), options, tuple(notes))


def _is_coco(keys: frozenset[str]) -> bool:
    """The three lists, or in a large file, whose middle is not looked at, one of them and an annotation."""
    return keys >= set(_KEYS) or (keys >= {"image_id", "category_id"} and not keys.isdisjoint(_KEYS))


@dataclass(slots=True)
class CocoFile:
    """One annotation file, its form checked.

    `images` and `categories` by their ids; of a category its name and the names of its keypoints.
    """

    name: str
    images: dict[int | str, Mapping[str, Any]]
    categories: dict[int | str, tuple[str, tuple[str, ...]]]
    annotations: Sequence[Any]
    without_keypoints: int = 0
    orphans: int = 0

    @classmethod
    def parse(cls, content: object, name: str) -> "CocoFile":
        """Raises DataError with everything that is not of the form."""
        if not isinstance(content, dict):
            raise DataError(f"{name}: not COCO: a list of results? give the annotation file")
        lists = {key: content.get(key) for key in _KEYS}
        problems = [
            f"{name}: '{key}' is not a list" for key, value in lists.items() if not isinstance(value, list)
        ]
        if problems:
            raise DataError(*problems)
        images: dict[int | str, Mapping[str, Any]] = {}
        for at, image in _while_few(problems, lists["images"]):
            identifier = image.get("id") if isinstance(image, dict) else None
            if not isinstance(identifier, int | str) or not isinstance(image.get("file_name"), str):
                problems.append(f"{name}: images[{at}]: an image has an id and a file_name")
            elif identifier in images:
                problems.append(f"{name}: images[{at}]: the id {identifier} is there twice")
            else:
                images[identifier] = image
        categories: dict[int | str, tuple[str, tuple[str, ...]]] = {}
        for at, category in _while_few(problems, lists["categories"]):
            identifier = category.get("id") if isinstance(category, dict) else None
            names = category.get("keypoints", ()) if isinstance(category, dict) else None
            if not isinstance(identifier, int | str) or not isinstance(names, list | tuple):
                problems.append(f"{name}: categories[{at}]: a category has an id and a list of keypoints")
            else:
                categories[identifier] = (str(category.get("name", "")), tuple(map(str, names)))
        if problems:
            raise DataError(*problems[:_MOST_SAID], *_more(name, len(problems)))
        return cls(name, images, categories, lists["annotations"] or ())

    def require_keypoints(self) -> None:
        """Raises DataError where nothing in it has a keypoint: what to export instead."""
        if not self.annotations:
            raise DataError(
                f"{self.name}: no annotations: CVAT exports points as an empty COCO file: mark skeletons"
                " in CVAT and export 'COCO Keypoints 1.0', or export 'CVAT for images 1.1'"
            )
        if not any(isinstance(a, dict) and a.get("keypoints") for a in self.annotations):
            raise DataError(
                f"{self.name}: {len(self.annotations)} annotations, none with keypoints: boxes or outlines"
                " alone: export keypoints"
            )

    def labels(self) -> list[ImageLabels]:
        """What the file says of each of its images."""
        of_images: dict[int | str, list[int]] = {identifier: [] for identifier in self.images}
        kinds: dict[int | str, list[int]] = {}
        problems: dict[int, str] = {}
        for at, annotation in enumerate(self.annotations):
            identifier = annotation.get("image_id") if isinstance(annotation, dict) else None
            if not isinstance(identifier, int | str) or identifier not in of_images:
                self.orphans += 1
                continue
            if not annotation.get("keypoints"):
                self.without_keypoints += 1
                continue
            of_images[identifier].append(at)
            category = annotation.get("category_id")
            if isinstance(category, int | str) and category in self.categories:
                kinds.setdefault(category, []).append(at)
            else:
                problems[at] = f"there is no category {shown(str(category)[:40])}"
        shapes: dict[int, Shape] = {}
        for category, members in kinds.items():
            self._take(category, members, shapes, problems)
        return [
            ImageLabels(
                image=image["file_name"],
                where=f"{self.name}, image {identifier}",
                shapes=tuple([shapes[at] for at in own if at in shapes]),
                size=_size(image),
                problem=next((f"annotations[{at}]: {problems[at]}" for at in own if at in problems), None)
                if problems
                else None,
            )
            for (identifier, image), own in zip(self.images.items(), of_images.values(), strict=True)
        ]

    def _take(
        self, category: int | str, members: Sequence[int], shapes: dict[int, Shape], problems: dict[int, str]
    ) -> None:
        """The shapes of the instances of a category, all at once where all are of its form."""
        label, names = self.categories[category]
        values = [self.annotations[at]["keypoints"] for at in members]
        together = _same_triples(values, len(names)) if names else None
        for i, at in enumerate(members):
            made = self._points(values[i], label, names) if together is None else together[i]
            if isinstance(made, str):
                problems[at] = made
            else:
                own = names or tuple(map(str, range(len(made))))
                shapes[at] = Shape(_level(self.annotations[at], label), own, made)

    def _points(self, keypoints: object, label: str, names: tuple[str, ...]) -> NDArray[np.float64] | str:
        """The points of an instance, NaN where not labelled, or what is wrong with it."""
        values = triples(keypoints)
        if values is None:
            return "keypoints are not numbers x, y, v one after the other"
        if names and len(values) != len(names):
            return f"{len(values)} keypoints, the category {shown(label)} has {len(names)}"
        points = _labelled(values)
        return "a coordinate is infinite" if np.isinf(points).any() else points

    def notes(self) -> list[str]:
        """One line for each kind of annotation that was left out."""
        said = []
        if self.orphans:
            said.append(f"{self.name}: {self.orphans} annotations of no image in it left out")
        if self.without_keypoints:
            said.append(f"{self.name}: {self.without_keypoints} annotations without keypoints left out")
        return said


def _level(annotation: Mapping[str, Any], label: str) -> str:
    """The label of an instance: its category, or what an attribute says where the category names no level.

    Attributes of an annotation tool count by their values, whatever they are called, if all of them that name
    a level name the same one.
    """
    if place_of(label)[0] is not None:
        return label
    attributes = annotation.get("attributes")
    if not attributes and annotation.keys().isdisjoint(_LEVEL_ATTRIBUTES):
        return label
    attributes = attributes if isinstance(attributes, dict) else {}
    noted = [*attributes.values(), *(annotation.get(key) for key in _LEVEL_ATTRIBUTES)]
    levels = {value: level for value in noted if isinstance(value, str) and (level := place_of(value)[0])}
    return next(iter(levels)) if len(set(levels.values())) == 1 else label


def _same_triples(values: Sequence[object], count: int) -> NDArray[np.float64] | None:
    """Points `[N, count, 2]` of instances, None where any is not so many finite numbers x, y, v in a row."""
    if not all(isinstance(each, list) and len(each) == 3 * count for each in values):
        return None
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    if array.ndim != 2:
        return None
    points = _labelled(array.reshape(len(values), count, 3))
    return None if np.isinf(points).any() else points


def _labelled(triples: NDArray[np.float64]) -> NDArray[np.float64]:
    """`[..., 3]` (x, y, v) to points `[..., 2]`, NaN where v is not above 0."""
    return np.where(triples[..., 2:] > 0, triples[..., :2], np.nan)


def triples(values: object) -> NDArray[np.float64] | None:
    """`[n, 3]` (x, y, v), None where it is anything else."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    if array.ndim == 2 and array.shape[1] == 3:
        return array
    return array.reshape(-1, 3) if array.ndim == 1 and array.size % 3 == 0 else None


def _size(image: Mapping[str, Any]) -> Size | None:
    return _size_of(number(image.get("height")), number(image.get("width")))


@lru_cache(maxsize=1024)
def _size_of(height: float, width: float) -> Size | None:
    """Most images of a set are of few sizes."""
    return Size(int(height), int(width)) if 0 < height < 1e6 and 0 < width < 1e6 else None


def _while_few(problems: Sequence[str], items: Sequence[Any] | None) -> Iterator[tuple[int, Any]]:
    """The items with their numbers, until there are more problems than anybody counts."""
    return takewhile(lambda _: len(problems) <= _MOST_COUNTED, enumerate(items or ()))


def _more(name: str, problems: int) -> tuple[str, ...]:
    if problems > _MOST_COUNTED:
        return (f"{name}: and more than {_MOST_COUNTED - _MOST_SAID} more problems",)
    return (f"{name}: and {problems - _MOST_SAID} more problems",) if problems > _MOST_SAID else ()
