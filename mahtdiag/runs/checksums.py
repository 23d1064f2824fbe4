"""Whether a run folder is still what the run has written: SHA-256 of its files."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from pydantic import JsonValue

# What tells how a run was executed or shown and changes none of its numbers: the same command on the same
# machine gives the same digest, whenever it ran and with as many workers as it liked.
TIMES: Final = frozenset({"started", "seconds"})
FREE_SETTINGS: Final = frozenset(
    {"allow_failures", "calibration", "format", "gates", "given", "out", "overlays", "resume", "workers"}
)


def content_sha256(content: Mapping[str, JsonValue]) -> str:
    """Digest of the content of a `run.json`, without `TIMES`, `FREE_SETTINGS` and `checksums.run_json`.

    Taken over canonical JSON: keys sorted, no spaces, ASCII. Order and indentation of the file do not matter.
    """
    kept = {name: value for name, value in content.items() if name not in TIMES}
    for section, left_out in (("settings", FREE_SETTINGS), ("checksums", {"run_json"})):
        entries = kept.get(section)
        if isinstance(entries, Mapping):
            kept[section] = {name: value for name, value in entries.items() if name not in left_out}
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Digest of a file. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(lines: Sequence[str]) -> str:
    """SHA-256 over lines in sorted order."""
    return hashlib.sha256("\n".join(sorted(lines)).encode("utf-8", "surrogateescape")).hexdigest()
