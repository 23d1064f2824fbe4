"""Label Studio: a JSON list of tasks, with places in percent of the image."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from mahtdiag.data.files import IMAGE_EXTENSIONS
from mahtdiag.data.image_index import ImageIndex
from mahtdiag.data.json_files import files_with, keys_seen, number, read_json
from mahtdiag.data.labelled import LabelledSet
from mahtdiag.data.marks import Drawn, Mark, MarkedImage, labels_of
from mahtdiag.errors import DataError
from mahtdiag.schema.frames import Size
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.safe_text import shown

_MOST_LOOKED_AT: Final = 64
# Those of the export named JSON, and of the flat one named JSON-MIN.
_KEYS: Final = (
    frozenset(("data", "annotations", "result", "original_width")),
    frozenset(("original_width", "original_height", "annotation_id")),
    frozenset(("data", "annotations", "predictions", "total_annotations")),
)
# What an upload is named: eight digits of a random number, then the name.
_UPLOAD: Final = re.compile(r"^[0-9a-f]{8}-(?=.)")
# In which of these a region says its labels, depends on the tag of the labelling interface.
_LABELS: Final = (
    *("keypointlabels", "polygonlabels", "rectanglelabels", "ellipselabels", "brushlabels", "labels"),
    *("choices", "text"),
)
_DRAWN: Final = {
    "keypoint": Drawn.POINT,
    "polygon": Drawn.POLYGON,
    "rectangle": Drawn.OTHER,
    "ellipse": Drawn.OTHER,
    "brush": Drawn.OTHER,
}
_LONGEST_LABEL: Final = 200


@dataclass(frozen=True, slots=True)
class LabelStudio:
    """The reader (see `Reader`)."""

    name: str = "label-studio"
    title: str = "Label Studio JSON"

    def recognises(self, path: Path) -> str | None:
        """The first JSON file with tasks, annotations and the size of an image."""
        found = _files(path)
        return shown(found[0].relative_to(path) if path.is_dir() else found[0].name) if found else None

    def read(self, path: Path, options: ReadOptions) -> LabelledSet:
        """The newest annotation of each task that was not cancelled; predictions are none."""
        root = path if path.is_dir() else path.parent
        index = ImageIndex.of(root)
        uploaded = _uploaded(index)
        files = _files(path)
        images: list[MarkedImage] = []
        several = 0
        for file in files:
            name = shown(file.relative_to(root))
            for at, task in enumerate(_tasks(read_json(file, name), name)):
                images.append(_image(task, f"{name}, task {_number_of(task, at)}", index, uploaded))
                several += len(_done(task)) > 1
        labels, notes = labels_of(images, options.keypoints)
        if several:
            one = "1 task has" if several == 1 else f"{several} tasks have"
            notes += (f"{one} several annotations: the newest that is not cancelled was read",)
        names = shown(files[0].relative_to(root)) if files else ""
        return LabelledSet(root, self.name, names, labels, options, notes)


def _files(path: Path) -> list[Path]:
    found: list[Path] = []
    for looked_at, file in enumerate(files_with(path, (".json",))):
        if looked_at == _MOST_LOOKED_AT:
            break
        seen = keys_seen(file)
        if any(seen >= keys for keys in _KEYS):
            found.append(file)
    return found


def _tasks(content: object, name: str) -> list[Mapping[str, Any]]:
    """The tasks of a file. Raises DataError where it is another export, or not a list of tasks."""
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        raise DataError(f"{name}: not a list of tasks: export 'JSON' from Label Studio")
    for at, task in enumerate(content):
        if isinstance(task, dict) and "annotation_id" in task and "annotations" not in task:
            raise DataError(f"{name}: a JSON-MIN export: export 'JSON' from Label Studio, which is complete")
        if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
            raise DataError(f"{name}: [{at}]: a task has its data: export 'JSON' from Label Studio")
    return content


def _number_of(task: Mapping[str, Any], at: int) -> str:
    number = task.get("id")
    return str(number) if isinstance(number, int) and abs(number) < 10**12 else f"[{at}]"


def _image(
    task: Mapping[str, Any], where: str, index: ImageIndex, uploaded: Mapping[str, str]
) -> MarkedImage:
    image = _image_name(task, index, uploaded)
    if image is None:
        return MarkedImage(where, where, (), problem="its data name no image")
    annotations = task.get("annotations")
    if not isinstance(annotations, list):
        return MarkedImage(image, where, (), problem="'annotations' is not a list")
    done = _done(task)
    if not done:
        why = "every annotation of it was cancelled" if annotations else "not annotated"
        return MarkedImage(image, where, (), problem=why)
    newest = max(done, key=_age)
    try:
        marks, size = _marks(newest.get("result"))
    except DataError as error:
        return MarkedImage(image, where, (), problem="; ".join(error.problems))
    return MarkedImage(image, where, marks, size)


def _done(task: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Annotations that were not cancelled ("skipped")."""
    annotations = task.get("annotations")
    annotations = annotations if isinstance(annotations, list) else []
    return [a for a in annotations if isinstance(a, dict) and a.get("was_cancelled") is not True]


def _age(annotation: Mapping[str, Any]) -> tuple[str, float]:
    """Sorts by time, ISO 8601 in UTC as Label Studio writes it, then by number."""
    times = (annotation.get("updated_at"), annotation.get("created_at"))
    time = next((value for value in times if isinstance(value, str)), "")
    identifier = number(annotation.get("id"))
    return time, identifier if np.isfinite(identifier) else -1.0


def _uploaded(index: ImageIndex) -> dict[str, str]:
    """Images by the names that an upload gives them: no blanks, no signs but `-`, `_` and dots."""
    found: dict[str, str] = {}
    for image in index.images:
        name = image.rpartition("/")[2]
        kept = re.sub(r"[^\w.-]", "", name.strip().replace(" ", "_"))
        if kept != name:
            # Two images of one name are found by neither.
            found[kept] = "" if kept in found else image
    return {name: image for name, image in found.items() if image}


def _image_name(task: Mapping[str, Any], index: ImageIndex, uploaded: Mapping[str, str]) -> str | None:
    """The image that a task shows, by the name it has in the folder where that is known."""
    data = task["data"]
    values = [data.get("image"), *(value for key, value in data.items() if key != "image")]
    texts = [value for value in values if isinstance(value, str) and len(value) < 4096]
    upload = task.get("file_upload")
    names = [_file_name(text) for text in texts]
    images = [name for name in names if Path(name).suffix.lower() in IMAGE_EXTENSIONS] or names[:1]
    if isinstance(upload, str) and not images:
        images = [upload]
    for name in images:
        folder, _, last = name.rpartition("/")
        short = f"{folder}/{_UPLOAD.sub('', last)}".lstrip("/")
        for candidate in (name, short):
            if index.find(candidate):
                return candidate
        if (stored := uploaded.get(_UPLOAD.sub("", last))) is not None:
            return stored
    return images[0] if images else None


def _file_name(text: str) -> str:
    """The path in `/data/local-files/?d=a/b.png`, `s3://bucket/a/b.png`, `https://host/a%20b.png?x=1`."""
    try:
        parts = urlsplit(text.replace("\\", "/"))
        local = parse_qs(parts.query, max_num_fields=20).get("d")
    except ValueError:
        return text
    path = local[0] if local else unquote(parts.path)
    return path.strip("/")


def _marks(result: object) -> tuple[tuple[Mark, ...], Size | None]:
    """The regions of an annotation as marks in pixels, and the size of the image it was made on.

    Raises DataError where it cannot be placed: rotated, without size, numbers that are none.
    """
    if not isinstance(result, list) or not all(isinstance(region, dict) for region in result):
        raise DataError("'result' is not a list of regions")
    parents: dict[str, str] = {}
    labels: dict[str, list[str]] = {}
    for region in result:
        identifier = region.get("id")
        if isinstance(identifier, str):
            labels.setdefault(identifier, []).extend(_labels(region))
            if isinstance(region.get("parentID"), str):
                parents[identifier] = region["parentID"]
    marks: list[Mark] = []
    placed: set[str] = set()
    size: Size | None = None
    for at, region in enumerate(result):
        identifier = region.get("id")
        known = isinstance(identifier, str)
        drawn = _drawn(region)
        if drawn is None or (known and identifier in placed):
            continue
        placed.add(identifier if known else f"[{at}]")
        size = _size(region, at, size)
        said = list(dict.fromkeys(labels[identifier] if known else _labels(region)))
        # A point belongs to the region that it lies in by the outline of regions; others are what it lies in.
        group = parents.get(identifier, identifier if drawn is not Drawn.POINT else None) if known else None
        label = " ".join(said)[:_LONGEST_LABEL]
        marks.append(Mark(label, drawn, _points(region["value"], drawn, at, size), group))
    return tuple(marks), size


def _labels(region: Mapping[str, Any]) -> list[str]:
    value = region.get("value")
    if not isinstance(value, dict):
        return []
    said: list[str] = []
    for key in _LABELS:
        texts = value.get(key)
        said += [text for text in texts if isinstance(text, str)] if isinstance(texts, list) else []
    return said


def _drawn(region: Mapping[str, Any]) -> Drawn | None:
    """What was drawn; None for what only says something of a region or of the image."""
    kind = region.get("type")
    if not isinstance(region.get("value"), dict) or not isinstance(kind, str):
        return None
    return next((drawn for start, drawn in _DRAWN.items() if kind.startswith(start)), None)


def _size(region: Mapping[str, Any], at: int, before: Size | None) -> Size:
    if number(region.get("image_rotation", 0)) not in (0.0, 360.0):
        raise DataError(f"result[{at}]: the image was rotated in Label Studio: its places cannot be told")
    height, width = number(region.get("original_height")), number(region.get("original_width"))
    if not (1 <= height < 1e6 and 1 <= width < 1e6):
        raise DataError(f"result[{at}]: no original_width and original_height, in percent of which it is")
    size = Size(int(height), int(width))
    if before is not None and size != before:
        raise DataError(f"result[{at}]: {size} and before it {before} is the size of the image")
    return size


def _points(value: Mapping[str, Any], drawn: Drawn, at: int, size: Size) -> NDArray[np.float64]:
    """`[n, 2]` pixels, from percent of the image."""
    places: Sequence[object] = ()
    if drawn is Drawn.POINT:
        places = [[value.get("x"), value.get("y")]]
    elif drawn is Drawn.POLYGON:
        given = value.get("points")
        places = given if isinstance(given, list) else [None]
    pairs = [place if isinstance(place, list) and len(place) == 2 else (None, None) for place in places]
    pixels = [(number(x) / 100.0 * size.width, number(y) / 100.0 * size.height) for x, y in pairs]
    if not all(math.isfinite(x) and math.isfinite(y) for x, y in pixels):
        raise DataError(f"result[{at}]: its place is not in finite numbers")
    return np.array(pixels, dtype=np.float64).reshape(-1, 2)
