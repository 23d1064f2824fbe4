"""`[gates]` of the configuration: limits, limits of one view, and margins around a stored run."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice

from mahtdiag.diagnosis.gates import BaselineGates, Bound, Gate, Margin
from mahtdiag.diagnosis.metrics.metric import Better, IntervalKind, Metric
from mahtdiag.diagnosis.metrics.registry import (
    is_open,
    known_metrics,
    metric_of,
    nearest_name,
    vertebra_of,
    without_section,
)
from mahtdiag.diagnosis.setup.registry import CHECK_BY_NAME, RESULTS
from mahtdiag.schema.skeleton import View, skeleton_said

SECTION, BASELINE, RUN = "gates", "baseline", "run"
SETUP = "setup."
SETUP_NUMBERS = tuple(f"{SETUP}{name}" for name in ("wrong", "warnings", RESULTS, *CHECK_BY_NAME))
# Names of the newest run, which is the one that is judged as soon as it is finished.
MOVING = ("latest", "runs/latest")
LONGEST_SHOWN = 80
_MOST_PARTS = 20
_MOST_GATES = 1000
_NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_LIMIT = re.compile(rf"\s*(?:(upper|lower)\s*)?(<=|>=|==|<|>)\s*([-+]?{_NUMBER})\s*")
_MARGIN = re.compile(rf"\s*+([-+−]?)\s*({_NUMBER})\s*+(%?)\s*")
_LIMIT_FORM = '<=, >=, <, > or == and a number, as in "<= 4.0", "upper <= 4.0" or "lower >= 0.9"'
_MARGIN_FORM = 'how much worse it may be, as in "+0.3" or "+5 %"'


@dataclass(frozen=True, slots=True)
class GateSettings:
    """What a project demands of its runs: limits in the order of the file, and margins to a stored run."""

    limits: tuple[Gate, ...] = ()
    baseline: BaselineGates | None = None


@dataclass(slots=True)
class _Reader:
    """Reads one `[gates]` table and keeps every problem of it."""

    levels: str | None = None
    gates: list[Gate] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def limits(self, table: Mapping[str, object], where: str, view: View | None) -> None:
        """Limits by metric; a metric may have several, as a list."""
        for metric, value in _flat(table):
            for text in value if isinstance(value, list) and value else [value]:
                self._limit(metric, text, f"{where}.{_key(metric)} = {_shown(text)}", view)

    def _limit(self, metric: str, text: object, where: str, view: View | None) -> None:
        found = _LIMIT.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            self.problems.append(f"{where}: expected {_LIMIT_FORM}")
            return
        gate = Gate(metric, found[2], float(found[3]), Bound(found[1] or Bound.ESTIMATE), view)
        problem = _problem_of_name(metric, view, self.levels) or _problem_of_limit(gate, metric_of(metric))
        if problem is not None:
            self.problems.append(f"{where}: {problem}")
        else:
            self.gates.append(gate)

    def baseline(self, table: Mapping[str, object]) -> BaselineGates | None:
        """`run` and the margins; None where they cannot be obeyed."""
        where = f"{SECTION}.{BASELINE}"
        before = len(self.problems)
        # Only what is no metric can be meant to be the name of the run.
        meant = [
            key for key in get_close_matches(RUN, table, 1, 0.6) if key != RUN and metric_of(key) is None
        ]
        self._run_of_baseline(table, meant, where)
        margins = [
            self._margin(metric, value, f"{where}.{_key(metric)} = {_shown(value)}")
            for metric, value in _flat(
                {key: value for key, value in table.items() if key not in (RUN, *meant)}
            )
        ]
        if not margins:
            self.problems.append(f'{where}: names no metric; add one, as in "radial_error_px.mean" = "+0.3"')
        run = table.get(RUN)
        if len(self.problems) > before or not isinstance(run, str):
            return None
        return BaselineGates(run, tuple(margin for margin in margins if margin is not None))

    def _run_of_baseline(self, table: Mapping[str, object], meant: list[str], where: str) -> None:
        run = table.get(RUN)
        if meant:
            self.problems.append(f"{where}: unknown key {meant[0]}; did you mean {RUN}?")
        elif RUN not in table:
            self.problems.append(f'{where}: needs {RUN} = "FOLDER", the run to compare with')
        elif not isinstance(run, str) or not run.strip() or "\0" in run:
            self.problems.append(f"{where}.{RUN} = {_shown(run)}: expected the path of a run folder")
        elif run.strip() in MOVING:
            reason = "the newest run is soon the one that is judged; name a run that stays"
            self.problems.append(f"{where}.{RUN} = {_shown(run)}: {reason}")

    def _margin(self, metric: str, value: object, where: str) -> Margin | None:
        try:
            return parse_margin(metric, value)
        except ValueError as error:
            self.problems.append(f"{where}: {error}")
            return None


def parse_margin(metric: str, value: object) -> Margin:
    """How much worse than the baseline a metric may be: `+0.3`, `-2 %`. Raises ValueError, what is wrong."""
    found = _MARGIN.fullmatch(value) if isinstance(value, str) else None
    if found is None or not math.isfinite(float(found[2])):
        raise ValueError(f"expected {_MARGIN_FORM}")
    metric = without_section(metric)
    margin = Margin(metric, float(found[2]) / (100.0 if found[3] else 1.0), relative=bool(found[3]))
    known = metric_of(metric)
    problem = (
        _problem_of_name(metric, None)
        or _problem_of_margin(known, found[1], metric)
        or _problem_of_amount(known, margin)
    )
    if problem is not None:
        raise ValueError(problem)
    return margin


def read_gates(table: object, levels: object = None) -> tuple[GateSettings, tuple[str, ...]]:
    """What `[gates]` demands, and one line for each thing in it that cannot be obeyed.

    `levels`: what `[data]` says of them, whatever that is.
    """
    if not isinstance(table, Mapping):
        return GateSettings(), (f"{SECTION} = {_shown(table)}: expected a table, [{SECTION}]",)
    if sum(1 for _ in islice(_flat(table), _MOST_GATES + 1)) > _MOST_GATES:
        return GateSettings(), (f"[{SECTION}]: more than {_MOST_GATES} gates; name the numbers that decide",)
    reader = _Reader(levels if isinstance(levels, str) else None)
    tables = {name: table[name] for name in (*View, BASELINE) if name in table}
    misspelt = {
        key: near[0]
        for key, value in table.items()
        if isinstance(value, Mapping) and key not in tables and (near := _tables_like(key))
    }
    for key, name in misspelt.items():
        reader.problems.append(f"unknown table [{SECTION}.{key}]; did you mean [{SECTION}.{name}]?")
    limits = {key: value for key, value in table.items() if key not in tables and key not in misspelt}
    reader.limits(limits, SECTION, None)
    baseline = None
    for name, inner in tables.items():
        where = f"{SECTION}.{name}"
        if not isinstance(inner, Mapping):
            reader.problems.append(f"{where} = {_shown(inner)}: expected a table, [{where}]")
        elif name == BASELINE:
            baseline = reader.baseline(inner)
        else:
            reader.limits(inner, where, View(name))
    reader.problems += _excluding(reader.gates)
    return GateSettings(tuple(reader.gates), baseline), tuple(reader.problems)


def _excluding(gates: Iterable[Gate]) -> Iterator[str]:
    """Gates on one number that cannot be kept together."""
    least: dict[tuple[str, Bound, View | None], Gate] = {}
    most: dict[tuple[str, Bound, View | None], Gate] = {}
    for gate in gates:
        key = gate.metric, gate.bound, gate.view
        if gate.comparison in (">=", ">") and (key not in least or gate.limit > least[key].limit):
            least[key] = gate
        if gate.comparison in ("<=", "<") and (key not in most or gate.limit < most[key].limit):
            most[key] = gate
    for key, low in least.items():
        high = most.get(key)
        if high is not None and low.limit > high.limit:
            where = SECTION if low.view is None else f"{SECTION}.{low.view}"
            both = f"{low.comparison} {low.limit:g} and {high.comparison} {high.limit:g}"
            yield f"{where}.{_key(low.metric)}: {both} can never both be kept"


def _tables_like(key: str) -> list[str]:
    """The table within `[gates]` that a key seems to mean, if any."""
    by_name = {name.lower(): name for name in (*View, BASELINE)}
    return [by_name[near] for near in get_close_matches(key.lower(), by_name, 1, 0.75)]


def _flat(table: Mapping[str, object], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, object]]:
    """Metrics by their whole path: a name without quotes makes tables in tables, a few at most."""
    for key, value in table.items():
        name = f"{prefix}.{key}" if prefix else key
        if isinstance(value, Mapping) and value and depth < _MOST_PARTS:
            yield from _flat(value, name, depth + 1)
        else:
            yield name, value


def _problem_of_name(metric: str, view: View | None, levels: str | None = None) -> str | None:
    if metric.startswith(SETUP) and metric not in SETUP_NUMBERS:
        near = nearest_name(metric, SETUP_NUMBERS)
        return f"no check of the setup has this name; {f'did you mean {near}?' if near else SETUP_NUMBERS[0]}"
    if metric_of(metric) is None and not is_open(metric):
        within = [item.name for item in known_metrics() if item.name.startswith(f"{metric}.")]
        if within:
            return f"names no single number; did you mean {within[0]}?"
        near = nearest_name(metric)
        hint = f"did you mean {near}?" if near else "its numbers are those of run.json"
        return f"no number of a run has this name; {hint}"
    vertebra = vertebra_of(metric)
    if view is None or vertebra is None:
        return None
    try:
        skeleton = skeleton_said(view, levels)
    except ValueError:
        # That is said of [data].
        return None
    if vertebra in skeleton.vertebrae:
        return None
    other = "" if levels is not None else "; [data] levels says where they are others"
    return f"{view} images have no {vertebra}; they have {', '.join(skeleton.vertebrae)}{other}"


def _problem_of_limit(gate: Gate, metric: Metric | None) -> str | None:
    """Why a limit can never be kept, or never be broken."""
    if not math.isfinite(gate.limit):
        return "the limit is not a finite number"
    if metric is None:
        return None
    if gate.bound is not Bound.ESTIMATE and metric.interval is IntervalKind.NONE:
        return f"{metric.name} has no confidence interval; limit the number itself"
    low = -math.inf if metric.least is None else metric.least
    high = math.inf if metric.most is None else metric.most
    if gate.comparison in ("<=", "<"):
        never, always = gate.limit < low or (gate.comparison == "<" and gate.limit == low), gate.limit > high
    elif gate.comparison in (">=", ">"):
        never, always = gate.limit > high or (gate.comparison == ">" and gate.limit == high), gate.limit < low
    else:
        never, always = not low <= gate.limit <= high, False
    if never or always:
        return f"{'can never be kept' if never else 'can never fail'}: {metric.name} {metric.range_in_words}"
    return None


def _problem_of_margin(metric: Metric | None, sign: str, name: str) -> str | None:
    """Why a margin makes no sense; a sign, where given, has to point to what is worse."""
    better = Better.NEITHER if metric is None else metric.better
    if better is Better.NEITHER:
        return f"neither more nor less of {name} is better; set limits to it in [{SECTION}]"
    if sign == "+" and better is Better.HIGHER:
        return 'more of it is better; write how far it may fall, as in "-0.02" or "-2 %"'
    if sign and sign != "+" and better is Better.LOWER:
        return 'less of it is better; write how far it may rise, as in "+0.3" or "+5 %"'
    return None


def _problem_of_amount(metric: Metric | None, margin: Margin) -> str | None:
    """Why a margin can never be exceeded: the number cannot change by so much."""
    if metric is None or metric.least is None:
        return None
    if margin.relative:
        never = metric.better is Better.HIGHER and metric.least == 0.0 and margin.amount >= 1.0
        return f"can never fail: {metric.name} cannot fall by more than all of it" if never else None
    if metric.most is None or margin.amount < metric.most - metric.least:
        return None
    return f"can never fail: {metric.name} {metric.range_in_words}"


def _key(metric: str) -> str:
    return _shown(metric)


def _shown(value: object) -> str:
    """A value in one line, as TOML writes it, as far as a message needs it."""
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
    else:
        text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"
