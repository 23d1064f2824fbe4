"""Another set beside the images that are judged; as a second labelling: how far two readers lie apart."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from mahtdiag.data.readers import open_dataset
from mahtdiag.diagnosis.label_noise import LabelNoise, label_noise
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.errors import DataError
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.records import Floats, Sample
from mahtdiag.schema.skeleton import View


@dataclass(frozen=True, slots=True)
class OtherSet:
    """Another set that images are held against, as it is named, and where it is."""

    name: str
    path: Path
    view: View
    options: ReadOptions

    def samples(self) -> tuple[tuple[Sample, ...], tuple[str, ...]]:
        """Its images, and the names of those that cannot be used. Raises DataError where there are none."""
        dataset = open_dataset(self.path, self.view, self.options)
        return dataset.samples, tuple(failure.image for failure in dataset.failures)


def noise_of_labels(
    table: RunTable, labels_px: Floats, spacing_mm: Floats | None, second: OtherSet
) -> LabelNoise:
    """What a second labelling says of the first, `[N, K, 2]`, of the images of a table, matched by name.

    Names are compared without folder and ending. Raises DataError where none is in both, where a name is not
    unique, or where both label other keypoints.
    """
    dataset = open_dataset(second.path, second.view, second.options)
    if dataset.skeleton.keypoints != table.skeleton.keypoints:
        raise DataError(
            f"{second.name}: {dataset.skeleton.keypoints} keypoints, the images that are judged have "
            f"{table.skeleton.keypoints}"
        )
    theirs: dict[str, Floats] = {}
    for sample in dataset.samples:
        if _name(sample.image) in theirs:
            raise DataError(f"{second.name}: two images are called {_name(sample.image)}: rename one")
        theirs[_name(sample.image)] = sample.keypoints_px
    rows = np.array([row for row, image in enumerate(table.image) if _name(image) in theirs], dtype=np.int64)
    if not len(rows):
        raise DataError(
            f"{second.name}: no image is called like one of those that are judged, such as "
            f"{_name(table.image[0]) if table.image else 'none'}: name a second labelling of the same images"
        )
    names = [_name(table.image[row]) for row in rows]
    if len(set(names)) < len(names):
        raise DataError(f"{second.name}: images that are judged share a name: they cannot be matched")
    return label_noise(
        second.name,
        labels_px[rows],
        np.stack([theirs[name] for name in names]),
        table.skeleton,
        np.unique(table.units[rows], return_inverse=True)[1],
        np.full(len(rows), np.nan) if spacing_mm is None else spacing_mm[rows],
        unmatched=len(table.image) - len(rows),
    )


def _name(image: str) -> str:
    return PurePosixPath(image).stem
