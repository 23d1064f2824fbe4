"""What a pipeline is told of a command: one record behind JUnit, Markdown and annotations."""

from dataclasses import dataclass
from datetime import UTC, datetime

from mahtdiag.diagnosis.gates import GateResult
from mahtdiag.diagnosis.worst_images import RankedImage, WorstImages
from mahtdiag.reports.tables.setup import headline
from mahtdiag.reports.tables.table import compared_value, gate_number, metric_in_words
from mahtdiag.reports.text import counted, in_unit, interval, signed
from mahtdiag.schema.records import Failure
from mahtdiag.schema.setup import SetupEntry

Interval = tuple[float, float]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class GateCase:
    """A judged gate and, where it failed, the images to look at first."""

    result: GateResult
    worst: WorstImages | None = None

    @property
    def passed(self) -> bool:
        """Whether the limit is kept."""
        return self.result.passed

    @property
    def name(self) -> str:
        """What tells it from other gates, the same in every run: `radial_error_px.mean <= 4`."""
        gate = self.result.gate
        return f"{metric_in_words(self.result)} {gate.condition}{f' ({gate.view})' if gate.view else ''}"

    @property
    def value(self) -> str:
        """What was compared with the limit, told apart from it; the estimate beside it for a bound of it."""
        result = self.result
        if result.value is None:
            return "not measured"
        value = compared_value(result)
        if result.estimate is None or result.estimate == result.value:
            return value
        return f"{value} (estimate {gate_number(result, result.estimate)})"

    @property
    def sentence(self) -> str:
        """All of it in one line: `radial_error_px.mean: 8.94, limit <= 4`."""
        result = self.result
        why = "" if result.reason is None else f"; {result.reason}"
        return f"{metric_in_words(result)}: {self.value}, limit {result.gate.condition}{why}"


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
    `setup`: what its checks said; `setup_wrong`: those of them that make the command fail.
    `next_steps`: what to type next, the most useful first; `kept`: where the result is.
    `started` and `seconds`: when the command began, and how long it took so far.
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
    setup: tuple[SetupEntry, ...] = ()
    setup_wrong: tuple[str, ...] = ()
    next_steps: tuple[str, ...] = ()
    kept: str = ""
    started: datetime = EPOCH
    seconds: float = 0.0

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
        return not (self.problems or self.failed_gates or self.images_missing or self.setup_wrong)

    @property
    def headline(self) -> str:
        """The verdict in one line: `2 of 5 gates failed, 1 image failed`."""
        parts = [] if headline(self.setup) is None else ["results are not plausible"]
        if self.setup_wrong:
            parts.append(f"the setup is wrong ({', '.join(self.setup_wrong)})")
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
    """`largest mean radial error: a.png 15.21 px, b.png 12.70 px`."""
    named = (f"{row.image} {score_in_words(row)}".rstrip() for row in worst.images)
    return f"{worst.what}: {', '.join(named)}"


def score_in_words(row: RankedImage) -> str:
    """`15.21 px`, `3 keypoints`, `+1.20 px (to 3.40)`; empty for an image that is named alone."""
    if row.now is not None:
        return f"{signed(in_unit(row.score, row.unit))} {row.unit} (to {in_unit(row.now, row.unit)})"
    if row.score is None:
        return row.detail
    if isinstance(row.score, int):
        told = counted(row.score, row.unit) if row.unit else f"{row.score:,}"
    else:
        told = f"{in_unit(row.score, row.unit)} {row.unit}".rstrip()
    return f"{told}{row.detail}"


def interval_in_words(bounds: Interval | None) -> str:
    """`5.61 to 12.3`, empty where there is none."""
    return "" if bounds is None else interval(bounds)
