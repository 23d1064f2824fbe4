"""What MAHT-Net's test script writes: corners in pixels of the network's input, with the size of that."""

from dataclasses import dataclass
from pathlib import Path

from mahtdiag.data.files import counted
from mahtdiag.data.json_files import read_json
from mahtdiag.data.labelled import ImageLabels, Shape
from mahtdiag.data.predictions.content import keys_of
from mahtdiag.data.predictions.predicted import PredictedFile, SetOfImages, columns
from mahtdiag.data.readers.maht_net import KEYS, found_in
from mahtdiag.errors import DataError
from mahtdiag.schema.safe_text import shown
from mahtdiag.schema.skeleton import CORNERS, LA


@dataclass(frozen=True, slots=True)
class MahtNetPredictions:
    """The reader (see `PredictionReader`)."""

    name: str = "maht-net"
    title: str = "MAHT-Net predictions"
    looks_like: str = 'JSON, images by name with "original_size", "processed_size" and "vertebrae"'

    def recognises(self, path: Path) -> bool:
        """A JSON file with both sizes and vertebrae."""
        return keys_of(path) >= set(KEYS)

    def read(self, path: Path, of: SetOfImages) -> PredictedFile:
        """Each image; the score is the value of the heatmap. A corner at 0, 0 of confidence 0 is none."""
        name = shown(path.name)
        content = read_json(path, name)
        if not isinstance(content, dict):
            raise DataError(f"{name}: not a mapping of images to what was found in them")
        images, beyond = [], 0
        for image, said in content.items():
            where = f"{name}, {shown(image[:100])}"
            shapes: tuple[Shape, ...] = ()
            problem = None
            try:
                _, vertebrae, left_out = found_in(said)
                shapes = tuple(
                    Shape(level, CORNERS, columns(corners[:, :2], score=corners[:, 2]))
                    for level, corners in vertebrae
                )
                beyond += left_out
            except DataError as error:
                problem = "; ".join(error.problems)
            images.append(ImageLabels(image, where, shapes, problem=problem))
        notes = []
        if beyond:
            last = len(LA.vertebrae) - 1
            notes.append(f"{counted(beyond, 'corner')} of a vertebra_idx beyond {last} left out")
        return PredictedFile(tuple(images), (path,), tuple(notes))
