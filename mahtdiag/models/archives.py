"""ZIP archives that somebody else wrote: what they hold is compared with the file before any of it is read.

An archive says itself how many files it holds and how large they are. A few kilobytes can claim millions of
files, can lay files over each other, and can unpack to gigabytes.
"""

import os
import struct
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from mahtdiag.models.pickled import LimitError
from mahtdiag.opening import is_archive, open_file

MOST_GROWTH: Final = 20
ROOM: Final = 64 << 20
LARGEST_GROWTH: Final = 512 << 20
LARGEST_DIRECTORY: Final = 6 << 20
"""Bytes of the list of members: those of a hundred thousand."""
_CHUNK: Final = 1 << 20
_END, _LOCATOR, _END64 = b"PK\x05\x06", b"PK\x06\x07", b"PK\x06\x06"
_END_SIZE, _LOCATOR_SIZE, _END64_SIZE = 22, 20, 56
_LONGEST_COMMENT: Final = 65535
_PACKINGS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class Archive:
    """An open archive; `is_as_torch_writes`: every reader of such files finds the same members in it."""

    zip: zipfile.ZipFile
    entries: dict[str, zipfile.ZipInfo]
    unpacked_bytes: int
    is_as_torch_writes: bool

    def read(self, name: str, most_bytes: int) -> bytearray:
        """A member, which unpacks to no more than it says. KeyError where it is not there."""
        entry = self.entries[name]
        if entry.file_size > most_bytes:
            raise LimitError(f"a member of {entry.file_size:,} bytes, at most {most_bytes:,} are read")
        content = bytearray(entry.file_size)
        place = 0
        with self.zip.open(entry) as member:
            # A piece at a time: without a number, the library unpacks all that it finds.
            while place < len(content) and (piece := member.read(min(_CHUNK, len(content) - place))):
                content[place : place + len(piece)] = piece
                place += len(piece)
        if place < len(content):
            raise zipfile.BadZipFile("a member that is shorter than it says")
        return content


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """An archive whose sizes agree with its file. Raises LimitError, or what `zipfile` does."""
    size = path.stat().st_size
    with open_file(path) as file:
        ends_plainly = _require_short_directory(file, size)
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
            _require_possible(infos, size)
            entries = {info.filename: info for info in infos}
            stored = all(info.compress_type == zipfile.ZIP_STORED for info in infos)
            alike = stored and ends_plainly and len(entries) == len(infos)
            yield Archive(archive, entries, sum(info.file_size for info in infos), alike)


def _require_short_directory(file: IO[bytes], size: int) -> bool:
    """Raise LimitError for an endless list of members; whether the file ends with where the list begins."""
    file.seek(max(0, size - _END_SIZE - _LONGEST_COMMENT - _LOCATOR_SIZE - _END64_SIZE))
    tail = file.read()
    at = len(tail) - _END_SIZE
    has_comment = not (at >= 0 and tail.startswith(_END, at) and tail.endswith(b"\0\0"))
    at = tail.rfind(_END) if has_comment else at
    if at < 0 or at + _END_SIZE > len(tail):
        raise zipfile.BadZipFile("no list of members")
    length, first = struct.unpack("<II", tail[at + 12 : at + 20])
    end = size - len(tail) + at
    locator = at - _LOCATOR_SIZE
    if locator >= _END64_SIZE and tail.startswith(_LOCATOR, locator):
        record = locator - _END64_SIZE
        if tail.startswith(_END64, record):
            length, first = struct.unpack("<QQ", tail[record + 40 : record + 56])
            end = size - len(tail) + record
            has_comment |= struct.unpack("<Q", tail[locator + 8 : locator + 16])[0] != end
        else:
            has_comment = True
    if length > LARGEST_DIRECTORY:
        raise LimitError(f"a list of members of {length:,} bytes, at most {LARGEST_DIRECTORY:,} are read")
    return not has_comment and first + length == end


def _require_possible(infos: list[zipfile.ZipInfo], size: int) -> None:
    """Raise LimitError for members that lie over each other, or unpack to far more than the file."""
    odd = Counter(info.compress_type for info in infos if info.compress_type not in _PACKINGS)
    if odd:
        raise LimitError("members that are packed as no checkpoint is")
    if sum(info.compress_size for info in infos) > size:
        raise LimitError("members that lie over each other")
    unpacked = sum(info.file_size for info in infos)
    if unpacked > min(MOST_GROWTH * size + ROOM, size + LARGEST_GROWTH):
        raise LimitError(f"an archive of {size:,} bytes that unpacks to {unpacked:,}")


def names_in(path: Path) -> tuple[str, ...]:
    """Names of the members in their order; none for a file that is no archive. Raises as `opened` does."""
    if not is_archive(path):
        return ()
    with opened(path) as archive:
        return tuple(archive.entries)


def begins_like_one(path: Path) -> bool:
    """Whether the first bytes are those of an archive, by which torch tells it."""
    with open_file(path) as file:
        return os.fstat(file.fileno()).st_size >= _END_SIZE and file.read(4) == b"PK\x03\x04"
