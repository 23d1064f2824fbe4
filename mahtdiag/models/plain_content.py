"""What a pickle says of tensors, arrays and modules, made into tensors and plain containers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Final, Literal

import numpy as np
import torch
from torch import Tensor

from mahtdiag.models.pickled import LimitError, Named, PickleError, Thing

MOST_VIEWS: Final = 4
ROOM: Final = 64 << 20
DEEPEST: Final = 64
MOST_ENTRIES: Final = 500_000
MOST_MODULES: Final = 50_000
MOST_LETTERS: Final = 50_000_000
TYPES: Final[Mapping[str, torch.dtype]] = {
    "Float": torch.float32,
    "Double": torch.float64,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "ComplexFloat": torch.complex64,
    "ComplexDouble": torch.complex128,
    "Untyped": torch.uint8,
}
STORAGES: Final = {f"{name}Storage": dtype for name, dtype in TYPES.items()}


@dataclass(frozen=True, slots=True)
class Storage:
    """Numbers of one type that lie in the file under a key, or in the pickle as `content`.

    `first` is where a view of them begins.
    """

    key: str
    dtype: torch.dtype
    count: int
    first: int = 0
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class TensorRecord:
    """A tensor as a pickle describes it: a window on a storage."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype


ReadBytes = Callable[[str, int], bytearray]
"""The bytes of a storage by its key, and how many are expected."""


def is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62


def dtype_of(value: object) -> torch.dtype | None:
    found = getattr(torch, value.name, None) if isinstance(value, Named) and value.module == "torch" else None
    return found if isinstance(found, torch.dtype) else None


def room_of_tensors(size: int) -> int:
    """Bytes that all tensors of a file may show, whose storages have this size: several may show the same."""
    return MOST_VIEWS * size + ROOM


class PlainContent:
    """Turns records and things into mappings, sequences, scalars and tensors; shared ones stay shared."""

    def __init__(self, read: ReadBytes, size: int) -> None:
        self.read = read
        self.room = room_of_tensors(size)
        self.storages: dict[str | int, bytearray] = {}
        self.done: dict[int, object] = {}
        self.modules = self.weights = self.letters = 0

    def of(self, value: object, depth: int = 0) -> object:
        if depth > DEEPEST or len(self.done) > MOST_ENTRIES:
            return f"<{type(value).__name__}>"
        if id(value) in self.done:
            return self.done[id(value)]
        if isinstance(value, TensorRecord):
            try:
                return self._remember(value, self.tensor(value))
            except RuntimeError as error:
                raise PickleError(str(error).splitlines()[0]) from None
        if isinstance(value, Mapping):
            return self._mapping(value, value, depth)
        if isinstance(value, Thing):
            return self._thing(value, depth)
        if isinstance(value, list | tuple):
            items: list[object] = []
            self._remember(value, items)
            items += [self.of(item, depth + 1) for item in value]
            return items
        if isinstance(value, str | bytes | int | float | type(None)):
            return value
        return f"<{value}>" if isinstance(value, Named) else f"<{type(value).__name__}>"

    def _remember(self, value: object, found: object) -> object:
        self.done[id(value)] = found
        return found

    def _mapping(self, value: object, pairs: Mapping[Any, object], depth: int) -> object:
        found: dict[object, object] = {}
        # Before its content, which may hold itself.
        self._remember(value, found)
        found.update({key: self.of(inner, depth + 1) for key, inner in pairs.items()})
        return found

    def _thing(self, value: Thing, depth: int) -> object:
        state = value.state
        if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
            # The state of an object with slots.
            state = {**(state[0] if isinstance(state[0], dict) else {}), **state[1]}
        array = _array(value)
        if array is not None:
            return self._remember(value, array)
        if isinstance(state, dict) and "_parameters" in state and "_modules" in state:
            return self._remember(value, self.module(state))
        if value.pairs:
            return self._mapping(value, value.pairs, depth)
        if isinstance(state, dict):
            return self._mapping(value, state, depth)
        return f"<{value.name or 'object'}>"

    def module(self, state: Mapping[Any, object], depth: int = 0) -> dict[str, object]:
        """The state dict of a pickled `torch.nn.Module`."""
        self.modules += 1
        if depth > DEEPEST or self.modules > MOST_MODULES:
            raise LimitError("too many or too deeply nested modules")
        left = state.get("_non_persistent_buffers_set")
        skipped = [name for name in left if isinstance(name, str)] if isinstance(left, list) else []
        found: dict[str, object] = {}
        for group in ("_parameters", "_buffers"):
            own = state.get(group)
            for name, value in own.items() if isinstance(own, Mapping) else ():
                self.weights += 1
                if isinstance(value, TensorRecord) and not (group == "_buffers" and name in skipped):
                    found[str(name)] = self.of(value)
        modules = state.get("_modules")
        for name, inner in modules.items() if isinstance(modules, Mapping) else ():
            if isinstance(inner, Thing) and isinstance(inner.state, dict):
                for key, value in self.module(inner.state, depth + 1).items():
                    found[f"{name}.{key}"] = value
                    self.weights += 1
                    self.letters += len(str(name)) + len(key)
            if self.weights > MOST_ENTRIES or self.letters > MOST_LETTERS:
                raise LimitError("too many weights, or too long names of them")
        return found

    def tensor(self, record: TensorRecord) -> Tensor:
        """The tensor of a record, after its window was found to lie in its storage."""
        width = record.dtype.itemsize
        last = sum((n - 1) * step for n, step in zip(record.size, record.stride, strict=True))
        first, count = record.storage.first + record.offset, prod(record.size)
        if count == 0:
            return torch.empty(record.size, dtype=record.dtype)
        if (first + last + 1) * width > record.storage.count * record.storage.dtype.itemsize:
            raise PickleError("a tensor that is larger than its storage")
        self.room -= count * width
        if self.room < 0:
            raise LimitError("tensors that show the same numbers too often")
        numbers = self._numbers(record.storage, record.dtype)
        return torch.as_strided(numbers, record.size, record.stride, first)

    def _numbers(self, storage: Storage, dtype: torch.dtype) -> Tensor:
        name = storage.key if storage.content is None else id(storage)
        if name not in self.storages:
            expected = storage.count * storage.dtype.itemsize
            inline = storage.content
            if inline is not None and len(inline) < expected:
                raise PickleError("a storage that is too short")
            self.storages[name] = self.read(storage.key, expected) if inline is None else bytearray(inline)
        content = self.storages[name]
        whole = len(content) // dtype.itemsize * dtype.itemsize
        return torch.frombuffer(memoryview(content)[:whole], dtype=dtype)


def _array(value: Thing) -> object:
    """A NumPy array or number as a tensor or a number; None for anything else."""
    if not value.name.startswith("numpy."):
        return None
    if value.name.endswith(".multiarray.scalar") and len(value.args) == 2:
        found = _number_type(value.args[0])
        content = value.args[1]
        if found is not None and isinstance(content, bytes) and len(content) == found.itemsize:
            return np.frombuffer(content, found)[0].item()
    if value.name.endswith("._reconstruct") and isinstance(value.state, tuple) and len(value.state) == 5:
        _version, shape, kind, by_column, content = value.state
        return _numbers(content, kind, shape, "F" if by_column else "C")
    if value.name.endswith("._frombuffer") and len(value.args) == 4:
        content, kind, shape, order = value.args
        return _numbers(content, kind, shape, "F" if order == "F" else "C")
    return None


def _numbers(content: object, kind: object, shape: object, order: Literal["C", "F"]) -> object:
    """The tensor of an array; None where bytes, type and shape do not agree."""
    found = _number_type(kind)
    fits = isinstance(shape, tuple) and len(shape) <= 32 and all(map(is_count, shape))
    if found is None or not fits or not isinstance(content, bytes | bytearray):
        return None
    sizes: tuple[int, ...] = shape  # type: ignore[assignment]
    if not prod(sizes) * found.itemsize == len(content) > 0:
        return None
    return torch.from_numpy(np.frombuffer(bytearray(content), found).reshape(sizes, order=order))


def _number_type(value: object) -> "np.dtype[Any] | None":
    """The type of a `numpy.dtype` of plain numbers in this machine's byte order."""
    name = value.args[0] if isinstance(value, Thing) and value.name == "numpy.dtype" and value.args else None
    known = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1")
    state = value.state if isinstance(value, Thing) else None
    swapped = isinstance(state, tuple) and len(state) > 1 and state[1] == ">"
    return np.dtype(name) if isinstance(name, str) and name in known and not swapped else None
