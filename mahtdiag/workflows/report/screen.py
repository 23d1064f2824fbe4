"""From a finished run to what its report shows."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from mahtdiag.anatomy.error_types import classify_errors
from mahtdiag.anatomy.rules import RULES
from mahtdiag.anatomy.wording import group_reason, grouped
from mahtdiag.diagnosis.anatomy import AnatomyReport, JudgedImage
from mahtdiag.diagnosis.gates import GateResult
from mahtdiag.diagnosis.summary import LOSS_NAMES, summarise
from mahtdiag.reports.ci.record import GateCase
from mahtdiag.reports.html.gallery import Gallery, GalleryImage, Picture
from mahtdiag.reports.html.view import CalibrationPage, Facts, ReportView
from mahtdiag.reports.numbers import counted
from mahtdiag.runs.document import RunDocument
from mahtdiag.runs.reading import ImageColumns, KeypointColumns, Run
from mahtdiag.schema.frames import Size
from mahtdiag.schema.skeleton import View
from mahtdiag.workflows.anatomy.job import check_run, report_of_run
from mahtdiag.workflows.calibration.job import CalibrationRequest, calibrate, plot_data
from mahtdiag.workflows.calibration.screen import view_of as calibration_view
from mahtdiag.workflows.gates.ci import gate_cases, other_notes
from mahtdiag.workflows.gates.images import finder
from mahtdiag.workflows.gates.judging import results_of
from mahtdiag.workflows.stored_limits import stored_limits, stored_rules
from mahtdiag.workflows.stored_weights import stored_weights

Floats = NDArray[np.float64]
APART = ("anatomy_limits", "anatomy_rules")


def view_of(
    run: Run, images: ImageColumns, keypoints: KeypointColumns, gates: tuple[GateResult, ...], cwd: Path
) -> ReportView:
    """Everything but the gallery; by the rules and limits that the run was judged by."""
    document, view = run.document, run.view
    losses = {name: _of_evaluated(images, f"loss_{name}") for name in LOSS_NAMES}
    share = _of_evaluated(images, "loss_heatmap_keypoint_share")
    findings = check_run(view, images, keypoints, stored_limits(document), stored_rules(document))
    anatomy = report_of_run(run, images, keypoints, *findings, str(run.path))
    calibration = _calibration(run, keypoints, cwd)
    return ReportView(
        title=_title(document),
        subtitle=_subtitle(run),
        view=view,
        evaluated=len(keypoints.image),
        failed=int((~images.ok).sum()),
        summary=summarise(view, keypoints.image, keypoints.error_px, keypoints.error_mm, losses),
        error_px=keypoints.error_px,
        error_mm=keypoints.error_mm,
        losses=losses,
        loss_weights=stored_weights(document),
        keypoint_share=float(np.nanmean(share)) if np.isfinite(share).any() else None,
        anatomy=anatomy,
        calibration=calibration,
        no_calibration="the run has no σ",
        gates=_cases(gates, images, keypoints, anatomy),
        failures=images.failures(),
        provenance=tuple(_provenance(run)),
        notes=(*other_notes(document.notes, (*results_of(document.gates), *gates)), *document.warnings),
    )


def _cases(
    gates: tuple[GateResult, ...], images: ImageColumns, keypoints: KeypointColumns, anatomy: AnatomyReport
) -> tuple[GateCase, ...]:
    """The gates with the images behind those that failed."""
    shifts = anatomy.diagnosis.level_shifts if anatomy.diagnosis else None
    return gate_cases(gates, finder(images, keypoints, lambda: anatomy.verdict.images, shifts))


def _title(document: RunDocument) -> str:
    """`ckpt.pt on data`, without the folders, which the provenance names."""
    checkpoints = [PurePath(path).name for path in document.checkpoint.path.split(",")]
    return f"{', '.join(checkpoints)} on {PurePath(document.data.path).name or document.data.path}"


def _of_evaluated(images: ImageColumns, name: str) -> Floats:
    column: Floats = getattr(images, name)
    return column[images.ok]


def _subtitle(run: Run) -> str:
    document = run.document
    done = counted(document.images.evaluated, "image")
    return f"{done} evaluated on {document.started:%d %B %Y, %H:%M} UTC by mahtdiag {document.mahtdiag}"


def _calibration(run: Run, keypoints: KeypointColumns, cwd: Path) -> CalibrationPage | None:
    if np.isnan(keypoints.sigma_px).all():
        return None
    found = calibrate(CalibrationRequest(run.path, None, None, False, cwd))
    known = found.report.n_keypoints > 0
    return CalibrationPage(calibration_view(found), plot_data(found.inputs, found.report) if known else None)


def gallery_of(
    view: ReportView,
    images: ImageColumns,
    keypoints: KeypointColumns,
    rows: Sequence[int],
    pictures: Sequence[Picture | str],
    notes: tuple[str, ...],
) -> Gallery:
    """The images of these rows of the keypoint table, each with its picture or why there is none."""
    types = classify_errors(keypoints.pred_px, keypoints.gt_px).types
    judged = {image.image: image for image in view.anatomy.verdict.images}
    shifts = _level_shifts(view.anatomy)
    in_images = np.flatnonzero(images.ok)
    shown = []
    for row, picture in zip(rows, pictures, strict=True):
        i, name = int(in_images[row]), keypoints.image[row]
        spacing, made = float(images.pixel_spacing_mm[i]), isinstance(picture, Picture)
        shown.append(
            GalleryImage(
                name=name,
                size=Size(int(images.height[i]), int(images.width[i])),
                pixel_spacing_mm=spacing if np.isfinite(spacing) else None,
                label_px=keypoints.gt_px[row],
                pred_px=keypoints.pred_px[row],
                sigma_px=keypoints.sigma_px[row],
                error_px=keypoints.error_px[row],
                peak=keypoints.peak[row],
                types=types[row],
                mean_error_px=float(images.radial_error_px[i]),
                max_error_px=float(images.max_error_px[i]),
                losses={loss: float(view.losses[loss][row]) for loss in LOSS_NAMES},
                findings=_findings(judged[name], view.view),
                label_codes=judged[name].label_codes,
                severity=judged[name].severity,
                level_shift=shifts.get(name, 0),
                picture=picture if isinstance(picture, Picture) else None,
                no_picture="" if made else str(picture),
            )
        )
    return Gallery(
        view=view.view,
        images=tuple(shown),
        failed=tuple((failure.image, failure.reason) for failure in view.failures),
        rule_titles={rule.code: rule.title for rule in RULES},
        weights=view.loss_weights,
        notes=notes,
    )


def _findings(image: JudgedImage, view: View) -> tuple[tuple[str, str], ...]:
    return tuple(
        (group[0].code, group_reason(group, view.skeleton))
        for group in grouped(image.findings, view.skeleton)
    )


def _level_shifts(report: AnatomyReport) -> dict[str, int]:
    shifts = report.diagnosis.level_shifts if report.diagnosis else ()
    return {shift.image: shift.shift for shift in shifts}


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
            ("folder", str(run.path)),
            ("mahtdiag", document.mahtdiag),
            ("started", f"{document.started:%Y-%m-%d %H:%M:%S} UTC"),
            ("duration", duration),
        ),
    )
    environment = document.environment.model_dump(mode="json", exclude_none=True)
    yield Facts("Environment", tuple(_flat(environment)))
    settings = {name: value for name, value in document.settings.items() if name not in APART}
    yield Facts("Settings", tuple(_flat(settings)))
    limits = document.settings.get(APART[0])
    if isinstance(limits, dict):
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
