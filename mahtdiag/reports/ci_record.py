"""What a pipeline is told of a command: one record behind JUnit, Markdown and annotations."""

from dataclasses import dataclass

from mahtdiag.reports.numbers import counted, interval, number
from mahtdiag.schema.samples import Failure

Interval = tuple[float, float]

DIGITS = (4, 6, 9)
MOST_WHOLE = 1e15


@dataclass(frozen=True, slots=True)
class RankedImage:
    """An image and, in words with unit, the number it is ranked by."""

    image: str
    value: str


@dataclass(frozen=True, slots=True)
class WorstImages:
    """The images that weigh most in a number, worst first; `what` they are ranked by."""

    what: str
    images: tuple[RankedImage, ...]


@dataclass(frozen=True, slots=True)
class GateCase:
    """A gate and what was measured.

    `condition`: the limit as it is written in a configuration. `value` is what was compared with it, None
    where there is none, with the `reason`; `estimate` differs from it where the gate is on a bound or a
    baseline. `worst`: the images to look at first, for a gate that failed.
    """

    metric: str
    condition: str
    value: float | None
    passed: bool
    ci95: Interval | None = None
    reason: str | None = None
    baseline: str | None = None
    worst: WorstImages | None = None

    @property
    def name(self) -> str:
        """What tells it from other gates, the same in every run: `radial_error_px.mean <= 4`."""
        against = " against the baseline" if self.baseline is not None else ""
        return f"{self.metric}{against} {self.condition}"

    @property
    def verdict(self) -> str:
        """What was measured, and the limit: `8.938, limit <= 4`."""
        if self.value is None:
            return f"not measured, limit {self.condition}" + (f": {self.reason}" if self.reason else "")
        return f"{told_apart(self.value, self.condition)}, limit {self.condition}"


@dataclass(frozen=True, slots=True)
class NumberRow:
    """One of the main numbers of a command: what it is, its value and its 95 % interval in words."""

    name: str
    value: str
    interval: str = ""


@dataclass(frozen=True, slots=True)
class CiRecord:
    """What came of a command.

    `about`: what was judged, as names and values. `said`: the verdict in words. `problems`: why the command
    could not be done, empty if it was. `judged` images of the set, and `failures`, those that could not be;
    `failures_allowed`: whether they leave the exit status alone. `worst`: shown where no gate failed.
    """

    command: str
    about: tuple[tuple[str, str], ...] = ()
    said: str = ""
    problems: tuple[str, ...] = ()
    judged: int = 0
    failures: tuple[Failure, ...] = ()
    failures_allowed: bool = True
    gates: tuple[GateCase, ...] = ()
    numbers: tuple[NumberRow, ...] = ()
    worst: WorstImages | None = None
    notes: tuple[str, ...] = ()

    @property
    def failed_gates(self) -> tuple[GateCase, ...]:
        """The gates that did not pass, in the order of the configuration."""
        return tuple(gate for gate in self.gates if not gate.passed)

    @property
    def images_missing(self) -> bool:
        """Whether images that could not be judged make the command fail."""
        return bool(self.failures) and not self.failures_allowed

    @property
    def passed(self) -> bool:
        """Whether the exit status is 0."""
        return not (self.problems or self.failed_gates or self.images_missing)

    @property
    def headline(self) -> str:
        """The verdict in one line: `2 of 5 gates failed, 1 image failed`."""
        parts = []
        if self.failed_gates:
            parts.append(f"{len(self.failed_gates)} of {counted(len(self.gates), 'gate')} failed")
        elif self.gates:
            parts.append(f"{counted(len(self.gates), 'gate')} passed")
        if self.failures:
            allowed = " (allowed)" if self.failures_allowed else ""
            parts.append(f"{counted(len(self.failures), 'image')} failed{allowed}")
        if self.problems and not self.judged:
            parts = ["could not be done"]
        return ", ".join(parts) or "done, no gate is set"


def images_in_words(worst: WorstImages) -> str:
    """`largest mean radial error: a.png 15.2 px, b.png 12.7 px`."""
    named = (f"{row.image} {row.value}" if row.value else row.image for row in worst.images)
    return f"{worst.what}: {', '.join(named)}"


def interval_in_words(bounds: Interval | None) -> str:
    """`5.61 to 12.3`, empty where there is none."""
    return "" if bounds is None else interval(bounds)


def told_apart(value: float, condition: str) -> str:
    """A value with four digits, or as many as it takes to differ from the limit that it is compared with.

    Whole numbers are written whole.
    """
    if value.is_integer() and abs(value) < MOST_WHOLE:
        return f"{value:,.0f}"
    limit = float(condition.split()[-1])
    for digits in DIGITS:
        text = number(value, digits)
        shown = float(text.replace(",", ""))
        if (shown < limit, shown > limit) == (value < limit, value > limit):
            return text
    return repr(value)
