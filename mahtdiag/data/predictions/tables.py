"""A table of predictions: a row per point or per image, with σ and score where it has columns for them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from mahtdiag.data.labelled import ImageLabels, Shape
from mahtdiag.data.predictions.predicted import PredictedFile, SetOfImages, columns
from mahtdiag.data.readers.tables import LABELS, ColumnNames, Header, Table, column_names, header_of
from mahtdiag.errors import DataError
from mahtdiag.schema.safe_text import shown

_INDEX: Final = ("index", "keypoint_index", "landmark_index", "point_index", "keypoint_id")
_PREDICTED: Final = ("pred_{}", "{}_pred", "predicted_{}")
_CALLED: Final = ColumnNames(
    keypoint=LABELS.keypoint + _INDEX,
    x=tuple(name.format("x") for name in _PREDICTED) + LABELS.x,
    y=tuple(name.format("y") for name in _PREDICTED) + LABELS.y,
)
# σ along x, along y, and the score; one σ alone is that of both axes.
_SIGMA: Final = ("sigma", "sigma_px")
_MORE: Final = (
    ("sigma_x", "sigma_x_px"),
    ("sigma_y", "sigma_y_px"),
    ("score", "confidence", "conf", "likelihood", "peak", "keypoint_score"),
)
_FORMS: Final = ("{}_{{}}", "{{}}_{}")
_MOST_SAID: Final = 5
_NUMBER: Final = re.compile(r"([0-9]{1,6})(\.0*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class CsvPredictions:
    """The reader (see `PredictionReader`)."""

    name: str = "csv"
    title: str = "a table (CSV)"
    looks_like: str = "a header such as image,index,x,y,sigma,score or image,vertebra,corner,x,y"

    def recognises(self, path: Path) -> bool:
        """A header that names an image and coordinates."""
        return path.is_file() and header_of(path, _CALLED) is not None

    def read(self, path: Path, of: SetOfImages) -> PredictedFile:
        """The table; keypoints by their names, or by their index in the skeleton from 0."""
        name = shown(path.name)
        header = header_of(path, _CALLED)
        if header is None:
            raise DataError(f"{name}: no header such as {self.looks_like.removeprefix('a header such as ')}")
        table = Table(name, _with_more(header), of.options.missing_value)
        images = [_with_columns(image) for image in table.read(path)]
        named = _Indices(of, name).named(images)
        return PredictedFile(tuple(named), (path,), (*table.notes(), *_not_read(table.header)))


def _with_more(header: Header) -> Header:
    """The header with the columns of σ and score of each pair.

    They have names of their own in a long table, and that of the point before or after theirs in a wide one,
    where `L1_UL_sigma_x` and `L1_UL_sigma_y` are no pair of coordinates.
    """
    at = {name: len(header.cells) - 1 - i for i, name in enumerate(reversed(column_names(header.cells)))}
    if header.name is not None:
        return replace(header, more=(_columns_of(at, "{}"),) * len(header.pairs))
    more = [_columns_of(at, *(form.format(_joined(name)) for form in _FORMS)) for name, _, _ in header.pairs]
    taken = {each for columns in more for each in columns}
    kept = [k for k, (_, x, y) in enumerate(header.pairs) if not {x, y} & taken]
    return replace(header, pairs=tuple(header.pairs[k] for k in kept), more=tuple(more[k] for k in kept))


def _joined(name: str) -> str:
    return column_names([name])[0].replace("{", "").replace("}", "")


def _not_read(header: Header) -> Iterator[str]:
    """A note on columns that mean nothing here."""
    read = {header.image, header.label, header.name, header.visible}
    read |= {at for _, *axes in header.pairs for at in axes}
    read |= {at for more in header.more for at in more}
    others = [cell for at, cell in enumerate(header.cells) if at not in read and cell]
    if others:
        listed = ", ".join(shown(cell[:40]) for cell in others[:_MOST_SAID])
        yield f"columns not read: {listed}" + ", …" * (len(others) > _MOST_SAID)


def _columns_of(at: Mapping[str, int], *forms: str) -> tuple[int | None, ...]:
    """Where σ along x and y and the score are, by what columns are called in one of these forms."""
    x, y, score, both = (
        next((at[named] for name in called for form in forms if (named := form.format(name)) in at), None)
        for called in (*_MORE, _SIGMA)
    )
    return both if x is None else x, both if y is None else y, score


def _with_columns(image: ImageLabels) -> ImageLabels:
    shapes = tuple(
        Shape(each.label, each.names, columns(each.points[:, :2], each.points[:, 2:4], each.points[:, 4]))
        for each in image.shapes
    )
    return replace(image, shapes=shapes)


class _Indices:
    """Puts names in place of indices, which count the skeleton's keypoints from 0."""

    def __init__(self, of: SetOfImages, name: str) -> None:
        self.names = of.skeleton.keypoint_names
        self.skeleton = of.skeleton
        self.own = of.options.keypoints
        self.name = name

    def named(self, images: Sequence[ImageLabels]) -> list[ImageLabels]:
        """The images with names. Raises DataError where indices count from 1."""
        numbers = {
            number
            for image in images
            for shape in image.shapes
            if not shape.label
            for name in shape.names
            if (number := self._index(name)) is not None
        }
        if len(self.names) in numbers and 0 not in numbers:
            raise DataError(
                f"{self.name}: keypoints {min(numbers)} to {max(numbers)}: the index counts from 0: the last"
                f" of {self.skeleton} is {len(self.names) - 1}"
            )
        return [self._named(image) for image in images] if numbers else list(images)

    def _named(self, image: ImageLabels) -> ImageLabels:
        shapes = []
        for shape in image.shapes:
            indices = [self._index(name) if not shape.label else None for name in shape.names]
            beyond = next((each for each in indices if each is not None and each >= len(self.names)), None)
            if beyond is not None:
                last = len(self.names) - 1
                problem = f"keypoint {beyond}: those of {self.skeleton} are 0 to {last}"
                return replace(image, shapes=(), problem=image.problem or problem)
            names = tuple(
                name if index is None else self.names[index]
                for name, index in zip(shape.names, indices, strict=True)
            )
            shapes.append(replace(shape, names=names))
        return replace(image, shapes=tuple(shapes))

    def _index(self, name: str) -> int | None:
        match = _NUMBER.fullmatch(name)
        return int(match[1]) if match and name not in self.own else None
