"""safetensors: named tensors behind a header of JSON, in one file or in shards that an index lists.

Nothing in such a file can run. The library checks that the tensors cover the file without gap or overlap.
"""

import json
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from safetensors import SafetensorError, safe_open

from mahtdiag.errors import CheckpointError
from mahtdiag.opening import open_file, read_bytes, require_regular
from mahtdiag.schema.safe_text import brief, brief_name

if TYPE_CHECKING:
    from torch import Tensor

SUFFIX: Final = ".safetensors"
INDEX_SUFFIX: Final = ".index.json"
LARGEST_HEADER: Final = 16 << 20
LONGEST_HEADER: Final = 100_000_000
"""What the library takes at most; by it a file is told."""
LARGEST_INDEX: Final = 16 << 20
MOST_SHARDS: Final = 1000
_OTHERS: Final = (b"PK\x03\x04", b"\x80")
"""How ZIP archives and pickles begin."""


def is_tensor_file(path: Path) -> bool:
    """Whether a file is one by how it begins, or is called one and begins like no other."""
    try:
        with open_file(path) as file:
            first = file.read(9)
    except OSError:
        return False
    if first.startswith(_OTHERS):
        return False
    return path.suffix.lower() == SUFFIX or (first[8:] == b"{" and _length(first) <= LONGEST_HEADER)


def is_index(path: Path) -> bool:
    """Whether a file is called an index of shards."""
    return path.name.lower().endswith(INDEX_SUFFIX)


def _length(first: bytes) -> int:
    return int(struct.unpack("<Q", first[:8])[0])


def shards_of(path: Path) -> tuple[Path, ...]:
    """The files that an index lists, beside it; the file itself where it is none.

    Raises CheckpointError where the index is no such list, or names what does not lie beside it.
    """
    if not is_index(path):
        return (path,)
    names = sorted(set(_weight_map(path).values()))
    if len(names) > MOST_SHARDS:
        raise CheckpointError(f"{path}: an index of {len(names)} shards, at most {MOST_SHARDS} are read")
    for name in names:
        said = brief_name(name)
        if name != Path(name).name or "\\" in name or not name.lower().endswith(SUFFIX):
            raise CheckpointError(
                f"{path}: lists '{said}', expected {SUFFIX} files beside it; save it as safetensors"
            )
        if not os.path.isfile(path.parent / name):
            raise CheckpointError(f"{path}: lists {said}, which is not beside it; copy all shards")
    return tuple(path.parent / name for name in names)


def _weight_map(path: Path) -> Mapping[str, str]:
    """The file of each tensor, as the index says."""
    try:
        content = json.loads(read_bytes(path, LARGEST_INDEX))
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise CheckpointError(f"{path}: not an index of shards: not valid JSON") from None
    found = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(found, dict) or not found or not all(isinstance(v, str) for v in found.values()):
        raise CheckpointError(f"{path}: not an index of shards: no weight_map from names to files")
    return found


def metadata_of(path: Path) -> Mapping[str, str]:
    """What the header says beside the tensors; empty for an index. Raises CheckpointError."""
    if is_index(path):
        return {}
    with _Opened(path, "np") as file:
        found: Mapping[str, str] = file.metadata() or {}
        return found


def tensors_in(path: Path) -> "dict[str, Tensor]":
    """The tensors by their names, of all shards. Raises CheckpointError."""
    listed = _weight_map(path) if is_index(path) else None
    found: dict[str, Tensor] = {}
    for shard in shards_of(path):
        for name, tensor in _tensors_of(shard):
            if listed is None or listed.get(name) == shard.name:
                found[name] = tensor
    missing = [name for name in listed or () if name not in found]
    if missing:
        raise CheckpointError(f"{path}: lists {brief_name(missing[0])}, which its shard does not hold")
    return found


def _tensors_of(path: Path) -> "Iterator[tuple[str, Tensor]]":
    with _Opened(path, "pt") as file:
        for name in file.keys():  # noqa: SIM118
            yield name, file.get_tensor(name)


def _require_short_header(path: Path) -> None:
    """Raise CheckpointError for a header that takes many times its own length to be read."""
    try:
        with open_file(path) as file:
            first = file.read(8)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
    if len(first) == 8 and LARGEST_HEADER < _length(first) <= path.stat().st_size:
        raise CheckpointError(
            f"{path}: refused: a header of {_length(first):,} bytes, at most {LARGEST_HEADER:,} are read"
        )


class _Opened:
    """A file of the library whose errors are CheckpointErrors of one line."""

    def __init__(self, path: Path, framework: str) -> None:
        self.path = path
        self.framework = framework
        self.file: Any = None

    def __enter__(self) -> Any:
        _require_short_header(self.path)
        try:
            require_regular(self.path)
            self.file = safe_open(str(self.path), framework=self.framework)
            return self.file.__enter__()
        except Exception as error:
            raise self._said(error) from None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.file.__exit__(kind, error, trace)
        if isinstance(error, SafetensorError | RuntimeError | ValueError | TypeError | OSError):
            raise self._said(error) from None

    def _said(self, error: BaseException) -> CheckpointError:
        reason = brief(str(error).removeprefix("Error while deserializing header: "), 200)
        return CheckpointError(
            f"{self.path}: damaged or truncated safetensors file ({reason}); copy or save it again"
        )
