"""How numbers are written wherever people read them: in sentences of checks, in tables, on pictures."""

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
    text = f"{value:,.{decimals}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text
