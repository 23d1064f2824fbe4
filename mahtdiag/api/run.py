"""A run as an object: `mahtdiag.load`."""

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from mahtdiag.anatomy.findings import finding_reason
from mahtdiag.anatomy.rules import select_rules
from mahtdiag.api.html import html_table, html_text
from mahtdiag.api.judged import FINDINGS, Anatomy, Calibration, Comparison, Difference
from mahtdiag.api.numbers import Number, Numbers, numbers_html
from mahtdiag.api.paths import path_of
from mahtdiag.api.tables import Table
from mahtdiag.config.settings import Settings
from mahtdiag.diagnosis.gates import GateResult
from mahtdiag.diagnosis.numbers import HEADLINE
from mahtdiag.errors import ExitStatus, RunFolderError
from mahtdiag.runs import reading
from mahtdiag.runs.tables import images_rows, keypoints_rows
from mahtdiag.schema.choices import DEFAULT_GALLERY, FacingSide, LeadingUnit
from mahtdiag.schema.records import Failure
from mahtdiag.schema.setup import SetupEntry, SetupStatus
from mahtdiag.schema.skeleton import View
from mahtdiag.workflows.anatomy.job import report_of_run
from mahtdiag.workflows.calibration.job import calibration_of
from mahtdiag.workflows.calibration.screen import content_of, result_of
from mahtdiag.workflows.compare.job import CompareRequest, compare
from mahtdiag.workflows.gates.judging import results_of
from mahtdiag.workflows.progress import NoProgress

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def load(run: str | os.PathLike[str] | int | None = None) -> "Run":
    """A run that is stored in a folder; the latest one of `runs/` in the current folder where none is named.

    A number is that of `mahtdiag runs`.

    An interrupted run is read as far as it got, see `Run.complete`. Raises MahtdiagError, in one line each,
    for what is no run, is damaged, or was changed since it was finished.
    """
    path = None if run is None else path_of(str(run) if isinstance(run, int) else run, "run")
    return Run(reading.open_run(path, Path.cwd()))


class Run:
    """A finished evaluation: its numbers, its tables, and what can be judged of it.

    Everything is read, and judged, when it is first asked for. Coordinates are original-image pixels (x, y),
    y down; what is not known is None, null or NaN, and never 0.
    """

    def __init__(self, run: reading.Run) -> None:
        """Of an opened run folder. Users call `load` or `evaluate`."""
        self._run = run

    @property
    def path(self) -> Path:
        """The run folder."""
        return self._run.path

    @property
    def complete(self) -> bool:
        """Whether it has evaluated all its images."""
        return self._run.document.status == "complete"

    @property
    def view(self) -> View:
        """`AP` or `LA`."""
        return self._run.view

    @property
    def levels(self) -> str:
        """The vertebrae that are judged: `L1-L5`."""
        return str(self._run.skeleton.levels)

    @property
    def checkpoint(self) -> str:
        """The checkpoint that was evaluated, as it was named."""
        return self._run.document.checkpoint.path

    @property
    def data(self) -> str:
        """The data that it was evaluated on, as they were named."""
        return self._run.document.data.path

    @cached_property
    def content(self) -> Mapping[str, object]:
        """The content of `run.json`."""
        return self._run.document.model_dump(mode="json", by_alias=True)

    @cached_property
    def numbers(self) -> Numbers:
        """Every number by its name in `run.json`."""
        return Numbers(self.content)

    @property
    def headline(self) -> Mapping[str, Number]:
        """The few numbers that are named first, those that the run knows: millimetres before pixels."""
        return {name: self.numbers[name] for name in HEADLINE if name in self.numbers}

    @property
    def radial_error_px(self) -> Number | None:
        """Mean radial error in original pixels; None where nothing is labelled."""
        return self.numbers.get("radial_error_px.mean")

    @property
    def radial_error_mm(self) -> Number | None:
        """Mean radial error in millimetres; None where no pixel spacing is known."""
        return self.numbers.get("radial_error_mm.mean")

    @property
    def images_with_violations(self) -> Number | None:
        """Share of images whose prediction breaks a rule of anatomy, 0 to 1."""
        return self.numbers.get("anatomy.images_with_violations")

    @property
    def mace(self) -> Number | None:
        """Mean absolute calibration error of σ; None where the run has no σ."""
        return self.numbers.get("calibration.mace")

    @cached_property
    def images(self) -> Table:
        """A row for each image by name, those that failed too (`status`, `reason`): `images.parquet`."""
        return Table(images_rows(self._run.table()))

    @cached_property
    def keypoints(self) -> Table:
        """A row for each keypoint of each evaluated image, `error_type` among its columns.

        The columns of `keypoints.parquet`; those that earlier versions did not write are filled in as far as
        they follow from others.
        """
        return Table(keypoints_rows(self._run.table()))

    @property
    def gates(self) -> tuple[GateResult, ...]:
        """Every gate with what was measured: `gate.metric`, `value`, `passed`, `reason`."""
        return results_of(self._run.document.gates)

    @property
    def passed(self) -> bool:
        """Whether every gate passed."""
        return all(result.passed for result in self.gates)

    @property
    def setup(self) -> tuple[SetupEntry, ...]:
        """The checks of the setup: `check`, `status`, `evidence`, `advice`."""
        return self._run.document.setup_entries

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The images that could not be evaluated: `image`, `reason`."""
        return self._run.table().failures

    @property
    def notes(self) -> tuple[str, ...]:
        """What else is to be known, a line each."""
        return self._run.document.notes

    def anatomy(
        self, select: Sequence[str] = (), ignore: Sequence[str] = (), facing: FacingSide | None = None
    ) -> Anatomy:
        """Hold the predictions against the rules of anatomy, with the limits of the run.

        `select` and `ignore`: codes of rules or their beginnings, as `--select` and `--ignore` take them.
        Raises MahtdiagError for a code that there is not, and where no image was evaluated.
        """
        from mahtdiag.reports.json import anatomy_content
        from mahtdiag.reports.tables.anatomy import anatomy_parts

        table = self._run.table()
        if not len(table):
            raise RunFolderError(f"{self._run.label}: no image was evaluated, there is nothing to judge")
        judged = table.judged_by(table.conditions.limits, select_rules(tuple(select), tuple(ignore)))
        report = report_of_run(self._run, judged, facing)
        verdict = report.verdict
        rows = [
            {
                "image": image.image,
                **{name: getattr(finding, name) for name in FINDINGS.names[1:-1]},
                "reason": finding_reason(finding, verdict.skeleton),
            }
            for image in verdict.images
            for finding in image.findings
        ]
        return Anatomy(
            anatomy_content(report),
            lambda columns: anatomy_parts(report, columns),
            verdict.share_violating,
            {tally.rule.code: tally.images for tally in verdict.tallies},
            Table(pa.Table.from_pylist(rows, schema=FINDINGS)),
        )

    def calibration(self) -> Calibration:
        """Hold σ against the errors. Raises MahtdiagError where the run has no σ, or nothing is labelled."""
        from mahtdiag.reports.tables.calibration import calibration_parts

        found = calibration_of(self._run)
        report = found.sigma.report
        return Calibration(
            content_of(found),
            lambda _: calibration_parts(result_of(found)),
            report.status,
            report.verdict,
            {fault.code: fault.sentence for fault in report.faults},
            report.mace,
            report.sigma_scale,
        )

    def compare(
        self,
        other: "Run | str | os.PathLike[str]",
        *,
        margins: Sequence[str] = (),
        strict: bool = False,
        common: bool = False,
    ) -> Comparison:
        """Compare another run (B) with this one (A) on the same images.

        `margins`: how much worse B may be, `radial_error_px.mean=0.3` or `…=5%`; `strict`: B has to be shown
        to be within them; `common`: only the images that both have, where the data differ. Raises
        MahtdiagError where the runs cannot be compared.
        """
        from mahtdiag.reports.json import comparison_content
        from mahtdiag.reports.tables.comparison import comparison_parts

        path = other.path if isinstance(other, Run) else path_of(other, "other run")
        request = CompareRequest(
            (self.path, path), Settings(), self._run.cwd, tuple(margins), strict=strict, common=common
        )
        found = compare(request)
        (pair,) = found.pairs
        return Comparison(
            comparison_content(found.pairs),
            lambda columns: comparison_parts(pair, columns),
            pair.comparison.verdict,
            found.status is ExitStatus.OK,
            pair.comparison.images,
            {
                m.name: Difference(
                    m.name,
                    m.difference.a,
                    m.difference.b,
                    m.difference.difference,
                    m.difference.ci95,
                    m.difference.p_holm,
                    m.better,
                    m.verdict,
                )
                for m in pair.comparison.metrics
            },
        )

    def figure(self, name: str, error_unit: LeadingUnit | None = None) -> "Figure":
        """A figure of `mahtdiag figures` by its name, such as `error-curve`, as a matplotlib `Figure`.

        `error_unit`: what errors are shown in; None what the run says. Raises MahtdiagError, which lists the
        names, for another one, and where the run has nothing to draw.
        """
        from mahtdiag.workflows.report.figures import figure_of

        return figure_of(self._run, name, error_unit)

    def report(self, out: str | os.PathLike[str] | None = None) -> Path:
        """Write the page of `mahtdiag report`, `report.html` in the run folder unless `out` names a file.

        Raises MahtdiagError where the run is not finished, or the page cannot be written.
        """
        from mahtdiag.workflows.report.job import ReportRequest, write_report

        file, cwd = None if out is None else path_of(out, "out"), self._run.cwd
        request = ReportRequest(Settings(), self.path, file, DEFAULT_GALLERY, None, cwd)
        return cwd / write_report(request, NoProgress()).path

    def __repr__(self) -> str:
        counts = self._run.document.images
        mean = self.radial_error_mm or self.radial_error_px
        error = f", {mean}" if mean else ""
        state = "" if self.complete else ", not finished"
        return f"<Run {self._run.label}: {self.view}, {counts.evaluated} images{error}{state}>"

    def _repr_html_(self) -> str:
        counts = self._run.document.images
        about = [
            ("checkpoint", self.checkpoint),
            ("data", f"{self.data}, {self._run.skeleton.in_words}"),
            ("images", f"{counts.evaluated} evaluated, {counts.failed} failed of {counts.total}"),
        ]
        wrong = [e for e in self.setup if e.status in (SetupStatus.WRONG, SetupStatus.WARNING)]
        parts = [
            f"<p><b>{html_text(self._run.label)}</b>{'' if self.complete else ': not finished'}</p>",
            html_table(("", ""), about),
            numbers_html(self.headline),
        ]
        if wrong:
            rows = [(e.check, e.status, e.evidence, e.advice) for e in wrong]
            parts.append(html_table(("setup", "status", "what was found", "what to do"), rows))
        if self.gates:
            judged = [
                (g.gate.metric, g.gate.condition, "–" if g.value is None else f"{g.value:.6g}",
                 "passed" if g.passed else "FAILED")
                for g in self.gates
            ]  # fmt: skip
            parts.append(html_table(("gate", "limit", "value", ""), judged))
        return "".join(parts)
