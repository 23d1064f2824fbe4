"""What the files of a set say that prediction files only refer to: ids of images and categories, names."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mahtdiag.data.files import Dataset
from mahtdiag.data.image_index import ImageIndex
from mahtdiag.data.json_files import files_where, read_json
from mahtdiag.data.readers.coco import CocoFile
from mahtdiag.data.readers.yolo import class_names
from mahtdiag.errors import DataError
from mahtdiag.schema.safe_text import recorded, shown

Identifier = int | str
Category = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class CocoIds:
    """Ids of the COCO files of a set.

    `images`: the names of the set's images, none for one that is not in it; `categories`: their name and the
    names of their keypoints. `where`: the first of the files.
    """

    where: str
    images: Mapping[Identifier, str | None]
    categories: Mapping[Identifier, Category]


@dataclass(frozen=True, slots=True)
class KeypointNames:
    """The categories or classes of a set with the names of their keypoints."""

    categories: tuple[Category, ...]

    def of(self, label: str, count: int) -> tuple[str, ...] | None:
        """Names of the keypoints of the category of this label, or of the only one with so many, or None."""
        fitting = [(name, names) for name, names in self.categories if len(names) == count]
        called = {names for name, names in fitting if name == label}
        found = called or {names for _, names in fitting}
        return found.pop() if len(found) == 1 else None


def keypoint_names(dataset: Dataset, coco: CocoIds | None) -> KeypointNames:
    """What the set's COCO or YOLO files call keypoints; empty where it has none of them."""
    if coco is not None:
        return KeypointNames(tuple(each for each in coco.categories.values() if each[1]))
    return KeypointNames(class_names(dataset.path) if dataset.format == "yolo-pose" else ())


def coco_ids(root: Path, images: ImageIndex) -> CocoIds | None:
    """The ids of every COCO file below a folder, with or without annotations; None where there is none.

    Raises DataError where one cannot be read, and where an id means two images of the set or two categories.
    """
    files = files_where(root, lambda keys: keys >= {"images", "categories", "file_name"})
    by_id: dict[Identifier, str | None] = {}
    categories: dict[Identifier, Category] = {}
    for file in files:
        name = shown(file.relative_to(root) if root.is_dir() else file.name)
        content = read_json(file, name)
        if isinstance(content, dict):
            content.setdefault("annotations", [])
        parsed = CocoFile.parse(content, name)
        beside = name.rpartition("/")[0]
        for identifier, image in parsed.images.items():
            found = images.find(recorded(image["file_name"]), beside)
            known = by_id.get(identifier)
            mine = found[0] if len(found) == 1 else None
            if known is not None and mine is not None and known != mine:
                raise DataError(
                    f"{name}: the image id {identifier} is {mine} here and {known} in another file: name one"
                    " annotation file as the data"
                )
            by_id[identifier] = known or mine
        for identifier, category in parsed.categories.items():
            if categories.setdefault(identifier, category) != category:
                raise DataError(
                    f"{name}: the category id {identifier} is {shown(category[0])} here and another one in"
                    " another file: name one annotation file as the data"
                )
    return CocoIds(shown(files[0].name), by_id, categories) if files else None
