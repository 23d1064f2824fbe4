"""The top of the page: the verdict, the numbers that matter, and what is wrong in words."""

from dataclasses import dataclass
from typing import Literal

from mahtdiag.diagnosis.metrics.errors import THRESHOLDS
from mahtdiag.diagnosis.metrics.losses import LOSSES
from mahtdiag.diagnosis.metrics.metric import Estimate, GroupKind
from mahtdiag.diagnosis.metrics.registry import metric_of
from mahtdiag.diagnosis.worst_images import WorstImages
from mahtdiag.reports.ci.record import GateCase
from mahtdiag.reports.html.sections import ReportContent
from mahtdiag.reports.text import counted, interval, number, percent, pixels

Status = Literal["passed", "failed", "open"]


@dataclass(frozen=True, slots=True)
class FailedGate:
    """A gate that failed, in words, with the images behind it.

    `look`: how the gallery shows them (`sort:error`, `code:A201`).
    """

    sentence: str
    look: str
    worst: WorstImages | None


@dataclass(frozen=True, slots=True)
class Ruling:
    """May this checkpoint ship?"""

    status: Status
    headline: str
    failed: tuple[FailedGate, ...]


@dataclass(frozen=True, slots=True)
class Tile:
    """One number that matters, with what it rests on."""

    label: str
    value: str
    detail: str
    alarm: bool = False


# What to look at when a gate on a number of these sections fails; else the errors.
_LOOKS = {"anatomy": "code:any", "calibration": "sort:sigma", "images": "status:failed"}
SHIFTS = "level_shifts"


def verdict_of(gates: tuple[GateCase, ...]) -> Ruling:
    """What the gates say; without any, nothing is promised."""
    failed = [case for case in gates if not case.passed]
    if not gates:
        return Ruling("open", "No gate is set: these numbers were not judged.", ())
    if not failed:
        every = "The gate" if len(gates) == 1 else f"All {len(gates)} gates"
        return Ruling("passed", f"{every} passed.", ())
    headline = f"{len(failed)} of {len(gates)} gates failed." if len(gates) > 1 else "The gate failed."
    found = (FailedGate(case.sentence, look_at(case.result.gate.metric), case.worst) for case in failed)
    return Ruling("failed", headline, tuple(found))


def look_at(name: str) -> str:
    """How the gallery shows the images behind a number of `run.json`."""
    metric = metric_of(name)
    if metric is not None and metric.group.kind is GroupKind.RULE:
        return f"code:{metric.group.name}"
    if metric is not None and metric.section == LOSSES:
        return f"sort:{metric.path[-1]}"
    if metric is not None and metric.path[-1] == SHIFTS:
        return "type:shift"
    return _LOOKS.get(name.partition(".")[0], "sort:error")


def tiles_of(report: ReportContent) -> tuple[Tile, ...]:
    """The numbers that a reader looks for first."""
    mean, median, p95 = (
        report.numbers[f"radial_error_{report.unit}.{of}"] for of in ("mean", "median", "p95")
    )
    tiles = [
        Tile(f"mean error, {report.unit}", pixels(mean.value), _interval(mean)),
        Tile(f"median error, {report.unit}", pixels(median.value), f"95 % are below {pixels(p95.value)}"),
        _rate_tile(report),
        _anatomy_tile(report),
    ]
    shifts = len(report.anatomy.diagnosis.level_shifts) if report.anatomy.diagnosis else 0
    if shifts:
        tiles.append(Tile("marked one level off", counted(shifts, "image"), "every vertebra misnamed", True))
    if report.calibration is not None:
        sigma = report.calibration.tables.report
        scale = f"best σ scale {number(sigma.sigma_scale)}"
        tiles.append(Tile("σ: MACE", number(sigma.mace), scale))
    failed = len(report.table.failures)
    detail = f"{failed:,} failed" if failed else "none failed"
    tiles.append(Tile("images evaluated", f"{len(report.table):,}", detail, bool(failed)))
    return tuple(tiles)


def _interval(found: Estimate, scale: float = 1.0, unit: str = "") -> str:
    return f"{interval(found.ci95, scale)}{unit} (95 %)" if found.ci95 else "one image: no interval"


def _rate_tile(report: ReportContent) -> Tile:
    """The success detection rate at the middle of the thresholds."""
    thresholds = THRESHOLDS[report.unit]
    threshold = f"{thresholds[len(thresholds) // 2]:g}"
    rate = report.numbers[f"sdr_{report.unit}.{threshold}"]
    return Tile(f"within {threshold} {report.unit}", percent(rate.value), _interval(rate, 100, " %"))


def _anatomy_tile(report: ReportContent) -> Tile:
    verdict = report.anatomy.verdict
    labels = verdict.label_violating or 0
    return Tile(
        "impossible spines",
        percent(verdict.share_violating),
        f"{counted(verdict.violating, 'image')}; labels: {labels:,}",
    )
