"""Checkpoints that hold more than tensors and plain data, read without running any of it.

Lightning, timm, MMEngine and whole pickled networks keep objects of classes beside their weights.
`pickled.PickleReader` reads the pickle as data, in which every such object is a `Thing`; here the tensors are
made of the bytes beside it, after their sizes were compared with those of the file.
"""

import io
import struct
import sys
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import IO, Any, Final, cast

from mahtdiag.models.pickled import (
    Make,
    Named,
    PickleError,
    PickleReader,
    Thing,
    has_endless_word,
    key_of,
)
from mahtdiag.models.plain_content import (
    DEEPEST,
    MOST_GROWTH,
    ROOM,
    STORAGES,
    PlainContent,
    ReadBytes,
    Storage,
    TensorRecord,
    dtype_of,
    is_count,
)
from mahtdiag.opening import is_archive, open_file

MAGIC: Final = 0x1950A86A20F9469CFC6C
LEGACY_PICKLES: Final = 5
"""So many pickles stand in a file in the format before torch 1.6, before its numbers."""
LARGEST_PICKLE: Final = 512 << 20


_MAPPINGS: Final = (
    "collections.OrderedDict",
    "collections.defaultdict",
    "collections.Counter",
    "builtins.dict",
)
_LISTS: Final = ("builtins.set", "builtins.frozenset", "builtins.list", "__builtin__.set")
_KNOWN: Final = ("numpy.dtype", "numpy.ndarray", "torch.device", "torch.nn.parameter.Parameter")
DAMAGES: Final = (
    *(
        OSError,
        EOFError,
        ValueError,
        TypeError,
        KeyError,
        RuntimeError,
        MemoryError,
        struct.error,
        zlib.error,
    ),
    zipfile.BadZipFile,
)
"""What reading a damaged archive provokes; RuntimeError where its directory says that it is encrypted."""
_PLAIN: Final = ("object", "list", "dict")


@dataclass(frozen=True)
class Foreign:
    """What a file holds: mappings, sequences, scalars, tensors; `classes`: the names of all that was left."""

    content: Any
    classes: tuple[str, ...]


def read_foreign(path: Path) -> Foreign:
    """Read a file of `torch.save`, new or legacy, or a bare pickle. Raises PickleError where it is none."""
    try:
        return _read(path)
    except DAMAGES as error:
        raise PickleError(str(error) or type(error).__name__) from None


def takes_torch_long(path: Path) -> bool:
    """Whether torch may search a text of the file for minutes, when it words why it refuses the file.

    Its three searches take the square of the length of a word; the file is to be read as data instead.
    """
    try:
        if is_archive(path):
            with open_file(path) as file, zipfile.ZipFile(file) as archive:
                names = [name for name in archive.namelist() if name.split("/", 1)[-1] == "data.pkl"]
                return any(_has_endless_word_in(archive, name) for name in names)
        with open_file(path) as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            return has_endless_word(cast("IO[bytes]", content), LEGACY_PICKLES)
    except DAMAGES:
        return False


def _has_endless_word_in(archive: zipfile.ZipFile, name: str) -> bool:
    with archive.open(name) as member:
        return has_endless_word(io.BytesIO(member.read(LARGEST_PICKLE)), 1)


def _read(path: Path) -> Foreign:
    size = path.stat().st_size
    if is_archive(path):
        with open_file(path) as file, zipfile.ZipFile(file) as archive:
            return _from_archive(archive, size)
    # A map reads no further than the file goes, whatever length the file claims.
    with open_file(path) as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        return _from_legacy(cast("IO[bytes]", content), size)


def _from_archive(archive: zipfile.ZipFile, size: int) -> Foreign:
    entries = {entry.filename: entry for entry in archive.infolist()}
    if sum(entry.file_size for entry in entries.values()) > MOST_GROWTH * size + ROOM:
        raise PickleError("an archive that grows beyond measure when it is unpacked")
    main = next((name for name in entries if name.split("/", 1)[-1] == "data.pkl"), None)
    if main is None or entries[main].file_size > LARGEST_PICKLE:
        raise PickleError("no data.pkl of a possible size")
    front = main.removesuffix("data.pkl")
    if front + "byteorder" in entries and archive.read(front + "byteorder") != sys.byteorder.encode():
        raise PickleError("numbers of another byte order")

    def read(key: str, expected: int) -> bytes:
        entry = entries.get(f"{front}data/{key}")
        if entry is None or entry.file_size < expected:
            raise PickleError(f"storage {key} is not there or too short")
        return archive.read(entry)

    reader = PickleReader(io.BytesIO(archive.read(main)), MAKES, _storage)
    return _plain(reader.read(), reader, read, size)


def _from_legacy(file: IO[bytes], size: int) -> Foreign:
    reader = PickleReader(file, MAKES, _storage)
    content = reader.read()
    if content != MAGIC:
        return _plain(content, reader, _no_bytes, size)
    content, places = _legacy_parts(reader, file, size)

    def read(key: str, expected: int) -> bytes:
        start, length = places.get(key, (0, -1))
        if length < expected:
            raise PickleError(f"storage {key} is not there or too short")
        file.seek(start)
        return file.read(length)

    return _plain(content, reader, read, size)


def _legacy_parts(
    reader: PickleReader, file: IO[bytes], size: int
) -> tuple[object, dict[str, tuple[int, int]]]:
    """What follows the magic number: the content, and where each storage begins and how long it is."""
    _version, system, content = reader.read(), reader.read(), reader.read()
    if isinstance(system, dict) and system.get("little_endian") is not (sys.byteorder == "little"):
        raise PickleError("numbers of another byte order")
    keys = reader.read()
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise PickleError("no list of storages")
    widths = {item.key: item.dtype.itemsize for item in _storages_of(content)}
    places: dict[str, tuple[int, int]] = {}
    for key in keys:
        count = int.from_bytes(file.read(8), "little")
        start, length = file.tell(), count * widths.get(key, 1)
        if start + length > size:
            raise PickleError(f"storage {key} is longer than the file")
        places[key] = (start, length)
        file.seek(start + length)
    return content, places


def _no_bytes(key: str, _expected: int) -> bytes:
    raise PickleError(f"storage {key} is not in the file")


def _storage(pid: object) -> object:
    """The reference to a storage, or to the source of a class, of which the name remains."""
    if isinstance(pid, tuple) and len(pid) >= 5 and pid[0] == "storage":
        _, kind, key, _device, count, *view = pid
        dtype = STORAGES.get(kind.name) if isinstance(kind, Named) else None
        if dtype is None or not isinstance(key, str) or not is_count(count):
            raise PickleError("a storage of an unknown kind")
        part = view[0] if view else None
        first = part[1] if isinstance(part, tuple) and len(part) == 3 and is_count(part[1]) else 0
        return Storage(key, dtype, int(count), int(first))
    if isinstance(pid, tuple) and len(pid) > 1 and pid[0] == "module":
        return pid[1]
    return Thing("reference", (pid,))


def _tensor(args: tuple[object, ...]) -> object:
    """`_rebuild_tensor`, `_rebuild_tensor_v2` and `_rebuild_tensor_v3` (whose type stands at the end)."""
    storage, offset, size, stride, *more = args
    if not isinstance(storage, Storage):
        return Thing("tensor", args)
    dtype = next((found for m in more if (found := dtype_of(m)) is not None), storage.dtype)
    if not (isinstance(size, tuple) and isinstance(stride, tuple) and isinstance(offset, int)):
        raise PickleError("a tensor of an impossible shape")
    if not (len(size) == len(stride) <= DEEPEST and all(map(is_count, (offset, *size, *stride)))):
        raise PickleError("a tensor of an impossible shape")
    return TensorRecord(storage, int(offset), tuple(size), tuple(stride), dtype)


def _first(args: tuple[object, ...]) -> object:
    return args[0] if args else Thing("nothing")


def _of_a_type(args: tuple[object, ...]) -> object:
    """A tensor of a subclass: function, class, arguments, state."""
    function, inner = args[0], args[2]
    make = MAKES.get(str(function)) if isinstance(function, Named) else None
    return make(inner) if make is not None and isinstance(inner, tuple) else Thing(function, args)


def _mapping(args: tuple[object, ...]) -> object:
    """An empty mapping, or one of a list of pairs, as old Python versions wrote it."""
    pairs = next((a for a in args if isinstance(a, list)), [])
    inner = next((a for a in args if isinstance(a, dict)), {})
    found = {key_of(p[0]): p[1] for p in pairs if isinstance(p, list | tuple) and len(p) == 2}
    return {**inner, **found}


def _reconstructed(args: tuple[object, ...]) -> object:
    """`copyreg._reconstructor(class, base, content)`, by which old protocols write objects."""
    content = args[2] if len(args) == 3 else None
    pairs = {key_of(key): value for key, value in content.items()} if isinstance(content, dict) else {}
    return Thing(args[0] if args else None, args, pairs=pairs)


def _list(args: tuple[object, ...]) -> object:
    return next((list(a) for a in args if isinstance(a, list | tuple)), [])


def _bytes(args: tuple[object, ...]) -> object:
    """`_codecs.encode(text, "latin1")`, by which protocol 2 writes bytes."""
    text = args[0] if args else ""
    return text.encode("latin1", "replace") if isinstance(text, str) else b""


def _inline_storage(args: tuple[object, ...]) -> object:
    """A storage that a bare pickle holds as a file of its own."""
    content = args[0] if args else None
    if not isinstance(content, bytes):
        return Thing("storage", args)
    file = io.BytesIO(content)
    reader = PickleReader(file, {}, _storage)
    if reader.read() != MAGIC:
        raise PickleError("a storage of an unknown form")
    storage, places = _legacy_parts(reader, file, len(content))
    if not isinstance(storage, Storage):
        raise PickleError("a storage of an unknown form")
    start, length = places.get(storage.key, (0, 0))
    return replace(storage, key=f"{storage.key} {id(content)}", content=content[start : start + length])


MAKES: Final[Mapping[str, Make]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._tensor._rebuild_from_type_v2": _of_a_type,
    "torch.storage._load_from_bytes": _inline_storage,
    "torch.Size": _first,
    "copyreg._reconstructor": _reconstructed,
    "copy_reg._reconstructor": _reconstructed,
    "_codecs.encode": _bytes,
    **dict.fromkeys(_MAPPINGS, _mapping),
    **dict.fromkeys(_LISTS, _list),
}


def _storages_of(content: object) -> list[Storage]:
    """Every storage that a tensor of the content lies in."""
    found: dict[int, Storage] = {}
    seen: set[int] = set()
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, TensorRecord):
            found[id(value.storage)] = value.storage
        if isinstance(value, Storage):
            found[id(value)] = value
        if id(value) in seen:
            continue
        seen.add(id(value))
        waiting += _parts(value)
    return list(found.values())


def _parts(value: object) -> Sequence[object]:
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, Thing):
        return [*value.args, value.state, *value.items, *value.pairs.values()]
    return ()


def _plain(content: object, reader: PickleReader, read: ReadBytes, size: int) -> Foreign:
    left = [name for name, named in reader.met.items() if name not in MAKES and not _is_known(named)]
    return Foreign(PlainContent(read, size).of(content), tuple(left))


def _is_known(named: Named) -> bool:
    """What stands for numbers and their types."""
    of_torch = named.module in ("torch", "torch.storage") and named.name in STORAGES
    plain = named.module in ("builtins", "__builtin__") and named.name in _PLAIN
    return of_torch or plain or dtype_of(named) is not None or str(named) in _KNOWN or _is_numpy(str(named))


def _is_numpy(name: str) -> bool:
    return name.startswith("numpy.") and name.endswith((".scalar", "._reconstruct", "._frombuffer"))
