"""How the page opens: the verdict, what the set-up leaves to be looked at, and what was found.

What is said here in full is only named further down.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from mahtdiag.reports.ci.record import GateCase
from mahtdiag.reports.findings import finding_sentences, label_sentence, setup_sentence
from mahtdiag.reports.html.sections import ReportContent, told_at_the_top
from mahtdiag.reports.tables.setup import RESULTS, short_headline

Status = Literal["passed", "failed", "open"]


@dataclass(frozen=True, slots=True)
class Ruling:
    """May this checkpoint ship? `note`: what has to be known of the headline."""

    status: Status
    headline: str
    failed: tuple[GateCase, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Opening:
    """The verdict, sentences on the set-up, and findings; each is said once."""

    verdict: Ruling
    setup: tuple[str, ...]
    findings: tuple[str, ...]


def opening_of(report: ReportContent) -> Opening:
    """Without gates the first finding is the headline."""
    told = told_at_the_top(report)
    # Whether results are plausible is the headline.
    setup = tuple(
        setup_sentence(entry) for entry in report.setup if entry.check in told and entry.check != RESULTS
    )
    findings = [found for found in _findings(report) if not _is_said(found, setup)]
    verdict = verdict_of(report.gates, short_headline(report.setup))
    if verdict is None:
        judged = "" if report.of_labels else "No gate is set, so nothing here has passed or failed."
        verdict = Ruling("open", findings.pop(0), (), judged)
    return Opening(verdict, setup, tuple(findings))


def verdict_of(gates: tuple[GateCase, ...], implausible: str | None = None) -> Ruling | None:
    """What the gates say, after why results are not plausible; None where nothing judges."""
    failed = tuple(case for case in gates if not case.passed)
    if implausible is not None:
        return Ruling("failed", implausible, failed)
    if not gates:
        return None
    if not failed:
        every = "The gate" if len(gates) == 1 else f"All {len(gates)} gates"
        return Ruling("passed", f"{every} passed.", ())
    headline = f"{len(failed)} of {len(gates)} gates failed." if len(gates) > 1 else "The gate failed."
    return Ruling("failed", headline, failed)


def _findings(report: ReportContent) -> Iterator[str]:
    """What the run, or the set of labels, has to say, in sentences."""
    if report.of_labels:
        yield label_sentence(report.anatomy, len(report.table.failures))
        return
    sigma = None if report.calibration is None else report.calibration.report.verdict
    yield from finding_sentences(report.numbers, report.anatomy, report.unit, sigma)


def _is_said(finding: str, sentences: tuple[str, ...]) -> bool:
    """Whether a check of the set-up says the same, and more."""
    return any(finding.rstrip(".") in sentence for sentence in sentences)
