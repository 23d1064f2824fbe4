"""Radial errors in tables: all of them and by group, first in the unit that leads."""

from collections.abc import Iterator, Sequence

import numpy as np

from mahtdiag.diagnosis.label_noise import LabelNoise, noise_of_run
from mahtdiag.diagnosis.metrics.error_units import ERROR_UNITS, UNIT_OF, ErrorUnit
from mahtdiag.diagnosis.metrics.errors import MISS_RATE, MISSED, THRESHOLDS, largest_in
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

PX, MM = ERROR_UNITS[:2]


def leading_unit(asked: LeadingUnit | None, numbers: RunNumbers | None) -> tuple[ErrorUnit, str]:
    """The unit that leads: what is asked for, else millimetres where they are known, else pixels.

    Pixels where the run does not know what was asked for; then also why.
    """
    if asked is None:
        in_mm = numbers is not None and f"radial_error_{MM.key}.mean" in numbers.found
        return (MM if in_mm else PX), ""
    unit = UNIT_OF[asked]
    if numbers is None or unit.need is None or f"radial_error_{unit.key}.mean" in numbers.found:
        return unit, ""
    if not numbers.table.labelled:
        return PX, ""
    return PX, f"--error-unit {unit.choice}: {unit.need.advice}; errors are shown in pixels"


def summary_table(numbers: RunNumbers, *, evaluated: int, failed: int, unit: ErrorUnit = PX) -> Table:
    """Radial errors and success detection rates, with 95 % intervals: lengths by unit, then shares.

    The unit that leads comes first. Of what is neither that nor pixels nor millimetres the mean is told.
    """
    told = [
        (metric, found)
        for metric, found in numbers.of(ERRORS)
        if metric.unit != "count" and (found.value or metric.path[-1] != MISS_RATE)
    ]
    rows: list[Cells | None] = []
    noise = noise_of_run(numbers.table)
    for found in filter(None, _sections(told, unit)):
        rows += [None] if rows else []
        rows += [_number_cells(*each, noise, _missed_beside(numbers, each[0])) for each in found]
    keypoints, unlabelled = (int(numbers[f"keypoints_{name}"].value) for name in ("measured", "missing"))
    missing = f", {counted(unlabelled, 'keypoint')} not annotated" if unlabelled else ""
    of_quantiles = [metric for metric, _ in told if metric.interval is IntervalKind.QUANTILE]
    quantiles = {metric.label.split(",")[0]: metric.fewest for metric in of_quantiles}
    patients = numbers.table.patients
    note = (
        f"{images_of(evaluated, patients)} evaluated, {failed} failed; "
        f"{counted(keypoints, 'keypoint')}{missing}. {intervals_over(evaluated, patients, quantiles)}"
    )
    note = " ".join(
        part for part in (note, missed_note(numbers), *_left_out(numbers), floor_note(noise)) if part
    )
    return table("Radial error", ("", "value", "95 % interval"), rows, note=note)


def missed_in(numbers: RunNumbers, unit: ErrorUnit) -> int:
    """How many missed keypoints errors in this unit leave out."""
    found = numbers.get(f"radial_error_{unit.key}.{MISSED}")
    return 0 if found is None else int(found.value)


def missed_note(numbers: RunNumbers) -> str:
    """What becomes of keypoints that are labelled and not predicted, where there are any."""
    missed = missed_in(numbers, PX)
    if not missed:
        return ""
    return (
        f"{counted(missed, 'labelled keypoint')} missed, not predicted: in no error, σ or loss; within no "
        "threshold of a success rate."
    )


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


def _missed_beside(numbers: RunNumbers, metric: Metric) -> int:
    """How many missed keypoints a mean error leaves out; 0 for other numbers: for these the note does."""
    means = {f"radial_error_{unit.key}.mean": unit for unit in ERROR_UNITS}
    return missed_in(numbers, means[metric.name]) if metric.name in means else 0


def _number_cells(metric: Metric, found: Estimate, noise: LabelNoise | None, missed: int) -> Cells:
    if metric.unit == "share":
        value, bounds = percent(found.value), f"{interval(found.ci95, 100)} %" if found.ci95 else ABSENT
    else:
        value, bounds = pixels(found.value), interval(found.ci95)
    label = marked_rate(metric.label, metric.path, noise)
    label = f"{label}, without {missed:,} missed" if missed else label
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
    groups = numbers.by_group(ERRORS, kind)
    name, worst = f"radial_error_{unit.key}", {}
    missed = {group: int(group.of(unit.missed(numbers.table)).sum()) for group in groups}
    some = any(missed.values())
    rows: list[Cells] = []
    for group, of in groups.items():
        known = f"{name}.mean" in of
        if known:
            worst[group] = largest_in(numbers.table, group, unit)
        elif not missed[group]:
            continue
        values = (of[f"{name}.{each}"].value if known else None for each in ("median", "p95", "max"))
        rows.append(
            (
                group.name,
                str(of["keypoints"].value),
                *((str(missed[group]),) if some else ()),
                pixels(of[f"{name}.mean"].value if known else None),
                interval(of[f"{name}.mean"].ci95 if known else None),
                *map(pixels, values),
                marked_name(numbers.table, worst[group], name_width) if known else ABSENT,
            )
        )
    numbered = ("n", "missed") if some else ("n",)
    columns = ("", *numbered, mean, "95 % interval", "median", "p95", "max", TableColumn("max in image"))
    return table(title, columns, rows, note=mark_note(numbers.table, worst.values()))
