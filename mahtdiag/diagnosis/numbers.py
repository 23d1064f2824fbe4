"""The numbers of a run: from its table, with intervals over images, and by their paths in a `run.json`."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mahtdiag.diagnosis.columns import ColumnNotReadError
from mahtdiag.diagnosis.metrics.measures import (
    Mean,
    Quantile,
    RootMean,
    Sums,
    Terms,
    ToldWithInterval,
    Total,
    by_image,
    count_by_image,
)
from mahtdiag.diagnosis.metrics.metric import ERRORS, Estimate, Group, GroupKind, IntervalKind, Metric
from mahtdiag.diagnosis.metrics.registry import metrics_of
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.schema.setup import SetupStatus
from mahtdiag.statistics.intervals import Interval, by_unit, mean_interval, quantile_interval, share_interval

Content = Mapping[str, object]
Trail = tuple[tuple[Mapping[str, object], str], ...]

HEADLINE = (
    "radial_error_mm.mean",
    "radial_error_px.mean",
    "anatomy.images_with_violations",
    "calibration.mace",
)
"""The numbers of a run that are named first."""

_SUMS_AT_ONCE = 32

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


def estimate(metrics: Iterable[Metric], table: RunTable) -> dict[str, Estimate]:
    """Those of these numbers that the table tells, by name, with intervals over its units."""
    found = {}
    for some in _batches(metrics):
        sums = _sums(
            dict.fromkeys(m.measure.terms for m in some if isinstance(m.measure, Mean | Total)), table
        )
        for metric in some:
            number = _estimate(metric, table, sums)
            if number is not None:
                found[metric.name] = number
    return found


def _batches(metrics: Iterable[Metric]) -> Iterator[list[Metric]]:
    """Metrics in their order, of so few sums at a time that these take little memory."""
    waiting: list[Metric] = []
    terms: set[Terms] = set()
    for metric in metrics:
        own = {metric.measure.terms} if isinstance(metric.measure, Mean | Total) else set()
        if len(terms | own) > _SUMS_AT_ONCE:
            yield waiting
            waiting, terms = [], set()
        terms |= own
        waiting.append(metric)
    yield waiting


def _estimate(metric: Metric, table: RunTable, sums: Mapping[Terms, Sums]) -> Estimate | None:
    """A number with its interval; None where the table does not tell it."""
    measure = metric.measure
    interval, count = None, 0
    if isinstance(measure, Mean | Total):
        of = sums.get(measure.terms)
        value = None if of is None else measure.of_sums(of)
        if of is not None and isinstance(measure, Mean):
            count, interval = int(of[1].sum()), _interval(metric, of, table)
    else:
        value = metric.value(table)
        if isinstance(measure, Quantile) and value is not None:
            interval = _of_quantile(measure, value, table)
        elif isinstance(measure, ToldWithInterval) and value is not None:
            interval = measure.interval(table)
    if value is None:
        return None
    return Estimate(value, None if interval is None else _within(metric, interval), count)


def _sums(wanted: Iterable[Terms], table: RunTable) -> dict[Terms, Sums]:
    """What is summed over images, all of it in one pass; without what the table lacks."""
    found: dict[Terms, list[Sums]] = {terms: [] for terms in wanted}
    for part in table.parts() if found else ():
        for terms in list(found):
            try:
                found[terms].append(terms.of(part))
            except ColumnNotReadError:
                del found[terms]
    return {
        terms: (np.concatenate([sums for sums, _ in parts]), np.concatenate([count for _, count in parts]))
        for terms, parts in found.items()
    }


def _interval(metric: Metric, sums: Sums, table: RunTable) -> Interval | None:
    """Of a mean."""
    if metric.interval is IntervalKind.NONE:
        return None
    values, counts = by_unit(sums[0], table.units), by_unit(sums[1], table.units)
    if metric.interval is IntervalKind.SHARE:
        return share_interval(values, counts)
    found = mean_interval(values, counts, metric.interval.fewest)
    if found is None:
        return None
    if isinstance(metric.measure, RootMean):
        found = float(np.sqrt(max(found[0], 0.0))), float(np.sqrt(found[1]))
    return found


def _within(metric: Metric, found: Interval) -> Interval:
    """Within what the number can be."""
    least, most = (end if end is not None else np.nan for end in (metric.least, metric.most))
    return float(np.fmax(found[0], least)), float(np.fmin(found[1], most))


def _of_quantile(measure: Quantile, value: float, table: RunTable) -> Interval | None:
    known = measure.terms.known(table)
    values = measure.terms.values(table)
    hits, counts = by_image(np.asarray(values <= value), known), count_by_image(known)
    ordered = np.sort(np.asarray(values[known], dtype=np.float64))
    return quantile_interval(ordered, measure.level, by_unit(hits, table.units), by_unit(counts, table.units))


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
    return _bounds(own)


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


def _bounds(found: object) -> Interval | None:
    if isinstance(found, str) or not isinstance(found, Sequence) or len(found) != 2:
        return None
    low, high = found
    if isinstance(low, (int, float)) and isinstance(high, (int, float)) and math.isfinite(low + high):
        return float(low), float(high)
    return None
