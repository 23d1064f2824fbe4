"""What a limit of an anatomical rule is: which side of it fires, and which values it can have."""

from dataclasses import dataclass
from enum import StrEnum
from math import inf

from mahtdiag.schema.skeleton import View


class Fires(StrEnum):
    """On which side of its limit a value fires."""

    ABOVE = "above"
    BELOW = "below"
    AT_OR_BELOW = "at or below"


POSSIBLE = {
    **dict.fromkeys(("A201", "A202", "A202-S1"), (0.0, 90.0)),
    **dict.fromkeys(("A203", "A203-S1"), (0.0, 180.0)),
    **dict.fromkeys(("A301-min", "A301-max", "A404", "A501-min", "A501-max", "A601", "A602"), (0.0, inf)),
    **dict.fromkeys(("A302-width", "A302-height"), (0.0, 2.0)),
    "A401": (0.0, inf),
    "A603": (0.0, 4.0),
}
"""The values that a measured quantity can have, by the key of its limit; any where it is not named."""


@dataclass(frozen=True, slots=True)
class LimitSpec:
    """One limit of a rule.

    `key` names it in settings (`A201`, `A301-min`); `typical` is the value of an ordinary spine: severity
    counts the excess over the limit in units of |limit − typical|.
    """

    key: str
    unit: str
    fires: Fires
    ap: float
    la: float
    typical: float
    origin: str

    def default(self, view: View) -> float:
        """The limit used where nothing else is set."""
        return self.la if view is View.LA else self.ap

    def problem_of(self, value: float) -> str | None:
        """Why a limit makes no sense, the measured value being always or never beyond it; None if it does."""
        least, most = POSSIBLE.get(self.key, (-inf, inf))
        if self.fires is Fires.ABOVE:
            always, never = value < least, value >= most
        else:
            always, never = value > most, value < least or (self.fires is Fires.BELOW and value == least)
        # Half of a band is switched off by its end.
        if (never and value == least and self.key.endswith("-min")) or not (always or never):
            return None
        bounds = f"is never below {least:g}" if most == inf else f"lies between {least:g} and {most:g}"
        remedy = "" if always else "; ignore leaves a rule out"
        return f"{'always' if always else 'never'} fires: what it limits {bounds}{remedy}"

    def spread(self, view: View) -> float:
        """Distance from an ordinary value to the default limit: the unit of severity."""
        return abs(self.default(view) - self.typical)
