"""The one way to open a file that somebody else may have made: a regular file, of a bounded size."""

import errno
import os
import stat
import zipfile
from io import BufferedReader
from pathlib import Path
from typing import Final

LARGEST_BYTES: Final = 2**30
"""Most bytes of a file that is read whole, unless its reader names fewer."""

_KINDS: Final = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)
# A pipe that takes the place of a file in between must not wait for who writes into it.
_FLAGS: Final = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))


def require_regular(path: str | Path) -> int:
    """The bytes of what a path leads to, links followed; for libraries that open files themselves.

    Raises OSError: nothing is there, or it is a folder, a pipe, a socket or a device, by its `strerror`.
    """
    return _size(os.stat(path), path)


def open_file(path: str | Path, most_bytes: int | None = None) -> BufferedReader:
    """Open a file for reading, links followed, without ever waiting for a pipe or filling from a device.

    Raises OSError as `require_regular`, and where it has more than `most_bytes`; ValueError for a name that
    no file can have.
    """
    require_regular(path)
    descriptor = os.open(path, _FLAGS)
    try:
        size = _size(os.fstat(descriptor), path)
        if most_bytes is not None and size > most_bytes:
            raise _too_large(size, most_bytes, path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_bytes(path: str | Path, most_bytes: int = LARGEST_BYTES) -> bytes:
    """All bytes of a file. Raises as `open_file`; a file that grows meanwhile is too large as well."""
    with open_file(path, most_bytes) as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise _too_large(len(content), most_bytes, path)
    return content


def read_head(path: str | Path, count: int) -> bytes:
    """The first bytes of a file of any size. Raises as `open_file`."""
    with open_file(path) as file:
        return file.read(count)


def is_archive(path: str | Path) -> bool:
    """Whether a file is a ZIP archive, by its end. Raises as `open_file`."""
    with open_file(path) as file:
        return zipfile.is_zipfile(file)


def _size(status: os.stat_result, path: str | Path) -> int:
    for is_kind, what in _KINDS:
        if is_kind(status.st_mode):
            code = errno.EISDIR if is_kind is stat.S_ISDIR else errno.EINVAL
            raise _error(code, f"{what}, not a file", path)
    return status.st_size


def _too_large(size: int, most_bytes: int, path: str | Path) -> OSError:
    return _error(errno.EFBIG, f"{size:,} bytes, at most {most_bytes:,} are read", path)


def _error(code: int, reason: str, path: str | Path) -> OSError:
    return OSError(code, reason, os.fspath(path))
