"""Quality gates: limits on any number of a run, judged in one place, and those proposed for a run."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from enum import StrEnum
from operator import eq, ge, gt, le, lt

from mahtdiag.diagnosis.metrics.errors import MISS_RATE, MISSED, PLURALS
from mahtdiag.diagnosis.metrics.metric import ERRORS, EXAMPLE, Better, Metric
from mahtdiag.diagnosis.metrics.registry import (
    known_metrics,
    metric_of,
    nearest_name,
    vertebra_of,
    without_section,
)
from mahtdiag.diagnosis.numbers import Content, find_interval, find_number, paths_of
from mahtdiag.schema.skeleton import View

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]
Interval = tuple[float, float]

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {"<=": le, ">=": ge, "<": lt, ">": gt, "==": eq}
MISSING = "not known in this run"
LEAST_MARGIN = Decimal("0.01")
"""A number between 0 and 1 may be worse by this at least: else a set without a fault would allow none."""

DIGITS = 3


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

    Gates of other views than `view` are left out; None judges all. An error that leaves out missed keypoints
    fails, unless another gate says how many may be missed.
    """
    held = [gate for gate in gates if gate.view is None or view in (None, gate.view)]
    limited = any(limits_misses(gate.metric) and gate.comparison[0] in "<=" for gate in held)
    return tuple(_judged(gate, content, limited) for gate in held)


def limits_misses(name: str) -> bool:
    """Whether a limit on a number says how many of all labelled keypoints may be missed."""
    return without_section(name) in (MISS_RATE, f"radial_error_px.{MISSED}")


def leaves_out_misses(name: str) -> bool:
    """Whether a number is an error of what is predicted, which missing a keypoint may make smaller."""
    metric = metric_of(name)
    if metric is None or metric.section not in (ERRORS, "clean_labels", "error_types"):
        return False
    return metric.unit not in ("share", "count") and metric.better is Better.LOWER


def _judged(gate: Gate, content: Content, limited: bool) -> GateResult:
    estimate = find_number(content, gate.metric)
    if estimate is None:
        return GateResult(gate, None, False, reason=_missing(content, gate.metric))
    ci95 = find_interval(content, gate.metric)
    missed = _left_out(gate.metric, content)
    if missed and not limited:
        return GateResult(gate, None, False, estimate, ci95, reason=left_out(missed))
    if gate.bound is Bound.ESTIMATE:
        return GateResult(gate, estimate, gate.keeps(estimate), estimate, ci95)
    if ci95 is None:
        return GateResult(gate, None, False, estimate, reason=_no_interval(content, gate.metric))
    value = ci95[1] if gate.bound is Bound.UPPER else ci95[0]
    return GateResult(gate, value, gate.keeps(value), estimate, ci95)


def left_out(missed: int) -> str:
    """Why a gate on errors fails where keypoints are missed, and what to do."""
    keypoints = "1 missed keypoint" if missed == 1 else f"{missed:,} missed keypoints"
    return f"it leaves out {keypoints}; a gate on {MISS_RATE} says how many may be missed"


def _left_out(name: str, content: Content) -> int:
    """How many missed keypoints the error of this name leaves out; 0 for numbers that count them, or none."""
    metric = metric_of(name)
    if metric is None or not leaves_out_misses(name):
        return 0
    group = PLURALS.get(metric.group.kind)
    place = f"{group}.{metric.group.name}." if group else ""
    return int(find_number(content, f"{ERRORS}.{place}radial_error_px.{MISSED}") or 0)


def _missing(content: Content, name: str) -> str:
    """Why a run has no such number, and what to do."""
    known = [without_section(each) for each in paths_of(content)]
    metric = metric_of(name)
    if metric is None:
        near = nearest_name(name, known)
        return f"the run has no such number{f'; did you mean {near}?' if near else ''}"
    measured = [found.need for each in known if (found := metric_of(each)) is not None]
    if metric.need is None or not metric.need.advice or metric.need in measured:
        return MISSING
    return f"{MISSING}: {metric.need.advice}"


def _no_interval(content: Content, name: str) -> str:
    """Why a number has no interval: there are too few units, as far as the run tells how many there are."""
    metric, (units, what) = metric_of(name), units_of(content)
    if metric is not None and units is not None and units < metric.fewest:
        return f"too few {what} for an interval: {units}, at least {metric.fewest}"
    return "its 95 % interval is not known in this run"


def units_of(content: Content) -> tuple[int | None, str]:
    """How many units the intervals of a run are over, None where it does not say, and what they are."""
    images = content.get("images")
    counts = images if isinstance(images, Mapping) else {}
    evaluated, patients = counts.get("evaluated"), counts.get("patients")
    if isinstance(patients, int):
        return patients, "patients" if patients != evaluated else "images"
    return (evaluated if isinstance(evaluated, int) else None), "images"


@dataclass(frozen=True, slots=True)
class ProposedGate:
    """A metric with what the run reached and the conditions that it is to keep, as a configuration has them.

    `active` False: an example, to be switched on by whoever wants it.
    """

    metric: str
    value: float
    conditions: tuple[str, ...]
    active: bool = True


def propose_gates(content: Content, margin: float) -> tuple[ProposedGate, ...]:
    """Gates that a run itself passes, from the content of its `run.json`; `margin` is a share, 0.1 for 10 %.

    Errors may grow by the margin; shares may have so many more bad cases, and at least 0.01 more; a number
    whose best is 1 may leave it by the margin either way; counts stay. Limits are rounded to three digits,
    away from the value. A number that is missing or leaves no room for a limit gets no gate. Raises
    ValueError for a margin below 0 or not finite.
    """
    if not (math.isfinite(margin) and margin >= 0):
        raise ValueError(f"margin is {margin}, give 0 or more")
    metrics = known_metrics()
    chosen = sorted((metric for metric in metrics if metric.proposed > 0), key=lambda metric: metric.proposed)
    active = (gate for metric in chosen for gate in _proposed(content, metric, margin))
    return (*active, *_example(content, metrics, margin))


def _proposed(content: Content, metric: Metric, margin: float) -> list[ProposedGate]:
    value = find_number(content, metric.name)
    if value is None:
        return []
    conditions = _conditions(metric, value, margin)
    return [ProposedGate(metric.name, value, conditions)] if conditions else []


def _example(content: Content, metrics: Iterable[Metric], margin: float) -> list[ProposedGate]:
    """How a bound and a vertebra are limited: the upper end of the mean error of the worst vertebra."""
    examples = (metric for metric in metrics if metric.proposed == EXAMPLE)
    known = [
        (value, metric) for metric in examples if (value := find_number(content, metric.name)) is not None
    ]
    if not known:
        return []
    _, worst = max(known, key=lambda each: each[0])
    interval = find_interval(content, worst.name)
    if interval is None:
        return []
    conditions = tuple(f"upper {text}" for text in _conditions(worst, interval[1], margin))
    return [ProposedGate(worst.name, interval[1], conditions, active=False)] if conditions else []


def _conditions(metric: Metric, reached: float, margin: float) -> tuple[str, ...]:
    """Decimal arithmetic: a limit is written in decimals, and rounding must not turn it against its run."""
    value, share = Decimal(repr(reached)), Decimal(repr(margin))
    if metric.unit == "count":
        return (f"<= {int(value)}",) if metric.better is Better.LOWER else ()
    if metric.better is Better.NEITHER:
        return (*_limit(">=", value / (1 + share), metric), *_limit("<=", value * (1 + share), metric))
    lower = metric.better is Better.LOWER
    if metric.most is None:
        change = abs(value) * share
    else:
        bad = value if lower else Decimal(repr(metric.most)) - value
        change = max(bad * share, LEAST_MARGIN) if margin else Decimal(0)
    return _limit("<=", value + change, metric) if lower else _limit(">=", value - change, metric)


def _limit(comparison: str, value: Decimal, metric: Metric) -> tuple[str, ...]:
    """A condition, or none where every value or no number at all would be within it."""
    upper = comparison == "<="
    text = rounded(value, up=upper)
    limit = float(text)
    trivial = metric.most is not None and limit >= metric.most if upper else limit <= (metric.least or 0.0)
    return () if not math.isfinite(limit) or trivial else (f"{comparison} {text}",)


def rounded(value: Decimal, *, up: bool) -> str:
    """A number with three significant digits, never below `value` (`up`) or never above it.

    Plain notation where that is short.
    """
    context = Context(prec=DIGITS, rounding=ROUND_CEILING if up else ROUND_FLOOR)
    number = context.create_decimal(value).normalize(context)
    return f"{number:f}" if -5 <= number.adjusted() <= 9 else str(number)
