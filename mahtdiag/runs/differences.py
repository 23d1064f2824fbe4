"""What a run that is to be gone on with was begun with otherwise."""

from collections.abc import Iterator
from typing import Final

from pydantic import JsonValue

from mahtdiag.runs.document import RunDocument
from mahtdiag.runs.settings import FREE_SETTINGS
from mahtdiag.schema.safe_text import brief

_ABSENT: Final = "not set"


def differences(stored: RunDocument, new: RunDocument) -> tuple[str, ...]:
    """Everything that would make the rest of a run incomparable with its beginning, as `name: old → new`.

    Compared: versions, view, checkpoint content, data (listing, format, number of images), kind of device,
    precision, and all settings but `FREE_SETTINGS`. Not compared: paths, times, and the rest of the machine.
    """
    pairs: dict[str, tuple[JsonValue, JsonValue]] = {
        "mahtdiag": (stored.mahtdiag, new.mahtdiag),
        "view": (stored.view.value, new.view.value),
        "checkpoint sha256": (stored.checkpoint.sha256, new.checkpoint.sha256),
        "data format": (stored.data.format, new.data.format),
        "images": (stored.images.total, new.images.total),
        "image names and annotations (sha256)": (stored.data.listing_sha256, new.data.listing_sha256),
        "device": (stored.environment.device_kind, new.environment.device_kind),
        "precision": (stored.environment.precision, new.environment.precision),
    }
    if stored.view is new.view:
        pairs["levels"] = str(stored.skeleton.levels), str(new.skeleton.levels)
    before, after = _settings(stored), _settings(new)
    for name in [*before, *(name for name in after if name not in before)]:
        pairs[name] = (before.get(name, _ABSENT), after.get(name, _ABSENT))
    return tuple(f"{name}: {_shown(old)} → {_shown(now)}" for name, (old, now) in pairs.items() if old != now)


def _settings(document: RunDocument) -> dict[str, JsonValue]:
    kept = {name: value for name, value in document.settings.items() if name not in FREE_SETTINGS}
    return dict(_flat("", kept))


def _flat(prefix: str, value: JsonValue) -> Iterator[tuple[str, JsonValue]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(f"{prefix}.{name}" if prefix else name, inner)
    elif prefix:
        yield prefix, value


def _shown(value: JsonValue) -> str:
    return "none" if value is None else brief(str(value), 200)
