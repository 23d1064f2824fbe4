"""Pickles read as data: an interpreter of their operations that imports nothing and calls nothing.

A pickle is a program for a stack machine, and its usual reader calls whatever functions it names. This one
knows no functions: what would be called, imported or given a state becomes a `Thing` that remembers its name
and what it was given. Nothing of the file decides how much memory or time is used beyond its own length.
"""

import pickletools
import warnings
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, Final

MOST_OPERATIONS: Final = 5_000_000
MOST_IN_KEY: Final = 64
LONGEST_WORD: Final = 2000
SCALARS: Final = (str, bytes, int, float, bool, type(None))


class PickleError(ValueError):
    """A pickle that is damaged, or makes no sense."""


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


def has_endless_word(file: IO[bytes], pickles: int) -> bool:
    """Whether one of the next pickles has a word longer than `LONGEST_WORD`, or breaks off in a name."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            for _ in range(pickles):
                for _operation, argument, _place in pickletools.genops(file):
                    if isinstance(argument, str | bytes) and _longest_word(argument) > LONGEST_WORD:
                        return True
    except ValueError as error:
        return "newline" in str(error)
    except Exception:  # whatever else is wrong, the reader of the file tells at once
        return False
    return False


def _longest_word(text: str | bytes) -> int:
    return max(map(len, text.split()), default=0) if len(text) > LONGEST_WORD else 0


class PickleReader:
    """Reads one pickle after another from a file.

    `makes`: what stands for a call of these functions, by their names; it gets the arguments and returns
    plain data. `persistent`: what stands for the reference to something outside of the pickle. `met`: the
    names that were asked for, in order.
    """

    def __init__(
        self, file: IO[bytes], makes: Mapping[str, Make], persistent: Callable[[object], object]
    ) -> None:
        self.file = file
        self.makes = makes
        self.persistent = persistent
        self.met: dict[str, Named] = {}
        self.stack: list[object] = []
        self.marks: list[int] = []
        self.memo: dict[int, object] = {}

    def read(self) -> object:
        """The next pickle. Raises PickleError."""
        self.stack, self.marks, self.memo = [], [], {}
        try:
            return self._run()
        except (IndexError, KeyError, TypeError, ValueError, OverflowError) as error:
            # What a damaged pickle provokes in its interpreter, which touches nothing but its own stack.
            raise PickleError(str(error)) from None

    def _run(self) -> object:
        with warnings.catch_warnings():
            # Odd escapes in a damaged text.
            warnings.simplefilter("ignore", DeprecationWarning)
            for count, (operation, argument, _) in enumerate(pickletools.genops(self.file)):
                if operation.name == "STOP":
                    return self.stack.pop()
                if count > MOST_OPERATIONS:
                    raise PickleError("too many operations")
                _OPERATIONS[operation.name](self, argument)
        raise PickleError("no end")

    def push(self, value: object) -> None:
        """Put something plain on the stack."""
        self.stack.append(value)

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
        found = Named(module, name)
        self.met[str(found)] = found
        return found

    def call(self, maker: object, args: object) -> None:
        """What would be called is made of its arguments as data, or stays a thing."""
        given = args if isinstance(args, tuple) else (args,)
        make = self.makes.get(str(maker)) if isinstance(maker, Named) else None
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

    @staticmethod
    def _update(target: object, pairs: list[object]) -> None:
        found = target if isinstance(target, dict) else target.pairs if isinstance(target, Thing) else {}
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            found[key_of(key)] = value

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
    """A key whose hash takes no time, whatever it is; another one for what could take very long."""
    if isinstance(key, SCALARS):
        return key
    if isinstance(key, tuple) and len(key) <= MOST_IN_KEY and all(isinstance(k, SCALARS) for k in key):
        return key
    return f"<{type(key).__name__} {id(key)}>"


Operation = Callable[[PickleReader, Any], None]
_PLAIN = (
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE "
    "BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8"
)
_OPERATIONS: Final[Mapping[str, Operation]] = {
    **dict.fromkeys(_PLAIN.split(), PickleReader.push),
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
