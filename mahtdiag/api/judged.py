"""What a run is judged to be: its anatomy, its calibration, another run beside it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from mahtdiag.api.html import html_lines
from mahtdiag.api.tables import Table
from mahtdiag.diagnosis.comparison import Verdict
from mahtdiag.diagnosis.metrics.metric import Better
from mahtdiag.reports.rendering import Json
from mahtdiag.reports.tables.table import Part, plain_text


@dataclass(frozen=True)
class Judged:
    """What a command finds. `content`: as its `--format json` prints it; as text: what it prints."""

    content: Mapping[str, Json]
    _parts: Callable[[int], Iterable[Part]]

    def __str__(self) -> str:
        return plain_text(self._parts)

    def _repr_html_(self) -> str:
        return html_lines(str(self))


@dataclass(frozen=True)
class Anatomy(Judged):
    """Whether the predictions of a run are anatomically possible, as `mahtdiag anatomy` judges them.

    `images_with_violations`: share of images in which a rule is broken, 0 to 1. `images_by_code`: in how many
    images each rule is broken, every rule. `findings`: a row for each finding, `image`, `code`, `value`,
    `limit`, `unit`, `vertebra`, `severity`, and `reason` in words.
    """

    images_with_violations: float
    images_by_code: Mapping[str, int]
    findings: Table


@dataclass(frozen=True)
class Calibration(Judged):
    """Whether the σ of a run means what it says, as `mahtdiag calibration` judges it.

    `status`: `calibrated`, `faulty`, `inconclusive` or `undefined`; `verdict`: the same in a sentence.
    `faults`: codes of what is wrong, with what was found in a sentence each. `mace`: mean absolute
    calibration error; `sigma_scale`: the factor on σ that fits the errors best; None where undefined.
    """

    status: str
    verdict: str
    faults: Mapping[str, str]
    mace: float | None
    sigma_scale: float | None


@dataclass(frozen=True, slots=True)
class Difference:
    """A number in two runs: `difference` is b − a. `p_value`: corrected for all that were compared (Holm).

    `ci95` and `p_value` are of a paired test over patients or images, None where there are too few of them.
    `verdict`: `better`, `worse`, `no difference` or `too few`, None where neither more nor less is better.
    """

    name: str
    a: float
    b: float
    difference: float
    ci95: tuple[float, float] | None
    p_value: float | None
    better: Better
    verdict: Verdict | None


@dataclass(frozen=True)
class Comparison(Judged):
    """Run B against run A on the images that both have, as `mahtdiag compare A B` judges it.

    `verdict`: `better`, `worse`, `no difference` or `too few`. `passed`: B is not worse beyond a margin, and,
    where that was asked for, shown to be within all of them. `images`: how many are in both.
    """

    verdict: Verdict
    passed: bool
    images: int
    differences: Mapping[str, Difference]


_COLUMNS: Mapping[str, pa.DataType] = {
    "image": pa.string(),
    "code": pa.string(),
    "value": pa.float64(),
    "limit": pa.float64(),
    "unit": pa.string(),
    "vertebra": pa.string(),
    "severity": pa.float64(),
    "reason": pa.string(),
}
FINDINGS = pa.schema(_COLUMNS)
"""Columns of `Anatomy.findings`."""
