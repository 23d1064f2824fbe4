"""Radial errors: of all keypoints, of each vertebra and of each corner, in every unit."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mahtdiag.diagnosis.columns import ColumnNotReadError
from mahtdiag.diagnosis.metrics.error_units import ERROR_UNITS, ErrorUnit
from mahtdiag.diagnosis.metrics.measures import Mean, Measure, Pooled, Quantile, Terms, Told
from mahtdiag.diagnosis.metrics.metric import (
    ERRORS,
    EXAMPLE,
    Better,
    Compared,
    Group,
    GroupKind,
    Images,
    IntervalKind,
    Key,
    Metric,
    Need,
    corners,
    everything,
    regions,
    vertebrae,
)
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.worst_images import (
    Ranking,
    beyond,
    counted,
    largest_known,
    mean_of_known,
    measured,
    of,
)
from mahtdiag.schema.choices import LeadingUnit
from mahtdiag.schema.skeleton import Skeleton

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

PX, MM = LeadingUnit.PX, LeadingUnit.MM
THRESHOLDS = {unit.key: unit.thresholds for unit in ERROR_UNITS if unit.choice in (PX, MM)}
"""Of success detection rates: the share of errors that do not exceed a threshold."""

HEATMAP = Need(
    "expected radial errors are computed by `evaluate --expected-error` alone",
    "expected radial errors are not known in both runs; give `evaluate --expected-error`",
)
MISSED, MISS_RATE = "missed", "miss_rate"
QUANTILES = {"median": 0.5, "p90": 0.9, "p95": 0.95}
STATISTICS = {
    "mean": "mean",
    "median": "median",
    "std": "standard deviation",
    "p90": "90th percentile",
    "p95": "95th percentile",
    "max": "largest",
}
TABLES = {
    GroupKind.ALL: "Radial error",
    GroupKind.REGION: "Mean radial error by region, px",
    GroupKind.VERTEBRA: "Mean radial error by vertebra, px",
    GroupKind.CORNER: "Mean radial error by corner, px",
}
"""Where a comparison shows the numbers of a group."""
TABLES_MM = {kind: title.removesuffix("px") + "mm" for kind, title in TABLES.items() if title.endswith("px")}
"""Where it shows mean errors of groups in millimetres."""
PLURALS = {GroupKind.REGION: "regions", GroupKind.VERTEBRA: "vertebrae", GroupKind.CORNER: "corners"}
# Gates are proposed on those that say most with least.
_PROPOSED = {("mm", "mean"): 2, ("mm", "p95"): 3, ("mm", "4"): 4,
             ("px", "mean"): 5, ("px", "p95"): 6, ("px", "8"): 7}  # fmt: skip


def error_metrics(skeleton: Skeleton) -> tuple[Metric, ...]:
    """All numbers of the section `metrics`."""
    whole = everything(skeleton)
    groups = (*regions(skeleton), *vertebrae(skeleton), *corners(skeleton))
    radial = {group: tuple(_radial(group)) for group in (whole, *groups)}
    return (
        *radial[whole],
        *(_mean_of_group(group, radial[group][0]) for group in groups),
        *(metric for group in groups for metric in (*radial[group], _keypoints(group), _miss_rate(group))),
        _miss_rate(whole),
        _expected(whole),
        *_counts(whole),
    )


def largest_in(table: RunTable, group: Group, unit: ErrorUnit = ERROR_UNITS[0]) -> str:
    """The image with the largest error of a keypoint of the group."""
    error = group.of(unit.errors(table))
    return table.image[int(np.where(np.isfinite(error), error, -1.0).max(axis=1).argmax())]


def _radial(group: Group) -> Iterator[Metric]:
    """Distribution of the errors of a group, and the share of them within each threshold, in every unit."""
    for unit in ERROR_UNITS:
        terms, judged = _errors(group, unit), _judged(group, unit)
        for statistic, words in STATISTICS.items():
            yield _statistic(group, unit, statistic, words, terms)
        yield _left_out(group, unit)
        for threshold in unit.thresholds:
            yield _rate(group, unit, threshold, judged)


def _path(group: Group, *path: str) -> tuple[str, ...]:
    of_group = (PLURALS[group.kind], Key(group.name)) if group.kind in PLURALS else ()
    return (ERRORS, *of_group, *path)


def _errors(group: Group, unit: ErrorUnit) -> Terms:
    def values(table: RunTable) -> Floats:
        return group.of(unit.errors(table))

    return Terms(values, lambda table: np.isfinite(values(table)))


def _judged(group: Group, unit: ErrorUnit) -> Terms:
    """The errors of a group; what is missed is judged as well, and is within no threshold."""

    def values(table: RunTable) -> Floats:
        return group.of(unit.errors(table))

    def known(table: RunTable) -> Bools:
        return np.isfinite(values(table)) | group.of(unit.missed(table))

    return Terms(values, known)


def _left_out(group: Group, unit: ErrorUnit) -> Metric:
    """How many keypoints the errors beside it leave out because the network finds none; None without any."""

    def value(table: RunTable) -> int | None:
        if not np.isfinite(group.of(unit.errors(table))).any():
            return None
        return int(group.of(unit.missed(table)).sum())

    return Metric(
        path=_path(group, f"radial_error_{unit.key}", MISSED),
        label=f"missed, left out of errors in {unit.words}",
        group=group,
        better=Better.LOWER,
        unit="count",
        measure=Told(value),
        behind=_by_missed(group),
        need=unit.need,
    )


def _miss_rate(group: Group) -> Metric:
    """The share of labelled keypoints of which the network finds none."""

    def missed(table: RunTable) -> Bools:
        return group.of(table.missed)

    def labelled(table: RunTable) -> Bools:
        return group.of(np.isfinite(table.error_px) | table.missed)

    is_main = group.kind is GroupKind.ALL
    return Metric(
        path=_path(group, MISS_RATE),
        label="missed: labelled, not predicted",
        short="missed keypoints, %" if is_main else ".".join(_path(group, MISS_RATE)[1:]),
        group=group,
        better=Better.LOWER,
        most=1.0,
        unit="share",
        measure=Mean(Terms(missed, labelled)),
        interval=IntervalKind.SHARE,
        behind=_by_missed(group),
        table=TABLES[group.kind],
        compared=Compared.ALWAYS if is_main else Compared.ASKED,
        sparse=True,
    )


def _measure(statistic: str, terms: Terms) -> Measure:
    if statistic == "mean":
        return Mean(terms)
    if statistic in QUANTILES:
        return Quantile(terms, QUANTILES[statistic])
    return Pooled(terms, np.std if statistic == "std" else np.max)


def _statistic(group: Group, unit: ErrorUnit, statistic: str, words: str, terms: Terms) -> Metric:
    table, is_main, is_mean = f"radial_error_{unit.key}", group.kind is GroupKind.ALL, statistic == "mean"
    short = f"{statistic}, {unit.short}" if is_main else ".".join(_path(group, table, statistic)[1:])
    metric = Metric(
        path=_path(group, table, statistic),
        label=f"{words}, {unit.words}",
        short=short,
        group=group,
        better=Better.LOWER,
        unit=unit.words,
        measure=_measure(statistic, terms),
        interval=_interval_of(statistic),
        interval_path=_path(group, table, "ci95") if is_mean else None,
        behind=_by_largest(group, unit) if statistic == "max" else by_mean_error(group, unit),
        need=unit.need,
        table=TABLES[group.kind],
        compared=_compared(group, unit) if is_mean or statistic in QUANTILES else Compared.NEVER,
        proposed=_place(group, unit, statistic),
        required=True,
    )
    if is_mean and unit.choice is MM and group.kind in TABLES_MM:
        return replace(metric, short=group.name, table=TABLES_MM[group.kind], compared=Compared.IN_MM)
    return metric


def _interval_of(statistic: str) -> IntervalKind:
    if statistic == "mean":
        return IntervalKind.MEAN
    return IntervalKind.QUANTILE if statistic in QUANTILES else IntervalKind.NONE


def _compared(group: Group, unit: ErrorUnit) -> Compared:
    """Whatever is asked for: the same errors in more units would be the same finding more often."""
    return Compared.ALWAYS if group.kind is GroupKind.ALL and unit.key in THRESHOLDS else Compared.ASKED


def _place(group: Group, unit: ErrorUnit, number: str) -> int:
    """Of a gate among those that `init` proposes."""
    if group.kind is GroupKind.VERTEBRA and (unit.choice, number) == (PX, "mean"):
        return EXAMPLE
    return _PROPOSED.get((unit.key, number), 0) if group.kind is GroupKind.ALL else 0


def _rate(group: Group, unit: ErrorUnit, threshold: float, terms: Terms) -> Metric:
    is_main, key = group.kind is GroupKind.ALL, Key(f"{threshold:g}")
    limit, table = f"{key} {unit.words}{of(group.name)}", f"sdr_{unit.key}"

    def is_reached(table: RunTable) -> Bools:
        # A NaN is below no threshold.
        return np.asarray(terms.values(table) <= threshold)

    def behind(table: RunTable) -> Ranking:
        return beyond(group.of(unit.errors(table)), threshold, limit, table.image)

    return Metric(
        path=_path(group, table, key),
        label=f"success detection rate, {key} {unit.words}",
        short=f"within {key} {unit.short}, %" if is_main else ".".join(_path(group, table, key)[1:]),
        group=group,
        better=Better.HIGHER,
        most=1.0,
        unit="share",
        measure=Mean(Terms(is_reached, terms.known)),
        interval=IntervalKind.SHARE,
        interval_path=_path(group, f"{table}_ci95", key),
        behind=behind,
        need=unit.need,
        table=TABLES[group.kind],
        compared=_compared(group, unit),
        proposed=_place(group, unit, key),
        required=True,
    )


def _mean_of_group(group: Group, mean: Metric) -> Metric:
    """The mean error of a group by its short name: `by_vertebra.L5`."""
    return replace(
        mean,
        path=(ERRORS, f"by_{group.kind}", Key(group.name)),
        label=group.name,
        short="",
        interval=IntervalKind.NONE,
        interval_path=None,
        compared=Compared.ALWAYS,
        proposed=0,
        required=False,
    )


def _keypoints(group: Group) -> Metric:
    """How many keypoints of a group have an error; None where none is labelled."""

    def value(table: RunTable) -> int | None:
        measured = int(np.isfinite(group.of(table.error_px)).sum())
        return measured if measured or group.of(table.missed).any() else None

    counted_keypoints = _count(group, _path(group, "keypoints"), Better.NEITHER, value)
    return replace(counted_keypoints, required=True)


def _expected(whole: Group) -> Metric:
    """The mean error that the heatmaps expect, over all keypoints decoded from one, labelled or not."""

    def behind(table: RunTable) -> Ranking:
        score = table.expected_radial_error_px
        return measured("mean expected radial error", "px", score, table.image)

    terms = Terms(lambda table: table.expected_error_px, lambda table: np.isfinite(table.expected_error_px))
    return Metric(
        path=(ERRORS, "expected_error_px"),
        label="mean expected radial error of heatmaps, px",
        short="expected error, px",
        group=whole,
        better=Better.NEITHER,
        unit="px",
        measure=Mean(terms),
        interval=IntervalKind.MEAN,
        behind=behind,
        need=HEATMAP,
        table=TABLES[GroupKind.ALL],
        compared=Compared.ASKED,
    )


def _counts(whole: Group) -> Iterator[Metric]:
    """Keypoints that have an error, and those that have none for want of a label."""

    def with_error(table: RunTable) -> int:
        return int(np.isfinite(table.error_px).sum())

    def without_error(table: RunTable) -> int:
        return int((~np.isfinite(table.error_px) & ~table.missed).sum())

    yield _count(whole, (ERRORS, "keypoints_measured"), Better.HIGHER, with_error)
    missing = _count(whole, (ERRORS, "keypoints_missing"), Better.NEITHER, without_error)
    yield replace(missing, behind=_by_missing(whole, rises=True))


def _count(
    group: Group, path: tuple[str, ...], better: Better, value: Callable[[RunTable], int | None]
) -> Metric:
    return Metric(
        path=path,
        label=path[-1].replace("_", " "),
        group=group,
        better=better,
        unit="count",
        measure=Told(value),
        behind=_by_missing(group, rises=False),
    )


def label_details(table: RunTable) -> tuple[str, ...]:
    """Which rules the label of each image breaks, in words, `[N]`; empty where it breaks none."""
    try:
        broken = table.label_codes
    except ColumnNotReadError:
        return ("",) * len(table)
    return tuple(f" (its label breaks {', '.join(codes)})" if codes else "" for codes in broken)


def by_mean_error(group: Group, unit: ErrorUnit = ERROR_UNITS[0]) -> Images:
    """Ranks images by the mean radial error of a group."""

    def behind(table: RunTable) -> Ranking:
        score = mean_of_known(group.of(unit.errors(table)))
        what, details = f"mean radial error{of(group.name)}", label_details(table)
        return measured(what, unit.words, score, table.image, details=details)

    return behind


def _by_largest(group: Group, unit: ErrorUnit) -> Images:
    def behind(table: RunTable) -> Ranking:
        score = largest_known(group.of(unit.errors(table)))
        what, details = f"radial error of a keypoint{of(group.name)}", label_details(table)
        return measured(what, unit.words, score, table.image, details=details)

    return behind


def _by_missed(group: Group) -> Images:
    def behind(table: RunTable) -> Ranking:
        missed = group.of(table.missed).sum(axis=1).astype(np.float64)
        return counted(f"missed keypoints{of(group.name)}", "keypoint", missed, table.image)

    return behind


def _by_missing(group: Group, *, rises: bool) -> Images:
    def behind(table: RunTable) -> Ranking:
        missing = np.isnan(group.of(table.error_px)).sum(axis=1).astype(np.float64)
        return counted(
            f"keypoints{of(group.name)} without error", "keypoint", missing, table.image, rises=rises
        )

    return behind
