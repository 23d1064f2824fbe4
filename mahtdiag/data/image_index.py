"""Finds the image that an annotation file means, by its name, inside one folder and nowhere else."""

import os
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Final

from mahtdiag.data.files import IMAGE_EXTENSIONS, is_image
from mahtdiag.data.folders import content_of, looked_up
from mahtdiag.errors import DataError
from mahtdiag.schema.safe_text import shown

_MOST_FILES: Final = 2_000_000


@dataclass(frozen=True, slots=True)
class ImageIndex:
    """The image files below a folder.

    A name in an annotation file may be a path on another machine, absolute, with `..`, or without its
    ending: only what was listed here can be found, so that nothing outside the folder is ever read.
    """

    root: Path
    by_name: dict[str, list[str]] = field(default_factory=dict)
    by_stem: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, root: Path, endings: frozenset[str] | None = None) -> "ImageIndex":
        """List the images below a folder, or the files of these endings.

        Links to folders are not followed, hidden files not listed.

        Raises DataError where it cannot be listed, or holds more than two million files.
        """
        return looked_up((cls, os.fspath(root), endings), lambda: cls._listed(root, endings))

    @classmethod
    def _listed(cls, root: Path, endings: frozenset[str] | None) -> "ImageIndex":
        index = cls(root)
        listed = 0
        waiting = [""]
        try:
            while waiting:
                below = waiting.pop()
                folder = os.path.join(root, below) if below else os.fspath(root)
                prefix = below and f"{below}/"
                content = content_of(folder)
                listed += content.count
                if listed > _MOST_FILES:
                    raise DataError(f"{shown(root)}: more than {_MOST_FILES} files: name a folder of images")
                for ending, names in content.files.items():
                    index._take(prefix, folder, ending, names, endings)
                waiting += [f"{prefix}{name}" for name in reversed(content.folders)]
        except OSError as error:
            where = shown(error.filename or root)
            raise DataError(f"{where}: cannot be listed: {error.strerror or error}") from error
        return index

    def _take(
        self, prefix: str, folder: str, ending: str, names: Sequence[str], endings: frozenset[str] | None
    ) -> None:
        """Take in the files of one ending in one folder, as far as they are wanted."""
        if endings is not None:
            names = names if ending in endings else ()
        elif ending not in IMAGE_EXTENSIONS:
            names = [name for name in names if is_image(os.path.join(folder, name), ending)]
        length = len(ending)
        for name in names:
            known = _nfc(name)
            self.by_name.setdefault(known, []).append(prefix + name)
            self.by_stem.setdefault(known[: len(known) - length], []).append(prefix + name)

    @classmethod
    def of_names(cls, root: Path, names: Iterable[str]) -> "ImageIndex":
        """These images alone, by their paths below the folder, which is not looked at."""
        index = cls(root)
        for path in names:
            name = path.rpartition("/")[2]
            index.by_name.setdefault(_nfc(name), []).append(path)
            index.by_stem.setdefault(_nfc(os.path.splitext(name)[0]), []).append(path)
        return index

    @property
    def images(self) -> list[str]:
        """Every image, by its path below the folder, sorted."""
        return sorted(chain.from_iterable(self.by_name.values()))

    def has(self, file_name: str) -> bool:
        """Whether a file of this name is an image in some folder."""
        return _nfc(file_name) in self.by_name

    def find(self, name: str, beside: str = "") -> list[str]:
        """The images that a name can mean, by their paths below the folder; best one alone where one is best.

        By file name with its ending, else without; of several, the one whose folders agree best with the
        name's. `beside`: the folder of the file that names it, which decides where the name alone does not.
        """
        path = _nfc(name.replace("\\", "/"))
        alone = self.by_name.get(path.rpartition("/")[2], ())
        if len(alone) == 1:
            return [*alone]
        wanted = PurePosixPath(path)
        found = self.by_name.get(wanted.name) or self.by_stem.get(wanted.name) or []
        if not found:
            found = self.by_stem.get(wanted.stem, []) if wanted.suffix.lower() in IMAGE_EXTENSIONS else []
        if len(found) < 2:
            return found
        best = _closest(found, [part for part in wanted.parts[:-1] if part not in ("/", ".", "..")])
        if len(best) > 1 and beside:
            best = [path for path in best if str(PurePosixPath(path).parent) == beside] or best
        return best


def _closest(found: Sequence[str], folders: Sequence[str]) -> list[str]:
    """Those whose folders agree with the most of these, counted from the file upwards."""

    def agreement(path: str) -> int:
        own = [_nfc(part) for part in PurePosixPath(path).parts[:-1]]
        pairs = zip(reversed(own), reversed(folders), strict=False)
        return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(own), len(folders)))

    scores = [agreement(path) for path in found]
    return [path for path, score in zip(found, scores, strict=True) if score == max(scores)]


def _nfc(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)
