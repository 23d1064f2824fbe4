"""The page of judged labels: what `anatomy --labels` found, as one file like that of a run."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from mahtdiag import __version__
from mahtdiag.data.files import RecordedFiles
from mahtdiag.data.images.network_input import Image
from mahtdiag.data.time_limit import ImageTimeoutError
from mahtdiag.diagnosis.anatomy import AnatomyReport
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.reports.figures.pictures import WorstImage, cut_out_jpeg
from mahtdiag.reports.html.page import Strip, StripImage, render_page
from mahtdiag.reports.html.sections import (
    WIDER,
    Chapter,
    Facts,
    ReportContent,
    anatomy_chapter,
    told_at_the_top,
)
from mahtdiag.reports.tables.copies import copies_parts
from mahtdiag.reports.tables.label_noise import noise_parts
from mahtdiag.reports.tables.setup import setup_table
from mahtdiag.reports.text import counted
from mahtdiag.runs.files import write_named
from mahtdiag.schema.records import ImageLosses, ImageRecord, KeypointResults
from mahtdiag.workflows.gates.judging import gate_cases
from mahtdiag.workflows.pictures import NO_PROGRESS, image_of
from mahtdiag.workflows.progress import Progress


def write_label_report(report: AnatomyReport, file: Path, cwd: Path, progress: Progress = NO_PROGRESS) -> int:
    """Write the page of judged labels and say how many bytes it has; raises UsageError where it cannot be."""
    table = _table(report)
    content = ReportContent(
        title=f"Labels of {PurePosixPath(report.subject).name or report.subject}",
        subtitle=f"{counted(len(table), 'image')} judged by mahtdiag {__version__}",
        table=table,
        loss_weights={},
        anatomy=report,
        calibration=None,
        plots=None,
        gates=gate_cases(report.gates, report.judged),
        provenance=(Facts("Data", (("path", report.subject),)),),
        notes=report.notes,
        setup=report.setup,
    )
    page = render_page(content, tuple(_chapters(content)), None, _strip(content, cwd, progress))
    write_named("--report", file, page, cwd)
    return len(page)


def _chapters(content: ReportContent) -> Iterator[Chapter]:
    report = content.anatomy
    if content.setup:
        yield Chapter("setup", "Setup", (((setup_table(content.setup, told_at_the_top(content)),),),))
    yield anatomy_chapter(report, content.figures())
    if report.copies is not None:
        yield Chapter("copies", "Copies", ((tuple(copies_parts(report.copies, WIDER)),),))
    if report.noise is not None:
        rows = ((tuple(noise_parts(report.noise, None)),),)
        yield Chapter("label-noise", "Disagreement of two readers", rows)


def _strip(content: ReportContent, cwd: Path, progress: Progress) -> Strip:
    """The labels that break most rules, as far as any breaks one."""
    table, files = content.table, RecordedFiles(cwd / content.anatomy.subject)
    figures = content.figures()
    rows = [row for row in figures.worst_rows() if table.urgency[row] > 0]
    images = tuple(
        StripImage(
            table.image[row],
            figures.why(row),
            cut_out_jpeg(
                WorstImage(_as_label(table.record(row)), "", _pixels(files, table.image[row], progress)),
                table.skeleton,
            ),
        )
        for row in rows
    )
    title = f"Worst {len(images)} of {counted(len(table), 'image')} by {figures.by_what}"
    return Strip(title, images, "Lines: labels.")


def _pixels(files: RecordedFiles, name: str, progress: Progress) -> Image | None:
    try:
        return image_of([files.path(name)], name, None)
    except ImageTimeoutError as error:
        progress.note(f"no picture of {name}: {error.reason}")
        return None


def _as_label(record: ImageRecord) -> ImageRecord:
    """What was judged drawn as the label that it is."""
    keypoints = record.keypoints
    return replace(record, keypoints=replace(keypoints, gt_px=keypoints.pred_px, pred_px=keypoints.gt_px))


def _table(report: AnatomyReport) -> RunTable:
    """The judged labels with all columns that a page asks for: labels stand in the place of predictions."""
    judged = report.judged
    k = judged.skeleton.keypoints
    unknown, missing = np.full((k, 2), np.nan), np.full(k, np.nan)
    records = [
        ImageRecord(
            image=name,
            image_sha256=None,
            annotation_sha256="",
            width=int(judged.width[row]),
            height=int(judged.height[row]),
            pixel_spacing_mm=None,
            sex=None,
            age_years=None,
            losses=ImageLosses(*[float("nan")] * 9),
            keypoints=KeypointResults(
                gt_px=unknown,
                pred_px=judged.pred_px[row],
                error_px=missing,
                error_mm=missing,
                sigma_px=unknown,
                spread_px2=np.full((k, 3), np.nan),
                peak=missing,
                at_min=np.zeros((k, 2), dtype=np.bool_),
                at_max=np.zeros((k, 2), dtype=np.bool_),
                flags=np.zeros(k, dtype=np.int64),
            ),
            findings=(),
        )
        for row, name in enumerate(judged.image)
    ]
    return RunTable.of_records(records, report.failures, judged.skeleton, judged.conditions)
