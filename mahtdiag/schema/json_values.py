"""How much JSON may hold: two bytes of it become a value of dozens, and a mistake one of thousands."""

import json
from collections.abc import Mapping
from typing import Final

MOST_VALUES: Final = 100_000
"""Values of what mahtdiag writes itself, those that grow with the images left out."""


class TooManyValuesError(ValueError):
    """JSON of more values than its reader takes."""

    def __init__(self, most: int) -> None:
        super().__init__(f"more than {most:,} values")


def require_marks(content: bytes | str, most: int) -> None:
    """Refuse JSON before it is read, by its commas and brackets; those in texts count as well.

    Raises TooManyValuesError.
    """
    marks = (",", "[", "{")
    if isinstance(content, str):
        found = sum(map(content.count, marks))
    else:
        found = sum(content.count(mark.encode()) for mark in marks)
    if found > most:
        raise TooManyValuesError(most)


def bytes_of_values(content: bytes) -> int:
    """About how much memory the values of JSON take beside their texts, by its commas and brackets."""
    return 200 * content.count(b"{") + 80 * (content.count(b",") + content.count(b"["))


def parsed(content: bytes | str, most_marks: int, growing: str) -> object:
    """JSON that mahtdiag has written: no more than `MOST_VALUES` beside a list that grows with the images.

    `growing`: the key of that list; what it holds is free where it is a text, or at most two of them.

    Raises TooManyValuesError, and what `json.loads` raises.
    """
    require_marks(content, most_marks)
    found: object = json.loads(content)
    if isinstance(found, dict):
        _require_few(found, growing)
    return found


def _require_few(content: Mapping[str, object], growing: str) -> None:
    level: list[object] = [value for key, value in content.items() if key != growing]
    grown = content.get(growing)
    level += [value for value in grown if not _is_small(value)] if isinstance(grown, list) else [grown]
    if has_more(level, MOST_VALUES):
        raise TooManyValuesError(MOST_VALUES)


def has_more(content: object, most: int) -> bool:
    """Whether tables and lists hold more values than that, at any depth."""
    level, count = _inner(content), 0
    while level and count <= most:
        count += len(level)
        level = [value for each in level for value in _inner(each)]
    return count > most


def _inner(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _is_small(value: object) -> bool:
    if not isinstance(value, dict):
        return not isinstance(value, list)
    return len(value) <= 2 and not any(isinstance(each, dict | list) for each in value.values())
