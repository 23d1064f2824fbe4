"""Gates proposed for a run: what it reached, and a margin in the direction that is worse."""

import math
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

from mahtdiag.diagnosis.metrics import Better, Metric, metric_of
from mahtdiag.diagnosis.numbers import Content, find_interval, find_number
from mahtdiag.schema.skeleton import View

LEAST_MARGIN = Decimal("0.01")
"""A number between 0 and 1 may be worse by this at least: else a set without a fault would allow none."""

DIGITS = 3
# Those that say most with least: errors, detection, anatomy, calibration.
_ERRORS = (
    "radial_error_mm.mean", "radial_error_mm.p95", "sdr_mm.4",
    "radial_error_px.mean", "radial_error_px.p95", "sdr_px.8",
)  # fmt: skip
_OTHERS = (
    "anatomy.images_with_violations", "anatomy.level_shifts", "calibration.mace", "calibration.sigma_scale",
)  # fmt: skip
_FAILED = "images.failed"


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
    found = []
    for name in (*_ERRORS, *_OTHERS):
        found += _proposed(content, name, margin)
    return (*_proposed(content, _FAILED, 0.0), *found, *_example(content, margin))


def _proposed(content: Content, name: str, margin: float) -> list[ProposedGate]:
    metric, value = metric_of(name), find_number(content, name)
    if metric is None or value is None:
        return []
    conditions = _conditions(metric, value, margin)
    return [ProposedGate(metric.name, value, conditions)] if conditions else []


def _example(content: Content, margin: float) -> list[ProposedGate]:
    """How a bound and a vertebra are limited: the upper end of the mean error of the worst vertebra."""
    names = [f"vertebrae.{name}.radial_error_px.mean" for name in View.LA.vertebrae]
    known = {name: value for name in names if (value := find_number(content, name)) is not None}
    worst = max(known, key=lambda name: known[name]) if known else ""
    metric, interval = metric_of(worst), find_interval(content, worst)
    if metric is None or interval is None:
        return []
    conditions = tuple(f"upper {text}" for text in _conditions(metric, interval[1], margin))
    return [ProposedGate(worst, interval[1], conditions, active=False)] if conditions else []


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
