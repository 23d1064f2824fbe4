"""What a few bytes of a prediction file show, and predictions of which each image has its own."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from mahtdiag.data.files import counted
from mahtdiag.data.json_files import files_with, keys_seen, read_json
from mahtdiag.errors import DataError
from mahtdiag.opening import open_file
from mahtdiag.schema.safe_text import shown

_LOOKED_AT_BYTES: Final = 64 * 1024
_MOST_LOOKED_AT: Final = 64
_DEPTH: Final = 3
# A key in a text that is itself in a JSON text.
_ESCAPED_KEY: Final = re.compile(rb'\\"([A-Za-z_][A-Za-z0-9_]*)\\"\s*:')


def head(path: Path) -> bytes:
    """The first 64 KB of a file, none of what is not one or cannot be read."""
    try:
        with open_file(path) as file:
            return file.read(_LOOKED_AT_BYTES)
    except OSError:
        return b""


def begins_with(path: Path, sign: bytes) -> bool:
    """Whether this is what a text begins with, after a byte order mark and blanks."""
    start = head(path)[:1024].replace(b"\0", b"")
    return start.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").startswith(sign)


def keys_of(path: Path) -> frozenset[str]:
    """Keys near the beginning and the end of a JSON file, none of what is not one."""
    if not path.is_file() or not (begins_with(path, b"[") or begins_with(path, b"{")):
        return frozenset()
    escaped = _ESCAPED_KEY.findall(head(path).replace(b"\0", b""))
    return keys_seen(path) | {key.decode("ascii") for key in escaped}


def is_of_keys(path: Path, *wanted: str) -> bool:
    """Whether a JSON file, or one of the first 64 in a folder, has all of these keys."""
    if path.is_file():
        return keys_of(path) >= set(wanted)
    files = islice(files_with(path, (".json",), _DEPTH), _MOST_LOOKED_AT)
    return any(keys_of(file) >= set(wanted) for file in files)


@dataclass(frozen=True, slots=True)
class ImageContent:
    """What there is for one image: its name, the place for messages, and content of the form or a problem."""

    image: str
    where: str
    content: Any
    problem: str | None = None


@dataclass(slots=True)
class PerImage:
    """Predictions in a file per image, named after it, or in one file that maps names to predictions.

    `is_content`: whether something is the predictions of one image, `form` says in words what they are.
    """

    path: Path
    is_content: Callable[[object], bool]
    form: str
    left_out: int = 0
    files: tuple[Path, ...] = ()

    def read(self) -> list[ImageContent]:
        """Everything there is. Raises DataError where the file cannot be read or nothing is of the form."""
        if self.path.is_dir():
            return self._folder()
        self.files = (self.path,)
        name = shown(self.path.name)
        content = read_json(self.path, name)
        if self.is_content(content):
            return [ImageContent(self.path.stem, name, content)]
        if isinstance(content, dict):
            entries = [self._entry(image, name, each) for image, each in content.items()]
            if any(entry.problem is None for entry in entries):
                return entries
        raise DataError(f"{name}: neither {self.form} nor a mapping of images to that: name a file per image")

    def _folder(self) -> list[ImageContent]:
        files, found = [], []
        for file in files_with(self.path, (".json",), _DEPTH):
            place = file.relative_to(self.path)
            entry = self._file(file, shown(place), str(place.with_suffix("")))
            if entry is None:
                self.left_out += 1
            else:
                files.append(file)
                found.append(entry)
        if not any(entry.problem is None for entry in found):
            raise DataError(f"{shown(self.path)}: no JSON file in it is {self.form}")
        self.files = tuple(files)
        return found

    def _file(self, file: Path, name: str, image: str) -> ImageContent | None:
        try:
            content = read_json(file, name)
        except DataError as error:
            problem = "; ".join(error.problems).removeprefix(f"{name}: ")
            return ImageContent(image, name, None, problem)
        return ImageContent(image, name, content) if self.is_content(content) else None

    def _entry(self, image: str, name: str, content: object) -> ImageContent:
        """An entry of a mapping, which may be a JSON text in itself."""
        where = f"{name}, {shown(image[:100])}"
        if isinstance(content, str):
            try:
                content = json.loads(content)
            except (ValueError, RecursionError):
                content = None
        if self.is_content(content):
            return ImageContent(image, where, content)
        return ImageContent(image, where, None, f"not {self.form}")

    def notes(self) -> Iterator[str]:
        """What was left out."""
        if self.left_out:
            yield f"{counted(self.left_out, 'JSON file')} left out, not {self.form}"
