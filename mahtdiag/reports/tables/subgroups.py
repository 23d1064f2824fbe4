"""Errors of each group of images, and whether they differ from those of the others."""

from collections.abc import Iterator
from itertools import groupby

from mahtdiag.diagnosis.metrics.errors import THRESHOLDS
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.subgroups import Outcome, Subgroup, subgroups_of
from mahtdiag.reports.tables.table import INDENT, Cell, Cells, Part, Style, table
from mahtdiag.reports.text import ABSENT, interval, number, percent, pixels, shorten, signed
from mahtdiag.statistics.intervals import FEWEST

SHOWN = {"px": THRESHOLDS["px"][2], "mm": THRESHOLDS["mm"][0]}
NAME = 18
STYLES = {Outcome.WORSE: Style.BAD, Outcome.BETTER: Style.GOOD}


def subgroup_parts(images: RunTable) -> Iterator[Part]:
    """Nothing where nothing tells groups that could be judged."""
    found = subgroups_of(images)
    if found is None:
        return
    of_patients = images.patients is not None
    rows: list[Cells | None] = []
    for column, groups in groupby(found.groups, key=lambda group: group.column):
        rows.append((shorten(column, NAME + len(INDENT)),))
        rows += [_cells(group, found.unit, of_patients=of_patients) for group in groups]
    threshold = SHOWN[found.unit]
    units = ("pat.",) if of_patients else ()
    said = f" {'; '.join(found.notes)}." if found.notes else ""
    of = "patients" if of_patients else "images"
    yield table(
        f"Radial error by subgroup, {found.unit}",
        ("", "images", *units, "mean", "95 % interval", f"≤ {threshold:g} {found.unit}", "− others", "p", ""),
        rows,
        note="− others: the mean − that of all other images with a value in the column. p: permutation test "
        f"over {of}, corrected for all groups (Holm); too few: below {FEWEST} {of} on either side. "
        f"A difference tells no cause: groups may differ in more than this{_in_px(found.unit)}.{said}",
        dense=True,
    )


def _in_px(unit: str) -> str:
    return ", such as the size of a pixel" if unit == "px" else ""


def _cells(group: Subgroup, unit: str, *, of_patients: bool) -> Cells:
    outcome = group.outcome
    units = (str(group.units),) if of_patients else ()
    told = outcome in STYLES
    few = outcome is Outcome.TOO_FEW
    return (
        f"{INDENT}{shorten(group.name, NAME)}",
        str(group.images),
        *units,
        pixels(group.mean),
        interval(group.ci95),
        percent(group.rates[SHOWN[unit]]),
        ABSENT if group.difference is None else signed(pixels(group.difference)),
        "too few" if few else _p(group.p_holm),
        Cell(f" {outcome}", STYLES[outcome]) if told else "",
    )


def _p(value: float | None) -> str:
    return ABSENT if value is None else "<0.001" if value < 0.001 else number(value, 2)
