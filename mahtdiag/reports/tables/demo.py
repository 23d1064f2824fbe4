"""The end of the demo: what was found, in at most ten lines."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mahtdiag.diagnosis.gates import GateResult
from mahtdiag.diagnosis.metrics.metric import Estimate
from mahtdiag.reports.tables.comparison import ComparisonResult
from mahtdiag.reports.tables.table import Line, Style, metric_in_words
from mahtdiag.reports.text import counted, interval, pixels
from mahtdiag.schema.setup import SetupEntry

MOST_GATES = 3


@dataclass(frozen=True, slots=True)
class DemoNetwork:
    """A network of the demo: its mean radial error in mm, its gates, and what its setup says is wrong."""

    checkpoint: str
    error_mm: Estimate
    gates: tuple[GateResult, ...]
    cause: SetupEntry | None

    @property
    def failed(self) -> tuple[GateResult, ...]:
        """The gates that it fails."""
        return tuple(gate for gate in self.gates if not gate.passed)


@dataclass(frozen=True, slots=True)
class JudgedLabel:
    """An image of the mislabelled set.

    `mistake`: what was planted, in words, empty where the label is right. `named`: whether the label breaks a
    rule of anatomy, or the healthy network speaks against it.
    """

    image: str
    mistake: str
    named: bool


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the runs of the demo hold, and the two pages to open: of the network, of the labels."""

    healthy: DemoNetwork
    short: DemoNetwork
    comparison: ComparisonResult
    labels: tuple[JudgedLabel, ...]
    pages: tuple[str, str]

    @property
    def planted(self) -> tuple[JudgedLabel, ...]:
        """The images whose label has a mistake."""
        return tuple(label for label in self.labels if label.mistake)

    @property
    def right(self) -> tuple[JudgedLabel, ...]:
        """The other images."""
        return tuple(label for label in self.labels if not label.mistake)


def demo_lines(result: DemoResult) -> Iterator[Line]:
    """Ten lines: both networks, what they differ by, the labels, and the two pages."""
    named = [label for label in result.planted if label.named]
    yield Line("What was found", Style.STRONG)
    yield Line(_network(result.healthy), Style.GOOD)
    yield Line(f"{_network(result.short)}:", Style.BAD)
    yield Line(f"  {_named_gates(result.short.failed)}")
    yield Line(f"  {_cause(result.short)}")
    yield Line(_difference(result))
    yield Line(
        f"labels: {len(named)} of {counted(len(result.planted), 'planted mistake')} found "
        f"({sum(label.named for label in result.right)} of {len(result.right)} right labels named as well):"
    )
    yield Line(f"  {', '.join(label.image for label in named) or 'none'}")
    for page, what in zip(result.pages, ("the network", "the labels"), strict=True):
        yield Line(f"open {page} ({what})", Style.STRONG)


def _network(found: DemoNetwork) -> str:
    failed, all_of_them = len(found.failed), len(found.gates)
    gates = f"{failed} of {all_of_them} gates failed" if failed else f"all {all_of_them} gates passed"
    error = found.error_mm
    return f"{found.checkpoint}: mean error {pixels(error.value)} mm ({interval(error.ci95)}), {gates}"


def _named_gates(failed: Sequence[GateResult]) -> str:
    named = [metric_in_words(gate) for gate in failed]
    more = f" and {len(named) - MOST_GATES} more" if len(named) > MOST_GATES else ""
    return f"{', '.join(named[:MOST_GATES])}{more}"


def _cause(found: DemoNetwork) -> str:
    """The beginning of what the check says, and of what it advises."""
    if found.cause is None:
        return "the setup names no cause"
    evidence, advice = found.cause.evidence.partition(":")[0], found.cause.advice.partition(",")[0]
    return f"likeliest cause: {evidence} ({found.cause.check}); {advice}"


def _difference(result: DemoResult) -> str:
    comparison = result.comparison.comparison
    (judged,) = comparison.judged
    further_off, _ = comparison.errors.changed()
    by = f"{pixels(judged.worsening)} mm ({interval(judged.worsening_ci95)})"
    return (
        f"{result.short.checkpoint} is {comparison.verdict} by {by}, further off in {len(further_off)} of "
        f"{counted(comparison.images, 'image')}"
    )
