"""COCO results: a list of instances with the id of their image, as pycocotools loads and validators write."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mahtdiag.data.files import counted
from mahtdiag.data.json_files import number, read_json
from mahtdiag.data.labelled import ImageLabels
from mahtdiag.data.predictions.content import begins_with, keys_of
from mahtdiag.data.predictions.instances import BestOf, Instance
from mahtdiag.data.predictions.predicted import PredictedFile, SetOfImages, columns
from mahtdiag.data.predictions.references import Category, Identifier
from mahtdiag.data.readers.coco import triples
from mahtdiag.errors import DataError
from mahtdiag.schema.safe_text import shown


@dataclass(frozen=True, slots=True)
class CocoResults:
    """The reader (see `PredictionReader`)."""

    name: str = "coco-results"
    title: str = "COCO results"
    looks_like: str = 'JSON, a list of {"image_id", "category_id", "keypoints", "score"}'

    def recognises(self, path: Path) -> bool:
        """A JSON list whose entries have an image and keypoints."""
        return begins_with(path, b"[") and keys_of(path) >= {"image_id", "keypoints"}

    def read(self, path: Path, of: SetOfImages) -> PredictedFile:
        """Of each image the instance of the highest score of each category; x, y, score of a keypoint."""
        name = shown(path.name)
        content = read_json(path, name)
        if not isinstance(content, list):
            raise DataError(f"{name}: not a list of results")
        results = _Results(name, content, of)
        images = results.images()
        return PredictedFile(tuple(images), (path,), tuple(results.notes()))


class _Results:
    """One file of results."""

    def __init__(self, name: str, entries: Sequence[object], of: SetOfImages) -> None:
        self.name = name
        self.of = of
        self.best = BestOf(of)
        self.without_image = 0
        self.without_keypoints = 0
        self.by_image: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
        for at, entry in enumerate(entries):
            image = self._image(entry) if isinstance(entry, dict) else None
            if image is None or not isinstance(entry, dict):
                self.without_image += 1
            elif "keypoints" not in entry:
                self.without_keypoints += 1
                self.by_image.setdefault(image, [])
            else:
                self.by_image.setdefault(image, []).append((at, entry))
        self.categories = self._categories()

    def _image(self, entry: Mapping[str, Any]) -> str | None:
        """The name of an entry's image; where nothing tells it, its id in words, which finds none.

        Raises DataError for a number where no file says what numbers mean.
        """
        if isinstance(entry.get("file_name"), str) and entry["file_name"]:
            return str(entry["file_name"])
        identifier = _identifier(entry.get("image_id"))
        if identifier is None:
            return None
        coco = self.of.coco
        if coco is not None and identifier in coco.images:
            return coco.images[identifier] or f"image_id {identifier}"
        if isinstance(identifier, str):
            return identifier
        if coco is None:
            raise DataError(
                f"{self.name}: image_id {identifier}: the data have no COCO file that says which image it is:"
                " put the annotation file beside the images, or give each result a file_name"
            )
        return f"image_id {identifier}"

    def _categories(self) -> Mapping[Identifier | None, Category | None]:
        """Label and names of keypoints of each category in the file. Raises DataError: one is not known."""
        entries = (entry for found in self.by_image.values() for _, entry in found)
        ids = {_identifier(entry.get("category_id")) for entry in entries}
        known = {} if self.of.coco is None else self.of.coco.categories
        if len(ids) == 1:
            (only,) = ids
            with_points = [each for each in known.values() if each[1]]
            alone = with_points[0] if len(with_points) == 1 else None
            category = (known.get(only) if only is not None else None) or alone
            # With a category per vertebra, that one is not known may be any of them, or all together.
            if category is not None or len(self.of.keypoint_names.categories) < 2 or self._are_whole():
                return {only: category}
        strange = sorted(str(each) for each in ids if each is None or each not in known)
        if not strange:
            return {each: known[each] for each in ids if each is not None}
        return self._classes(ids, strange)

    def _are_whole(self) -> bool:
        """Whether every instance has as many keypoints as the skeleton."""
        k = self.of.skeleton.keypoints
        said = (entry["keypoints"] for found in self.by_image.values() for _, entry in found)
        return all(isinstance(each, list) and len(each) in (k, 2 * k, 3 * k) for each in said)

    def _classes(
        self, ids: set[Identifier | None], strange: Sequence[str]
    ) -> Mapping[Identifier | None, Category | None]:
        """Categories as the numbers of a YOLO set's classes, counted from 0 or from 1."""
        classes = self.of.keypoint_names.categories if self.of.coco is None else ()
        numbers = {each for each in ids if isinstance(each, int)}
        if classes and len(numbers) == len(ids) and numbers <= set(range(len(classes) + 1)):
            first = 0 if 0 in numbers else 1 if len(classes) in numbers else None
            if first is not None and numbers <= set(range(first, first + len(classes))):
                return {each: classes[each - first] for each in numbers}
        listed = ", ".join(shown(each[:20]) for each in strange[:3]) + ", …" * (len(strange) > 3)
        raise DataError(
            f"{self.name}: category_id {listed}: no COCO file of the data says which vertebra that is: put"
            " the annotation file beside the images"
        )

    def images(self) -> list[ImageLabels]:
        """What the file says of each image."""
        made = []
        for image, entries in self.by_image.items():
            where = f"{self.name}, [{entries[0][0]}]" if entries else self.name
            try:
                shapes = self.best.shapes(self._instance(at, entry) for at, entry in entries)
            except DataError as error:
                made.append(ImageLabels(image, self.name, (), problem="; ".join(error.problems)))
            else:
                made.append(ImageLabels(image, where, shapes))
        return made

    def _instance(self, at: int, entry: Mapping[str, Any]) -> Instance:
        values = _triples(entry.get("keypoints"))
        if values is None:
            raise DataError(f"[{at}]: keypoints are not numbers x, y, score one after the other")
        identifier = _identifier(entry.get("category_id"))
        category = self.categories.get(identifier)
        label, names = category if category is not None else ("", ())
        try:
            names = names or self.of.names(label, len(values))
        except DataError as error:
            raise DataError(f"[{at}]: {'; '.join(error.problems)}") from error
        if len(values) != len(names):
            raise DataError(f"[{at}]: {len(values)} keypoints, the category {shown(label)} has {len(names)}")
        return Instance(label, names, found_values(values), number(entry.get("score")))

    def notes(self) -> list[str]:
        """What was left out."""
        said = self.best.notes()
        if self.without_image:
            said.append(f"{counted(self.without_image, 'result')} without an image_id left out")
        if self.without_keypoints:
            said.append(f"{counted(self.without_keypoints, 'result')} without keypoints left out")
        return said


def _triples(values: object) -> NDArray[np.float64] | None:
    """`[n, 3]` (x, y, score), NaN for the score where numbers come in pairs; None where it is anything else.

    Ultralytics' validator writes pairs for a network without visibilities.
    """
    if isinstance(values, list) and len(values) % 3 and not len(values) % 2:
        pairs = zip(values[::2], values[1::2], strict=True)
        return triples([each for x, y in pairs for each in (x, y, math.nan)])
    return triples(values)


def found_values(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Columns of points `[n, 3]` (x, y, score); one at 0, 0 with a score of 0 was not found."""
    found = columns(values[:, :2], score=values[:, 2])
    missing = ~values.any(axis=1)
    if missing.any():
        found[missing] = math.nan
    return found


def _identifier(value: object) -> Identifier | None:
    """An id, None for what is none; whole numbers that were written as floats are whole."""
    if isinstance(value, str) or type(value) is int:
        return value
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else None
