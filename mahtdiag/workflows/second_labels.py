"""Another set beside the images that are judged; as a second labelling: how far two readers lie apart."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from mahtdiag.data.files import Dataset, is_normalised
from mahtdiag.data.images import read_image_size
from mahtdiag.data.readers import open_dataset
from mahtdiag.diagnosis.copies import CopyPair
from mahtdiag.diagnosis.label_noise import LabelNoise, label_noise
from mahtdiag.diagnosis.labelled_twice import noise_of_copies
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.errors import DataError
from mahtdiag.schema.frames import PixelSpacing, Size
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.records import Floats, Sample
from mahtdiag.schema.skeleton import Skeleton


@dataclass(frozen=True, slots=True)
class OtherSet:
    """Another set that images are held against, as it is named, and where it is."""

    name: str
    path: Path
    skeleton: Skeleton
    options: ReadOptions

    def opened(self) -> Dataset:
        """The set. Raises DataError where there is nothing in it."""
        levels = None if self.skeleton is self.skeleton.view.skeleton else self.skeleton.levels
        return open_dataset(self.path, self.skeleton.view, self.options, levels=levels)

    def samples(self) -> tuple[tuple[Sample, ...], tuple[str, ...]]:
        """Its images, and the names of those that cannot be used. Raises DataError where there are none."""
        dataset = self.opened()
        return dataset.samples, tuple(failure.image for failure in dataset.failures)


def noise_of_labels(
    table: RunTable, labels_px: Floats, spacing_mm: Floats | None, second: OtherSet
) -> LabelNoise:
    """What a second labelling says of the first, `[N, K, 2]`, of the images of a table, matched by name.

    Raises DataError as `second_labels` does.
    """
    sizes = {
        image: Size(int(height), int(width))
        for image, (width, height) in zip(table.image, table.sizes_px.tolist(), strict=True)
    }
    theirs = second_labels(table.image, table.skeleton, second, sizes.__getitem__)
    rows = np.array([row for row, image in enumerate(table.image) if image in theirs], dtype=np.int64)
    return label_noise(
        second.name,
        labels_px[rows],
        np.stack([theirs[table.image[row]].keypoints_px for row in rows]),
        table.skeleton,
        np.unique(table.units[rows], return_inverse=True)[1],
        np.full((len(rows), 2), np.nan) if spacing_mm is None else spacing_mm[rows],
        unmatched=len(table.image) - len(rows),
    )


def noise_by_copies(
    table: RunTable, pairs: Sequence[CopyPair], ours: Sequence[Sample], theirs: Mapping[str, Sample]
) -> LabelNoise | None:
    """What images that are there twice say of labels: `ours` are the images of the table, `theirs` others.

    Others that have other keypoints, or labels that are no pixels of their image, say nothing.
    """
    there = {pair.other: theirs[pair.other] for pair in pairs if pair.across}
    return noise_of_copies(
        pairs,
        {sample.image: sample.keypoints_px for sample in ours},
        {name: sample.keypoints_px for name, sample in there.items() if _in_pixels(sample, table.skeleton)},
        table.skeleton,
        dict(zip(table.image, table.units.tolist(), strict=True)),
        dict(zip((sample.image for sample in ours), spacings_mm(ours), strict=True)),
    )


def _in_pixels(sample: Sample, skeleton: Skeleton) -> bool:
    if sample.skeleton.keypoints != skeleton.keypoints:
        return False
    try:
        size = read_image_size(sample.path, sample.image, upright=sample.upright)
    except DataError:
        return False
    return sample.labelled_size in (None, size) and not is_normalised(sample.keypoints_px, size)


def spacings_mm(samples: Sequence[Sample]) -> Floats:
    """Pixel spacings along x and y, `[N, 2]`, NaN where unknown."""
    spacings = [sample.spacing or PixelSpacing(np.nan, np.nan) for sample in samples]
    return np.array([(each.x_mm, each.y_mm) for each in spacings], dtype=np.float64).reshape(-1, 2)


def second_labels(
    images: Sequence[str], skeleton: Skeleton, second: OtherSet, size_of: Callable[[str], Size]
) -> dict[str, Sample]:
    """The second labelling of each of these images that has one, by its name in `images`.

    Names are compared without folder and ending. Raises DataError where none is in both, where a name is not
    unique, where both label other keypoints, and where an image has another size there than `size_of` says.
    """
    dataset = second.opened()
    if dataset.skeleton.keypoints != skeleton.keypoints:
        raise DataError(
            f"{second.name}: {dataset.skeleton.keypoints} keypoints, the images that are judged have "
            f"{skeleton.keypoints}"
        )
    theirs: dict[str, Sample] = {}
    for sample in dataset.samples:
        if _name(sample.image) in theirs:
            raise DataError(f"{second.name}: two images are called {_name(sample.image)}: rename one")
        theirs[_name(sample.image)] = sample
    found = {image: theirs[_name(image)] for image in images if _name(image) in theirs}
    if not found:
        raise DataError(
            f"{second.name}: no image is called like one of those that are judged, such as "
            f"{_name(images[0]) if images else 'none'}: name a second labelling of the same images"
        )
    if len({_name(image) for image in found}) < len(found):
        raise DataError(f"{second.name}: images that are judged share a name: they cannot be matched")
    _require_sizes(found, second.name, size_of)
    return found


def _require_sizes(found: Mapping[str, Sample], name: str, size_of: Callable[[str], Size]) -> None:
    """Raises DataError where a second reader marked points in an image of another size; unread is unsaid."""
    for image, sample in found.items():
        try:
            ours = size_of(image)
            theirs = sample.labelled_size or read_image_size(
                sample.path, sample.image, upright=sample.upright
            )
        except DataError:
            continue
        if ours != theirs:
            raise DataError(
                f"{name}: {sample.image} is {theirs.width}x{theirs.height} (width x height) there, and "
                f"{ours.width}x{ours.height} here: points of both readers must be pixels of the same image"
            )


def _name(image: str) -> str:
    return PurePosixPath(image).stem
