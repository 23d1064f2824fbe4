"""From a finished run to what its report shows."""

import json
from collections.abc import Iterator, Mapping
from pathlib import PurePath

from pydantic import JsonValue

from mahtdiag.diagnosis.gates import GateResult
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.reports.html.sections import Facts, ReportContent
from mahtdiag.reports.text import counted
from mahtdiag.runs.document import RunDocument
from mahtdiag.runs.reading import Run
from mahtdiag.schema.choices import FacingSide, LeadingUnit
from mahtdiag.workflows.anatomy.job import report_of_run
from mahtdiag.workflows.calibration.job import calibration_of, plot_data
from mahtdiag.workflows.calibration.judged_sigma import has_sigma
from mahtdiag.workflows.calibration.screen import result_of as calibration_result
from mahtdiag.workflows.gates.judging import gate_cases, other_notes, results_of


def content_of(
    run: Run,
    table: RunTable,
    gates: tuple[GateResult, ...],
    facing: FacingSide | None = None,
    error_unit: LeadingUnit | None = None,
) -> ReportContent:
    """Everything but the gallery; by the rules and limits that the run was judged by."""
    document = run.document
    found = calibration_of(run) if has_sigma(table) and table.labelled else None
    return ReportContent(
        title=_title(document),
        subtitle=_subtitle(run),
        table=table,
        loss_weights=document.resolved.loss_weights,
        anatomy=report_of_run(run, table, facing),
        calibration=None if found is None else calibration_result(found),
        plots=plot_data(found.sigma) if found and found.sigma.report.n_keypoints else None,
        gates=gate_cases(gates, table),
        provenance=tuple(_provenance(run)),
        notes=(*other_notes(document.notes, (*results_of(document.gates), *gates)), *document.warnings),
        setup=document.setup_entries,
        error_unit=error_unit,
    )


def _title(document: RunDocument) -> str:
    """`ckpt.pt on data`, without the folders, which the provenance names."""
    checkpoints = [PurePath(path).name for path in document.checkpoint.path.split(",")]
    return f"{', '.join(checkpoints)} on {PurePath(document.data.path).name or document.data.path}"


def _subtitle(run: Run) -> str:
    document = run.document
    done = counted(document.images.evaluated, "image")
    return f"{done} evaluated on {document.started:%d %B %Y, %H:%M} UTC by mahtdiag {document.mahtdiag}"


def _provenance(run: Run) -> Iterator[Facts]:
    """Where every number comes from."""
    document = run.document
    yield Facts("Checkpoint", tuple(_checkpoint(document)))
    data = document.data
    yield Facts(
        "Data",
        (
            ("path", data.path),
            ("format", data.format),
            ("content SHA-256", data.sha256 or "not known"),
            ("listing SHA-256", data.listing_sha256 or "not known"),
        ),
    )
    seconds = document.seconds
    duration = "not known" if seconds is None else f"{seconds.total:.1f} s"
    yield Facts(
        "Run",
        (
            ("folder", run.label),
            ("mahtdiag", document.mahtdiag),
            ("started", f"{document.started:%Y-%m-%d %H:%M:%S} UTC"),
            ("duration", duration),
        ),
    )
    environment = document.environment.model_dump(mode="json", exclude_none=True)
    yield Facts("Environment", tuple(_flat(environment)))
    settings, limits = document.resolved.by_subject()
    yield Facts("Settings", tuple(_flat(settings)))
    if limits:
        yield Facts("Anatomical limits", tuple(_flat(limits)))


def _checkpoint(document: RunDocument) -> Iterator[tuple[str, str]]:
    source = document.checkpoint
    yield "path", source.path
    yield "format", source.format
    yield "SHA-256", source.sha256
    for number, member in enumerate(source.members, start=1):
        yield f"member {number}", f"{member.path} ({member.format}, SHA-256 {member.sha256})"


def _flat(values: Mapping[str, JsonValue], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as names with dots; what is not set, or empty, is said so."""
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        elif value in (None, "", [], {}):
            yield f"{prefix}{name}", "not set" if value is None else "none"
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield f"{prefix}{name}", text
