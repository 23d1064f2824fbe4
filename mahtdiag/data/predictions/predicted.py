"""What prediction files of any tool say, and the one way from there to keypoints of a set's images.

A reader of a format delivers `ImageLabels` whose points have the columns of `columns`; names become keypoints
by the same rules as those of labels. Images are those of the set, found by their names there: no file is
looked for, and nothing outside is read.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from mahtdiag.data.files import Dataset, counted
from mahtdiag.data.image_index import ImageIndex
from mahtdiag.data.labelled import ImageLabels, OntoSkeleton
from mahtdiag.data.predictions.references import CocoIds, KeypointNames, coco_ids, keypoint_names
from mahtdiag.errors import DataError
from mahtdiag.opening import open_file
from mahtdiag.schema.places import LARGEST_PX, SMALLEST_SIGMA_PX
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.safe_text import recorded, shown
from mahtdiag.schema.skeleton import CORNERS_PER_VERTEBRA, Skeleton

Floats = NDArray[np.float64]
XY, SIGMA, SCORE = slice(0, 2), slice(2, 4), 4
_COLUMNS: Final = 5
_MOST_SAID: Final = 3
_MOST_NAMED: Final = 5
_TOGETHER: Final = 4096


@dataclass(frozen=True, slots=True)
class Prediction:
    """The prediction for one image, in original-image pixels; NaN where the file has none.

    `points_px` `[K, 2]` (x, y); `sigma_px` `[K, 2]` per axis, `score` `[K]`, each None where the file as a
    whole has none.
    """

    points_px: Floats
    sigma_px: Floats | None
    score: Floats | None


@dataclass(frozen=True, slots=True)
class PredictionSet:
    """What a prediction file says of the images of a set.

    `by_image` has the names of the set's images, failures among them. `problems`: why the prediction of an
    image cannot be used, in one line. `notes`: how the file was read and what was left out, a line each.
    """

    file: Path
    format: str
    title: str
    sha256: str
    by_image: Mapping[str, Prediction]
    problems: Mapping[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PredictedFile:
    """What a reader found: predictions as labels with more columns (see `columns`), the files it read."""

    images: tuple[ImageLabels, ...]
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()


class SetOfImages:
    """The set that predictions are of: its images by name, and what its files say that predictions refer to.

    Failures of the set are images of it too: what is predicted for them belongs to it.
    """

    def __init__(self, dataset: Dataset, options: ReadOptions) -> None:
        self.dataset = dataset
        self.options = options
        self.skeleton: Skeleton = dataset.skeleton
        listed = {sample.image for sample in dataset.samples}
        names = listed | {failure.image for failure in dataset.failures}
        self.images = ImageIndex.of_names(dataset.path, sorted(names))
        # To the index a backslash is the border of a folder.
        self._with_escapes = {name for name in names if "\\" in name}
        self.in_our_order = False
        self._names: dict[tuple[str, int], tuple[str, ...]] = {}

    @cached_property
    def coco(self) -> CocoIds | None:
        """Ids of its COCO files, None where it has none. Raises DataError where one cannot be read."""
        return coco_ids(self.dataset.path, self.images)

    @cached_property
    def keypoint_names(self) -> KeypointNames:
        """Its categories or classes. Raises DataError where their file cannot be read."""
        return keypoint_names(self.dataset, self.coco)

    def find(self, name: str) -> list[str]:
        """The images that a name can mean."""
        kept = [each for each in (recorded(name), name) if each in self._with_escapes]
        return kept[:1] or self.images.find(name)

    def names(self, label: str, count: int) -> tuple[str, ...]:
        """Names of the keypoints of an instance that a prediction file leaves without: as the set has them.

        Those of the category or class of this label, else of the only one with so many; else the skeleton's
        where the number is its own, and numbers for the corners of a vertebra. Raises DataError for others.
        """
        if (label, count) not in self._names:
            self._names[label, count] = self._names_of(label, count)
        return self._names[label, count]

    def _names_of(self, label: str, count: int) -> tuple[str, ...]:
        known = self.keypoint_names.of(label, count)
        if known is not None:
            return known
        numbered = tuple(map(str, range(count)))
        if any(number in self.options.keypoints for number in numbered):
            return numbered
        if count == self.skeleton.keypoints:
            self.in_our_order = True
            return self.skeleton.keypoint_names
        if count == CORNERS_PER_VERTEBRA:
            return numbered
        raise DataError(
            f"{counted(count, 'keypoint')} without names: {self.skeleton} has {self.skeleton.keypoints}, a"
            f" vertebra {CORNERS_PER_VERTEBRA}"
        )


class PredictionReader(Protocol):
    """One format of prediction files; stateless."""

    @property
    def name(self) -> str:
        """What `run.json` says: permanent."""

    @property
    def title(self) -> str:
        """What people call it."""

    @property
    def looks_like(self) -> str:
        """How to know it, in a few words."""

    def recognises(self, path: Path) -> bool:
        """Whether a file or folder is of this format, by a few bytes of its content; raises nothing."""

    def read(self, path: Path, of: SetOfImages) -> PredictedFile:
        """The predictions. Raises DataError where they as a whole cannot be read."""


def columns(points: Floats, sigma: Floats | None = None, score: Floats | None = None) -> Floats:
    """`[n, 5]`: x, y, σ along x and y, score. `sigma` `[n]` or `[n, 2]`, `score` `[n]`, NaN where none."""
    values = np.full((len(points), _COLUMNS), np.nan)
    values[:, XY] = points
    if sigma is not None:
        values[:, SIGMA] = sigma if sigma.ndim == 2 else sigma[:, None]
    if score is not None:
        values[:, SCORE] = score
    return values


def assembled(path: Path, reader: PredictionReader, found: PredictedFile, of: SetOfImages) -> PredictionSet:
    """Predictions by the images of the set. Raises DataError where no name in them means anything there."""
    where = shown(path.name)
    try:
        onto = OntoSkeleton(found.images, of.skeleton, of.options.keypoints, where, _COLUMNS)
    except DataError as error:
        raise DataError(*(f"{where}: {_without(line, where)}" for line in error.problems)) from error
    matched = _Matched(of)
    for first in range(0, len(found.images), _TOGETHER):
        together = found.images[first : first + _TOGETHER]
        values, wrong = _checked(together, onto)
        for i, image in enumerate(together):
            matched.add(image, values[i], wrong.get(i))
    if not matched.seen:
        raise DataError(_nothing_found(where, matched.elsewhere, of))
    notes = [f"predictions read as {reader.title}", *found.notes, *onto.notes(where)]
    if of.in_our_order:
        order = ", ".join(of.skeleton.keypoint_names[:_MOST_NAMED])
        notes.append(f"keypoints have no names in {where}: taken in the order {order}, …")
    notes += matched.notes()
    predictions = _predictions(matched.by_image)
    digest = _sha256(found.files)
    return PredictionSet(path, reader.name, reader.title, digest, predictions, matched.problems, tuple(notes))


def _without(line: str, where: str) -> str:
    """A line that does not begin with its place."""
    return line.removeprefix(where).removeprefix(": ")


class _Matched:
    """The images of the set that predictions are found to be of, and the names that find none."""

    def __init__(self, of: SetOfImages) -> None:
        self.of = of
        self.by_image: dict[str, Floats] = {}
        self.problems: dict[str, str] = {}
        self.seen: dict[str, str] = {}
        self.elsewhere: list[str] = []

    def add(self, image: ImageLabels, values: Floats, problem: str | None) -> None:
        """Take in the prediction of one image; two of one image are none."""
        names = self.of.find(image.image)
        if not names:
            self.elsewhere.append(image.image)
        for name in names:
            if len(names) > 1:
                problem = f"several images of this name, {names[0]} and {names[1]}: name their folders too"
            elif name in self.seen:
                problem = f"a second prediction for this image, after {self.seen[name]}"
            self.seen.setdefault(name, image.where)
            if problem is None:
                self.by_image[name] = values
            else:
                self.problems.setdefault(name, f"{image.where}: {problem}")
                self.by_image.pop(name, None)

    def notes(self) -> Iterator[str]:
        """What was left out."""
        if self.elsewhere:
            listed = ", ".join(shown(name[:100]) for name in self.elsewhere[:_MOST_SAID])
            listed += ", …" * (len(self.elsewhere) > _MOST_SAID)
            count = counted(len(self.elsewhere), "prediction")
            yield f"{count} left out, of images that are not in the data: {listed}"


def _checked(images: Sequence[ImageLabels], onto: OntoSkeleton) -> tuple[Floats, dict[int, str]]:
    """`[N, K, 5]` of images, and why those of some cannot be used."""
    placed = onto.placed(images)
    values, names = placed.keypoints, onto.skeleton.keypoint_names
    sigma, score = values[..., SIGMA], values[..., SCORE]
    not_above_0 = np.asarray(((sigma < SMALLEST_SIGMA_PX) | (sigma > LARGEST_PX)).any(axis=2))
    of_one_axis = np.asarray(np.isnan(sigma).sum(axis=2) == 1)
    endless = np.isinf(score)
    problems: dict[int, str] = {}
    for i in np.flatnonzero(endless.any(axis=1)).tolist():
        problems[i] = f"{names[endless[i].argmax()]} has a score that is infinite"
    for i in np.flatnonzero(of_one_axis.any(axis=1)).tolist():
        keypoint = names[of_one_axis[i].argmax()]
        problems[i] = f"{keypoint} has a sigma along one axis alone: give both, or one for both"
    for i in np.flatnonzero(not_above_0.any(axis=1)).tolist():
        k = int(not_above_0[i].argmax())
        worst = sigma[i, k].min() if (sigma[i, k] < SMALLEST_SIGMA_PX).any() else sigma[i, k].max()
        problems[i] = f"{names[k]} has a sigma of {worst:g}: a sigma is a number of pixels above 0"
    for i in np.flatnonzero(~np.isfinite(values[..., XY]).any(axis=(1, 2))).tolist():
        problems[i] = "nothing is predicted"
    problems |= placed.problems
    for i, image in enumerate(images):
        if image.problem is not None:
            problems[i] = image.problem
        elif any(np.isinf(shape.points[:, XY]).any() for shape in image.shapes):
            problems[i] = "a coordinate is infinite: no image is that large"
    return values, problems


def _predictions(by_image: Mapping[str, Floats]) -> dict[str, Prediction]:
    has_sigma = any(np.isfinite(values[:, SIGMA]).any() for values in by_image.values())
    has_score = any(np.isfinite(values[:, SCORE]).any() for values in by_image.values())
    return {
        image: Prediction(
            values[:, XY], values[:, SIGMA] if has_sigma else None, values[:, SCORE] if has_score else None
        )
        for image, values in sorted(by_image.items())
    }


def _nothing_found(where: str, elsewhere: Sequence[str], of: SetOfImages) -> str:
    if not elsewhere:
        return f"{where}: no prediction in it: write a prediction for each image"
    known = of.images.images
    example = f", which has {known[0]}" if known else ""
    return (
        f"{where}: none of its {counted(len(elsewhere), 'image')}, such as {shown(elsewhere[0][:100])}, is in"
        f" {shown(of.dataset.path)}{example}: name the data that was predicted"
    )


def _sha256(files: Sequence[Path]) -> str:
    """That of the file; of several, that of their hashes and names, a line each. Raises DataError."""
    hashes = []
    for file in files:
        try:
            with open_file(file) as opened:
                hashes.append(hashlib.file_digest(opened, "sha256").hexdigest())
        except OSError as error:
            raise DataError(f"{shown(file.name)}: cannot be read: {error.strerror or error}") from error
    if len(hashes) == 1:
        return hashes[0]
    lines = (f"{digest}  {shown(file.name)}\n" for digest, file in zip(hashes, files, strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
