"""Plain values as the JSON text that every command prints."""

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mahtdiag.reports.rendering import Json, Result


def json_bytes(result: "Result") -> bytes:
    """Two spaces, a newline at the end, UTF-8 whatever a terminal's encoding is, no NaN.

    Bytes of a file name that are no text are escapes.
    """
    text = json.dumps(result.content(), indent=2, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode("utf-8", "backslashreplace")


def escaped(text: str) -> "Json":
    """As JSON can hold it: bytes of a path that are no text are escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
