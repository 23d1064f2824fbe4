"""ONNX graphs: what the file declares, read without the library, and the graph as a network.

A graph is data for an interpreter, not a program: it needs no trust. Its weights may lie in files beside it,
which are read from its own folder alone. Layout of the messages: onnx.proto, https://onnx.ai.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from math import prod
from mmap import ACCESS_READ, mmap
from pathlib import Path, PurePosixPath
from typing import Any, Final

from mahtdiag.errors import CheckpointError, UsageError
from mahtdiag.opening import open_file
from mahtdiag.schema.checkpoint_file import CheckpointFacts, InputFact, WeightSetFact

SUFFIX: Final = ".onnx"
LARGEST: Final = 2 << 30
MOST_FIELDS: Final = 500_000
MOST_SIZES: Final = 64
MOST_FILES: Final = 1000
MOST_SHOWN: Final = 20
MOST_METADATA: Final = 40
LARGEST_COUNT: Final = 1 << 62
DEEPEST: Final = 8
LONGEST: Final = 80
TYPES: Final = {
    1: "float32", 2: "uint8", 3: "int8", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16",
    11: "float64", 16: "bfloat16",
}  # fmt: skip
FLOATS: Final = ("float32", "float16", "float64")
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5


class _DamagedError(ValueError):
    """Bytes that are no message."""


@dataclass
class _Seen:
    """What a walk through a graph has met: fields, weights by type and number, files, metadata."""

    fields: int = 0
    weights: dict[str, tuple[str, int]] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    shapes: list[tuple[int, ...]] = field(default_factory=list)


@dataclass(frozen=True)
class Graph:
    """What a file declares: tensors that go in and come out, its weights, and the files that hold them."""

    inputs: dict[str, tuple[str, tuple[int | None, ...]]]
    outputs: dict[str, tuple[str, tuple[int | None, ...]]]
    weights: dict[str, tuple[str, int]]
    shapes: tuple[tuple[int, ...], ...]
    files: tuple[str, ...]
    metadata: dict[str, str]


def is_onnx(path: Path) -> bool:
    """Whether a file is called so, or begins like one: a version, then a producer's name or a graph."""
    with open_file(path) as file:
        first = file.read(4)
    if first[:2] == b"PK" or first[:1] == b"\x80":
        return False
    begins = (
        len(first) == 4 and first[0] == 8 and 3 <= first[1] <= 20 and first[2] in (0x12, 0x1A, 0x3A, 0x42)
    )
    return begins or path.suffix.lower() == SUFFIX


def read_graph(path: Path) -> Graph:
    """What the file declares. Raises CheckpointError for one that is damaged, or is no such graph."""
    damaged = f"{path}: not an ONNX model, or damaged or truncated; export it again"
    try:
        if path.stat().st_size > LARGEST:
            raise CheckpointError(f"{path}: larger than ONNX allows; save its weights as external data")
        with open_file(path) as file:
            return _graph_of(memoryview(mmap(file.fileno(), 0, access=ACCESS_READ)))
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
    except (_DamagedError, IndexError, ValueError, OverflowError, UnicodeDecodeError):
        raise CheckpointError(damaged) from None


def _graph_of(content: memoryview) -> Graph:
    seen, metadata, graph = _Seen(), dict[str, str](), None
    for number, value in _fields(content, seen):
        if number == 7 and isinstance(value, memoryview):
            graph = value
        else:
            metadata.update(_metadata(number, value, seen))
    if graph is None:
        raise _DamagedError
    inputs, outputs = dict[str, Any](), dict[str, Any]()
    for number, value in _fields(graph, seen):
        if number in (11, 12) and isinstance(value, memoryview):
            name, form = _declared(value, seen)
            (inputs if number == 11 else outputs)[name] = form
    _walk(graph, seen, 0)
    inputs = {name: form for name, form in inputs.items() if name not in seen.weights}
    if not outputs:
        raise _DamagedError
    files = tuple(dict.fromkeys(seen.files))
    return Graph(inputs, outputs, seen.weights, tuple(seen.shapes), files, metadata)


def _metadata(number: int, value: int | memoryview, seen: _Seen) -> dict[str, str]:
    """What a field of the model says beside its graph."""
    if isinstance(value, int):
        return {"ir_version": str(value)} if number == 1 else {}
    if number in (2, 3):
        return {"producer" if number == 2 else "producer_version": _text(value).strip()}
    if number == 8:
        parts = dict(_fields(value, seen))
        domain = _text(named) if isinstance(named := parts.get(1), memoryview) else ""
        return {f"opset {domain}".strip(): str(parts.get(2, 0) if isinstance(parts.get(2, 0), int) else 0)}
    if number == 14:
        key, text = _entry(value, seen)
        return {f"metadata.{key}": text.strip()}
    return {}


def _walk(graph: memoryview, seen: _Seen, depth: int) -> None:
    """Weights of a graph, of its constants, and of graphs within it."""
    if depth > DEEPEST:
        raise _DamagedError
    for number, value in _fields(graph, seen):
        if number == 5 and isinstance(value, memoryview):
            _tensor(value, seen, is_weight=True)
        if number == 1 and isinstance(value, memoryview):
            for n, attribute in _fields(value, seen):
                if n == 5 and isinstance(attribute, memoryview):
                    _attribute(attribute, seen, depth)


def _attribute(attribute: memoryview, seen: _Seen, depth: int) -> None:
    for number, value in _fields(attribute, seen):
        if number in (5, 10) and isinstance(value, memoryview):
            _tensor(value, seen, is_weight=False)
        if number in (6, 11) and isinstance(value, memoryview):
            _walk(value, seen, depth + 1)


def _tensor(tensor: memoryview, seen: _Seen, *, is_weight: bool) -> None:
    sizes, kind, name, is_outside, place = list[int](), 0, "", False, ""
    for number, value in _fields(tensor, seen):
        if number == 1:
            sizes += ([value] if isinstance(value, int) else _numbers(value))[: MOST_SIZES + 1 - len(sizes)]
        elif number == 2 and isinstance(value, int):
            kind = value
        elif number == 8 and isinstance(value, memoryview):
            name = _text(value)
        elif number == 14:
            is_outside = value == 1
        elif number == 13 and isinstance(value, memoryview):
            key, text = _entry(value, seen)
            place = text if key == "location" else place
    if is_outside:
        seen.files.append(place)
    if len(sizes) > MOST_SIZES or prod(sizes) > LARGEST_COUNT:
        raise _DamagedError
    if is_weight:
        seen.weights[name] = (TYPES.get(kind, f"type {kind}"), prod(sizes))
        seen.shapes.append(tuple(sizes))


def _declared(value: memoryview, seen: _Seen) -> tuple[str, tuple[str, tuple[int | None, ...]]]:
    """A tensor of the interface: its name, and its type and sizes, None where they are open."""
    name, kind, sizes = "", "unknown", list[int | None]()
    for number, part in _fields(value, seen):
        if number == 1 and isinstance(part, memoryview):
            name = _text(part)
        for _, tensor in _fields(part, seen) if number == 2 and isinstance(part, memoryview) else ():
            for n, inner in _fields(tensor, seen) if isinstance(tensor, memoryview) else ():
                if n == 1 and isinstance(inner, int):
                    kind = TYPES.get(inner, f"type {inner}")
                if n == 2 and isinstance(inner, memoryview):
                    sizes = [_size(dim, seen) for m, dim in _fields(inner, seen) if m == 1][:MOST_SIZES]
    return name, (kind, tuple(sizes))


def _size(dim: object, seen: _Seen) -> int | None:
    if not isinstance(dim, memoryview):
        return None
    return next((v for n, v in _fields(dim, seen) if n == 1 and isinstance(v, int) and v > 0), None)


def _entry(value: memoryview, seen: _Seen) -> tuple[str, str]:
    texts = {n: _text(v) for n, v in _fields(value, seen) if isinstance(v, memoryview)}
    return texts.get(1, ""), texts.get(2, "")


def _fields(content: memoryview, seen: _Seen) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of a message: their numbers, and whole numbers or bytes."""
    at = 0
    while at < len(content):
        seen.fields += 1
        if seen.fields > MOST_FIELDS:
            raise _DamagedError
        tag, at = _varint(content, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(content, at)
            yield number, value
            continue
        if wire == _BYTES:
            length, at = _varint(content, at)
        elif wire in (_EIGHT, _FOUR):
            length = 8 if wire == _EIGHT else 4
        else:
            raise _DamagedError
        if at + length > len(content):
            raise _DamagedError
        yield number, content[at : at + length]
        at += length


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _DamagedError


def _numbers(content: memoryview) -> list[int]:
    found, at = list[int](), 0
    while at < len(content) and len(found) <= MOST_SIZES:
        value, at = _varint(content, at)
        found.append(value)
    return found


def _text(value: memoryview) -> str:
    """A text in short; what is no text is written with escapes."""
    text = bytes(value[: 4 * LONGEST]).decode("utf-8", "backslashreplace")
    return "".join(sign if sign.isprintable() else " " for sign in text)[: 2 * LONGEST]


def files_of(path: Path, graph: Graph) -> tuple[Path, ...]:
    """The files that hold weights. Raises CheckpointError where one lies elsewhere, or is not there."""
    if len(graph.files) > MOST_FILES:
        raise CheckpointError(
            f"{path}: its weights are to lie in {len(graph.files):,} files; at most {MOST_FILES:,} are read"
        )
    for name in graph.files:
        place = PurePosixPath(name.replace("\\", "/"))
        if not name or place.is_absolute() or ".." in place.parts or ":" in name:
            raise CheckpointError(
                f"{path}: its weights are to lie in {name!r}, outside of its folder; not read"
            )
        if not (path.parent / name).is_file():
            raise CheckpointError(f"{path}: its weights lie in {name}, which is not beside it; copy both")
    return tuple(path.parent / name for name in graph.files)


def input_of(path: Path, graph: Graph) -> tuple[str, InputFact]:
    """The name of the input and its form. Raises CheckpointError where it takes no images, or more."""
    if len(graph.inputs) != 1:
        names = ", ".join(list(graph.inputs)[:5]) or "none"
        raise CheckpointError(
            f"{path}: the graph has {len(graph.inputs)} inputs ({names}); it is given the image alone: "
            "export a network that needs no more"
        )
    ((name, (kind, sizes)),) = graph.inputs.items()
    if kind not in FLOATS or len(sizes) not in (0, 4):
        form = [size or "any" for size in sizes[:8]]
        raise CheckpointError(
            f"{path}: its input {name} is {kind} {form}, expected float [B, C, H, W]; "
            "export a network that takes such images"
        )
    return name, InputFact.of_sizes(sizes or (None,) * 4, kind)


def facts_of_graph(path: Path, graph: Graph) -> CheckpointFacts:
    """Weights, interface and metadata."""
    forms = {
        name: f"[{', '.join(str(size or 'any') for size in sizes[:8])}] {kind}"
        for name, (kind, sizes) in islice(graph.outputs.items(), MOST_SHOWN)
    }
    kinds = tuple(dict.fromkeys(kind for kind, _ in graph.weights.values()))
    numbers = sum(count for _, count in graph.weights.values())
    filters = [shape for shape in graph.shapes if len(shape) == 4]
    left = len(graph.files) - MOST_SHOWN
    more = (f"and in {left} more files",) if left > 0 else ()
    part = WeightSetFact(".", len(graph.weights), numbers, kinds)
    return CheckpointFacts(
        sets=(part,) if graph.weights else (),
        metadata=dict(islice(graph.metadata.items(), MOST_METADATA)),
        first_channels=filters[0][1] if filters else None,
        last_channels=filters[-1][0] if filters else None,
        declared=input_of(path, graph)[1],
        outputs=forms,
        notes=(*(f"weights in {name}" for name in graph.files[:MOST_SHOWN]), *more),
    )


def runtime(path: Path) -> Any:
    """The library that runs graphs. Raises UsageError where it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        raise UsageError(
            f"{path}: onnxruntime, which runs ONNX models, is not installed: pip install 'mahtdiag[onnx]'"
        ) from None
    return onnxruntime
