"""Quality gates: limits on any number of a run, judged in one place for tables, files and the exit status."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import eq, ge, gt, le, lt

from mahtdiag.diagnosis.metrics import SECTION, is_open, metric_of, nearest_name, vertebra_of
from mahtdiag.diagnosis.numbers import Content, find_interval, find_number, numbers_of
from mahtdiag.schema.skeleton import View

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]
Interval = tuple[float, float]

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {"<=": le, ">=": ge, "<": lt, ">": gt, "==": eq}
MISSING = "not known in this run"
# What a missing section calls for.
_SPACING = "no image has a pixel spacing; give --pixel-spacing"
_ADVICE = (
    ("radial_error_mm", _SPACING),
    ("sdr_mm", _SPACING),
    ("calibration", "it has no σ; evaluate with --uncertainty heatmap"),
)


class Bound(StrEnum):
    """What of a number a gate limits: the number itself, or an end of its 95 % confidence interval."""

    ESTIMATE = "estimate"
    UPPER = "upper"
    LOWER = "lower"


class GateKind(StrEnum):
    """A fixed limit, or a margin around what a stored run reached on the same images."""

    LIMIT = "limit"
    BASELINE = "baseline"


@dataclass(frozen=True, slots=True)
class Gate:
    """A metric, by its path in `run.json`, and the limit it must keep: `calibration.mace <= 0.05`.

    `view`: the gate holds for runs of that view alone; None: for all.
    """

    metric: str
    comparison: str
    limit: float
    bound: Bound = Bound.ESTIMATE
    view: View | None = None
    kind: GateKind = GateKind.LIMIT

    @property
    def vertebra(self) -> str | None:
        """The vertebra whose number is limited: `L5` of `vertebrae.L5.radial_error_px.mean`."""
        return vertebra_of(self.metric)

    @property
    def condition(self) -> str:
        """The limit as it is written in a configuration: `<= 4`, `upper <= 4`."""
        of = "" if self.bound is Bound.ESTIMATE else f"{self.bound} "
        return f"{of}{self.comparison} {self.limit:.10g}"

    def keeps(self, value: float) -> bool:
        """Whether a value is within the limit."""
        return _COMPARE[self.comparison](value, self.limit)


@dataclass(frozen=True, slots=True)
class GateResult:
    """A gate and what was measured.

    `value` is what was compared with the limit: the estimate, or the end of its interval that the gate is
    on. It is None where there is no such number: the gate fails, and `reason` says why. A gate on a
    baseline compares the paired difference (`estimate`, `ci95`; this run less the run `baseline`) with its
    margin in the metric's unit.
    """

    gate: Gate
    value: float | None
    passed: bool
    estimate: float | None = None
    ci95: Interval | None = None
    reason: str | None = None
    baseline: str | None = None

    def as_json(self) -> dict[str, Json]:
        """As `run.json` and every `--format json` hold it."""
        gate = self.gate
        return {
            "metric": gate.metric,
            "comparison": gate.comparison,
            "limit": gate.limit,
            "value": self.value,
            "passed": self.passed,
            "bound": str(gate.bound),
            "view": None if gate.view is None else str(gate.view),
            "vertebra": gate.vertebra,
            "kind": str(gate.kind),
            "estimate": self.estimate,
            "ci95": None if self.ci95 is None else list(self.ci95),
            "baseline": self.baseline,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Margin:
    """How much worse than the baseline a metric may be.

    `amount` is at least 0 and counts in the direction that is worse: in the metric's unit, or, where
    `relative`, as a share of the baseline's value.
    """

    metric: str
    amount: float
    relative: bool


@dataclass(frozen=True, slots=True)
class BaselineGates:
    """`[gates.baseline]`: the folder of a stored run, and the margins that a new run must keep to it."""

    run: str
    margins: tuple[Margin, ...]


def judge_gates(gates: Sequence[Gate], content: Content, view: View | None = None) -> tuple[GateResult, ...]:
    """Compare each gate with its number in the content of a `run.json`; a missing number fails.

    Gates of other views than `view` are left out; None judges all.
    """
    return tuple(_judged(gate, content) for gate in gates if gate.view is None or view in (None, gate.view))


def _judged(gate: Gate, content: Content) -> GateResult:
    estimate = find_number(content, gate.metric)
    if estimate is None:
        return GateResult(gate, None, False, reason=_missing(content, gate.metric))
    ci95 = find_interval(content, gate.metric)
    if gate.bound is Bound.ESTIMATE:
        return GateResult(gate, estimate, gate.keeps(estimate), estimate, ci95)
    if ci95 is None:
        return GateResult(gate, None, False, estimate, reason="its 95 % interval is not known in this run")
    value = ci95[1] if gate.bound is Bound.UPPER else ci95[0]
    return GateResult(gate, value, gate.keeps(value), estimate, ci95)


def _missing(content: Content, metric: str) -> str:
    known = [name.removeprefix(f"{SECTION}.") for name in numbers_of(content)]
    if metric_of(metric) is None:
        near = nearest_name(metric, known)
        return f"the run has no such number{f'; did you mean {near}?' if near else ''}"
    measured = {part for name in known if not is_open(name) for part in name.split(".")}
    for part, advice in _ADVICE:
        if part in metric.split(".") and part not in measured:
            return f"{MISSING}: {advice}"
    return MISSING
