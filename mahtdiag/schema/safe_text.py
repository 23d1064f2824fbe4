"""Text from outside as it can be shown and kept: it moves no cursor, hides nothing, poses as nothing else.

Everything that prints or writes for people sends its texts through here. Signs that are not seen, or that act
on what stands around them, become escapes: control characters, line ends, signs without a width, those that
turn the direction of writing, tags, halves of pairs, bytes that are no text, characters that there are not,
and marks piled upon one letter.
"""

import os
import re
import unicodedata
from collections.abc import Iterator
from typing import Final

_PLAIN: Final = re.compile(r"[^ -~]+")
_HALF: Final = re.compile("[\ud800-\udfff]")
_UNSEEN: Final = frozenset(("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"))
# They have no width, though their category says that they are letters or marks.
_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0d\uffa0\U000e0100-\U000e01ef]"
)
# No script needs more of them on one letter.
_MOST_MARKS: Final = 4
_LONGEST_LINE: Final = 1000
_LONGEST_NAME: Final = 80
# What a record cannot hold: all else stays, so that tables name files as they are called.
_UNRECORDED: Final = frozenset(("Cc", "Cs", "Zl", "Zp"))
_ESCAPE: Final = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U(000[0-9a-f]{5}|0010[0-9a-f]{4}))")
_BYTES: Final = range(0xDC80, 0xDD00)
# What a spreadsheet takes for the beginning of a formula.
_FORMULA: Final = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def one_line(text: str) -> str:
    r"""The text on one line, with escapes for what is not seen; what is safe already stays as it is.

    >>> one_line("a\nb")
    'a\\x0ab'
    """
    return _PLAIN.sub(_safe, text)


def safe_lines(text: str) -> str:
    """The text with its line breaks, each line as `one_line` makes it."""
    return "\n".join(map(one_line, text.split("\n")))


def whole_signs(text: str) -> str:
    """The text with escapes for halves of pairs and for bytes that are no text, which UTF-8 cannot hold."""
    return _HALF.sub(lambda found: _escaped(found[0]), text)


def shown(name: "str | os.PathLike[str]") -> str:
    """A file name as messages can carry it."""
    return one_line(os.fspath(name))


def brief(text: str, longest: int = _LONGEST_LINE) -> str:
    """A message as `one_line`, cut after a thousand characters: names in files may have any length."""
    # What is cut off need not be looked at.
    line = one_line(text[: longest + 1])
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def brief_name(text: str) -> str:
    """A name from a file as a part of a sentence: `brief` of 80 letters."""
    return brief(text, _LONGEST_NAME)


def json_text(text: str) -> str:
    """JSON with JSON's own escapes for what is not seen: read back it is the same.

    Halves of pairs and bytes that are no text, which not every program reads, become text as in records.
    """
    return "\n".join(_PLAIN.sub(_json_safe, line) for line in text.split("\n"))


def toml_text(text: str) -> str:
    """A text as TOML writes it, on one line, with escapes for what is not seen: read back it is the same.

    Halves of pairs and bytes that are no text, which TOML cannot hold, become text as in records.
    """
    text = whole_signs(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_PLAIN.sub(_toml_safe, text)}"'


def csv_cell(text: str) -> str:
    """A text for a cell of a table that people open: one line, and no formula for a spreadsheet."""
    line = one_line(text)
    return f"'{line}" if line[:1] in _FORMULA and not _NUMBER.fullmatch(line) else line


def recorded(name: str) -> str:
    r"""A file name as records keep it: one line of valid Unicode. No two names become one.

    >>> recorded("a\x1b.png"), recorded("a\\x1b.png")
    ('a\\x1b.png', 'a\\x5cx1b.png')
    """
    if "\\" not in name and name.isprintable():
        return name
    if os.sep != "\\":
        name = _ESCAPE.sub(lambda found: f"\\x5c{found[0][1:]}", name)
    return "".join(_escaped(s) if unicodedata.category(s) in _UNRECORDED else s for s in name)


def unrecorded(name: str) -> str:
    """The file name that `recorded` was given."""
    return _ESCAPE.sub(_sign, name) if "\\" in name else name


def _safe(found: "re.Match[str]") -> str:
    return "".join(_escaped(sign) if unseen else sign for sign, unseen in _seen(found[0]))


def _json_safe(found: "re.Match[str]") -> str:
    return "".join(_in_json(sign) if unseen else sign for sign, unseen in _seen(found[0]))


def _toml_safe(found: "re.Match[str]") -> str:
    return "".join(_in_toml(sign) if unseen else sign for sign, unseen in _seen(found[0]))


def _in_toml(sign: str) -> str:
    code = ord(sign)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _seen(signs: str) -> Iterator[tuple[str, bool]]:
    """Each sign, and whether it is to be an escape."""
    marks = 0
    for sign in signs:
        category = unicodedata.category(sign)
        marks = marks + 1 if category[0] == "M" else 0
        yield sign, category in _UNSEEN or marks > _MOST_MARKS or bool(_INVISIBLE.match(sign))


def _escaped(sign: str) -> str:
    """Bytes that are no text are `\\x80` to `\\xff`, control characters of ASCII `\\x00` to `\\x7f`."""
    code = ord(sign)
    # Python keeps such a byte as the surrogate 0xDC00 + byte.
    if code < 0x80 or code in _BYTES:
        return f"\\x{code & 0xFF:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _in_json(sign: str) -> str:
    if unicodedata.category(sign) == "Cs":
        return f"\\{_escaped(sign)}"
    units = sign.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _sign(escape: "re.Match[str]") -> str:
    """The sign that `recorded` has escaped; what it never escapes, such as `/`, is no escape of its own."""
    code = int(escape[0][2:], 16)
    sign = chr(code + 0xDC00 if escape[1] and code >= 0x80 else code)
    is_name = unicodedata.category(sign) in _UNRECORDED if sign != "\\" else os.sep != "\\"
    return sign if is_name and code else escape[0]
