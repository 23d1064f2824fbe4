"""What the runs of the demo have found, read from what its commands have left, and whether that is all."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from mahtdiag.config.settings import Settings
from mahtdiag.diagnosis.comparison import Verdict
from mahtdiag.diagnosis.metrics.registry import metrics_of
from mahtdiag.diagnosis.numbers import estimate
from mahtdiag.diagnosis.setup.registry import RESULTS
from mahtdiag.diagnosis.suspicious_labels import suspicious_labels
from mahtdiag.errors import MahtdiagError
from mahtdiag.reports.tables.demo import DemoNetwork, DemoResult, JudgedLabel
from mahtdiag.runs.reading import Run, open_finished
from mahtdiag.schema.setup import SetupStatus
from mahtdiag.workflows.compare.job import CompareRequest, compare
from mahtdiag.workflows.demo.job import AUDIT, ERROR, HEALTHY, MARGIN, PAGES, PLANTED, SHORT
from mahtdiag.workflows.gates.judging import results_of


def read_findings(folder: Path, named: Path) -> DemoResult:
    """From the demo's folder, which a person calls `named`. Raises MahtdiagError for what is not found.

    That is everything that the demo promises: the healthy network passes its gates; the other one fails
    some, is worse, and its setup says what is wrong; every planted mistake is found; both pages are there.
    """
    healthy, short = (open_finished(Path(run), folder) for run in (HEALTHY, SHORT))
    compared = compare(CompareRequest((Path(HEALTHY), Path(SHORT)), Settings(), folder, (MARGIN,)))
    first, second = (str(named / page) for page in PAGES)
    result = DemoResult(
        _network(healthy), _network(short), compared.pairs[0], _labels(folder), (first, second)
    )
    problems = [*_broken(result), *(f"{page} is missing" for page in PAGES if not (folder / page).is_file())]
    if problems:
        raise MahtdiagError(f"{named}: the demo has not found what it should: {'; '.join(problems)}")
    return result


def _network(run: Run) -> DemoNetwork:
    table = run.table()
    error = estimate([metrics_of(table.skeleton)[ERROR]], table)[ERROR]
    # What is first said to be wrong, but that the results are: that needs a cause.
    wrong = [entry for entry in run.document.setup_entries if entry.status is SetupStatus.WRONG]
    cause = next((entry for entry in wrong if entry.check != RESULTS), None)
    return DemoNetwork(run.document.checkpoint.path, error, results_of(run.document.gates), cause)


def _labels(folder: Path) -> tuple[JudgedLabel, ...]:
    """Every image of the mislabelled set, by the run of the healthy network over it."""
    rows = csv.DictReader(io.StringIO((folder / PLANTED).read_text(encoding="utf-8")))
    planted = {row["image"]: row["mistake"] for row in rows}
    table = open_finished(Path(AUDIT), folder).table()
    against = {label.image for label in suspicious_labels(table).labels}
    return tuple(
        JudgedLabel(image, planted.get(image, ""), bool(codes) or image in against)
        for image, codes in zip(table.image, table.label_codes, strict=True)
    )


def _broken(result: DemoResult) -> Iterator[str]:
    if result.healthy.failed or not result.healthy.gates:
        yield f"{result.healthy.checkpoint} does not pass its gates"
    if result.short.cause is None:
        yield f"nothing is said to be wrong with {result.short.checkpoint}"
    if not result.short.failed:
        yield f"{result.short.checkpoint} fails no gate"
    verdict = result.comparison.comparison.verdict
    if verdict is not Verdict.WORSE:
        yield f"{result.short.checkpoint} is {verdict}"
    if not result.planted:
        yield "no mistake is planted"
    yield from (f"the mistake in {label.image} is not seen" for label in result.planted if not label.named)
