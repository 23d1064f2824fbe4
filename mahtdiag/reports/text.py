"""How numbers are written for people: never a NaN. Texts from outside: `mahtdiag.schema.safe_text`.

A number is rounded by what it is, the same wherever it is shown: lengths (px, mm, % of a length) by
`pixels`, shares by `percent`, errors over σ by `sigmas`, all others, and the ends of intervals, to three
significant digits by `number`. Negative ones have a hyphen, as they are typed; a real minus stands in names
and in figures.
"""

import math
from collections.abc import Callable, Iterable

from mahtdiag.schema.numerals import ABSENT, ASTRONOMIC_PX, number, pixels

__all__ = [
    "ABSENT",
    "ASTRONOMIC_PX",
    "as_limited",
    "counted",
    "images_of",
    "in_unit",
    "interval",
    "number",
    "percent",
    "pixels",
    "shorten",
    "sigmas",
    "signed",
    "telling",
]

MOST_WHOLE = 1e15
_NO_LENGTHS = ("", "share", "count", "s")


def telling(texts: Iterable[str], tells: Callable[[float], bool], otherwise: float) -> str:
    """The first of several ways to write a number that still tells the truth; in full where none does."""
    return next((text for text in texts if tells(float(text.replace(",", "")))), repr(otherwise))


def in_unit(value: float | None, unit: str) -> str:
    """A number of a run by its unit (see `Metric`); a share in percent, without the sign."""
    if value is not None and unit == "share":
        return percent(value).removesuffix(" %")
    return as_limited(value, unit)


def as_limited(value: float | None, unit: str) -> str:
    """The same as a gate or a margin limits it: a share stays between 0 and 1."""
    if value is None or not math.isfinite(value):
        return ABSENT
    if unit == "count" and value.is_integer() and abs(value) < MOST_WHOLE:
        return f"{value:,.0f}"
    if unit == "σ":
        return sigmas(value)
    return number(value) if unit in _NO_LENGTHS else pixels(value)


def signed(text: str) -> str:
    """A number with its sign, a plus too, unless it is shown as 0."""
    return text if text in ("", ABSENT) or text[0] == "-" or not text.strip("0.,") else f"+{text}"


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
