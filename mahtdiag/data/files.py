"""What lies in a data folder: image and annotation files by stem, and the folders of the views."""

import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mahtdiag.errors import DataError
from mahtdiag.schema.skeleton import View

SPACING_FILE: Final = "pixel_spacing.csv"
IMAGE_EXTENSIONS: Final = frozenset((".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"))


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
                if entry.name.startswith(".") or entry.name == SPACING_FILE:
                    continue
                if _is_folder(entry):
                    folders.append(entry.name)
                    continue
                stem, extension = os.path.splitext(entry.name)
                extension = extension.lower()
                # A link to nowhere or to itself is listed, so that it is reported when it is read.
                if (extension == annotations or extension in IMAGE_EXTENSIONS) and _is_file(entry):
                    files = by_stem.setdefault(unicodedata.normalize("NFC", stem), ([], []))
                    files[extension == annotations].append(entry.name)
    except OSError as error:
        raise DataError(_folder_problem(path, error)) from error
    sorted_entries = {
        stem: Entry(tuple(sorted(images)), tuple(sorted(annotated)))
        for stem, (images, annotated) in sorted(by_stem.items())
    }
    return Listing(path, sorted_entries, tuple(sorted(folders)))


def _is_file(entry: "os.DirEntry[str]") -> bool:
    return entry.is_symlink() or entry.is_file()


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link that leads to itself.
        return False


def shown(name: str | Path) -> str:
    """A file name as records and messages can carry it: one line of valid Unicode.

    Control characters and bytes that are not UTF-8 are written as escapes; everything else stays.
    """
    text = str(name)
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(sign) if unicodedata.category(sign) in ("Cc", "Cs") else sign for sign in text)


class RecordedFiles:
    """Finds the files of a data folder by the names that records give them, which may hold escapes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._unescaped: dict[Path, dict[str, str]] = {}

    def path(self, name: str) -> Path:
        """Where the file with this name in records is, or where it would be if there were one."""
        path = self.folder / name
        # Nearly every name is its own, and a folder may be large.
        if "\\x" not in path.name or os.path.lexists(path):
            return path
        if path.parent not in self._unescaped:
            self._unescaped[path.parent] = _unescaped_names(path.parent)
        return path.with_name(self._unescaped[path.parent].get(path.name, path.name))


def _unescaped_names(folder: Path) -> dict[str, str]:
    """The names in a folder that records write with escapes, by how they write them."""
    try:
        names = os.listdir(folder)
    except OSError:
        return {}
    return {shown(name): name for name in names if shown(name) != name}


def _escaped(sign: str) -> str:
    # Python keeps an undecodable byte as the surrogate 0xDC00 + byte.
    code = ord(sign)
    return f"\\x{code - 0xDC00 if code >= 0xDC00 else code:02x}"


def _folder_problem(path: Path, error: OSError) -> str:
    where = shown(path)
    if isinstance(error, FileNotFoundError):
        return f"{where}: no such folder: give the folder that holds the images and their annotations"
    if isinstance(error, NotADirectoryError):
        return f"{where}: not a folder: give the folder that holds the images and their annotations"
    return f"{where}: cannot be listed: {error.strerror or error}"
