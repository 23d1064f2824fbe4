"""How numbers are written for people, and names and reasons from outside: never a NaN, on one line."""

import math
import unicodedata
from collections.abc import Callable, Iterable

ABSENT = "–"
ASTRONOMIC_PX = 1e6


def number(value: float | None, digits: int = 3) -> str:
    """Three significant digits without exponents where that stays short; `–` where there is no value."""
    if value is None or not math.isfinite(value):
        return ABSENT
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if magnitude >= 6 or magnitude < -4:
        return f"{value:.{digits - 1}e}"
    return f"{value:,.{max(0, digits - 1 - magnitude)}f}"


def telling(value: float, digits: Iterable[int], tells: Callable[[float], bool]) -> str:
    """A number with the first of these counts of digits at which what is shown still tells the truth."""
    for count in digits:
        text = number(value, count)
        if tells(float(text.replace(",", ""))):
            return text
    return repr(value)


def pixels(value: float | None) -> str:
    """A length with two decimals below 100, one below 1,000, none above; astronomic ones with an exponent."""
    if value is None or not math.isfinite(value):
        return ABSENT
    if abs(value) >= ASTRONOMIC_PX:
        return f"{value:.1e}"
    decimals = 2 if abs(value) < 100 else 1 if abs(value) < 1000 else 0
    return f"{value:,.{decimals}f}"


def sigmas(value: float | None) -> str:
    """An error over σ: one decimal; `–` where there is none."""
    return ABSENT if value is None or not math.isfinite(value) else f"{value:,.1f}"


def percent(share: float | None, decimals: int = 1) -> str:
    """A share 0..1 in percent."""
    return ABSENT if share is None or not math.isfinite(share) else f"{100 * share:.{decimals}f} %"


def images_of(images: int, patients: int | None) -> str:
    """`46 images of 31 patients`; of images alone where no patient shows twice, or not all are known."""
    of = f" of {counted(patients, 'patient')}" if patients is not None and patients < images else ""
    return f"{counted(images, 'image')}{of}"


def interval(bounds: tuple[float, float] | None, scale: float = 1.0, digits: int = 3) -> str:
    """`low to high`, so many significant digits each."""
    return ABSENT if bounds is None else " to ".join(number(scale * bound, digits) for bound in bounds)


def counted(count: int, noun: str) -> str:
    """`1 image`, `2 images`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def shorten(text: str, width: int) -> str:
    """The beginning and the end of a text that is too long."""
    if len(text) <= width:
        return text
    end = (width - 1) // 2
    return f"{text[: width - 1 - end]}…{text[len(text) - end :]}"


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
