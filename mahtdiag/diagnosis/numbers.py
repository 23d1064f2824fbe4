"""Numbers of a `run.json` by their dotted paths, and the confidence intervals that belong to them."""

import math
from collections.abc import Iterator, Mapping, Sequence

from mahtdiag.diagnosis.metrics import SECTION

Content = Mapping[str, object]
Interval = tuple[float, float]
Trail = tuple[tuple[Mapping[str, object], str], ...]

# In a record with one interval it is that of the first of these numbers.
_ESTIMATES = ("mean", "observed", "value")


def find_number(content: Content, metric: str) -> float | None:
    """The number at a dotted path, in the content or in its metrics; keys may hold dots (`sdr_mm.2.5`).

    Entries of a list with a kind and a name are found by both: `calibration.groups.vertebra.L5.mace`. None
    where there is no number; true and false count as 1 and 0.
    """
    trail = _trail(content, metric)
    if trail is None:
        return None
    holder, key = trail[-1]
    value = holder[key]
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def find_interval(content: Content, metric: str) -> Interval | None:
    """The 95 % interval of the number at a dotted path; None where the content has none.

    It stands beside the number, as `ci95` of a record with one estimate, as `ci95` by name, or as
    `NAME_ci95`; or beside the table that holds the number, as `TABLE_ci95` by name.
    """
    trail = _trail(content, metric)
    if trail is None:
        return None
    holder, key = trail[-1]
    own, shared = holder.get(f"{key}_ci95"), holder.get("ci95")
    if own is None and isinstance(shared, Mapping):
        own = shared.get(key)
    elif own is None and key in _ESTIMATES:
        own = shared
    if own is None and len(trail) > 1:
        outer, name = trail[-2]
        table = outer.get(f"{name}_ci95")
        own = table.get(key) if isinstance(table, Mapping) else None
    return _interval(own)


def numbers_of(content: object, prefix: str = "") -> Iterator[str]:
    """The paths of all numbers of a content; intervals are no numbers of their own."""
    content = _by_kind_and_name(content)
    if isinstance(content, Mapping):
        for key, inner in content.items():
            yield from numbers_of(inner, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(content, (int, float)):
        yield prefix


def _trail(content: Content, metric: str) -> Trail | None:
    """The tables that lead to a number, each with the key that goes on."""
    found = _descend(content, metric)
    if found is not None:
        return found
    inner = content.get(SECTION)
    return _descend(inner, metric)


def _descend(content: object, path: str) -> Trail | None:
    content = _by_kind_and_name(content)
    if not isinstance(content, Mapping):
        return None
    for key, inner in content.items():
        if path == key:
            return ((content, key),) if isinstance(inner, (int, float)) else None
        if path.startswith(f"{key}."):
            found = _descend(inner, path[len(key) + 1 :])
            if found is not None:
                return ((content, key), *found)
    return None


def _by_kind_and_name(content: object) -> object:
    """A list of records with a kind and a name as tables by kind and by name; anything else as it is."""
    if isinstance(content, str) or not isinstance(content, Sequence):
        return content
    tables: dict[str, dict[str, object]] = {}
    for entry in content:
        if isinstance(entry, Mapping) and "kind" in entry and "name" in entry:
            tables.setdefault(str(entry["kind"]), {})[str(entry["name"])] = entry
    return tables


def _interval(found: object) -> Interval | None:
    if isinstance(found, str) or not isinstance(found, Sequence) or len(found) != 2:
        return None
    low, high = found
    if isinstance(low, (int, float)) and isinstance(high, (int, float)) and math.isfinite(low + high):
        return float(low), float(high)
    return None
