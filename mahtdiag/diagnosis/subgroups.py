"""Errors by sex, age band and whatever a subgroup file says of the images, each group against the others.

A group is told to be worse or better than the other groups of its column only by a permutation test over
patients (images where none is known), corrected for all groups of the table; below 10 patients in the group
or among the others nothing is said.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mahtdiag.calibration.report import Json
from mahtdiag.diagnosis.metrics.errors import THRESHOLDS
from mahtdiag.diagnosis.paired import holm
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.statistics.intervals import FEWEST, Interval, by_unit, mean_interval
from mahtdiag.statistics.permutation import two_sample_test

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

SIGNIFICANCE = 0.05
MOST_VALUES = 20
"""Texts of a column beyond which they are no groups."""

FEW_NUMBERS = 5
"""Different numbers up to which each is a group of its own."""

SEX, AGE = "sex", "age band"
AGE_BANDS = ((0, 20), (20, 40), (40, 60), (60, 80))
OLDEST_BAND = "80 and older"
_STATED = re.compile(r"(?P<name>.*\S)\s*\[(?P<edges>[^\[\]]*)\]")


class Outcome(StrEnum):
    """What is said of a group against the others of its column."""

    WORSE = "worse"
    BETTER = "better"
    NOT_SHOWN = "not shown"
    TOO_FEW = "too few"


@dataclass(frozen=True, slots=True)
class Subgroup:
    """The images that have one value, or a value of one band, in one column.

    `units`: their patients, images where none is known. `mean` of the errors of all their keypoints with its
    interval over units; `rates` by threshold. `difference`: their mean − that of all other images with a
    value in this column; `p_holm`: corrected for all groups that are tested. None where too few tell.
    """

    column: str
    name: str
    images: int
    units: int
    mean: float
    ci95: Interval | None
    rates: Mapping[float, float]
    difference: float | None = None
    p_value: float | None = None
    p_holm: float | None = None

    @property
    def outcome(self) -> Outcome:
        """Worse or better than the others only with a corrected p-value below 0.05."""
        if self.p_holm is None or self.difference is None:
            return Outcome.TOO_FEW
        if self.p_holm >= SIGNIFICANCE:
            return Outcome.NOT_SHOWN
        return Outcome.WORSE if self.difference > 0 else Outcome.BETTER


@dataclass(frozen=True, slots=True)
class Subgroups:
    """All groups of a run, column by column. `unit` of errors: `mm` where it is known of all, else `px`.

    `notes`: what was done with each column: bands, images without a value.
    """

    unit: str
    groups: tuple[Subgroup, ...]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Json]:
        """As `run.json` has them."""
        return {"unit": self.unit, "groups": [_content(of) for of in self.groups], "notes": [*self.notes]}


def _content(of: Subgroup) -> Json:
    return {
        "kind": of.column,
        "name": of.name,
        "images": of.images,
        "units": of.units,
        "mean_error": of.mean if math.isfinite(of.mean) else None,
        "mean_error_ci95": None if of.ci95 is None else [*of.ci95],
        "success_rates": {f"{at:g}": r if math.isfinite(r) else None for at, r in of.rates.items()},
        "difference": of.difference,
        "p_value": of.p_value,
        "p_holm": of.p_holm,
        "outcome": str(of.outcome),
    }


def subgroups_of(table: RunTable) -> Subgroups | None:
    """The groups of a run; None where nothing tells any, or none that only headers tell can be judged."""
    return table.once(_subgroups)


def _subgroups(table: RunTable) -> Subgroups | None:
    stated = _stated(table)
    told = {*map(str.casefold, stated)} | {bands_of(name)[0].casefold() for name in stated}
    columns = [_grouped(name, values) for name, values in stated.items()]
    columns += [column for column in _from_headers(table) if not told & {column.name, column.name.split()[0]}]
    unit = "mm" if np.isfinite(table.error_px).any() and _all_in_mm(table) else "px"
    found = [group for column in columns for group in _groups_of(column, table, unit)]
    found = with_holm(found)
    if not stated and all(group.p_value is None for group in found):
        return None
    return Subgroups(unit, tuple(found), tuple(column.said for column in columns if column.said))


def _all_in_mm(table: RunTable) -> bool:
    return not (np.isfinite(table.error_px) & ~np.isfinite(table.error_mm)).any()


@dataclass(frozen=True, slots=True)
class Column:
    """One column: the group of each image `[N]`, empty where it has none; the groups in order."""

    name: str
    of_image: tuple[str, ...]
    names: tuple[str, ...]
    said: str = ""


def _stated(table: RunTable) -> dict[str, tuple[str, ...]]:
    """Values of each column of the subgroup file, `[N]`, empty where there is none."""
    if not table.has(RunTable.subgroups):
        return {}
    rows = [dict(entry.split("=", 1) for entry in entries) for entries in table.subgroups]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: tuple(row.get(name, "") for row in rows) for name in names}


def _from_headers(table: RunTable) -> Iterator[Column]:
    """Sex and age band, as file names or headers tell them."""
    if table.has(RunTable.sex) and any(table.sex):
        sex = tuple(each or "" for each in table.sex)
        yield _without(Column(SEX, sex, tuple(sorted({*sex} - {""}))))
    if table.has(RunTable.age_years) and np.isfinite(table.age_years).any():
        ages = tuple(age_band(float(years)) for years in table.age_years)
        order = (*(_band(*ends) for ends in AGE_BANDS), OLDEST_BAND)
        yield _without(Column(AGE, ages, tuple(band for band in order if band in ages)))


def age_band(years: float) -> str:
    """Twenty years of age as a name; empty where the age is unknown."""
    if not np.isfinite(years):
        return ""
    return next((_band(*ends) for ends in AGE_BANDS if years < ends[1]), OLDEST_BAND)


def _band(low: int, high: int) -> str:
    return f"{low} to {high - 1}"


def bands_of(header: str) -> tuple[str, tuple[float, ...] | None]:
    """The name of a column and its stated bands: `bmi [25 30]` has the edges 25 and 30, others None.

    Raises ValueError: edges that are no finite numbers in ascending order.
    """
    found = _STATED.fullmatch(header)
    if found is None:
        return header, None
    edges = tuple(float(each) for each in found["edges"].replace(";", " ").split())
    if not edges or not all(map(math.isfinite, edges)) or list(edges) != sorted(set(edges)):
        raise ValueError(header)
    return found["name"], edges


def numbers_of_column(values: Sequence[str]) -> Floats | None:
    """The values `[N]` as numbers, NaN where empty; None where one is none."""
    try:
        found = np.array([float(value) if value else math.nan for value in values], dtype=np.float64)
    except ValueError:
        return None
    known = np.array([bool(value) for value in values], dtype=np.bool_)
    return found if np.isfinite(found[known]).all() else None


def _grouped(header: str, values: tuple[str, ...]) -> Column:
    """Texts as they are; more than a few different numbers by the stated bands, or in thirds."""
    name, edges = bands_of(header)
    numbers = numbers_of_column(values)
    if numbers is None or not np.isfinite(numbers).any():
        return _without(Column(name, values, tuple(sorted({*values} - {""}))))
    different = np.unique(numbers[np.isfinite(numbers)])
    if edges is None and different.size <= FEW_NUMBERS:
        written = tuple("" if math.isnan(number) else f"{number:g}" for number in numbers.tolist())
        return _without(Column(name, written, tuple(f"{number:g}" for number in different.tolist())))
    how = "bands as stated" if edges is not None else "thirds of the images by value"
    if edges is None:
        known = numbers[np.isfinite(numbers)]
        edges = tuple(np.unique(np.quantile(known, [1 / 3, 2 / 3], method="inverted_cdf")).tolist())
        edges = tuple(edge for edge in edges if edge < different[-1])
        return _without(_banded(name, numbers, edges, above=True), how)
    return _without(_banded(name, numbers, edges, above=False), how)


def _banded(name: str, numbers: Floats, edges: Sequence[float], *, above: bool) -> Column:
    """Bands between edges; `above`: an edge is the largest value of its band, else the least of the next."""
    shown = [f"{edge:.10g}" for edge in edges]
    ends = ("up to", "above") if above else ("below", "from")
    names = [f"{ends[0]} {shown[0]}"] if shown else ["all"]
    if above:
        names += [f"above {low} to {high}" for low, high in pairwise(shown)]
    else:
        names += [f"{low} to below {high}" for low, high in pairwise(shown)]
    names += [f"{ends[1]} {shown[-1]}"] if shown else []
    places = np.searchsorted(np.array(edges, dtype=np.float64), numbers, side="left" if above else "right")
    told = zip(places.tolist(), np.isfinite(numbers).tolist(), strict=True)
    of_image = tuple(names[place] if known else "" for place, known in told)
    return Column(name, of_image, tuple(each for each in names if each in of_image))


def _without(column: Column, how: str = "") -> Column:
    """With a sentence on what was done, and on images without a value, which are in no group."""
    empty = sum(not value for value in column.of_image)
    missing = f"no value for {empty} of {len(column.of_image)} images" if empty else ""
    said = ", ".join(part for part in (how, missing) if part)
    return replace(column, said=f"{column.name}: {said}" if said else "")


def _groups_of(column: Column, table: RunTable, unit: str) -> Iterator[Subgroup]:
    errors = table.error_px if unit == "px" else table.error_mm
    known = np.isfinite(errors)
    sums, counts = np.where(known, errors, 0.0).sum(axis=1), known.sum(axis=1).astype(np.float64)
    of_image = np.array(column.of_image, dtype=object)
    has_value = of_image != ""
    for name in column.names:
        member = of_image == name
        units = table.units[member]
        values, of = by_unit(sums[member], units), by_unit(counts[member], units)
        within = errors[member][known[member]]
        found = Subgroup(
            column=column.name,
            name=name,
            images=int(member.sum()),
            units=len(np.unique(units)),
            mean=float(within.mean()) if within.size else math.nan,
            ci95=mean_interval(values, of),
            rates={at: float((within <= at).mean()) if within.size else math.nan for at in THRESHOLDS[unit]},
        )
        others = has_value & ~member
        yield _against(found, sums, counts, table, member, others)


def _against(
    found: Subgroup, sums: Floats, counts: Floats, table: RunTable, member: Bools, others: Bools
) -> Subgroup:
    """With the test against the others, where there are enough of both that have an error."""
    told = counts > 0
    if min(len(np.unique(table.units[side & told])) for side in (member, others)) < FEWEST:
        return found
    rows = member | others
    tested = two_sample_test(sums[rows], counts[rows], table.units[rows], member[rows])
    if tested is None:
        return found
    return replace(found, difference=tested.difference, p_value=tested.p_value)


def with_holm(groups: Sequence[Subgroup]) -> list[Subgroup]:
    """The same with p-values corrected for the number of groups that are tested."""
    corrected = iter(holm([group.p_value for group in groups if group.p_value is not None]))
    return [group if group.p_value is None else replace(group, p_holm=next(corrected)) for group in groups]
