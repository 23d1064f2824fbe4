"""How numbers are written for people: enough digits to compare, never a NaN."""

import math

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


def pixels(value: float | None) -> str:
    """A length with two decimals below 100, one below 1,000, none above; astronomic ones with an exponent."""
    if value is None or not math.isfinite(value):
        return ABSENT
    if abs(value) >= ASTRONOMIC_PX:
        return f"{value:.1e}"
    decimals = 2 if abs(value) < 100 else 1 if abs(value) < 1000 else 0
    return f"{value:,.{decimals}f}"


def percent(share: float | None, decimals: int = 1) -> str:
    """A share 0..1 in percent."""
    return ABSENT if share is None or not math.isfinite(share) else f"{100 * share:.{decimals}f} %"


def interval(bounds: tuple[float, float] | None, scale: float = 1.0) -> str:
    """`low to high`, three significant digits each."""
    if bounds is None:
        return ABSENT
    low, high = (scale * bound for bound in bounds)
    return f"{number(low)} to {number(high)}"


def counted(count: int, noun: str) -> str:
    """`1 image`, `2 images`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def shorten(text: str, width: int) -> str:
    """The beginning and the end of a text that is too long."""
    if len(text) <= width:
        return text
    end = (width - 1) // 2
    return f"{text[: width - 1 - end]}…{text[len(text) - end :]}"
