"""The numbers of a run: from its table, with intervals over images, and by their paths in a `run.json`."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

from mahtdiag.calibration.bootstrap import Interval, percentile_interval, resampled_sums
from mahtdiag.diagnosis.columns import ColumnNotReadError
from mahtdiag.diagnosis.metrics.measures import Mean, Sums, Terms, quotient
from mahtdiag.diagnosis.metrics.metric import ERRORS, Estimate, Group, GroupKind, IntervalKind, Metric
from mahtdiag.diagnosis.metrics.registry import metrics_of
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.schema.setup import SetupStatus

Content = Mapping[str, object]
Trail = tuple[tuple[Mapping[str, object], str], ...]

# In a record with one interval it is that of the first of these numbers.
_ESTIMATES = ("mean", "observed", "value")


@dataclass(frozen=True, slots=True)
class RunNumbers:
    """The numbers that the table of a run tells, by name."""

    table: RunTable
    found: Mapping[str, Estimate]

    def __getitem__(self, name: str) -> Estimate:
        return self.found[name]

    def get(self, name: str) -> Estimate | None:
        """A number; None where the run does not know it."""
        return self.found.get(name)

    def of(self, section: str, kind: GroupKind = GroupKind.ALL) -> Iterator[tuple[Metric, Estimate]]:
        """The numbers of a section about all keypoints, or about groups of a kind."""
        for metric in metrics_of(self.table.skeleton).values():
            if metric.section == section and metric.group.kind is kind and metric.name in self.found:
                yield metric, self.found[metric.name]

    def by_group(self, section: str, kind: GroupKind) -> Mapping[Group, Mapping[str, Estimate]]:
        """The numbers of each group by their names within it: `radial_error_px.mean`, `keypoints`."""
        groups: dict[Group, dict[str, Estimate]] = {}
        for metric, found in self.of(section, kind):
            if metric.name_in_group:
                groups.setdefault(metric.group, {})[metric.name_in_group] = found
        return groups

    def content(self) -> dict[str, object]:
        """As `run.json` nests them, with their intervals."""
        return as_content(metrics_of(self.table.skeleton).values(), self.found)


def numbers_of(table: RunTable) -> RunNumbers:
    """Every number that a table tells, computed once."""
    return table.once(_numbers)


def _numbers(table: RunTable) -> RunNumbers:
    return RunNumbers(table, estimate(metrics_of(table.skeleton).values(), table))


def estimate(
    metrics: Iterable[Metric], table: RunTable, *, resamples: int = 2000, seed: int = 0
) -> dict[str, Estimate]:
    """Those of these numbers that the table tells, by name; all means from the same resampled images."""
    metrics = tuple(metrics)
    terms = dict.fromkeys(m.measure.terms for m in metrics if isinstance(m.measure, Mean))
    sums = {each: of for each in terms if (of := _sums(each, table)) is not None}
    intervals = _percentile_intervals(metrics, sums, resamples, seed)
    found = {}
    for metric in metrics:
        if isinstance(metric.measure, Mean) and metric.measure.terms in sums:
            of = sums[metric.measure.terms]
            value, count = metric.measure.of_sums(of), int(of[1].sum())
            interval = intervals.get(metric.name)
            if metric.interval is IntervalKind.EXACT:
                interval = exact_interval(int(of[0].sum()), count)
        else:
            value, interval, count = metric.value(table), None, 0
        if value is not None:
            found[metric.name] = Estimate(value, interval, count)
    return found


def _sums(terms: Terms, table: RunTable) -> Sums | None:
    """What is summed over images; None where the table lacks it."""
    try:
        return terms.of(table)
    except ColumnNotReadError:
        return None


def _percentile_intervals(
    metrics: Iterable[Metric], sums: Mapping[Terms, Sums], resamples: int, seed: int
) -> Mapping[str, Interval | None]:
    """Intervals of means by name; none where fewer than two images have a value."""
    terms_of = {
        m.name: m.measure.terms
        for m in metrics
        if isinstance(m.measure, Mean) and m.interval is IntervalKind.PERCENTILE and m.measure.terms in sums
    }
    drawn = [terms for terms in dict.fromkeys(terms_of.values()) if np.count_nonzero(sums[terms][1]) > 1]
    if not drawn:
        return {}
    columns = [column for terms in drawn for column in sums[terms]]
    resampled = resampled_sums(np.stack(columns, axis=1), resamples, seed)
    intervals = {
        terms: percentile_interval(quotient(resampled[:, 2 * i : 2 * i + 2])) for i, terms in enumerate(drawn)
    }
    return {name: intervals[terms] for name, terms in terms_of.items() if terms in intervals}


def exact_interval(count: int, of: int, confidence: float = 0.95) -> Interval | None:
    """Interval of a share of independent images that keeps its promise for few images and for none found.

    Resampling would call a share of 0 of 3 certain. None without images.
    Source: Clopper, Pearson, The use of confidence or fiducial limits, Biometrika 26 (1934).
    """
    if of == 0:
        return None
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if count == 0 else float(betaincinv(count, of - count + 1, tail))
    high = 1.0 if count == of else float(betaincinv(count + 1, of - count, 1.0 - tail))
    return low, high


def as_content(metrics: Iterable[Metric], found: Mapping[str, Estimate]) -> dict[str, object]:
    """The numbers found, with their intervals, as `run.json` nests them."""
    content: dict[str, object] = {}
    for metric in metrics:
        number = found.get(metric.name)
        if number is None:
            continue
        _put(content, metric.path, number.value)
        if metric.interval is not IntervalKind.NONE:
            bounds = None if number.ci95 is None else [*number.ci95]
            _put(content, metric.place_of_interval, bounds)
    return content


def _put(content: dict[str, object], path: tuple[str, ...], value: object) -> None:
    *tables, name = path
    for table in tables:
        inner = content.setdefault(str(table), {})
        assert isinstance(inner, dict)
        content = inner
    content[str(name)] = value


def find_number(content: Content, metric: str) -> float | None:
    """The number at a dotted path, in the content or in its metrics; keys may hold dots (`sdr_mm.2.5`).

    Entries of a list with a kind and a name are found by both: `calibration.groups.vertebra.L5.mace`. None
    where there is no number; true and false count as 1 and 0.
    """
    trail = _trail(content, metric)
    if trail is None:
        return None
    holder, key = trail[-1]
    value = holder[key]
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def find_interval(content: Content, metric: str) -> Interval | None:
    """The 95 % interval of the number at a dotted path; None where the content has none.

    It stands beside the number, as `ci95` of a record with one estimate, as `ci95` by name, or as
    `NAME_ci95`; or beside the table that holds the number, as `TABLE_ci95` by name.
    """
    trail = _trail(content, metric)
    if trail is None:
        return None
    holder, key = trail[-1]
    own, shared = holder.get(f"{key}_ci95"), holder.get("ci95")
    if own is None and isinstance(shared, Mapping):
        own = shared.get(key)
    elif own is None and key in _ESTIMATES:
        own = shared
    if own is None and len(trail) > 1:
        outer, name = trail[-2]
        table = outer.get(f"{name}_ci95")
        own = table.get(key) if isinstance(table, Mapping) else None
    return _interval(own)


def paths_of(content: object, prefix: str = "") -> Iterator[str]:
    """The paths of all numbers of a content; intervals are no numbers of their own."""
    content = _by_kind_and_name(content)
    if isinstance(content, Mapping):
        for key, inner in content.items():
            yield from paths_of(inner, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(content, (int, float)):
        yield prefix


def _trail(content: Content, metric: str) -> Trail | None:
    """The tables that lead to a number, each with the key that goes on."""
    found = _descend(content, metric)
    if found is not None:
        return found
    inner = content.get(ERRORS)
    return _descend(inner, metric)


def _descend(content: object, path: str) -> Trail | None:
    content = _by_kind_and_name(content)
    if not isinstance(content, Mapping):
        return None
    for key, inner in content.items():
        if path == key:
            return ((content, key),) if isinstance(inner, (int, float)) else None
        if path.startswith(f"{key}."):
            found = _descend(inner, path[len(key) + 1 :])
            if found is not None:
                return ((content, key), *found)
    return None


LEVELS: Mapping[object, int] = {
    str(SetupStatus.FINE): 0,
    str(SetupStatus.WARNING): 1,
    str(SetupStatus.WRONG): 2,
}
"""What a check of the setup counts as; one that was not made has no number."""


def _by_kind_and_name(content: object) -> object:
    """A list of records with a kind and a name as tables by kind and by name; anything else as it is.

    One of checks of the setup becomes a number for each, and how many warn or are wrong.
    """
    if isinstance(content, str) or not isinstance(content, Sequence):
        return content
    checks = [entry for entry in content if isinstance(entry, Mapping) and "check" in entry]
    if checks:
        levels = {str(e["check"]): LEVELS[e["status"]] for e in checks if e.get("status") in LEVELS}
        found = list(levels.values())
        return {**levels, "wrong": found.count(2), "warnings": found.count(1)}
    tables: dict[str, dict[str, object]] = {}
    for entry in content:
        if isinstance(entry, Mapping) and "kind" in entry and "name" in entry:
            tables.setdefault(str(entry["kind"]), {})[str(entry["name"])] = entry
    return tables


def _interval(found: object) -> Interval | None:
    if isinstance(found, str) or not isinstance(found, Sequence) or len(found) != 2:
        return None
    low, high = found
    if isinstance(low, (int, float)) and isinstance(high, (int, float)) and math.isfinite(low + high):
        return float(low), float(high)
    return None
