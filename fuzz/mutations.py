"""What is done to valid files: bytes, words and numbers, their structure, and the folder that they lie in."""

import json
import random
import re
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from fuzz.hdf5 import changed_hdf5

IMAGE_ENDINGS: Final = (".png", ".jpg", ".tif", ".dcm")
# What people and damaged programs write where a number is expected.
NUMBERS: Final = (
    b"NaN", b"nan", b"Infinity", b"-Infinity", b"inf", b"1e308", b"-1e308", b"1e999", b"1e-320", b"-1", b"0",
    b"-0.0", b"0.5", b"2", b"1000000", b"2147483648", b"18446744073709551616", b"9" * 400, b"9" * 5000,
    b"0x10", b"1_0", b"1,5", b"", b"null", b"None", b"true", b'"x"', b"[]", b"{}", b"[[1]]", b"--1",
    "\u0665".encode(), b"1e", b"+1",
)  # fmt: skip
WORDS: Final = (
    b"", b"/etc/passwd", b"../../../../etc/passwd", b"..", b".", b"/", b"C:\\\\images\\\\a.png", b"a.png",
    b"b.png", b"images", b"file:///etc/passwd", b"http://127.0.0.1/a.png", b"~", b"L1", b"L1_UL", b"S1",
    b"UL", b"vertebra", b"x" * 300, b"x" * 70000, "\u202eL1".encode(), "a\u0301.png".encode(),
    b"\\u0000", b"\\ud800", b"\xff\xfe", b"\x00", b"\\n", b"a\nb", b"\x1b[31m", b"%s%n", b"${HOME}",
    b"0", b"1", b"true", b"null", b"*a", b"&a", b"!!python/object:os.system", b"<![CDATA[", b"&amp;", b"&x;",
)  # fmt: skip
PIECES: Final = (
    b"\xef\xbb\xbf", b"\xff\xfe", b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\0" * 8, b"\r", b"\n\n", b"\t",
    b";", b",", b'"', b"'", b"[" * 50_000, b"{" * 5_000, b'{"a":' * 2_000, b"<a>" * 20_000,
    b"]", b"}", b"<", b">",
    b"- " * 5_000, b"sep=;\n", b"# ", b"<!DOCTYPE a [<!ENTITY x 'y'>]>", b"\x0c", b"\x85", "\u2028".encode(),
)  # fmt: skip
_OPENED: Final = (
    (b"[", b"]"), (b"{", b"}"), (b"(", b")"), (b'{"a":', b"}"), (b'[{"points":', b"}]"), (b"{a: ", b"}"),
    (b"{a=", b"}"), (b"<a>", b"</a>"), (b"<g label='L1'>", b"</g>"), (b"- ", b""), (b"? ", b""), (b"a.", b""),
    (b"&a [", b"]"), (b"!!seq [", b"]"), (b'"', b'"'), (b"((?:", b")*)"), (b"-", b""), (b"\n ", b""),
    (b"a: &a {b: ", b"}"), (b"[[a.", b"]]"), (b"/", b""), (b"../", b""),
)  # fmt: skip
_NUMBER: Final = re.compile(rb"-?\d+\.?\d*(?:[eE][+-]?\d+)?")
_WORD: Final = re.compile(rb"[A-Za-z_][A-Za-z0-9_./-]*")
_QUOTED: Final = re.compile(rb'"[^"]*"')
_MOST_COPIES: Final = (1, 2, 3, 1000)
_INTEGERS: Final = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
Rng = random.Random


def mutate(content: bytes, rng: Rng, *, is_text: bool) -> bytes:
    """The content after one to eight changes."""
    kinds = (*_OF_BYTES, *_OF_TEXT * 2) if is_text else _OF_BYTES
    for _ in range(rng.choice((1, 1, 1, 1, 2, 3, 8))):
        content = rng.choice(kinds)(content, rng)
    return content


def _place(content: bytes, rng: Rng) -> tuple[int, int]:
    """A short part of the content."""
    start = rng.randrange(len(content) + 1)
    return start, min(len(content), start + int(2 ** (rng.random() * 10)))


def _byte(content: bytes, rng: Rng) -> bytes:
    at = rng.randrange(len(content) + 1)
    return content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]


def _bit(content: bytes, rng: Rng) -> bytes:
    if not content:
        return b"\x01"
    at = rng.randrange(len(content))
    return content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :]


def _cut(content: bytes, rng: Rng) -> bytes:
    start, end = _place(content, rng)
    return content[:start] + content[end:]


def _truncated(content: bytes, rng: Rng) -> bytes:
    return content[: rng.choice((0, 1, rng.randrange(len(content) + 1), rng.randrange(len(content) + 1)))]


def _doubled(content: bytes, rng: Rng) -> bytes:
    start, end = _place(content, rng)
    return content[:end] + content[start:end] * rng.choice(_MOST_COPIES) + content[end:]


def _moved(content: bytes, rng: Rng) -> bytes:
    start, end = _place(content, rng)
    to = rng.randrange(len(content) + 1)
    rest = content[:start] + content[end:]
    return rest[:to] + content[start:end] + rest[to:]


def _noise(content: bytes, rng: Rng) -> bytes:
    start, end = _place(content, rng)
    return content[:start] + rng.randbytes(end - start) + content[end:]


def _zeroed(content: bytes, rng: Rng) -> bytes:
    start, end = _place(content, rng)
    return content[:start] + rng.choice((b"\0", b"\xff")) * (end - start) + content[end:]


def _integer(content: bytes, rng: Rng) -> bytes:
    """An absurd number where a binary format may have one."""
    code, size = rng.choice((("B", 1), ("<H", 2), (">H", 2), ("<I", 4), (">I", 4)))
    number = struct.pack(code, rng.choice(_INTEGERS) & (2 ** (8 * size) - 1))
    at = rng.randrange(len(content) + 1)
    return content[:at] + number + content[at + size :]


def _inserted(content: bytes, rng: Rng) -> bytes:
    at = rng.choice((0, len(content), rng.randrange(len(content) + 1)))
    return content[:at] + rng.choice(PIECES) + content[at:]


def _replaced(pattern: re.Pattern[bytes], by: tuple[bytes, ...]) -> Callable[[bytes, Rng], bytes]:
    def change(content: bytes, rng: Rng) -> bytes:
        # A window, so that a long file costs no more than a short one.
        start = rng.randrange(max(1, len(content) - 4000) + 1)
        found = list(pattern.finditer(content, start, start + 4000))
        if not found:
            return content
        match = rng.choice(found)
        return content[: match.start()] + rng.choice(by) + content[match.end() :]

    return change


def _lines(content: bytes, rng: Rng) -> bytes:
    """A line left out, put twice or very often, or all in another order."""
    lines = content.split(b"\n")
    at = rng.randrange(len(lines))
    change = rng.randrange(4)
    if change == 0:
        del lines[at]
    elif change == 1:
        lines[at:at] = [lines[at]] * rng.choice(_MOST_COPIES)
    elif change == 2:
        rng.shuffle(lines)
    else:
        other = rng.randrange(len(lines))
        lines[at], lines[other] = lines[other], lines[at]
    return b"\n".join(lines)


def _recoded(content: bytes, rng: Rng) -> bytes:
    """The text in another encoding, or with other ends of lines or separators."""
    text = content.decode("utf-8", "replace")
    change = rng.randrange(7)
    if change < 4:
        return text.encode(("utf-16", "utf-16-le", "utf-16-be", "utf-32")[change])
    if change == 4:
        return b"\xef\xbb\xbf" + content
    if change == 5:
        return content.replace(b"\n", rng.choice((b"\r", b"\r\n", b"\n\n", b" ")))
    one, other = rng.sample((b",", b";", b"\t", b":", b'"', b"'", b".", b" "), 2)
    return content.replace(one, other)


def nested(content: bytes, rng: Rng) -> bytes:
    """A word, a number or a part of the text within as many brackets as no reader can open one in another."""
    found = [*rng.choice((_NUMBER, _WORD, _QUOTED)).finditer(content)]
    start, end = rng.choice(found).span() if found and rng.random() < 0.9 else _place(content, rng)
    opening, closing = rng.choice(_OPENED)
    times = rng.choice((50, 300, 990, 3000, 20_000, 100_000))
    times = min(times, 400_000 // len(opening))
    closed = closing * (times if rng.random() < 0.8 else 0)
    return content[:start] + opening * times + content[start:end] + closed + content[end:]


def changed_tree(content: bytes, rng: Rng) -> bytes:
    """JSON whose structure is other than expected; anything else as it is."""
    if not content.lstrip().startswith((b"{", b"[")):
        return content
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError):
        return content
    holders: list[tuple[Any, Any]] = []
    _collect(tree, holders)
    if not holders:
        return b"[]"
    holder, key = rng.choice(holders)
    _change(holder, key, rng)
    try:
        return json.dumps(tree).encode()
    except (ValueError, RecursionError):
        return content


def _collect(node: Any, holders: list[tuple[Any, Any]]) -> None:
    if isinstance(node, dict | list):
        for key in node if isinstance(node, dict) else range(len(node)):
            holders.append((node, key))
            _collect(node[key], holders)


def _change(holder: Any, key: Any, rng: Rng) -> None:
    """Another value in one place of a tree."""
    value = holder[key]
    values: tuple[Any, ...] = (
        None, True, -1, 0, 1e308, float("nan"), float("inf"), 10**400, 10**30, "", "x", "L1", "../../x",
        "NaN", [], {}, [[]], [None], {"a": 1}, [value], [value] * 3, {"id": value}, str(value)[:100],
        "\ud800", "\0",
        [1e308] * 8, list(range(60)), "9" * 5000,
    )  # fmt: skip
    change = rng.randrange(5)
    if change == 0:
        del holder[key]
    elif change == 1 and isinstance(holder, list):
        holder[key:key] = [value] * rng.choice(_MOST_COPIES)
    elif change == 1:
        holder[rng.choice(("id", "name", "points", "x", key + "s"))] = value
    else:
        holder[key] = rng.choice(values)


_OF_BYTES: Final = (_byte, _bit, _cut, _truncated, _doubled, _moved, _noise, _zeroed, _integer)
_OF_TEXT: Final = (
    _replaced(_NUMBER, NUMBERS),
    _replaced(_NUMBER, NUMBERS),
    _replaced(_WORD, WORDS),
    _replaced(_WORD, WORDS),
    _inserted,
    _lines,
    _recoded,
    changed_tree,
    changed_tree,
)


class Folder:
    """A folder in the place of a file."""


class Link(str):
    """A link to this place in the place of a file."""

    __slots__ = ()


Change = bytes | Folder | Link | None
TEXT_ENDINGS: Final = (".csv", ".tsv", ".json", ".xml", ".yaml", ".txt", ".fcsv")


def changed_set(files: Mapping[str, bytes], rng: Rng) -> dict[str, Change]:
    """What to put in the place of some files of a set, None for nothing; most often one mutated file."""
    images = [name for name in files if name.endswith(IMAGE_ENDINGS)]
    labels = [name for name in files if name not in images]
    change = rng.random()
    if change < 0.85:
        return {name: _mutated(name, files[name], rng) for name in rng.sample(labels, k=1)}
    if change < 0.9:
        chosen = rng.sample(labels, k=min(2, len(labels)))
        return {name: _mutated(name, files[name], rng) for name in chosen}
    if change < 0.94:
        name = rng.choice(images)
        return {name: _mutated(name, files[name], rng)}
    name, other = rng.choice([*labels, *images]), rng.choice([*files])
    odd: tuple[Change, ...] = (
        None, b"", Folder(), Link("nowhere"), Link(name.rpartition("/")[2]), Link("/etc/passwd"),
        files[other], b"\0" * 1000, files[name] * 2,
    )  # fmt: skip
    place = name
    if rng.random() < 0.3:
        folder, _, last = name.rpartition("/")
        names = (
            f"copy-{last}",
            last.upper(),
            f"{last}.bak",
            "x" * 200 + last[-5:],
            "\udcff" + last,
            f"a/{last}",
        )
        place = f"{folder}/{rng.choice(names)}".lstrip("/")
        return {place: files[name]}
    return {place: rng.choice(odd)}


def _mutated(name: str, content: bytes, rng: Rng) -> bytes:
    if name.endswith(".mat") and rng.random() < 0.5:
        # Damage behind the compression, where the elements of the file are.
        return content[:128] + _repacked(content[128:], rng)
    if name.endswith(".slp") and rng.random() < 0.2:
        return changed_hdf5(content, rng)
    return mutate(content, rng, is_text=name.endswith(TEXT_ENDINGS))


def _repacked(elements: bytes, rng: Rng) -> bytes:
    """The first compressed element of a MATLAB file, changed and compressed again."""
    if len(elements) < 8 or elements[:4] != b"\x0f\0\0\0":
        return mutate(elements, rng, is_text=False)
    try:
        inner = zlib.decompress(elements[8:])
    except zlib.error:
        return mutate(elements, rng, is_text=False)
    changed = mutate(inner, rng, is_text=False)
    # A few megabytes of what packs well.
    packed = zlib.compress(changed * (5000 if len(changed) < 2000 and rng.random() < 0.25 else 1))
    return elements[:4] + struct.pack("<I", len(packed)) + packed
