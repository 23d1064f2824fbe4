"""Paths that callers of the Python API give: anything else is an error of theirs, in one line."""

import os
from pathlib import Path

from mahtdiag.errors import UsageError


def path_of(value: object, what: str) -> Path:
    """The path that `value` is. Raises UsageError for everything else, bytes included; `what` names it."""
    if isinstance(value, str | os.PathLike):
        text = os.fspath(value)
        if isinstance(text, str):
            return Path(text)
    raise UsageError(f"{what}: expected a path, found {type(value).__name__}")
