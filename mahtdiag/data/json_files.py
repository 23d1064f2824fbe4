"""JSON that somebody else wrote: read whole or refused in one line, and what a few bytes of it show."""

import gc
import json
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final

from pydantic_core import from_json

from mahtdiag.data.folders import content_of
from mahtdiag.errors import DataError
from mahtdiag.opening import open_file, read_bytes
from mahtdiag.schema.json_values import bytes_of_values
from mahtdiag.schema.safe_text import shown

LARGEST_FILE_BYTES: Final = 2**30
LARGEST_VALUES_BYTES: Final = 2**30
_LOOKED_AT_BYTES: Final = 64 * 1024
_MOST_LOOKED_AT: Final = 64
_KEY: Final = re.compile(rb'"([A-Za-z_@][A-Za-z0-9_@]*)"\s*:')


def files_with(path: Path, endings: Sequence[str], depth: int = 2) -> Iterator[Path]:
    """The files of these endings in a folder and the folders below it, nearest and first by name first.

    A file that is named itself is the only one. Passed over is what `FolderContent` does, and what cannot be
    listed.
    """
    if path.is_file():
        if path.name.lower().endswith(tuple(endings)):
            yield path
        return
    level, wanted = [path], tuple(endings)
    for _ in range(depth + 1):
        below: list[Path] = []
        for folder in level:
            try:
                seen = content_of(folder)
            except OSError:
                continue
            below += [folder / name for name in seen.folders]
            for name in seen.ending_in(wanted):
                yield folder / name
        level = below


def keys_seen(path: Path) -> frozenset[str]:
    """Keys in the first and last 64 KB of a JSON file, of any depth; none where it cannot be read."""
    try:
        with open_file(path) as file:
            head = file.read(_LOOKED_AT_BYTES)
            size = os.fstat(file.fileno()).st_size
            file.seek(max(len(head), size - _LOOKED_AT_BYTES))
            tail = file.read(_LOOKED_AT_BYTES)
    except OSError:
        return frozenset()
    text = head + tail
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = text.replace(b"\0", b"")
    return frozenset(key.decode("ascii") for key in _KEY.findall(text))


def files_of_keys(path: Path, *wanted: str, ending: str = ".json") -> list[Path]:
    """The first JSON files of a set, up to 64 looked at, that have all of these keys."""
    return files_where(path, lambda keys: keys >= set(wanted), ending)


def files_where(path: Path, proof: Callable[[frozenset[str]], bool], ending: str = ".json") -> list[Path]:
    """The first JSON files of a set, up to 64 looked at, whose keys as far as seen are proof of something."""
    looked_at = islice(files_with(path, (ending,)), _MOST_LOOKED_AT)
    return [file for file in looked_at if proof(keys_seen(file))]


def read_json(path: Path, name: str) -> object:
    """The content of a JSON file in UTF-8 or UTF-16, `NaN` being a number as Python writes it.

    Raises DataError, one line, where it cannot be read, is larger than 1 GB or would be so in memory, is not
    JSON, or is nested too deeply.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE_BYTES:
            raise DataError(f"{name}: {size} bytes: an annotation file has at most {LARGEST_FILE_BYTES}")
        content = read_bytes(path)
    except OSError as error:
        raise DataError(f"{name}: cannot be read: {error.strerror or error}") from error
    if (needed := bytes_of_values(content)) > LARGEST_VALUES_BYTES:
        raise DataError(
            f"{name}: its values take {needed >> 20:,} MiB, at most {LARGEST_VALUES_BYTES >> 20:,} may be: "
            "save fewer images in one file"
        )
    if not content.strip():
        raise DataError(f"{name}: the file is empty ({len(content)} bytes)")
    try:
        return _parsed(content)
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: not UTF-8 at byte {error.start}: save it as UTF-8") from error
    except RecursionError as error:
        raise DataError(f"{name}: nested too deeply to be annotations") from error
    except ValueError as error:
        said = str(error) if isinstance(error, json.JSONDecodeError) else "a number of absurd length"
        raise DataError(f"{name}: not JSON: {shown(said)}: export it again") from error


def _parsed(content: bytes) -> object:
    """As `json.loads`, which says what is wrong and reads what is rare, but three times as fast."""
    with collector_paused():
        try:
            return from_json(content)
        except ValueError:
            return json.loads(content)


@contextmanager
def collector_paused() -> Iterator[None]:
    """Python's collector of garbage finds none among many new records, but takes as long as their making."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def number(value: object) -> float:
    """A number of a file, NaN for anything that is none (a bool, a word, a list, a number beyond floats)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan
