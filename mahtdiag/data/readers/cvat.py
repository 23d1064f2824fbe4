"""CVAT for images 1.1: an XML file of skeletons, points and polygons per image."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Final
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from mahtdiag.data.json_files import LARGEST_FILE_BYTES, files_with
from mahtdiag.data.labelled import LabelledSet
from mahtdiag.data.marks import Drawn, Mark, MarkedImage, labels_of
from mahtdiag.errors import DataError
from mahtdiag.opening import open_file
from mahtdiag.schema.frames import Size
from mahtdiag.schema.keypoint_names import place_of
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.safe_text import shown

_LOOKED_AT_BYTES: Final = 64 * 1024
_MOST_LOOKED_AT: Final = 64
_CHUNK_BYTES: Final = 256 * 1024
_DEEPEST: Final = 32
_LONGEST_TEXT: Final = 200
_NOWHERE: Final = np.zeros((0, 2))
_DRAWN: Final = {
    "points": Drawn.POINT,
    "polygon": Drawn.POLYGON,
    "polyline": Drawn.LINE,
    "box": Drawn.OTHER,
    "ellipse": Drawn.OTHER,
    "cuboid": Drawn.OTHER,
    "mask": Drawn.OTHER,
}


@dataclass(frozen=True, slots=True)
class Cvat:
    """The reader (see `Reader`)."""

    name: str = "cvat"
    title: str = "CVAT for images 1.1"

    def recognises(self, path: Path) -> str | None:
        """The first XML file whose first element is `annotations` and holds a `version`."""
        found = next(_files(path), None)
        if found is None:
            return None
        return shown(found.relative_to(path) if path.is_dir() else found.name)

    def read(self, path: Path, options: ReadOptions) -> LabelledSet:
        """Every XML file of the set. A point that is `outside` is not labelled, wherever it lies."""
        root = path if path.is_dir() else path.parent
        files = list(_files(path))
        images: list[MarkedImage] = []
        for file in files:
            images += _Content(shown(file.relative_to(root))).parse(file)
        labels, notes = labels_of(images, options.keypoints)
        names = shown(files[0].relative_to(root)) if files else ""
        return LabelledSet(root, self.name, names, labels, options, notes)


def _files(path: Path) -> Iterator[Path]:
    for file in islice(files_with(path, (".xml",)), _MOST_LOOKED_AT):
        try:
            with open_file(file) as opened:
                head = opened.read(_LOOKED_AT_BYTES).replace(b"\0", b"")
        except OSError:
            continue
        if b"<annotations" in head and b"<version>" in head and b"<annotation>" not in head:
            yield file


@dataclass(slots=True)
class _Open:
    """A shape whose element is not closed yet."""

    kind: str
    label: str
    points: NDArray[np.float64]
    group: str | None
    outside: bool
    attributes: dict[str, str] = field(default_factory=dict)
    elements: list["_Open"] = field(default_factory=list)


class _Content:
    """One file, read element by element: nothing of it is kept but what was marked.

    A document type is refused, and with it every entity of the file's own: none can grow, none is read.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.images: list[MarkedImage] = []
        self.depth = 0
        self.image: Mapping[str, str] | None = None
        self.marks: list[Mark] = []
        self.problem: str | None = None
        self.shapes: list[_Open] = []
        self.attribute: str | None = None
        self.text = ""
        self.tracks = 0

    def parse(self, file: Path) -> list[MarkedImage]:
        """Raises DataError, one line, where the file cannot be read or is another export of CVAT."""
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._character_data
        parser.StartDoctypeDeclHandler = self._doctype
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        parser.buffer_text = True
        try:
            size = file.stat().st_size
            if size > LARGEST_FILE_BYTES:
                raise DataError(
                    f"{self.name}: {size} bytes: an annotation file has at most {LARGEST_FILE_BYTES}"
                )
            with open_file(file) as opened:
                while chunk := opened.read(_CHUNK_BYTES):
                    parser.Parse(chunk, False)
                parser.Parse(b"", True)
        except OSError as error:
            raise DataError(f"{self.name}: cannot be read: {error.strerror or error}") from error
        except (expat.ExpatError, ValueError, LookupError) as error:
            raise DataError(f"{self.name}: not XML: {shown(str(error))}: export it again") from error
        if self.tracks and not self.images:
            raise DataError(
                f"{self.name}: an export for videos ({self.tracks} tracks), which names no images: export"
                " 'CVAT for images 1.1'"
            )
        return self.images

    def _doctype(self, *_: object) -> None:
        raise DataError(f"{self.name}: has a document type, which CVAT never writes: not read")

    def _start(self, element: str, values: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise DataError(f"{self.name}: nested too deeply to be annotations")
        if element == "track":
            self.tracks += 1
        elif element == "image" and self.image is None:
            self.image, self.marks, self.problem, self.shapes = values, [], None, []
        elif self.image is not None and (element in _DRAWN or element == "skeleton"):
            self.shapes.append(self._opened(element, values))
        elif element == "attribute" and self.shapes:
            self.attribute, self.text = values.get("name", ""), ""

    def _opened(self, element: str, values: Mapping[str, str]) -> _Open:
        label = values.get("label", "")[:_LONGEST_TEXT]
        points = _points(values.get("points", ""))
        if points is None:
            self.problem = self.problem or f"'{shown(label)}': points are not finite numbers x,y;x,y"
            points = _NOWHERE
        group = values.get("group_id") or None
        return _Open(element, label, points, group, values.get("outside") == "1")

    def _character_data(self, text: str) -> None:
        if self.attribute is not None and len(self.text) < _LONGEST_TEXT:
            self.text += text[:_LONGEST_TEXT]

    def _end(self, element: str) -> None:
        self.depth -= 1
        if element == "attribute" and self.attribute is not None:
            if self.shapes:
                self.shapes[-1].attributes[self.attribute] = self.text.strip()
            self.attribute = None
        elif self.shapes and element == self.shapes[-1].kind:
            shape = self.shapes.pop()
            if self.shapes:
                self.shapes[-1].elements.append(shape)
            else:
                self._close(shape)
        elif element == "image" and self.image is not None:
            self._close_image(self.image)
            self.image = None

    def _close(self, shape: _Open) -> None:
        """A shape of the image: the points of a skeleton are a group, named by it."""
        label = _labelled(shape)
        if shape.kind != "skeleton":
            group = f"group {shape.group}" if shape.group not in (None, "0") else None
            self.marks += _marks(shape, label, group)
            return
        own = f"skeleton {len(self.marks)}"
        self.marks.append(Mark(label, Drawn.NAME, _NOWHERE, own))
        for element in shape.elements:
            self.marks += _marks(element, element.label, own)

    def _close_image(self, values: Mapping[str, str]) -> None:
        where = f"{self.name}, image {shown(values.get('id', '?')[:20])}"
        image = values.get("name", "")
        if not image:
            self.problem, image = "it has no name", where
        size = _size(values)
        self.images.append(MarkedImage(image, where, tuple(self.marks), size, self.problem))


def _labelled(shape: _Open) -> str:
    """The label of a shape, or what an attribute says where the label names no vertebra."""
    if place_of(shape.label)[0] is not None:
        return shape.label
    noted = (text for text in shape.attributes.values() if place_of(text)[0] is not None)
    found = next(noted, None)
    if found is None:
        return shape.label
    # The corner may be the label, and the vertebra what its attribute says.
    return f"{found} {shape.label}" if place_of(shape.label)[1] else found


def _marks(shape: _Open, label: str, group: str | None) -> list[Mark]:
    """A mark per point, one for each other shape; none for what is outside."""
    if shape.outside:
        return []
    drawn = _DRAWN.get(shape.kind, Drawn.OTHER)
    if drawn is not Drawn.POINT:
        return [Mark(label, drawn, shape.points, group)]
    if len(shape.points) == 1:
        return [Mark(label, drawn, shape.points, group)]
    # Several points of one element are in an order, as those of a polygon.
    return [Mark(label, Drawn.POLYGON, shape.points, group)]


def _points(text: str) -> NDArray[np.float64] | None:
    """`[n, 2]` of `x,y;x,y`; None where a number is none."""
    if not text:
        return _NOWHERE
    try:
        pairs = [[float(number) for number in pair.split(",")] for pair in text.split(";")]
    except ValueError:
        return None
    if any(len(pair) != 2 for pair in pairs):
        return None
    if not all(map(math.isfinite, chain.from_iterable(pairs))):
        return None
    return np.array(pairs, dtype=np.float64)


def _size(values: Mapping[str, str]) -> Size | None:
    try:
        height, width = int(values.get("height", "")), int(values.get("width", ""))
    except ValueError:
        return None
    return Size(height, width) if 0 < height < 10**6 and 0 < width < 10**6 else None
