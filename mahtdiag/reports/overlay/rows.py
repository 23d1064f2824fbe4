"""What the panel beside an overlay is made of, rows of text and numbers in blocks; those on findings."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from mahtdiag.anatomy.error_types import whole_image_level_shift
from mahtdiag.anatomy.sketch import Sign
from mahtdiag.reports.numbers import number
from mahtdiag.schema.findings import Finding
from mahtdiag.schema.records import ImageRecord

MAX_FINDINGS: Final = 6
SHORT_UNIT: Final = {
    "": "",
    "°": "°",
    "usual spacings": "× usual",
    "of the mean width": " of mean",
    "of the mean height": " of mean",
}


class Style(Enum):
    """How a row of the panel looks."""

    TITLE = auto()
    HEAD = auto()
    PLAIN = auto()
    DETAIL = auto()


class Mark(Enum):
    """A mark that the legend explains, beside the signs of findings."""

    LABEL = auto()
    PREDICTION = auto()
    ERROR = auto()
    SPREAD = auto()
    WORST = auto()
    FINDING = auto()
    OFF_STAGE = auto()
    SECOND_PEAK = auto()


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the panel: text at the left, a number at the right, or a mark and its meaning."""

    left: str
    right: str = ""
    style: Style = Style.PLAIN
    mark: Mark | Sign | None = None


Block = tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Detail:
    """How much the panel says of findings: titles of the worst, and how many rows of the others."""

    titles: bool
    further_rows: int


def level_shift_block(record: ImageRecord) -> Block:
    """The most dangerous mistake of a lumbar model: each outline looks right, each name is wrong."""
    points = record.keypoints
    shift = int(whole_image_level_shift(points.pred_px[None], points.gt_px[None])[0])
    if shift == 0:
        return ()
    return (Row("Level shift", f"all one level too {'low' if shift > 0 else 'high'}", style=Style.HEAD),)


def findings_block(record: ImageRecord, titles: Mapping[str, str], detail: Detail) -> Block:
    """The worst findings with value and limit, the others by code."""
    if not record.findings:
        return (Row("Anatomical findings", "none", style=Style.HEAD),)
    by_severity = most_severe(record.findings)
    rows = [Row("Anatomical findings", str(len(by_severity)), style=Style.HEAD)]
    explained: set[str] = set()
    for finding in by_severity[:MAX_FINDINGS]:
        unit = SHORT_UNIT.get(finding.unit, f" {finding.unit}")
        value = f"{number(finding.value)}{unit}" if math.isfinite(finding.value) else ""
        limit = f" · limit {number(finding.limit)}" if value and math.isfinite(finding.limit) else ""
        rows.append(Row(f"{finding.code} {finding.vertebra}".rstrip(), value + limit))
        if detail.titles and finding.code in titles and finding.code not in explained:
            explained.add(finding.code)
            rows.append(Row(f"   {titles[finding.code]}", style=Style.DETAIL))
    return (*rows, *_further(by_severity[MAX_FINDINGS:], detail.further_rows))


def _further(findings: tuple[Finding, ...], most: int) -> Block:
    """The findings that are not drawn, one row a code with the places where it fired."""
    places: dict[str, list[str]] = {}
    for finding in findings:
        places.setdefault(finding.code, []).append(finding.vertebra)
    listed = list(places.items())[:most]
    rows = [Row(f"also {code} {', '.join(names)}".rstrip(), style=Style.DETAIL) for code, names in listed]
    left = len(findings) - sum(len(names) for _, names in listed)
    if left:
        rows.append(Row(f"and {left} more", style=Style.DETAIL))
    return tuple(rows)


def most_severe(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Findings by severity, the worst first; those of unknown severity last."""
    return tuple(sorted(findings, key=_least_severe_last))


def _least_severe_last(finding: Finding) -> tuple[float, str]:
    return (-finding.severity if math.isfinite(finding.severity) else 0.0, finding.code)
