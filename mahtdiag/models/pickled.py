"""Pickles read as data: an interpreter of their operations that imports nothing and calls nothing.

A pickle is a program for a stack machine, and its usual reader calls whatever functions it names. This one
knows no functions: what would be called, imported or given a state becomes a `Thing` that remembers its name
and what it was given. Nothing of the file decides how much memory or time is used beyond its own length.
"""

import pickletools
import warnings
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, Final

MOST_OPERATIONS: Final = 3_000_000
MOST_FOR_TORCH: Final = 1_000_000
MOST_CALLS_FOR_TORCH: Final = 100_000
MOST_WORK: Final = 64 << 20
"""Bytes and eighths of entries that calls may be given, beside four times the length of the pickle."""
LONGEST_WORD: Final = 2000
LONGEST_NAME: Final = 1000
MOST_BITS: Final = 8192
LARGEST_KEY: Final = 2**61 - 2
"""Larger numbers can be chosen so that all have one hash, which makes a dictionary slow."""
_PER_CALL: Final = 8
_ENTRY: Final = 8
_FILE_IN_FILE: Final = 8000
_METADATA: Final = {"_metadata"}
TORCH_KNOWS: Final = frozenset(
    (
        "collections.OrderedDict",
        "torch._utils._rebuild_tensor",
        "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_tensor_v3",
        "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_sparse_tensor",
        "torch._utils._rebuild_qtensor",
        "torch._utils._rebuild_meta_tensor_no_storage",
        "torch.serialization._get_layout",
        "torch.Size",
        "torch.device",
        "_codecs.encode",
    )
)
"""Calls that `torch.load(weights_only=True)` makes, of which none takes more room than it was given."""


FILE_IN_FILE: Final = "torch.storage._load_from_bytes"


class PickleError(ValueError):
    """A file that is damaged, or makes no sense."""


class LimitError(PickleError):
    """A file that asks for more memory or time than a checkpoint of its size needs; the text says of what."""


@dataclass(frozen=True, slots=True)
class Named:
    """A class or function that a pickle names; never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False)
class Thing:
    """What stands where an object would be made: its maker, what it was made with, and what it was given."""

    maker: object
    args: tuple[object, ...] = ()
    state: object = None
    items: list[object] = field(default_factory=list)
    pairs: dict[Hashable, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the class or function, or empty."""
        return str(self.maker) if isinstance(self.maker, Named) else ""


Make = Callable[[tuple[object, ...]], object]


class PickleReader:
    """Reads one pickle after another from a file.

    `makes`: what stands for a call of these functions, by their names; it gets the arguments and returns
    plain data. `persistent`: what stands for the reference to something outside of the pickle. `size`: how
    long the pickle is. `met`: the names that were asked for, in order. `is_for_torch`: whether torch reads
    the same of it, in bounded memory and time.
    """

    def __init__(
        self,
        file: IO[bytes],
        makes: Mapping[str, Make],
        persistent: Callable[[object], object],
        *,
        size: int = 0,
        most: int = MOST_OPERATIONS,
    ) -> None:
        self.file = file
        self.makes = makes
        self.persistent = persistent
        self.left = most
        self.work = MOST_WORK + 4 * size
        self.calls = 0
        self.is_for_torch = True
        self.met: dict[str, Named] = {}
        self.stack: list[object] = []
        self.marks: list[int] = []
        self.memo: dict[int, object] = {}

    def read(self) -> object:
        """The next pickle. Raises PickleError."""
        self.stack, self.marks, self.memo = [], [], {}
        try:
            return self._run()
        except LimitError:
            raise
        except (IndexError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            # What a damaged pickle provokes in its interpreter, which touches nothing but its own stack.
            raise PickleError(str(error)) from None

    def _run(self) -> object:
        with warnings.catch_warnings():
            # Odd escapes in a damaged text.
            warnings.simplefilter("ignore", DeprecationWarning)
            for count, (operation, argument, _) in enumerate(pickletools.genops(self.file)):
                if operation.name == "STOP":
                    self.left -= count
                    self.is_for_torch &= count <= MOST_FOR_TORCH and self.calls <= MOST_CALLS_FOR_TORCH
                    return self.stack.pop()
                if count > self.left:
                    raise LimitError("a pickle of too many operations")
                _OPERATIONS[operation.name](self, argument)
        raise PickleError("no end")

    def push(self, value: object) -> None:
        """Put something on the stack."""
        self.stack.append(value)

    def scalar(self, value: object) -> None:
        """Put a text, bytes or a number on the stack."""
        if isinstance(value, str | bytes | bytearray):
            # What torch refuses, it words by searches that take the square of the length of a word.
            if len(value) > LONGEST_WORD and max(map(len, value.split()), default=0) > LONGEST_WORD:
                self.is_for_torch = False
        elif isinstance(value, int) and value.bit_length() > MOST_BITS:
            raise LimitError(f"a number of {value.bit_length():,} bits")
        self.stack.append(value)

    def spend(self, given: Iterable[object]) -> None:
        """Count what a call is given, which may be the same again and again. Raises LimitError."""
        self.work -= _PER_CALL
        for value in given:
            if isinstance(value, str | bytes | bytearray):
                self.work -= len(value)
            elif isinstance(value, list | tuple | dict):
                self.work -= _ENTRY * len(value)
        if self.work < 0:
            raise LimitError("a pickle that gives the same content to too many calls")

    def nothing(self, _: object) -> None:
        """Operations that only structure the file."""

    def mark(self, _: object) -> None:
        """Remember a place of the stack."""
        self.marks.append(len(self.stack))

    def since_mark(self) -> list[object]:
        """What lies above the last mark, taken off."""
        place = self.marks.pop()
        taken = self.stack[place:]
        del self.stack[place:]
        return taken

    def pop(self, _: object) -> None:
        """Drop the topmost thing, or the mark."""
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.stack.pop()

    def pop_mark(self, _: object) -> None:
        """Drop what lies above the last mark."""
        self.since_mark()

    def put(self, place: int | None) -> None:
        """Remember the topmost thing; the place may be any number, and takes no room."""
        self.memo[len(self.memo) if place is None else place] = self.stack[-1]

    def get(self, place: int) -> None:
        """Put a remembered thing on the stack."""
        self.push(self.memo[place])

    def take(self, count: int) -> tuple[object, ...]:
        """So many things off the stack, in the order in which they were put."""
        if len(self.stack) < count:
            raise PickleError("an empty stack")
        taken = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        return taken

    def name(self, text: object) -> None:
        """Name a class or function by `module name`."""
        module, _, name = str(text).partition(" ")
        self.push(self.named(module, name))

    def name_of_stack(self, _: object) -> None:
        """Name a class or function by two texts of the stack."""
        module, name = self.take(2)
        if not (isinstance(module, str) and isinstance(name, str)):
            raise PickleError("a name that is no text")
        self.push(self.named(module, name))

    def extension(self, code: object) -> None:
        """A class by its number in a registry, in which nothing is looked up."""
        self.push(self.named("copyreg", f"extension_{code}"))

    def named(self, module: str, name: str) -> Named:
        """The name, which is remembered as met."""
        if len(module) + len(name) > LONGEST_NAME:
            raise LimitError(f"the name of a class of {len(module) + len(name):,} letters")
        found = Named(module, name)
        self.met[str(found)] = found
        return found

    def call(self, maker: object, args: object) -> None:
        """What would be called is made of its arguments as data, or stays a thing."""
        given = args if isinstance(args, tuple) else (args,)
        self.calls += 1
        self.spend(given)
        name = str(maker) if isinstance(maker, Named) else ""
        if name == FILE_IN_FILE:
            self.work -= _FILE_IN_FILE
        self.is_for_torch &= name in TORCH_KNOWS
        make = self.makes.get(name)
        self.push(Thing(maker, given) if make is None else make(given))

    def reduce(self, _: object) -> None:
        """A call."""
        self.call(*self.take(2))

    def new(self, _: object) -> None:
        """A new object of a class."""
        self.call(*self.take(2))

    def new_with_names(self, _: object) -> None:
        """The same with named arguments, which are dropped."""
        maker, args, _named = self.take(3)
        self.call(maker, args)

    def instance(self, text: object) -> None:
        """A new object of a named class, of what lies above the mark."""
        args = tuple(self.since_mark())
        module, _, name = str(text).partition(" ")
        self.call(self.named(module, name), args)

    def made(self, _: object) -> None:
        """A new object of what lies above the mark, its class first."""
        maker, *args = self.since_mark()
        self.call(maker, tuple(args))

    def build(self, _: object) -> None:
        """A state goes to a thing, and is dropped elsewhere."""
        target, state = self.take(2)
        self.push(target)
        if isinstance(target, Thing):
            target.state = state
        if not (isinstance(target, dict) and isinstance(state, dict) and state.keys() <= _METADATA):
            # Whatever torch would set, it is to hide no method of a mapping or a tensor.
            self.is_for_torch = False

    def append(self, _: object) -> None:
        """An item."""
        (item,) = self.take(1)
        self._extend(self.stack[-1], [item])

    def extend(self, _: object) -> None:
        """Items above the mark, of a list or a set."""
        items = self.since_mark()
        self._extend(self.stack[-1], items)

    @staticmethod
    def _extend(target: object, items: list[object]) -> None:
        if isinstance(target, list):
            target.extend(items)
        elif isinstance(target, Thing):
            target.items.extend(items)

    def set_item(self, _: object) -> None:
        """A pair."""
        pair = list(self.take(2))
        self._update(self.stack[-1], pair)

    def set_items(self, _: object) -> None:
        """Pairs above the mark."""
        pairs = self.since_mark()
        self._update(self.stack[-1], pairs)

    def _update(self, target: object, pairs: list[object]) -> None:
        found = target if isinstance(target, dict) else target.pairs if isinstance(target, Thing) else {}
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            used = key_of(key)
            self.is_for_torch &= used is key
            found[used] = value

    def new_tuple(self, count: int | None) -> None:
        """A tuple of so many things, or of those above the mark."""
        self.push(tuple(self.since_mark()) if count is None else self.take(count))

    def new_dict(self, _: object) -> None:
        """A mapping of what lies above the mark."""
        pairs = self.since_mark()
        found: dict[Hashable, object] = {}
        self._update(found, pairs)
        self.push(found)

    def refer(self, pid: object) -> None:
        """What lies outside of the pickle."""
        self.push(self.persistent(pid))

    def buffer(self, _: object) -> None:
        """A buffer outside of the pickle, which no file has."""
        self.push(Thing("buffer"))


def key_of(key: object) -> Hashable:
    """A key whose hash takes no time and is not like many others; words for what could take very long."""
    if isinstance(key, str):
        if len(key) <= LONGEST_WORD:
            return key
        return f"{key[:LONGEST_NAME]}… ({len(key)} letters)"
    if isinstance(key, bytes | bool | float | type(None)):
        return key
    if isinstance(key, int) and abs(key) <= LARGEST_KEY:
        return key
    return f"<{type(key).__name__} {id(key)}>"


Operation = Callable[[PickleReader, Any], None]
_PLAIN = (
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE "
    "BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8"
)
_OPERATIONS: Final[Mapping[str, Operation]] = {
    **dict.fromkeys(_PLAIN.split(), PickleReader.scalar),
    "PROTO": PickleReader.nothing,
    "FRAME": PickleReader.nothing,
    "READONLY_BUFFER": PickleReader.nothing,
    "NEXT_BUFFER": PickleReader.buffer,
    "NONE": lambda reader, _: reader.push(None),
    "NEWTRUE": lambda reader, _: reader.push(True),
    "NEWFALSE": lambda reader, _: reader.push(False),
    "EMPTY_LIST": lambda reader, _: reader.push([]),
    "EMPTY_DICT": lambda reader, _: reader.push({}),
    "EMPTY_SET": lambda reader, _: reader.push([]),
    "EMPTY_TUPLE": lambda reader, _: reader.push(()),
    "MARK": PickleReader.mark,
    "POP": PickleReader.pop,
    "POP_MARK": PickleReader.pop_mark,
    "DUP": lambda reader, _: reader.push(reader.stack[-1]),
    "PUT": PickleReader.put,
    "BINPUT": PickleReader.put,
    "LONG_BINPUT": PickleReader.put,
    "MEMOIZE": lambda reader, _: reader.put(None),
    "GET": PickleReader.get,
    "BINGET": PickleReader.get,
    "LONG_BINGET": PickleReader.get,
    "LIST": lambda reader, _: reader.push(reader.since_mark()),
    "FROZENSET": lambda reader, _: reader.push(reader.since_mark()),
    "TUPLE": lambda reader, _: reader.new_tuple(None),
    "TUPLE1": lambda reader, _: reader.new_tuple(1),
    "TUPLE2": lambda reader, _: reader.new_tuple(2),
    "TUPLE3": lambda reader, _: reader.new_tuple(3),
    "DICT": PickleReader.new_dict,
    "APPEND": PickleReader.append,
    "APPENDS": PickleReader.extend,
    "ADDITEMS": PickleReader.extend,
    "SETITEM": PickleReader.set_item,
    "SETITEMS": PickleReader.set_items,
    "GLOBAL": PickleReader.name,
    "STACK_GLOBAL": PickleReader.name_of_stack,
    "EXT1": PickleReader.extension,
    "EXT2": PickleReader.extension,
    "EXT4": PickleReader.extension,
    "REDUCE": PickleReader.reduce,
    "BUILD": PickleReader.build,
    "INST": PickleReader.instance,
    "OBJ": PickleReader.made,
    "NEWOBJ": PickleReader.new,
    "NEWOBJ_EX": PickleReader.new_with_names,
    "PERSID": PickleReader.refer,
    "BINPERSID": lambda reader, _: reader.refer(*reader.take(1)),
}
