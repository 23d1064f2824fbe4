"""DeepLabCut: the table of an analysis, with a likelihood beside x and y of each body part."""

from dataclasses import dataclass, replace
from pathlib import Path

from mahtdiag.data.labelled import ImageLabels, Shape
from mahtdiag.data.predictions.predicted import PredictedFile, SetOfImages, columns
from mahtdiag.data.readers.deeplabcut import LabelTable, tables_of, text_of
from mahtdiag.schema.safe_text import shown


@dataclass(frozen=True, slots=True)
class DeepLabCutPredictions:
    """The reader (see `PredictionReader`)."""

    name: str = "deeplabcut"
    title: str = "DeepLabCut CSV"
    looks_like: str = "header rows that begin with scorer, bodyparts, coords"

    def recognises(self, path: Path) -> bool:
        """A CSV with the header rows of DeepLabCut."""
        return path.is_file() and next(tables_of(path), None) is not None

    def read(self, path: Path, of: SetOfImages) -> PredictedFile:
        """An image per row; the likelihood is the score."""
        name = shown(path.name)
        table = LabelTable.parse(text_of(path, name), name)
        wanted = ("x", "y", "likelihood") if "likelihood" in table.coords else ("x", "y")
        images = tuple(_with_columns(image) for image in table.labels(*wanted))
        return PredictedFile(images, (path,))


def _with_columns(image: ImageLabels) -> ImageLabels:
    shapes = tuple(
        Shape(
            each.label,
            each.names,
            columns(each.points[:, :2], score=each.points[:, 2] if each.points.shape[1] > 2 else None),
        )
        for each in image.shapes
    )
    return replace(image, shapes=shapes)
