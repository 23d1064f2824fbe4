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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import IO, Any, Final, cast

from mahtdiag.models.archives import begins_like_one, opened
from mahtdiag.models.pickled import (
    FILE_IN_FILE,
    Make,
    Named,
    PickleError,
    PickleReader,
    Thing,
    key_of,
)
from mahtdiag.models.plain_content import (
    DEEPEST,
    STORAGES,
    PlainContent,
    ReadBytes,
    Storage,
    TensorRecord,
    dtype_of,
    is_count,
    room_of_tensors,
)
from mahtdiag.opening import is_archive, open_file

MAGIC: Final = 0x1950A86A20F9469CFC6C
LARGEST_PICKLE: Final = 512 << 20
LONGEST_ORDER: Final = 16
_MOST_OF_STORAGE: Final = 300
"""Operations of the pickles before the numbers of a storage that is a file in a file."""


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
    return surveyed(path).content()


@dataclass(frozen=True)
class Surveyed:
    """A file whose pickle was read as data, before any tensor is made of the bytes beside it.

    `is_for_torch`: torch reads the same of it, in bounded memory and time. `places`: where the storages of a
    legacy file lie, None for an archive; `unpacked_bytes`: how much there is of it.
    """

    path: Path
    raw: object
    met: Mapping[str, Named]
    is_for_torch: bool
    unpacked_bytes: int
    front: str = ""
    places: Mapping[str, tuple[int, int]] | None = None

    def content(self) -> Foreign:
        """All of it as plain data. Raises PickleError."""
        with _one_error():
            return self._in_archive() if self.places is None else self._in_legacy_file(self.places)

    def _in_archive(self) -> Foreign:
        with opened(self.path) as archive:

            def read(key: str, expected: int) -> bytearray:
                name = f"{self.front}data/{key}"
                entry = archive.entries.get(name)
                if entry is None or entry.file_size < expected:
                    raise PickleError(f"storage {key} is not there or too short")
                return archive.read(name, entry.file_size)

            return self._plain(read)

    def _in_legacy_file(self, places: Mapping[str, tuple[int, int]]) -> Foreign:
        with open_file(self.path) as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:

            def read(key: str, expected: int) -> bytearray:
                start, length = places.get(key, (0, -1))
                if length < expected:
                    raise PickleError(f"storage {key} is not there or too short")
                with memoryview(content) as view:
                    return bytearray(view[start : start + length])

            return self._plain(read)

    def _plain(self, read: ReadBytes) -> Foreign:
        left = [name for name, named in self.met.items() if name not in MAKES and not _is_known(named)]
        return Foreign(PlainContent(read, self.unpacked_bytes).of(self.raw), tuple(left))


@contextmanager
def _one_error() -> Iterator[None]:
    """Whatever a damaged file provokes is a PickleError."""
    try:
        yield
    except PickleError:
        raise
    except DAMAGES as error:
        raise PickleError(str(error) or type(error).__name__) from None


def surveyed(path: Path) -> Surveyed:
    """Read the pickle of a file as data. Raises PickleError where there is none, or it is damaged."""
    with _one_error():
        if is_archive(path):
            return _of_archive(path)
        # A map reads no further than the file goes, whatever length the file claims.
        with open_file(path) as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            return _of_legacy(path, cast("IO[bytes]", content))


def _of_archive(path: Path) -> Surveyed:
    with opened(path) as archive:
        mains = [name for name in archive.entries if name.split("/", 1)[-1] == "data.pkl"]
        if not mains:
            raise PickleError("no data.pkl")
        front = mains[0].removesuffix("data.pkl")
        order = f"{front}byteorder"
        if order in archive.entries and archive.read(order, LONGEST_ORDER) != sys.byteorder.encode():
            raise PickleError("numbers of another byte order")
        main = archive.read(mains[0], LARGEST_PICKLE)
        sizes = {name: entry.file_size for name, entry in archive.entries.items()}
    reader = PickleReader(io.BytesIO(main), MAKES, _storage, size=len(main))
    raw = reader.read()
    whole = all(
        sizes.get(f"{front}data/{item.key}", -1) >= item.count * item.dtype.itemsize
        for item in _storages_of(raw)
        if item.content is None
    )
    # torch takes the folder of the first member for that of all.
    alone = len(mains) == 1 and next(iter(sizes)).startswith(front) and begins_like_one(path)
    is_for_torch = reader.is_for_torch and whole and alone and archive.is_as_torch_writes
    is_for_torch &= _bytes_shown(raw) <= room_of_tensors(archive.unpacked_bytes)
    return Surveyed(path, raw, reader.met, is_for_torch, archive.unpacked_bytes, front)


def _of_legacy(path: Path, file: IO[bytes]) -> Surveyed:
    size = path.stat().st_size
    reader = PickleReader(file, MAKES, _storage, size=size)
    raw = reader.read()
    if not (isinstance(raw, int) and raw == MAGIC):
        return Surveyed(path, raw, reader.met, False, size, places={})
    raw, places = _legacy_parts(reader, file, size)
    is_for_torch = reader.is_for_torch and _bytes_shown(raw) <= room_of_tensors(size)
    return Surveyed(path, raw, reader.met, is_for_torch, size, places=places)


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
    reader = PickleReader(file, {}, _storage, most=_MOST_OF_STORAGE)
    magic = reader.read()
    if not (isinstance(magic, int) and magic == MAGIC):
        raise PickleError("a storage of an unknown form")
    storage, places = _legacy_parts(reader, file, len(content))
    if not isinstance(storage, Storage):
        raise PickleError("a storage of an unknown form")
    start, length = places.get(storage.key, (0, 0))
    return replace(storage, content=content[start : start + length])


MAKES: Final[Mapping[str, Make]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _first,
    "torch._tensor._rebuild_from_type_v2": _of_a_type,
    FILE_IN_FILE: _inline_storage,
    "torch.Size": _first,
    "copyreg._reconstructor": _reconstructed,
    "copy_reg._reconstructor": _reconstructed,
    "_codecs.encode": _bytes,
    **dict.fromkeys(_MAPPINGS, _mapping),
    **dict.fromkeys(_LISTS, _list),
}


def _met_in(content: object) -> Iterator[object]:
    """Everything that a content holds, each thing once."""
    seen: set[int] = set()
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        yield value
        waiting += _parts(value)


def _storages_of(content: object) -> list[Storage]:
    """Every storage that a tensor of the content lies in."""
    found = {}
    for value in _met_in(content):
        storage = value.storage if isinstance(value, TensorRecord) else value
        if isinstance(storage, Storage):
            found[id(storage)] = storage
    return list(found.values())


def _bytes_shown(content: object) -> int:
    """How many bytes the tensors of a content show, together."""
    return sum(_shown_by(value) for value in _met_in(content))


def _shown_by(value: object) -> int:
    if isinstance(value, TensorRecord):
        return prod(value.size) * value.dtype.itemsize
    if isinstance(value, Thing) and value.name.endswith("._rebuild_qtensor"):
        size = value.args[2] if len(value.args) > 2 else None
        fits = isinstance(size, tuple) and len(size) <= DEEPEST and all(map(is_count, size))
        return prod(cast("tuple[int, ...]", size)) if fits else 1 << 62
    return 0


def _parts(value: object) -> Sequence[object]:
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, Thing):
        return [*value.args, value.state, *value.items, *value.pairs.values()]
    return ()


def _is_known(named: Named) -> bool:
    """What stands for numbers and their types."""
    of_torch = named.module in ("torch", "torch.storage") and named.name in STORAGES
    plain = named.module in ("builtins", "__builtin__") and named.name in _PLAIN
    return of_torch or plain or dtype_of(named) is not None or str(named) in _KNOWN or _is_numpy(str(named))


def _is_numpy(name: str) -> bool:
    return name.startswith("numpy.") and name.endswith((".scalar", "._reconstruct", "._frombuffer"))
