"""Text that somebody else wrote, of a bounded size."""

import codecs
from pathlib import Path

from mahtdiag.errors import DataError
from mahtdiag.opening import open_file


def read_bounded(path: Path, name: str, most_bytes: int) -> bytes:
    """The bytes of a file that messages call `name`. Raises DataError: unreadable, or larger than allowed."""
    try:
        with open_file(path) as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise DataError(f"{name}: cannot be read: {error.strerror or error}") from error
    if len(content) > most_bytes:
        raise DataError(f"{name}: larger than the {most_bytes} bytes that such a file has at most")
    return content


def decoded(content: bytes, name: str) -> str:
    """UTF-8 with or without a byte order mark, or UTF-16 with one. Raises DataError for anything else."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding, called = "utf-16", "UTF-16"
    else:
        encoding, called = "utf-8-sig", "UTF-8"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: not {called} at byte {error.start}: save it as UTF-8") from error
