"""What the first bytes of a prediction file show."""

from pathlib import Path

from mahtdiag.data.json_files import keys_seen

_LOOKED_AT_BYTES = 1024


def begins_with(path: Path, sign: bytes) -> bool:
    """Whether this is what a text begins with, after a byte order mark and blanks."""
    return head(path).replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").startswith(sign)


def head(path: Path) -> bytes:
    """The first 1024 bytes of a file, none of what is not one or cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_LOOKED_AT_BYTES)
    except OSError:
        return b""


def keys_of(path: Path) -> frozenset[str]:
    """Keys near the beginning and the end of a JSON file, none of what is not one."""
    return keys_seen(path) if path.is_file() else frozenset()
