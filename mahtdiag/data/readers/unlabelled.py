"""Images without annotations: every radiograph of a folder, to be evaluated without labels."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from mahtdiag.data.file_names import parse_file_name, view_of_file_name
from mahtdiag.data.files import (
    PATIENTS_FILE,
    SPACING_FILE,
    Dataset,
    ViewEvidence,
    counted,
    is_image,
    read_spacing,
    settle,
    spacing_of,
)
from mahtdiag.data.image_index import ImageIndex
from mahtdiag.errors import DataError
from mahtdiag.schema.frames import PixelSpacing
from mahtdiag.schema.read_options import NO_LABELS, ReadOptions
from mahtdiag.schema.records import Failure, Patient, Sample
from mahtdiag.schema.safe_text import recorded, shown
from mahtdiag.schema.skeleton import Levels, Skeleton, View

_NOTHING: Final = hashlib.sha256(b"").hexdigest()
_OURS: Final = (SPACING_FILE, PATIENTS_FILE)
# What viewers and operating systems leave in every folder, and the table of contents of a DICOM disk.
_OF_NO_MEANING: Final = ("Thumbs.db", "desktop.ini", "DICOMDIR")


@dataclass(frozen=True, slots=True)
class Unlabelled:
    """The reader (see `Reader`); whatever else lies in the folder is not read."""

    name: str = NO_LABELS
    title: str = "images without labels"

    def recognises(self, path: Path) -> str | None:
        """A folder that holds images and nothing that could be annotations; or an image."""
        if path.is_file():
            return shown(path.name) if is_image(str(path), path.suffix.lower()) else None
        if not path.is_dir():
            return None
        try:
            index = ImageIndex.of(path)
            alone = bool(index.by_name) and not _others(path, index)
        except DataError:
            return None
        return f"{shown(path)}: nothing but images" if alone else None

    def read(self, path: Path, options: ReadOptions) -> "UnlabelledSet":
        """Every image below the folder, or the one file. Raises DataError where there is none."""
        root = path if path.is_dir() else path.parent
        images = ImageIndex.of(root).images
        if path.is_file():
            images = [image for image in images if image == path.name]
        if not images:
            raise DataError(f"{shown(path)}: no image in it: name the folder that holds the radiographs")
        return UnlabelledSet(root, tuple(images))


def _others(path: Path, index: ImageIndex) -> bool:
    """Whether a file is there that is no image; hidden ones do not count, links are not followed."""
    for _, folders, names in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.startswith(".") or name in _OURS or name in _OF_NO_MEANING:
                continue
            if not index.has(name):
                return True
    return False


@dataclass(frozen=True, slots=True)
class UnlabelledSet:
    """The images below a folder, before their view is settled."""

    root: Path
    images: tuple[str, ...]

    def view_evidence(self) -> tuple[ViewEvidence, ...]:
        """The folder of a view that holds all of them; and their names, where all of them say one view."""
        found = []
        folders = {_folder_view(image) or _own_view(self.root) for image in self.images}
        if len(folders) == 1 and (view := folders.pop()) is not None:
            found.append(ViewEvidence(view, f"the folder {view}"))
        names = {view_of_file_name(Path(image).stem) for image in self.images}
        if len(names) == 1 and (view := names.pop()) is not None:
            found.append(ViewEvidence(view, "the file names", weak=True))
        return tuple(found)

    def levels(self) -> None:
        """Nothing says which vertebrae they show."""

    def of_view(self, view: View | None, levels: Levels | None = None) -> Dataset:
        """Those of one view: what lies in the folder of the other, or is named for it, is left out.

        Raises DataError where none is left.
        """
        view = settle(self.view_evidence(), self.root) if view is None else view
        kept = [image for image in self.images if _view_of(image) in (view, None)]
        if not kept:
            raise DataError(f"{shown(self.root)}: no image of the view {view}: name another folder or --view")
        left_out = len(self.images) - len(kept)
        notes = [f"{counted(len(kept), 'image')} without labels: no error, loss or calibration"]
        if left_out:
            notes.append(f"{counted(left_out, 'image')} of the other view left out")
        skeleton = view.skeleton if levels is None else Skeleton.of(view, levels)
        samples = tuple(self._samples(kept, skeleton))
        failures: tuple[Failure, ...] = ()
        return Dataset(self.root, NO_LABELS, skeleton, samples, failures, tuple(notes))

    def _samples(self, images: Sequence[str], skeleton: Skeleton) -> list[Sample]:
        spacing_mm = read_spacing(self.root, *(self.root / name for name in _folders(images)))
        unknown = np.full((skeleton.keypoints, 2), np.nan)
        return [
            Sample(
                image=recorded(image),
                path=os.path.join(self.root, image),
                skeleton=skeleton,
                keypoints_px=unknown,
                annotation_sha256=_NOTHING,
                patient=parse_file_name(Path(image).stem) or Patient(),
                spacing=PixelSpacing.square(spacing_of(recorded(image), spacing_mm)),
            )
            for image in images
        ]


def _folders(images: Sequence[str]) -> list[str]:
    """The folders right below the root that hold images."""
    return sorted({image.partition("/")[0] for image in images if "/" in image})


def _view_of(image: str) -> View | None:
    """The view that an image's folder says, else its name."""
    return _folder_view(image) or view_of_file_name(Path(image).stem)


def _folder_view(image: str) -> View | None:
    parts = [part.upper() for part in image.split("/")[:-1]]
    return next((View(part) for part in parts if part in View.__members__), None)


def _own_view(root: Path) -> View | None:
    name = os.path.basename(os.path.abspath(root)).upper()
    return View(name) if name in View.__members__ else None
