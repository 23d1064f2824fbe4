"""BUU-LSPINE: images with one CSV beside each, flat or in the folders `AP` and `LA`."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mahtdiag.data.file_names import FILE_NAME_DIGITS, parse_file_name, view_of_file_name
from mahtdiag.data.files import (
    SPACING_FILE,
    DataFolder,
    Dataset,
    Entry,
    Listing,
    ViewEvidence,
    counted,
    list_folder,
    open_folder,
    read_file,
    read_spacing,
    settle,
    spacing_of,
)
from mahtdiag.data.readers.buu_annotation import (
    Annotation,
    looks_like_annotation,
    parse_annotation,
    rows_wanted,
)
from mahtdiag.data.settled import skeleton_of_set
from mahtdiag.errors import DataError
from mahtdiag.schema.frames import PixelSpacing
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.records import Failure, Patient, Sample
from mahtdiag.schema.safe_text import recorded, shown
from mahtdiag.schema.skeleton import AP, Levels, Skeleton, View

EXTENSION: Final = ".csv"
# Enough to see what most of the annotations are; each of them is checked when the set is opened.
_ANNOTATIONS_LOOKED_AT: Final = 32


@dataclass(frozen=True, slots=True)
class BuuLspine:
    """The reader (see `Reader`)."""

    name: str = "buu-lspine"
    title: str = "BUU-LSPINE CSV"

    def recognises(self, path: Path) -> str | None:
        """The first CSV with a row that can be an endplate, beside an image of its name."""
        try:
            folder = open_folder(path, EXTENSION)
            listings = [folder.top, *(_listing_of(folder, view)[0] for view in folder.view_folders)]
        except DataError:
            return None
        for listing in listings:
            for name in _spread(listing):
                if _is_annotation(listing.path / name):
                    return shown((listing.path / name).relative_to(path))
        return None

    def read(self, path: Path, options: ReadOptions) -> "BuuSet":
        """The folder, listed. Raises DataError where it cannot be listed, or names a view twice."""
        return BuuSet(path, self.name, open_folder(path, EXTENSION), options.images_optional)


@dataclass(frozen=True, slots=True)
class BuuSet:
    """A folder with annotations beside its images."""

    path: Path
    format: str
    folder: DataFolder
    images_optional: bool = False

    def view_evidence(self) -> tuple[ViewEvidence, ...]:
        """What tells the view, in this order, as far as each tells a single one.

        A single `AP` or `LA` subfolder or the folder's own name, the file names (`…Y0`, `…Y1`), the rows of
        most of the annotations.
        """
        return _evidence_in(self.folder)

    def levels(self) -> Levels | None:
        """The lumbar spine where an annotation has as many rows; of others it does not say which."""
        listings = [_listing_of(self.folder, view)[0] for view in self.folder.view_folders]
        for listing in listings or [self.folder.top]:
            if any(_view_of_rows(listing.path / name) is not None for name in _spread(listing)):
                return AP.levels
        return None

    def of_view(self, view: View | None, levels: Levels | None = None) -> Dataset:
        """Read the annotations of one view (see `AnnotatedSet.of_view`).

        In a flat folder, files whose names end in the other view (`…Y0`, `…Y1`) are left out with a note. Any
        other file of the wrong view is a failure, and so are an image without annotation, an annotation
        without image, two images or two annotations of one name, and an annotation that cannot be read or is
        wrong. A CSV without image, none of whose rows is an endplate, is something else and left out with a
        note. Hidden files and other formats are ignored. An empty or infinite coordinate is a missing
        keypoint (NaN); an annotation without any keypoint is a failure.

        `pixel_spacing.csv` in `path` or in the view's subfolder gives spacings (see `parse_spacing`).

        Raises DataError where there is nothing to evaluate, the view is not to be found, or a spacing file is
        wrong.
        """
        folder, path = self.folder, self.path
        if not folder.view_folders and not folder.top.entries:
            raise DataError(_nothing(folder.top))
        settled = settle(_evidence_in(folder), path) if view is None else view
        listing, prefix = _listing_of(folder, settled)
        spacing_mm = read_spacing(*dict.fromkeys((folder.top.path, listing.path)))
        strict = bool(prefix) or folder.own_view is settled
        skeleton = skeleton_of_set(settled, levels, None, path)
        pairs = _Pairs(listing.path, prefix, skeleton, strict, spacing_mm, self.images_optional)
        for stem, entry in listing.entries.items():
            pairs.read(stem, entry)
        if not pairs.samples and not pairs.failures:
            raise DataError(_nothing(listing, settled, pairs.other_view))
        samples = tuple(sorted(pairs.samples, key=lambda sample: sample.image))
        failures = tuple(sorted(pairs.failures, key=lambda failure: failure.image))
        notes = (*_left_at_the_top(folder), *pairs.notes(), *_without_spacing(samples, spacing_mm))
        return Dataset(path, self.format, skeleton, samples, failures, notes)


@dataclass(slots=True)
class _Pairs:
    """Collects the samples and failures of one folder, one stem at a time.

    `prefix` leads from the data folder to this one. `strict`: the folder itself is known to hold the wanted
    view alone, so that a file named for the other view is a mistake rather than part of another set.
    `images_optional`: see `ReadOptions`.
    """

    folder: Path
    prefix: str
    skeleton: Skeleton
    strict: bool
    spacing_mm: Mapping[str, float]
    images_optional: bool = False
    samples: list[Sample] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    other_view: int = 0
    unrelated: list[str] = field(default_factory=list)

    @property
    def view(self) -> View:
        """The one that is wanted."""
        return self.skeleton.view

    def read(self, stem: str, entry: Entry) -> None:
        """Take in the files of one stem."""
        named = view_of_file_name(stem)
        if not self.strict and named not in (None, self.view):
            self._other_view(stem, entry)
        elif not entry.images:
            self._annotations_alone(stem, entry.annotations)
        elif max(len(entry.images), len(entry.annotations)) > 1:
            several = len(entry.images) > 1
            kind, files = ("images", entry.images) if several else ("annotations", entry.annotations)
            both = " and ".join(map(shown, files))
            self._fail(entry.images, f"several {kind} of one name, {both}: keep one")
        elif not entry.annotations:
            self._fail(entry.images, f"no annotation: {self.prefix}{shown(stem)}{EXTENSION} is missing")
        else:
            self._pair(stem, entry.images[0], entry.annotations[0])

    def notes(self) -> Iterator[str]:
        """One line for each kind of file that was left out."""
        if self.other_view:
            other = next(view for view in FILE_NAME_DIGITS if view is not self.view)
            yield f"{counted(self.other_view, 'image')} of the {other} view left out, by file name"
        if self.unrelated:
            names = ", ".join(self.unrelated[:3]) + (", …" if len(self.unrelated) > 3 else "")
            files = counted(len(self.unrelated), "CSV file")
            yield f"{files} left out, neither annotation nor named like an image: {names}"

    def _pair(self, stem: str, image: str, annotation_name: str) -> None:
        name = self.prefix + shown(annotation_name)
        sha256: str | None = None
        try:
            content = read_file(self.folder / annotation_name, name)
            sha256 = hashlib.sha256(content).hexdigest()
            annotation = parse_annotation(content, name, self._expected)
            self._check_view(stem, annotation, name)
        except DataError as error:
            self._fail((image or annotation_name,), "; ".join(error.problems), sha256)
            return
        record_name = self.prefix + recorded(image or stem)
        self.samples.append(
            Sample(
                image=record_name,
                path=os.path.join(self.folder, image) if image else "",
                skeleton=annotation.skeleton,
                keypoints_px=annotation.keypoints_px,
                annotation_sha256=sha256,
                listhesis=annotation.listhesis,
                patient=parse_file_name(stem) or Patient(),
                spacing=PixelSpacing.square(spacing_of(record_name, self.spacing_mm)),
            )
        )

    def _check_view(self, stem: str, annotation: Annotation, name: str) -> None:
        rows, view = annotation.skeleton.endplates, annotation.skeleton.view
        named = view_of_file_name(stem)
        if named is not None and view is not named:
            digit = FILE_NAME_DIGITS[named]
            raise DataError(f"{name}: the file name says {named} (…Y{digit}), its {rows} rows say {view}")
        if view is not self.view:
            raise DataError(f"{name}: {rows} rows, {rows_wanted(self.skeleton)}")

    @property
    def _expected(self) -> Skeleton | None:
        """None where the number of rows tells the view, as it does of the usual levels."""
        return None if self.skeleton is self.view.skeleton else self.skeleton

    def _other_view(self, stem: str, entry: Entry) -> None:
        """Leave out files named for the other view, unless their rows contradict the name."""
        paired = len(entry.images) == 1 and len(entry.annotations) == 1
        if paired and _view_of_rows(self.folder / entry.annotations[0]) is self.view:
            self._pair(stem, entry.images[0], entry.annotations[0])
        else:
            self.other_view += len(entry.images)

    def _annotations_alone(self, stem: str, names: Sequence[str]) -> None:
        for annotation_name in names:
            name = self.prefix + shown(annotation_name)
            try:
                content = read_file(self.folder / annotation_name, name)
            except DataError as error:
                self._fail((annotation_name,), f"annotation without image; {error}")
                continue
            if looks_like_annotation(content) and self.images_optional and len(names) == 1:
                self._pair(stem, "", annotation_name)
            elif looks_like_annotation(content):
                reason = f"annotation without image: no {shown(stem)}.png, .jpg, .tif or .bmp beside it"
                self._fail((annotation_name,), reason, hashlib.sha256(content).hexdigest())
            else:
                self.unrelated.append(name)

    def _fail(self, files: Sequence[str], reason: str, sha256: str | None = None) -> None:
        """Each of these files is a failure; `sha256` is that of the annotation."""
        for file in files:
            self.failures.append(Failure(self.prefix + shown(file), reason, annotation_sha256=sha256))


def _listing_of(folder: DataFolder, view: View) -> tuple[Listing, str]:
    """The folder that holds the files of a view, and its path prefix in records."""
    top = folder.top
    if not folder.view_folders:
        return top, ""
    if view not in folder.view_folders:
        other, name = next(iter(folder.view_folders.items()))
        raise DataError(
            f"{shown(top.path)}: there is a folder {name} but none for {view}: pass --view {other}"
        )
    name = folder.view_folders[view]
    return list_folder(top.path / name, EXTENSION), f"{name}/"


def _evidence_in(folder: DataFolder) -> tuple[ViewEvidence, ...]:
    """Folder names, file names and numbers of rows, as far as each of them tells a single view."""
    if len(folder.view_folders) > 1:
        return ()
    listing, named = folder.top, folder.own_view
    for view in folder.view_folders:
        listing, named = _listing_of(folder, view)[0], view
    found = [] if named is None else [ViewEvidence(named, f"the folder {shown(listing.path)}")]
    names = Counter(view for view in map(view_of_file_name, listing.entries) if view is not None)
    if len(names) > 1:
        return tuple(found)
    found += [ViewEvidence(view, f"the file names (…Y{FILE_NAME_DIGITS[view]})") for view in names]
    seen = (_view_of_rows(listing.path / name) for name in _spread(listing))
    most = Counter(view for view in seen if view is not None).most_common(2)
    if most and (len(most) == 1 or most[0][1] > most[1][1]):
        view = most[0][0]
        found.append(ViewEvidence(view, f"the annotations ({view.skeleton.endplates} rows)"))
    return tuple(found)


def _spread(listing: Listing) -> list[str]:
    """Annotations of images, no more than a few, from the whole length of the listing."""
    files = [
        entry.annotations[0]
        for entry in listing.entries.values()
        if entry.images and len(entry.annotations) == 1
    ]
    return files[:: -(-len(files) // _ANNOTATIONS_LOOKED_AT) or 1]


def _view_of_rows(path: Path) -> View | None:
    """What the rows of an annotation say, None where it is wrong."""
    try:
        return parse_annotation(read_file(path, path.name), path.name).skeleton.view
    except DataError:
        return None


def _is_annotation(path: Path) -> bool:
    try:
        content = read_file(path, path.name)
    except DataError:
        return False
    return bool(content.strip()) and looks_like_annotation(content)


def _left_at_the_top(folder: DataFolder) -> Iterator[str]:
    images = sum(len(entry.images) for entry in folder.top.entries.values())
    if folder.view_folders and images:
        folders = " and ".join(folder.view_folders.values())
        where = f"{shown(folder.top.path)} itself"
        yield f"{counted(images, 'image')} in {where} left out, the set lies in {folders}"


def _without_spacing(samples: Sequence[Sample], spacing_mm: Mapping[str, float]) -> Iterator[str]:
    without = sum(sample.spacing is None for sample in samples)
    if spacing_mm and without:
        yield f"{SPACING_FILE} names {len(samples) - without} of {len(samples)} images"


def _nothing(listing: Listing, view: View | None = None, other_view: int = 0) -> str:
    where = shown(listing.path)
    if other_view:
        return f"{where}: no {view} image, but {other_view} named for the other view: pass the other --view"
    return (
        f"{where}: no image and no annotation: a set has NAME.jpg, .png, .tif or .bmp beside"
        f" NAME{EXTENSION}, in one folder or in AP and LA"
    )
