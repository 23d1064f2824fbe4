"""What `evaluate` prints at the end: every table of a finished run, in reading order."""

from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mahtdiag.diagnosis.ambiguity import Ambiguity
from mahtdiag.diagnosis.anatomy import ErrorBreakdown
from mahtdiag.diagnosis.gates import GateResult
from mahtdiag.diagnosis.summary import ErrorSummary
from mahtdiag.reports.numbers import number, percent
from mahtdiag.reports.tables.ambiguity import ambiguity_parts
from mahtdiag.reports.tables.anatomy import level_shift_lines, repair_table_text
from mahtdiag.reports.tables.evaluation import (
    NAME_WIDTH,
    AnatomyRow,
    WorstImage,
    failures_table,
    group_table,
    loss_table,
    plain_table,
    summary_table,
    violations_table,
    worst_table,
)
from mahtdiag.reports.tables.gates import gates_table
from mahtdiag.schema.samples import Failure


@dataclass(frozen=True, slots=True)
class CalibrationGlance:
    """The few calibration numbers that belong beside the errors; None where undefined."""

    mace: float | None
    radial_coverage_95: float | None
    sharpness_px: float | None
    sigma_scale: float | None
    spearman: float | None
    verdict: str


@dataclass(frozen=True, slots=True)
class EvaluationView:
    """All that the tables of a run need. `summary` is None where nothing was evaluated."""

    title: str
    subtitle: str
    evaluated: int
    failed: int
    summary: ErrorSummary | None
    loss_weights: dict[str, float]
    keypoint_share: float | None
    worst: tuple[WorstImage, ...]
    anatomy: tuple[AnatomyRow, ...]
    images_with_violations: float
    calibration: CalibrationGlance | None
    gates: tuple[GateResult, ...]
    failures: tuple[Failure, ...]
    notes: tuple[str, ...]
    run_folder: str
    overlays: int
    errors: ErrorBreakdown | None = None
    ambiguity: Ambiguity | None = None


STANDARD_WIDTH = 80
LONGEST_NAME = 60


def evaluation_report(view: EvaluationView, width: int = STANDARD_WIDTH) -> RenderableType:
    """The tables of a run, one below the other; what a terminal has above 80 columns goes to file names."""
    name_width = min(LONGEST_NAME, NAME_WIDTH + max(0, width - STANDARD_WIDTH))
    parts: list[RenderableType] = [Text(view.title, style="bold"), Text(view.subtitle), Text()]
    if view.summary is None:
        parts.append(Text("Nothing was evaluated.", style="bold red"))
    else:
        parts += _results(view, view.summary, name_width)
    if view.gates:
        parts.append(gates_table(view.gates))
    if view.failures:
        parts.append(failures_table(view.failures))
    parts += [Text(f"note: {note}") for note in view.notes]
    drawn = f", {view.overlays} overlays in {view.run_folder}/overlays" if view.overlays else ""
    parts.append(Text(f"run folder: {view.run_folder}{drawn}"))
    spaced = [piece for part in parts for piece in ((part, Text()) if isinstance(part, Table) else (part,))]
    return Group(*spaced)


def _results(view: EvaluationView, summary: ErrorSummary, name_width: int) -> list[RenderableType]:
    parts: list[RenderableType] = [
        summary_table(summary, evaluated=view.evaluated, failed=view.failed),
        group_table("Radial error by vertebra", summary.by_vertebra, name_width),
        group_table("Radial error by corner", summary.by_corner, name_width),
        loss_table(summary.losses, view.loss_weights, view.keypoint_share),
        worst_table(view.worst, view.loss_weights, view.evaluated, name_width),
        violations_table(view.anatomy, view.evaluated, view.images_with_violations),
    ]
    if view.errors is not None:
        parts += [repair_table_text(view.errors), *level_shift_lines(view.errors)]
    parts += ambiguity_parts(view.ambiguity)
    if view.calibration is not None:
        parts.append(_calibration(view.calibration))
    return parts


def _calibration(glance: CalibrationGlance) -> RenderableType:
    table = plain_table("Predicted uncertainty", "", "value", "ideal")
    table.add_row("mean absolute calibration error (MACE)", number(glance.mace), "0")
    table.add_row("95 % ellipses hold the keypoint", percent(glance.radial_coverage_95), "95.0 %")
    table.add_row("σ scale that fits best", number(glance.sigma_scale), "1")
    table.add_row("sharpness (root mean square σ), px", number(glance.sharpness_px), "")
    table.add_row("rank correlation of σ and error", number(glance.spearman), "1")
    table.caption = Text(glance.verdict)
    return table
