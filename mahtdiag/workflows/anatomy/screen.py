"""What a pipeline and a closing summary are told of a judged run or set."""

import shlex

from mahtdiag.diagnosis.anatomy import AnatomyReport, Source
from mahtdiag.diagnosis.metrics.registry import images_behind
from mahtdiag.errors import ExitStatus
from mahtdiag.reports.ci.record import CiRecord, NumberRow
from mahtdiag.reports.text import counted, percent
from mahtdiag.workflows.anatomy.job import Anatomy
from mahtdiag.workflows.gates.judging import gate_cases, other_notes


def of_anatomy(anatomy: Anatomy) -> CiRecord:
    """Judged predictions or labels: gates on `anatomy.…`, rules that fired, the most suspicious images."""
    report = anatomy.report
    verdict = report.verdict
    return CiRecord(
        command="anatomy",
        about=((str(report.source), report.subject), ("view", str(verdict.view))),
        problems=() if verdict.images else ("no image could be judged",),
        judged=len(verdict.images),
        failures=report.failures,
        failures_allowed=anatomy.status is not ExitStatus.NOT_DONE,
        gates=gate_cases(report.gates, report.judged),
        numbers=_anatomy_numbers(report),
        worst=images_behind("anatomy.violations", report.judged, too_high=True),
        notes=other_notes(report.notes, report.gates),
        setup=report.setup,
        next_steps=_next_steps(report),
    )


def _next_steps(report: AnatomyReport) -> tuple[str, ...]:
    """Looking at the worst."""
    if not report.verdict.violating:
        return ()
    subject = shlex.quote(report.subject)
    if report.source is Source.LABELS:
        return (f"mahtdiag anatomy --labels {subject} --report labels.html",)
    return (f"mahtdiag report {subject}",)


def _anatomy_numbers(report: AnatomyReport) -> tuple[NumberRow, ...]:
    verdict = report.verdict
    what = "labels" if report.source is Source.LABELS else "predictions"
    rows = [NumberRow(f"{what} with violations", f"{verdict.violating} ({percent(verdict.share_violating)})")]
    if verdict.label_violating is not None:
        rows.append(NumberRow("labels with violations", str(verdict.label_violating)))
    for tally in sorted(verdict.tallies, key=lambda tally: (-tally.images, tally.rule.code)):
        if tally.images:
            rows.append(NumberRow(f"{tally.rule.code} {tally.rule.title}", counted(tally.images, "image")))
    if report.copies is not None and report.copies.against is not None:
        copied = {pair.image for pair in report.copies.pairs if pair.across}
        rows.append(NumberRow(f"copies of images in {report.copies.against}", counted(len(copied), "image")))
    if report.copies is not None and (twice := [pair for pair in report.copies.pairs if not pair.across]):
        rows.append(NumberRow("copies within the set", counted(len(twice), "pair")))
    return tuple(rows)
