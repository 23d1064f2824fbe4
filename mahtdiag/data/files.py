"""An annotated set in any format, and what lies in its folder: files, folders of views, pixel spacings."""

import csv
import io
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from mahtdiag.errors import DataError
from mahtdiag.opening import open_file, read_bytes
from mahtdiag.schema.frames import Size
from mahtdiag.schema.read_options import NO_LABELS
from mahtdiag.schema.records import Failure, Sample
from mahtdiag.schema.safe_text import shown, unrecorded
from mahtdiag.schema.skeleton import Skeleton, View
from mahtdiag.schema.spacing import SPACING_LIMITS, is_spacing

T = TypeVar("T")
_OUTSIDE_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Dataset:
    """The annotated radiographs of one view, sorted by name, and what was left out and why.

    `failures` are files that belong to the set and cannot be used; `notes` are one line each, about files
    that were left out because they belong to something else. `format` is the name of its reader.
    """

    path: Path
    format: str
    skeleton: Skeleton
    samples: tuple[Sample, ...]
    failures: tuple[Failure, ...]
    notes: tuple[str, ...] = ()

    @property
    def labelled(self) -> bool:
        """Whether it is annotated at all; images alone are not."""
        return self.format != NO_LABELS

    @property
    def view(self) -> View:
        """The projection of its radiographs."""
        return self.skeleton.view


@dataclass(frozen=True, slots=True)
class ViewEvidence:
    """One thing that tells the view; `source` reads well after "AP by".

    `weak` evidence counts only where there is no other.
    """

    view: View
    source: str
    weak: bool = False


def strongest(evidence: Sequence[ViewEvidence]) -> list[ViewEvidence]:
    """The evidence that counts: what is not weak, or all where everything is."""
    return [item for item in evidence if not item.weak] or list(evidence)


def settle(evidence: Sequence[ViewEvidence], path: Path) -> View:
    """The view all evidence agrees on. Raises DataError where there is none or it disagrees."""
    evidence = strongest(evidence)
    views = {item.view for item in evidence}
    if len(views) == 1:
        return views.pop()
    if not views:
        raise DataError(f"{shown(path)}: nothing tells the view: pass --view AP or --view LA")
    views_by = ", ".join(f"{item.view} by {item.source}" for item in evidence)
    raise DataError(f"{shown(path)}: the view is unclear, {views_by}: pass --view AP or --view LA")


def outside_image(keypoints_px: NDArray[np.float64], size: Size, skeleton: Skeleton) -> tuple[str, ...]:
    """A line for each keypoint more than a pixel outside the image: x < −1 or x > width, y likewise.

    Of more than three the first is named and the others are counted: it is the image that does not fit.
    The rule leaves room for annotation tools that count from 1 or mark the far edge of a pixel. Missing
    keypoints (NaN) are not outside.
    """
    below = (keypoints_px < -1.0).any(axis=-1)
    above = (keypoints_px > size.xy).any(axis=-1)
    lines = tuple(
        f"{skeleton.keypoint_names[k]} (x {keypoints_px[k, 0]:g}, y {keypoints_px[k, 1]:g}) lies outside the"
        f" image ({size.width} wide, {size.height} high)"
        for k in np.flatnonzero(below | above)
    )
    return lines if len(lines) <= _OUTSIDE_NAMED else (f"{lines[0]}, as do {len(lines) - 1} more keypoints",)


def other_size(labelled: Size | None, size: Size) -> str | None:
    """What is wrong where an annotation says that its image has another size, else None."""
    if labelled is None or labelled == size:
        return None
    return (
        f"labelled on an image of {labelled.width}x{labelled.height} (width x height), this one is"
        f" {size.width}x{size.height}: its labels are not in its pixels; take the image that was labelled"
    )


def is_normalised(keypoints_px: NDArray[np.float64], size: Size) -> bool:
    """Whether `[K, 2]` keypoints seem to be shares of the image, 0 to 1, where pixels are wanted.

    All lie within the first pixel or so, apart from each other, in an image of more than 10 pixels a side.
    """
    known = keypoints_px[np.isfinite(keypoints_px).all(axis=-1)]
    if known.size == 0 or min(size.width, size.height) <= 10:
        return False
    return bool((np.abs(known) <= 1.5).all() and np.ptp(known, axis=0).max() > 0.0)


SPACING_FILE: Final = "pixel_spacing.csv"
PATIENTS_FILE: Final = "patients.csv"
_TABLES: Final = (SPACING_FILE, PATIENTS_FILE)
_SPACING_HEADERS: Final = (["image", "mm"], ["filename", "pixel_spacing_mm"])
# A file name of BUU-LSPINE: its last digit is the view, which a name for both views lacks.
_OF_ONE_VIEW: Final = re.compile(r"(.*[0-9]Y)[01]", re.DOTALL)
IMAGE_EXTENSIONS: Final = frozenset(
    (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".jp2", ".j2k", ".dcm", ".dicom", ".dic")
)
# DICOM: 128 bytes of anything, then this.
DICOM_MARK_AT, DICOM_MARK = 128, b"DICM"


@dataclass(frozen=True, slots=True)
class Entry:
    """The files of one stem (in Unicode NFC, which file systems do not agree on); normally one of each."""

    images: tuple[str, ...]
    annotations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """One folder, not its subfolders. `entries` are sorted by stem; hidden files are not listed."""

    path: Path
    entries: dict[str, Entry]
    folders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DataFolder:
    """A data folder: its own files, and the names of its `AP` and `LA` subfolders."""

    top: Listing
    view_folders: dict[View, str]

    @property
    def own_view(self) -> View | None:
        """The view that the folder's own name says."""
        name = os.path.basename(os.path.abspath(self.top.path)).upper()
        return View(name) if name in View.__members__ else None


def open_folder(path: Path, annotations: str) -> DataFolder:
    """List a data folder (see `list_folder`), and find the folders of the views in it.

    Raises DataError where it is missing, a file, unreadable, or names a view twice.
    """
    top = list_folder(path, annotations)
    found: dict[View, str] = {}
    for name in top.folders:
        if name.upper() not in View.__members__:
            continue
        view = View(name.upper())
        if view in found:
            raise DataError(f"{shown(path)}: two folders for {view}, {found[view]} and {name}: keep one")
        found[view] = name
    return DataFolder(top, found)


def list_folder(path: Path, annotations: str) -> Listing:
    """List the images, annotations and subfolders of one folder, without a system call per file.

    `annotations` is the extension of annotation files, in small letters and with its dot.
    """
    by_stem: dict[str, tuple[list[str], list[str]]] = {}
    folders: list[str] = []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name in _TABLES:
                    continue
                if _is_folder(entry):
                    folders.append(entry.name)
                    continue
                stem, extension = os.path.splitext(entry.name)
                extension = extension.lower()
                if extension[1:].isdecimal():
                    # A part of a number, as archives name DICOM files.
                    stem = entry.name
                # A link to nowhere or to itself is listed, so that it is reported when it is read.
                listed = entry.is_symlink() or entry.is_file()
                if listed and (extension == annotations or is_image(entry.path, extension)):
                    files = by_stem.setdefault(unicodedata.normalize("NFC", stem), ([], []))
                    files[extension == annotations].append(entry.name)
    except (FileNotFoundError, NotADirectoryError) as error:
        problem = "no such folder" if isinstance(error, FileNotFoundError) else "not a folder"
        wanted = "give the folder that holds the images and their annotations"
        raise DataError(f"{shown(path)}: {problem}: {wanted}") from error
    except OSError as error:
        raise DataError(f"{shown(path)}: cannot be listed: {error.strerror or error}") from error
    sorted_entries = {
        stem: Entry(tuple(sorted(images)), tuple(sorted(annotated)))
        for stem, (images, annotated) in sorted(by_stem.items())
    }
    return Listing(path, sorted_entries, tuple(sorted(folders)))


def is_image(path: str, extension: str) -> bool:
    """Whether a file is listed as an image: by its ending in small letters, or as DICOM where it has none.

    Archives name DICOM files by numbers, such as `IM000001` or `1.2.840.1`: their first bytes tell.
    """
    if extension in IMAGE_EXTENSIONS:
        return True
    if extension and not extension[1:].isdecimal():
        return False
    try:
        with open_file(path) as file:
            return file.read(DICOM_MARK_AT + len(DICOM_MARK))[DICOM_MARK_AT:] == DICOM_MARK
    except OSError:
        return False


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link that leads to itself.
        return False


def counted(number: int, noun: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def read_file(path: str | Path, name: str) -> bytes:
    """The bytes of a file that messages call `name`. Raises DataError where it cannot be read."""
    try:
        return read_bytes(path)
    except OSError as error:
        raise DataError(f"{name}: cannot be read: {error.strerror or error}") from error


def leads_out(image: str) -> bool:
    """Whether a name is no path below a folder: absolute, with `..`, empty, or with a sign no file has."""
    posix, windows = PurePosixPath(image), PureWindowsPath(image)
    absolute = posix.is_absolute() or windows.root or (os.name == "nt" and windows.drive)
    return bool(absolute) or "\0" in image or not posix.name or ".." in (*posix.parts, *windows.parts)


class RecordedFiles:
    """Finds the files of a data folder by the names that records give them (see `recorded`)."""

    def __init__(self, data: Path) -> None:
        self.folder = data.parent if os.path.isfile(data) else data

    def path(self, name: str) -> Path | None:
        """Where the file with this name in records is, or where it would be if there were one.

        None for a name that leads out of the folder, as one of a run folder that was edited may.
        """
        # As it was before signs of it became escapes, which begin as roots of Windows do.
        return None if leads_out(unrecorded(name)) else recorded_path(self.folder, name)


def recorded_path(folder: Path, name: str) -> Path:
    """The file or folder below a folder that records call so (see `recorded`), there or not."""
    meant = folder / unrecorded(name)
    # Paths of checkpoints and data are recorded with their own backslashes.
    return meant if os.path.lexists(meant) else folder / name


def read_spacing(*folders: Path) -> dict[str, float]:
    """Spacings by image name (see `parse_spacing`) from the spacing files of these folders; later ones win.

    Raises DataError where a spacing file cannot be read or is wrong.
    """
    spacing_mm: dict[str, float] = {}
    for path in (folder / SPACING_FILE for folder in folders):
        if os.path.lexists(path) and not path.is_dir():
            spacing_mm |= parse_spacing(read_file(path, shown(path)), shown(path))
    return spacing_mm


def parse_spacing(content: bytes, name: str) -> dict[str, float]:
    """Read rows of `image,mm`, for example `0001-F-037Y0.jpg,0.143`.

    The image is named with or without extension and view folder; blank lines are skipped, and so is a first
    line that says `image,mm` or, as BUU-LSPINE does, `filename,pixel_spacing_mm`. Raises DataError with every
    problem: a row without two cells, a spacing that is not a number between 0.005 and 5 mm, an image named
    twice.
    """
    spacing_mm: dict[str, float] = {}
    problems: list[str] = []
    try:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), skipinitialspace=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{name}: not a CSV in UTF-8 ({error}): write rows of image,mm") from error
    for number, row in enumerate(rows, start=1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or (number == 1 and cells in _SPACING_HEADERS):
            continue
        key = unicodedata.normalize("NFC", cells[0])
        if len(cells) != 2 or not key:
            problems.append(f"{name}: line {number}: expected image,mm")
        elif (mm := _millimetres(cells[1])) is None:
            said = f"'{shown(cells[1][:40])}' is not a spacing {SPACING_LIMITS}"
            problems.append(f"{name}: line {number}: {said}")
        elif key in spacing_mm:
            problems.append(f"{name}: line {number}: {shown(key[:100])} is named twice")
        else:
            spacing_mm[key] = mm
    if problems:
        raise DataError(*problems)
    return spacing_mm


def spacing_of(image: str, spacing_mm: Mapping[str, float]) -> float | None:
    """Millimetres per pixel of an image, or None where no row names it, with or without its view digit."""
    found = named(image, spacing_mm)
    stem, dot, extension = image.rpartition(".")
    of_one_view = _OF_ONE_VIEW.fullmatch(unicodedata.normalize("NFC", stem))
    if found is not None or of_one_view is None:
        return found
    return named(of_one_view[1] + dot + extension, spacing_mm)


def named(image: str, rows: Mapping[str, T]) -> T | None:
    """What a table says of an image, None where no row names it; the most exact name wins.

    `image` is its path relative to the data folder, with forward slashes.
    """
    path = unicodedata.normalize("NFC", image)
    file_name = path.rpartition("/")[2]
    names = (path, path.rpartition(".")[0], file_name, file_name.rpartition(".")[0])
    return next((rows[name] for name in names if name in rows), None)


def _millimetres(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if is_spacing(value) else None
