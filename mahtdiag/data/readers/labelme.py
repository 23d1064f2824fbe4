"""LabelMe: a JSON file beside each image, with points, polygons and groups."""

from collections.abc import Mapping
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
from mahtdiag.errors import DataError
from mahtdiag.schema.frames import Size
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.safe_text import shown

# `imageData`, the image itself in the file, may stand between them: only the ends of a file are looked at.
_KEYS: Final = (frozenset(("shapes", "imagePath")), frozenset(("shapes", "imageHeight", "imageWidth")))
_MOST_LOOKED_AT: Final = 64
_DRAWN: Final = {"point": Drawn.POINT, "polygon": Drawn.POLYGON, "line": Drawn.LINE, "linestrip": Drawn.LINE}


@dataclass(frozen=True, slots=True)
class LabelMe:
    """The reader (see `Reader`)."""

    name: str = "labelme"
    title: str = "LabelMe"

    def recognises(self, path: Path) -> str | None:
        """The first JSON file with shapes and an imagePath."""
        for file in islice(files_with(path, (".json",)), _MOST_LOOKED_AT):
            if _is_one(file):
                return shown(file.relative_to(path) if path.is_dir() else file.name)
        return None

    def read(self, path: Path, options: ReadOptions) -> LabelledSet:
        """One image per file. A file that cannot be read is a failure of its image."""
        root = path if path.is_dir() else path.parent
        index = ImageIndex.of(root)
        images: list[MarkedImage] = []
        for file in files_with(path, (".json",)):
            below = file.relative_to(root)
            folder = below.parent.as_posix().removeprefix(".")
            # A damaged file shows no keys, but lies beside its image.
            beside = [image for image in index.by_stem.get(file.stem, ()) if _folder(image) == folder]
            if beside or _is_one(file):
                images.append(_image(file, shown(below), folder, index))
        labels, notes = labels_of(images, options.keypoints)
        first = (
            path.name if path.is_file() else f"{Path(images[0].where).parent / '*.json'}" if images else ""
        )
        return LabelledSet(root, self.name, first, labels, options, notes)


def _is_one(file: Path) -> bool:
    seen = keys_seen(file)
    return any(seen >= keys for keys in _KEYS)


def _folder(image: str) -> str:
    return image.rpartition("/")[0]


def _image(file: Path, name: str, folder: str, index: ImageIndex) -> MarkedImage:
    """What a file says. Its image is what it names, below its own folder, or the one of its own name."""
    image = f"{folder}/{file.stem}".lstrip("/")
    try:
        content = read_json(file, name)
    except DataError as error:
        return MarkedImage(image, name, (), problem="; ".join(error.problems).removeprefix(f"{name}: "))
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        return MarkedImage(image, name, (), problem="'shapes' is not a list: save it with LabelMe again")
    named = content.get("imagePath")
    if isinstance(named, str) and named.strip():
        absolute = named.startswith(("/", "\\")) or named[1:2] == ":"
        named = named if absolute else f"{folder}/{named}".lstrip("/")
        image = named if index.find(named) or not index.find(image) else image
    marks = []
    for at, shape in enumerate(content["shapes"]):
        made = _mark(shape)
        if isinstance(made, str):
            return MarkedImage(image, name, (), problem=f"shapes[{at}]: {made}")
        marks.append(made)
    return MarkedImage(image, name, tuple(marks), _size(content))


def _mark(shape: object) -> Mark | str:
    """The mark of a shape, or what is wrong with it."""
    if not isinstance(shape, dict) or not isinstance(shape.get("label"), str):
        return "a shape has a label and points"
    points = points_of(shape.get("points"))
    if points is None:
        return f"'{shown(shape['label'][:40])}': points are not a list of finite numbers x, y"
    # Files of before version 3 say no type: all shapes were polygons then.
    kind = shape.get("shape_type") or "polygon"
    drawn = _DRAWN.get(kind, Drawn.OTHER) if isinstance(kind, str) else Drawn.OTHER
    if drawn is Drawn.POINT and len(points) != 1:
        return f"'{shown(shape['label'][:40])}': a point with {len(points)} places"
    group = shape.get("group_id")
    return Mark(shape["label"], drawn, points, group if isinstance(group, int | str) else None)


def points_of(values: object) -> NDArray[np.float64] | None:
    """`[n, 2]` finite numbers; None where it is anything else."""
    if not isinstance(values, list) or not all(isinstance(v, list) and len(v) == 2 for v in values):
        return None
    points = np.array([[number(x), number(y)] for x, y in values], dtype=np.float64).reshape(-1, 2)
    return points if np.isfinite(points).all() else None


def _size(content: Mapping[str, Any]) -> Size | None:
    height, width = number(content.get("imageHeight")), number(content.get("imageWidth"))
    return Size(int(height), int(width)) if 1 <= height < 1e6 and 1 <= width < 1e6 else None
