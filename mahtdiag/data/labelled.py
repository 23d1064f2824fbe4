"""What annotation files of other tools say, and the one way from there to keypoints of a skeleton.

A reader of a format delivers `ImageLabels`: shapes with the names and numbers of its file. Which keypoint a
name means, which level a vertebra without name is, which image a name finds: that is settled here, alike for
every format.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.data.file_names import parse_file_name, view_of_file_name
from mahtdiag.data.files import Dataset, ViewEvidence, counted, read_spacing, settle, spacing_of
from mahtdiag.data.image_index import ImageIndex
from mahtdiag.data.placing import Placed, Slots, place_shapes
from mahtdiag.data.quads import corners_by_place
from mahtdiag.data.settled import skeleton_of_set
from mahtdiag.data.shares import shares_to_px
from mahtdiag.errors import DataError
from mahtdiag.schema.frames import PixelSpacing, Size
from mahtdiag.schema.keypoint_names import place_of, renamed
from mahtdiag.schema.preprocessing import Exif
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.records import Failure, Patient, Sample
from mahtdiag.schema.safe_text import recorded, shown
from mahtdiag.schema.skeleton import CORNERS, CORNERS_PER_VERTEBRA, LA, SPINE, Levels, Skeleton, View

Floats = NDArray[np.float64]
# How many images are worked on together.
_TOGETHER: Final = 4096
NOBODY: Final = Patient()
MOST_POINTS: Final = 50_000
"""What is marked in one image, outlines of regions included."""
_MOST_NAMES: Final = 12
_MOST_SAID: Final = 3


@dataclass(frozen=True, slots=True)
class Shape:
    """One thing that was marked: a vertebra with its corners, a spine with all its keypoints, or a point.

    `label` is what the file calls it (`L1`, `vertebra`, `L1_UL`), `names` are those of its points in order,
    both as in the file. `points` `[n, 2]` (x, y), NaN where the file says unlabelled; more columns, such as
    those of a prediction, go with their points.
    """

    label: str
    names: tuple[str, ...]
    points: Floats


@dataclass(frozen=True, slots=True)
class ImageLabels:
    """What a file says of one image.

    `image` is the name by which it finds the image, `where` the place in the file, for messages. `size`: that
    of the image by the file. `problem`: why its labels cannot be used, if so. `to_px`: from the numbers to
    pixels of the image, where these are shares or millimetres; takes the image's file and the points.
    """

    image: str
    where: str
    shapes: tuple[Shape, ...]
    size: Size | None = None
    problem: str | None = None
    to_px: Callable[[Path, Floats], Floats] | None = None
    patient: Patient = NOBODY


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """A set of labelled images below one folder, before its view is settled.

    `labels_file` is what it was read from, below `root`. `notes` are of the format: what was left out.
    """

    root: Path
    format: str
    labels_file: str
    labels: tuple[ImageLabels, ...]
    options: ReadOptions
    notes: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()

    def view_evidence(self) -> tuple[ViewEvidence, ...]:
        """The names of the keypoints, and those of the files where all of them say one view.

        S1 among the names is the lateral view; that it is not there is weak evidence of the other.
        """
        places = {place_of(renamed(name, self.options.keypoints)) for name in _names(self.labels)}
        levels = {vertebra for vertebra, _ in places} - {None}
        found = []
        view = self._view_of_names()
        if view is not None:
            found.append(ViewEvidence(view, "the file names", weak=True))
        if LA.last_endplate in levels:
            found.append(ViewEvidence(View.LA, f"{LA.last_endplate} among the names"))
        elif levels >= set(LA.bodies):
            found.append(ViewEvidence(View.AP, f"the names (no {LA.last_endplate})", weak=True))
        return tuple(found)

    def _view_of_names(self) -> View | None:
        """The view that all names of images say."""
        views = (view_of_file_name(_stem(labels.image)) for labels in self.labels)
        first = next(views, None)
        return first if first is not None and all(view is first for view in views) else None

    def levels(self) -> Levels | None:
        """The vertebrae of which a keypoint is labelled under a name that says which one it is."""
        return labelled_levels(self.labels, self.options.keypoints)

    def of_view(self, view: View | None, levels: Levels | None = None) -> Dataset:
        """The set with the keypoints of a view. Raises DataError where nothing of it can be used."""
        view = settle(self.view_evidence(), self.root) if view is None else view
        return _Assembly(self, skeleton_of_set(view, levels, self.levels(), self.root)).dataset()


def labelled_levels(labels: Iterable[ImageLabels], own_names: Mapping[str, str]) -> Levels | None:
    """The run around all vertebrae of which a point is there, by the names in a file; None for no name."""
    unseen: dict[tuple[str, tuple[str, ...]], list[str | None]] = {}
    found: set[str] = set()
    for shape in (shape for image in labels for shape in image.shapes):
        kind = shape.label, shape.names
        if kind not in unseen:
            unseen[kind] = [
                place if place in SPINE and place not in found else None
                for place in _vertebrae(*kind, own_names)
            ]
        levels = unseen[kind]
        if any(levels):
            known = np.asarray(np.isfinite(shape.points[:, :2]).all(axis=1))
            found.update(level for level, there in zip(levels, known, strict=False) if there and level)
            unseen[kind] = [None if level in found else level for level in levels]
    return Levels.around(found)


def _vertebrae(label: str, names: Sequence[str], own_names: Mapping[str, str]) -> Iterator[str | None]:
    """The vertebra of each point: what its name does not say, the label of its shape does."""
    level = place_of(renamed(label, own_names))[0]
    return (place_of(renamed(name, own_names))[0] or level for name in names)


class _Assembly:
    """Puts the shapes of each image of a set onto a skeleton."""

    def __init__(self, labelled: LabelledSet, skeleton: Skeleton) -> None:
        self.set = labelled
        self.skeleton = skeleton
        self.images = ImageIndex.of(labelled.root)
        self.root = os.path.join(labelled.root, "")
        self.folder = str(Path(labelled.labels_file).parent).replace("\\", "/").removeprefix(".")
        self.spacing_mm = read_spacing(labelled.root)
        where = f"{shown(labelled.root)}/{labelled.labels_file}"
        self.onto = OntoSkeleton(labelled.labels, skeleton, labelled.options.keypoints, where)

    def dataset(self) -> Dataset:
        """Every image that can be used, and the others with the reason."""
        samples: list[Sample] = []
        failures: list[Failure] = [*self.set.failures]
        seen: dict[str, str] = {}
        for first in range(0, len(self.set.labels), _TOGETHER):
            together = self.set.labels[first : first + _TOGETHER]
            placed = self.onto.placed(together)
            labelled = np.asarray(np.isfinite(placed.keypoints).any(axis=(1, 2)))
            for i, labels in enumerate(together):
                problem = placed.problems.get(i)
                made = self._sample(labels, placed.keypoints[i], problem, bool(labelled[i]), seen)
                if isinstance(made, Sample):
                    samples.append(made)
                else:
                    failures.append(made)
        if not samples and not failures:
            where = f"{shown(self.set.root)}/{self.set.labels_file}"
            raise DataError(f"{where}: no image is labelled: name a set with annotations")
        samples.sort(key=lambda sample: sample.image)
        failures.sort(key=lambda failure: failure.image)
        notes = (*self.set.notes, *self._notes(len(seen)))
        root = self.set.root
        return Dataset(root, self.set.format, self.skeleton, tuple(samples), tuple(failures), notes)

    def _sample(
        self, labels: ImageLabels, points: Floats, problem: str | None, labelled: bool, seen: dict[str, str]
    ) -> Sample | Failure:
        """The sample of an image, from the keypoints `[K, 2]` that its shapes made."""
        found = self.images.find(labels.image, self.folder)
        absent = not found and self.set.options.images_optional
        if len(found) != 1 and not absent:
            own = labels.problem and f"{labels.where}: {labels.problem}"
            return Failure(shown(labels.image), own or self._not_found(labels, found))
        name = _below(labels.image) if absent else found[0]
        image = recorded(name)
        if name in seen:
            return Failure(image, f"{labels.where}: a second entry for this image, after {seen[name]}")
        seen[name] = labels.where
        problem = labels.problem or problem
        if problem is not None:
            return Failure(image, f"{labels.where}: {problem}")
        if labels.to_px is not None:
            try:
                to_px = labels.to_px
                if to_px is shares_to_px:
                    to_px = partial(shares_to_px, upright=self.set.options.exif is Exif.APPLY)
                points = to_px(self.set.root / name, points)
            except DataError as error:
                return Failure(image, f"{labels.where}: {'; '.join(error.problems)}")
            labelled = bool(np.isfinite(points).any())
        if not labelled:
            return Failure(image, f"{labels.where}: no keypoint of it is labelled")
        known = labels.patient is not NOBODY and labels.patient != NOBODY
        return Sample(
            image=image,
            path="" if absent else self.root + name,
            skeleton=self.skeleton,
            keypoints_px=points,
            annotation_sha256=hashlib.sha256(points.tobytes()).hexdigest(),
            patient=labels.patient if known else parse_file_name(_stem(name)) or NOBODY,
            spacing=PixelSpacing.square(spacing_of(image, self.spacing_mm)) if self.spacing_mm else None,
            labelled_size=labels.size,
        )

    def _not_found(self, labels: ImageLabels, found: Sequence[str]) -> str:
        if found:
            both = f"{shown(found[0])} and {shown(found[1])}"
            return f"{labels.where}: several images of this name, {both}: keep one"
        return f"{labels.where}: no such image in {shown(self.set.root)}"

    def _notes(self, used: int) -> Iterator[str]:
        where = self.set.labels_file
        yield from self.onto.notes(where)
        unmentioned = len(self.images.images) - used if self.images.images else 0
        if unmentioned > 0:
            yield f"{counted(unmentioned, 'image')} left out, not mentioned in {where}"


class OntoSkeleton:
    """Puts the shapes of each image onto a skeleton, once for every way of naming them.

    `columns` of `Shape.points`, the first two x and y. `where` the shapes come from, for messages. Raises
    DataError where no name means a keypoint, or corners without a name lie in no one order.
    """

    def __init__(
        self,
        labels: Sequence[ImageLabels],
        skeleton: Skeleton,
        own_names: Mapping[str, str],
        where: str,
        columns: int = 2,
    ) -> None:
        self.labels = labels
        self.skeleton = skeleton
        self.own_names = own_names
        self.where = where
        self.columns = columns
        self._slots: dict[tuple[str, tuple[str, ...]], Slots] = {}
        self.elsewhere: Counter[str] = Counter()
        kinds = {(shape.label, shape.names) for image in labels for shape in image.shapes}
        places = [self._places(*kind) for kind in kinds]
        unnamed = {kind for kind, place in zip(kinds, places, strict=True) if _is_by_position(place)}
        self.positions = self._positions(unnamed)
        for kind, place in zip(kinds, places, strict=True):
            self._slots[kind] = _slots(kind, place, self.positions, skeleton)
        self._require_names()

    def placed(self, images: Sequence[ImageLabels]) -> Placed:
        """The keypoints of images as in the file, and what contradicts itself."""
        shapes = [[(self._slots[s.label, s.names], s.points) for s in image.shapes] for image in images]
        return place_shapes(self.skeleton, shapes, self.columns)

    def keypoints(self, labels: ImageLabels) -> Floats:
        """`[K, columns]` of one image. Raises DataError: what contradicts itself."""
        placed = self.placed([labels])
        if placed.problems:
            raise DataError(*placed.problems.values())
        keypoints: Floats = placed.keypoints[0]
        return keypoints

    def _places(self, label: str, names: tuple[str, ...]) -> tuple[tuple[str | None, str | None], ...]:
        """Vertebra and corner of each point; what a point's own name does not say, its shape's label does."""
        level, corner = place_of(renamed(label, self.own_names))
        own = [place_of(renamed(name, self.own_names)) for name in names]
        return tuple((v or level, c or corner) for v, c in own)

    def _positions(self, unnamed: set[tuple[str, tuple[str, ...]]]) -> tuple[int, ...] | None:
        """Which corner the first to fourth point are, where nothing names them: as the vertebrae lie."""
        if not unnamed:
            return None
        quads = [s.points[:, :2] for i in self.labels for s in i.shapes if (s.label, s.names) in unnamed]
        return corners_by_place(np.stack(quads))

    def _require_names(self) -> None:
        """Raises DataError where no name means a keypoint, or corners without name lie in no one order."""
        if any(slots.used.any() for slots in self._slots.values()):
            for (label, _), slots in self._slots.items():
                if not slots.used.any():
                    self.elsewhere[label] += 1
            return
        if not self._slots:
            return
        names = _names(self.labels)
        listed = ", ".join(shown(name[:60]) for name in names[:_MOST_NAMES]) + ", …" * (
            len(names) > _MOST_NAMES
        )
        wanted = f"{self.skeleton}, such as {self.skeleton.keypoint_names[0]}"
        raise DataError(
            f"{self.where}: no name means a keypoint of {wanted}: found {listed}:"
            " say in [data.keypoints] what they are"
        )

    def notes(self, where: str) -> Iterator[str]:
        """What was decided alike for every image, and what was left out; `where`: the file, for people."""
        if self.positions is not None:
            order = ", ".join(CORNERS[corner] for corner in self.positions)
            yield f"corners have no names in {where}: taken as {order}, as the vertebrae lie"
        if any(not slots.level_known for slots in self._slots.values()):
            yield f"vertebrae have no level in {where}: counted from above"
        if self.elsewhere:
            labels = _in_brief(self.elsewhere)
            listed = ", ".join(map(shown, labels[:_MOST_SAID])) + ", …" * (len(labels) > _MOST_SAID)
            yield f"not of the skeleton {self.skeleton} and left out: {listed}"


def _slots(
    kind: tuple[str, tuple[str, ...]],
    places: Sequence[tuple[str | None, str | None]],
    positions: tuple[int, ...] | None,
    skeleton: Skeleton,
) -> Slots:
    if _is_by_position(places) and positions is not None:
        places = [(v, CORNERS[positions[i]]) for i, (v, _) in enumerate(places)]
    known = any(vertebra is not None for vertebra, _ in places)
    index = np.full(len(places), -1, dtype=np.int64)
    for i, (vertebra, corner) in enumerate(places):
        if corner is None or (known and vertebra not in skeleton.vertebrae):
            continue
        if not known:
            index[i] = CORNERS.index(corner)
        elif f"{vertebra} {corner}" in skeleton.keypoint_names:
            index[i] = skeleton.keypoint_names.index(f"{vertebra} {corner}")
    used = index >= 0
    if len(set(index[used].tolist())) < int(used.sum()):
        listed = ", ".join(shown(name[:60]) for name in kind[1][:_MOST_NAMES])
        raise DataError(f"{shown(kind[0][:60])}: two of its points are the same keypoint: {listed}")
    return Slots(index, used, known)


def _in_brief(labels: Iterable[str]) -> list[str]:
    """Labels in order; three vertebrae or more that follow each other are one."""
    others = sorted(label for label in labels if label not in SPINE)
    there = [level for level in SPINE if level in labels]
    runs: list[list[str]] = []
    for level in there:
        if runs and SPINE.index(level) == SPINE.index(runs[-1][-1]) + 1:
            runs[-1].append(level)
        else:
            runs.append([level])
    for run in runs:
        others += [f"{run[0]}-{run[-1]}"] if len(run) > 2 else run
    return others


def _is_by_position(places: Sequence[tuple[str | None, str | None]]) -> bool:
    """Whether four corners of one vertebra are told apart by nothing but their order."""
    return len(places) == CORNERS_PER_VERTEBRA and all(corner is None for _, corner in places)


def _names(labels: Sequence[ImageLabels]) -> list[str]:
    """Every name of a shape or a point, once."""
    kinds = {(shape.label, shape.names) for image in labels for shape in image.shapes}
    return sorted({name for label, names in kinds for name in (label, *names) if name})


def _below(name: str) -> str:
    """A name from an annotation file as a path below the set: it is shown, never opened."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return "/".join(parts) or "image"


def _stem(image: str) -> str:
    return image.replace("\\", "/").rpartition("/")[2].rpartition(".")[0]
