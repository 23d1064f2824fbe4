"""JSON for Keypoint R-CNN: a file per image with boxes, keypoints and labels, none of which names a level."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from mahtdiag.data.files import counted
from mahtdiag.data.json_files import files_of_keys, files_with, read_json
from mahtdiag.data.labelled import ImageLabels, LabelledSet, Shape
from mahtdiag.errors import DataError
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.safe_text import shown

_KEYS: Final = ("boxes", "keypoints", "labels")
_DEPTH: Final = 3
_LARGEST_PROOF_BYTES: Final = 2**20


@dataclass(frozen=True, slots=True)
class KeypointRcnn:
    """The reader (see `Reader`)."""

    name: str = "keypoint-rcnn"
    title: str = "Keypoint R-CNN JSON"

    def recognises(self, path: Path) -> str | None:
        """The first JSON file that is nothing but lists of boxes, keypoints and labels."""
        for file in files_of_keys(path, *_KEYS)[:1]:
            try:
                small = file.stat().st_size <= _LARGEST_PROOF_BYTES
                if small and _is_of_form(read_json(file, file.name)):
                    return shown(file.relative_to(path) if path.is_dir() else file.name)
            except (OSError, DataError):
                return None
        return None

    def read(self, path: Path, options: ReadOptions) -> LabelledSet:
        """Every such file; the image has its name."""
        root = path if path.is_dir() else path.parent
        read: list[tuple[Path, ImageLabels]] = []
        folders: set[Path] = set()
        other = 0
        for file in files_with(path, (".json",), _DEPTH):
            content = _read(file)
            if content is None:
                other += 1
                continue
            read.append((file.parent, _labels(file, shown(file.relative_to(root)), content)))
            if not isinstance(content, str):
                folders.add(file.parent)
        if not folders:
            raise DataError(f"{shown(path)}: no JSON file with {', '.join(_KEYS)}")
        # What is no JSON counts only where its neighbours are labels.
        labels = tuple(each for folder, each in read if folder in folders)
        other += len(read) - len(labels)
        notes = (f"{counted(other, 'JSON file')} left out, without boxes, keypoints and labels",) * (
            other > 0
        )
        places = shown((min(folders) / "*.json").relative_to(root))
        return LabelledSet(root, self.name, places, labels, options, notes)


def _is_of_form(content: object) -> bool:
    return isinstance(content, dict) and all(isinstance(content.get(key), list) for key in _KEYS)


def _read(file: Path) -> Mapping[str, Any] | str | None:
    """The content of a file, what is wrong with it, or None where it is JSON of another kind."""
    try:
        content = read_json(file, "")
    except DataError as error:
        return "; ".join(error.problems).removeprefix(": ")
    return content if isinstance(content, dict) and _is_of_form(content) else None


def _image(file: Path) -> str:
    return f"{file.parent.name}/{file.stem}"


def _labels(file: Path, name: str, content: Mapping[str, Any] | str) -> ImageLabels:
    """The labels of an image by the content of its file, or by what is wrong with that."""
    if isinstance(content, str):
        return ImageLabels(_image(file), name, (), problem=content)
    counts = {key: len(content[key]) for key in _KEYS}
    if len(set(counts.values())) > 1:
        differ = ", ".join(f"{number} {key}" for key, number in counts.items())
        return ImageLabels(_image(file), name, (), problem=f"{differ}: one of each belongs to a vertebra")
    shapes = []
    for at, keypoints in enumerate(content["keypoints"]):
        try:
            values = np.asarray(keypoints, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            values = np.empty(0)
        if values.ndim != 2 or values.shape[1] not in (2, 3):
            problem = f"keypoints[{at}]: not a list of x, y or x, y, visibility"
            return ImageLabels(_image(file), name, (), problem=problem)
        points = values[:, :2].copy()
        if values.shape[1] == 3:
            points[~(values[:, 2] > 0)] = np.nan
        if np.isinf(points).any():
            return ImageLabels(_image(file), name, (), problem=f"keypoints[{at}]: a coordinate is infinite")
        shapes.append(Shape("vertebra", tuple(map(str, range(len(points)))), points))
    return ImageLabels(_image(file), name, tuple(shapes))
