"""Text from outside, such as file names and reasons, on one line and safe in every format."""

import unicodedata

# They reorder what stands around them, so that a name could pose as another.
_REORDERING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# No characters: XML forbids them.
_FORBIDDEN = frozenset("\ufffe\uffff")
_UNWANTED = ("Cc", "Cs", "Zl", "Zp")


def one_line(text: str) -> str:
    r"""The text with line breaks, control signs, lone surrogates and reordering signs as escapes.

    >>> one_line("a\nb")
    'a\\x0ab'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(sign) if _is_unwanted(sign) else sign for sign in text)


def safe_lines(text: str) -> str:
    """The text with its line breaks, each line as `one_line` makes it."""
    return "\n".join(map(one_line, text.split("\n")))


def _is_unwanted(sign: str) -> bool:
    return unicodedata.category(sign) in _UNWANTED or sign in _REORDERING or sign in _FORBIDDEN


def _escaped(sign: str) -> str:
    code = ord(sign)
    # Python keeps an undecodable byte as the surrogate 0xDC00 + byte.
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
