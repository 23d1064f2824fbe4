"""Quality gates: limits on any number of a run, judged in one place for tables, files and the exit status."""

import difflib
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import eq, ge, gt, le, lt

from mahtdiag.errors import UsageError

Content = Mapping[str, object]

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {"<=": le, ">=": ge, "<": lt, ">": gt, "==": eq}
_LIMIT = re.compile(r"\s*(<=|>=|==|<|>)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")
# A metric may be named without the section that holds it: `radial_error_mm.mean`, `sdr_mm.4`.
_SECTION = "metrics"


@dataclass(frozen=True, slots=True)
class Gate:
    """A metric, by its path in `run.json`, and the limit it must keep: `calibration.mace <= 0.05`."""

    metric: str
    comparison: str
    limit: float


@dataclass(frozen=True, slots=True)
class GateResult:
    """A gate and what was measured; `value` is None, and the gate fails, where there is no such number."""

    gate: Gate
    value: float | None
    passed: bool


def parse_gates(table: Mapping[str, str]) -> tuple[Gate, ...]:
    """Gates from names and limits such as `">= 0.90"`.

    Raises UsageError, one line per limit that is not a comparison with a number.
    """
    gates, problems = [], []
    for metric, text in table.items():
        match = _LIMIT.fullmatch(text)
        if match is None:
            problems.append(
                f'gate "{metric}" = "{text}": expected <=, >=, <, > or == and a number, as in "<= 4.0"'
            )
        else:
            gates.append(Gate(metric, match[1], float(match[2])))
    if problems:
        raise UsageError(*problems)
    return tuple(gates)


def judge_gates(gates: Sequence[Gate], content: Content) -> tuple[GateResult, ...]:
    """Compare each gate with its number in the content of a `run.json`; a missing number fails."""
    results = []
    for gate in gates:
        value = find_number(content, gate.metric)
        passed = value is not None and _COMPARE[gate.comparison](value, gate.limit)
        results.append(GateResult(gate, value, passed))
    return tuple(results)


def find_number(content: Content, metric: str) -> float | None:
    """The number at a dotted path, in the content or in its metrics; keys may hold dots (`sdr_mm.2.5`).

    None where there is none; true and false count as 1 and 0.
    """
    found = _descend(content, metric)
    if found is None:
        found = _descend(content.get(_SECTION), metric)
    if isinstance(found, (int, float)) and math.isfinite(found):
        return float(found)
    return None


def _descend(content: object, path: str) -> object:
    if not path:
        return content
    if not isinstance(content, Mapping):
        return None
    for key, inner in content.items():
        if path == key:
            return inner
        if path.startswith(f"{key}."):
            found = _descend(inner, path[len(key) + 1 :])
            if found is not None:
                return found
    return None


def nearest_metric(content: Content, metric: str) -> str | None:
    """The path of a number that is spelt most like `metric`, to help whoever misspelt it."""
    known = [path.removeprefix(f"{_SECTION}.") for path in _numbers(content)]
    close = difflib.get_close_matches(metric, known, 1, 0.6)
    return close[0] if close else None


def _numbers(content: object, prefix: str = "") -> Iterator[str]:
    if isinstance(content, Mapping):
        for key, inner in content.items():
            yield from _numbers(inner, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(content, (int, float)):
        yield prefix
