"""Radial errors in tables: all of them and by group, first in the unit that leads."""

from collections.abc import Iterator, Sequence

import numpy as np

from mahtdiag.diagnosis.label_noise import LabelNoise, noise_of_run
from mahtdiag.diagnosis.metrics.error_units import ERROR_UNITS, UNIT_OF, ErrorUnit
from mahtdiag.diagnosis.metrics.errors import THRESHOLDS, largest_in
from mahtdiag.diagnosis.metrics.metric import ERRORS, Estimate, GroupKind, IntervalKind, Metric
from mahtdiag.diagnosis.numbers import RunNumbers
from mahtdiag.reports.tables.clean_labels import mark_note, marked_name
from mahtdiag.reports.tables.label_noise import floor_note, marked_rate
from mahtdiag.reports.tables.table import (
    NAME_WIDTH,
    Cells,
    Table,
    TableColumn,
    intervals_over,
    table,
)
from mahtdiag.reports.text import ABSENT, counted, images_of, interval, percent, pixels
from mahtdiag.schema.choices import LeadingUnit

PX = ERROR_UNITS[0]


def leading_unit(asked: LeadingUnit | None, numbers: RunNumbers | None) -> tuple[ErrorUnit, str]:
    """The unit that leads, pixels where the run does not know the one that was asked for; then also why."""
    unit = PX if asked is None else UNIT_OF[asked]
    if numbers is None or unit.need is None or f"radial_error_{unit.key}.mean" in numbers.found:
        return unit, ""
    if not numbers.table.labelled:
        return PX, ""
    return PX, f"--error-unit {unit.choice}: {unit.need.advice}; errors are shown in pixels"


def summary_table(numbers: RunNumbers, *, evaluated: int, failed: int, unit: ErrorUnit = PX) -> Table:
    """Radial errors and success detection rates, with 95 % intervals: lengths by unit, then shares.

    The unit that leads comes first. Of what is neither that nor pixels nor millimetres the mean is told.
    """
    told = [(metric, found) for metric, found in numbers.of(ERRORS) if metric.unit != "count"]
    rows: list[Cells | None] = []
    noise = noise_of_run(numbers.table)
    for found in filter(None, _sections(told, unit)):
        rows += [None] if rows else []
        rows += [_number_cells(*each, noise) for each in found]
    keypoints, unlabelled = (int(numbers[f"keypoints_{name}"].value) for name in ("measured", "missing"))
    missing = f", {counted(unlabelled, 'keypoint')} not annotated" if unlabelled else ""
    of_quantiles = [metric for metric, _ in told if metric.interval is IntervalKind.QUANTILE]
    quantiles = {metric.label.split(",")[0]: metric.fewest for metric in of_quantiles}
    patients = numbers.table.patients
    note = (
        f"{images_of(evaluated, patients)} evaluated, {failed} failed; "
        f"{counted(keypoints, 'keypoint')}{missing}. {intervals_over(evaluated, patients, quantiles)}"
    )
    note = " ".join(part for part in (note, *_left_out(numbers), floor_note(noise)) if part)
    return table("Radial error", ("", "value", "95 % interval"), rows, note=note)


def _left_out(numbers: RunNumbers) -> Iterator[str]:
    """What errors in other units leave out, where they know some."""
    known = np.isfinite(numbers.table.error_px).any(axis=1)
    for unit in ERROR_UNITS[1:]:
        if f"radial_error_{unit.key}.mean" in numbers.found:
            without = int((known & ~np.isfinite(unit.errors(numbers.table)).any(axis=1)).sum())
            if without:
                yield f"In {unit.words}: without {counted(without, 'image')} where that is not known."


Told = tuple[Metric, Estimate]


def _sections(told: Sequence[Told], leading: ErrorUnit) -> Iterator[list[Told]]:
    """The rows of the summary, section by section: lengths, means in other units, shares."""
    whole = [leading, *(unit for unit in ERROR_UNITS if unit.key in THRESHOLDS and unit is not leading)]
    tables = {f"{of}_{unit.key}" for unit in ERROR_UNITS for of in ("radial_error", "sdr")}
    others = [each for each in told if each[0].path[1] not in tables]
    for unit in whole:
        yield [
            *_in_table(told, f"radial_error_{unit.key}"),
            *(each for each in others if each[0].unit == unit.words),
        ]
    means = (
        each
        for unit in ERROR_UNITS
        if unit not in whole
        for each in _in_table(told, f"radial_error_{unit.key}")
    )
    yield [each for each in means if each[0].path[-1] == "mean"]
    rates = [each for unit in whole for each in _in_table(told, f"sdr_{unit.key}")]
    shown = {unit.words for unit in whole}
    yield [*rates, *(each for each in others if each[0].unit not in shown)]


def _in_table(told: Sequence[Told], name: str) -> list[Told]:
    return [each for each in told if each[0].path[1] == name]


def _number_cells(metric: Metric, found: Estimate, noise: LabelNoise | None) -> Cells:
    if metric.unit == "share":
        value, bounds = percent(found.value), f"{interval(found.ci95, 100)} %" if found.ci95 else ABSENT
    else:
        value, bounds = pixels(found.value), interval(found.ci95)
    label = marked_rate(metric.label, metric.path, noise)
    return (label, value) if metric.interval is IntervalKind.NONE else (label, value, bounds)


def group_table(
    title: str,
    numbers: RunNumbers,
    kind: GroupKind,
    name_width: int = NAME_WIDTH,
    *,
    unit: ErrorUnit = PX,
) -> Table:
    """Radial error per vertebra or per corner, with the image that holds the largest."""
    mean, title = ("mean px", title) if unit is PX else ("mean", f"{title}, {unit.words}")
    columns = ("", "n", mean, "95 % interval", "median", "p95", "max", TableColumn("max in image"))
    groups = {
        of: n for of, n in numbers.by_group(ERRORS, kind).items() if f"radial_error_{unit.key}.mean" in n
    }
    worst = {group: largest_in(numbers.table, group, unit) for group in groups}
    name = f"radial_error_{unit.key}"
    rows = (
        (
            group.name,
            str(of["keypoints"].value),
            pixels(of[f"{name}.mean"].value),
            interval(of[f"{name}.mean"].ci95),
            *(pixels(of[f"{name}.{statistic}"].value) for statistic in ("median", "p95", "max")),
            marked_name(numbers.table, worst[group], name_width),
        )
        for group, of in groups.items()
    )
    return table(title, columns, rows, note=mark_note(numbers.table, worst.values()))
