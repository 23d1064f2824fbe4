"""Is it anatomically possible: the predictions of a run, or the labels of an annotated set."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mahtdiag.anatomy.rules import Limits, Rule, select_rules
from mahtdiag.config.settings import Settings
from mahtdiag.data.time_limit import image_timeout
from mahtdiag.diagnosis.anatomy import AnatomyReport, Source, diagnose_predictions, judge
from mahtdiag.diagnosis.columns import Values
from mahtdiag.diagnosis.conditions import Conditions
from mahtdiag.diagnosis.gates import GateResult
from mahtdiag.diagnosis.label_noise import noise_of_run
from mahtdiag.diagnosis.metrics.angles import ANGLE_PATHS
from mahtdiag.diagnosis.metrics.registry import metrics_of
from mahtdiag.diagnosis.numbers import as_content, estimate
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.setup.check import Facts
from mahtdiag.diagnosis.setup.registry import check_setup
from mahtdiag.diagnosis.spacing import spacing_xy_mm
from mahtdiag.errors import ExitStatus, RunFolderError, UsageError
from mahtdiag.reports.text import counted
from mahtdiag.runs.files import remove_abandoned, require_own, require_there, write_file
from mahtdiag.runs.reading import Run, open_run
from mahtdiag.schema.choices import DEFAULT_OVERLAYS, NO_IMAGES, FacingSide, ImageChoice, OverlayStyle
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.records import Sample
from mahtdiag.schema.safe_text import one_line
from mahtdiag.schema.skeleton import Skeleton, View, parse_levels
from mahtdiag.workflows.anatomy.overlays import (
    draw_judged,
    require_apart,
    subjects_of_labels,
    subjects_of_run,
    worst_judged,
)
from mahtdiag.workflows.gates.judging import (
    judge_baseline,
    judged,
    not_for_labels,
    notes_on,
    status_of,
)
from mahtdiag.workflows.pictures import OVERLAYS, data_folder
from mahtdiag.workflows.progress import Progress

if TYPE_CHECKING:
    # What reads and draws images is imported where that is done: a run is judged without.
    from mahtdiag.workflows.anatomy.images import ReadImages
    from mahtdiag.workflows.second_labels import OtherSet

FOLDER = GATES = "anatomy"
OF_RUN = (
    *("anatomy.level_shifts", "anatomy.suspicious_labels"),
    *("anatomy.body_scale.width", "anatomy.body_scale.height"),
    *(".".join(path) for path in ANGLE_PATHS),
)


@dataclass(frozen=True, slots=True)
class AnatomyRequest:
    """What a user asked for.

    `labels` names an annotated set; without it a run is judged, the latest where `run` is None. `view` None
    takes what run or set are; `select`, `ignore` and `levels` None take what the settings say;
    `pictures`: whether anything is drawn: plots and overlays into the run folder, overlays of labels into
    `out`. `overlays`: which of the judged images; None: the worst. `copies`: whether images of the set are
    held against each other and those of `against`; `strict_copies`: one that is found fails the judgement.
    `labels2`: a second labelling of the images. `overlay_style` and `facing` None take what the settings say.
    """

    settings: Settings
    run: Path | None
    labels: Path | None
    view: View | None
    select: tuple[str, ...] | None
    ignore: tuple[str, ...] | None
    pictures: bool
    cwd: Path
    overlays: ImageChoice | None = None
    out: Path | None = None
    against: Path | None = None
    labels2: Path | None = None
    copies: bool = True
    strict_copies: bool = False
    facing: FacingSide | None = None
    data_format: str | None = None
    overlay_style: OverlayStyle | None = None
    levels: str | None = None

    @property
    def style(self) -> OverlayStyle:
        """How overlays are drawn."""
        return self.overlay_style or self.settings.evaluate.overlay_style or OverlayStyle.PANEL

    def rules(self) -> tuple[Rule, ...]:
        """The rules to check. Raises UsageError for a code that matches none."""
        ours = self.settings.anatomy
        select = ours.select if self.select is None else self.select
        ignore = ours.ignore if self.ignore is None else self.ignore
        return select_rules(select or (), ignore or ())


@dataclass(frozen=True, slots=True)
class Anatomy:
    """A judged run or set, and the exit status it calls for."""

    report: AnatomyReport
    status: ExitStatus


def judge_anatomy(request: AnatomyRequest, progress: Progress) -> Anatomy:
    """Judge a run or an annotated set; raises MahtdiagError for what cannot be done at all."""
    if request.labels is not None and request.run is not None:
        raise UsageError("name a run, or an annotated set with --labels, not both")
    if request.out is not None and request.labels is None:
        raise UsageError("--out goes with --labels; overlays of a run are written into its folder")
    if request.labels is None and (request.against is not None or request.strict_copies):
        raise UsageError("--against and --strict-copies go with --labels: they are about the images of a set")
    if not request.copies and (request.against is not None or request.strict_copies):
        raise UsageError("--no-copies contradicts --against and --strict-copies: leave one of them out")
    if request.labels is not None and request.facing is not None:
        raise UsageError("--facing is for what is measured on a run; --labels measures nothing")
    if request.labels is None and request.levels is not None:
        raise UsageError(
            "--levels goes with --labels; a run was judged by its own: evaluate it with --levels"
        )
    if request.labels is not None and request.out is None and request.overlays not in (None, NO_IMAGES):
        raise UsageError("--overlays with --labels needs --out DIR, the folder to draw into")
    with image_timeout(request.settings.data.image_timeout):
        if request.labels is not None:
            return _judge_labels(request, request.labels, progress)
        return _judge_run(request, progress)


def _judge_run(request: AnatomyRequest, progress: Progress) -> Anatomy:
    """Predictions beside their labels: a model is not to be blamed for a wrong label."""
    rules = request.rules()
    run = open_run(request.run, request.cwd)
    if request.view not in (None, run.view):
        raise UsageError(
            f"--view {request.view}: {run.path} is a run of {run.view} images; leave --view out or name a "
            f"run of {request.view} images"
        )
    table = run.table()
    if not len(table):
        raise RunFolderError(
            f"{run.path}: no image was evaluated ({len(table.failures)} failed), there is nothing to judge; "
            "evaluate again"
        )
    limits = Limits.of(
        run.skeleton, {**table.conditions.limits.values, **request.settings.anatomy.limits_of(run.view)}
    )
    table = table.judged_by(limits, rules)
    report = report_of_run(run, table, request.facing or request.settings.anatomy.facing)
    if request.pictures:
        report = _with_pictures(report, run)
        report = _with_overlays(report, request, run, table, progress)
    if request.labels2 is not None:
        from mahtdiag.workflows.second_labels import noise_of_labels

        spacing_mm = spacing_xy_mm(table) if table.has(RunTable.pixel_spacing_mm) else None
        second = _second(request, request.labels2, run.skeleton)
        report = replace(report, noise=noise_of_labels(table, table.gt_px, spacing_mm, second))
    baseline = request.settings.gates.baseline
    to_baseline = judge_baseline(baseline, run, limits, rules, only=f"{GATES}.")
    report = _with_gates(report, request.settings, to_baseline)
    return Anatomy(report, status_of(report.gates))


def report_of_run(run: Run, table: RunTable, facing: FacingSide | None) -> AnatomyReport:
    """Everything that the table of a run tells by its limits and rules; needs an evaluated image."""
    return AnatomyReport(
        source=Source.RUN,
        subject=run.label,
        judged=table,
        verdict=judge(table.image, table.findings, table.label_findings if table.labelled else None),
        diagnosis=diagnose_predictions(table, facing),
        failures=table.failures,
        notes=_run_notes(run),
        setup=run.document.setup_entries,
        noise=noise_of_run(table),
    )


def _run_notes(run: Run) -> tuple[str, ...]:
    document = run.document
    if document.status == "complete":
        return ()
    done = document.images.evaluated + document.images.failed
    return (f"the run is not finished ({done} of {document.images.total} images); resume it with --resume",)


def _with_pictures(report: AnatomyReport, run: Run) -> AnatomyReport:
    """Writes the Bland–Altman plots into the run folder; one that cannot be written to gets a note."""
    from mahtdiag.reports.figures.registry import agreement_files

    written: list[str] = []
    remove_abandoned(run.path / FOLDER)
    pairs = report.diagnosis.measured.pairs if report.diagnosis else ()
    try:
        require_there(run.path)
        for name, content in agreement_files(report.judged, pairs).items():
            written.append(run.named(write_file(run.path, f"{FOLDER}/{name}", content)))
    except RunFolderError as error:
        return replace(report, notes=(*report.notes, f"no plots: {error.problems[0]}"))
    return replace(report, pictures=tuple(written))


def _with_overlays(
    report: AnatomyReport, request: AnatomyRequest, run: Run, table: RunTable, progress: Progress
) -> AnatomyReport:
    """Draws the worst images into the run folder, where its images are still there; notes say what came."""
    chosen = worst_judged(report.verdict, request.overlays or DEFAULT_OVERLAYS)
    if chosen and not os.path.exists(data_folder(run)):
        return replace(
            report, notes=(*report.notes, f"no overlays: {one_line(run.document.data.path)} is gone")
        )
    folder = run.path / FOLDER / OVERLAYS
    try:
        require_there(run.path)
        require_own(run.path, f"{FOLDER}/{OVERLAYS}")
        notes = draw_judged(
            subjects_of_run(run, table, chosen),
            run.skeleton,
            folder,
            request.cwd,
            progress,
            labels_judged=False,
            style=request.style,
        )
    except RunFolderError as error:
        notes = (f"no overlays: {error.problems[0]}",)
    return replace(report, notes=(*report.notes, *notes))


def _with_gates(
    report: AnatomyReport, settings: Settings, to_baseline: tuple[GateResult, ...] = ()
) -> AnatomyReport:
    """The gates on `anatomy.…`, judged by the rules and limits in force now; a missing number fails.

    What holds predictions against their labels (`OF_RUN`) is not asked of labels alone.
    """
    metrics = [m for m in metrics_of(report.judged.skeleton).values() if m.section == GATES]
    content = as_content(metrics, estimate(metrics, report.judged)) if report.verdict.images else {}
    of_run = report.source is Source.RUN
    limits = [gate for gate in settings.gates.limits if of_run or gate.metric not in OF_RUN]
    gates = (*judged(limits, content, report.verdict.view, only=f"{GATES}."), *to_baseline)
    return replace(report, gates=gates, notes=(*report.notes, *notes_on(gates)))


def _judge_labels(request: AnatomyRequest, path: Path, progress: Progress) -> Anatomy:
    """Labels alone: no model, no inference."""
    from mahtdiag.data.readers import open_dataset, require_labels
    from mahtdiag.workflows.anatomy.images import read_images
    from mahtdiag.workflows.second_labels import noise_of_labels, spacings_mm

    rules = request.rules()
    asked = request.levels or request.settings.data.levels
    levels = None if asked is None else parse_levels(asked)
    dataset = open_dataset(request.cwd / path, _view_of_labels(request), _options(request), levels=levels)
    require_labels(dataset)
    if request.out is not None:
        require_apart(dataset.samples, request.out, request.cwd)
    read = read_images(dataset.samples, progress)
    samples, size_px = [sample for sample, _ in read.kept], read.size_px
    skeleton = dataset.skeleton
    limits = Limits.of(skeleton, request.settings.anatomy.limits_of(dataset.view))
    conditions = Conditions(limits, rules, labels_alone=True)
    table = RunTable(skeleton, _columns(read, skeleton), conditions=conditions)
    failures = sorted((*dataset.failures, *read.failures), key=lambda failure: failure.image)
    shares = np.array([sample.keypoints_px for sample, _ in read.shares], dtype=np.float64)
    sizes = np.array([image.original.xy for _, image in read.shares], dtype=np.float64)
    tags = np.array([image.pixels.orientation for _, image in read.shares], dtype=np.int64)
    facts = Facts(table, None, None, shares.reshape(-1, skeleton.keypoints, 2), sizes.reshape(-1, 2), tags)
    report = AnatomyReport(
        source=Source.LABELS,
        subject=str(path),
        judged=table,
        verdict=judge(table.image, table.findings),
        diagnosis=None,
        failures=tuple(failures),
        notes=(
            *dataset.notes,
            *_unlabelled(table),
            *not_for_labels(request.settings.gates.baseline, f"{GATES}."),
        ),
        setup=check_setup(facts),
    )
    chosen = worst_judged(report.verdict, request.overlays or DEFAULT_OVERLAYS)
    if request.pictures and request.out is not None:
        subjects, out = subjects_of_labels(samples, size_px, chosen), request.cwd / request.out
        drawn = draw_judged(
            subjects, skeleton, out, request.cwd, progress, labels_judged=True, style=request.style
        )
        report = replace(report, notes=(*report.notes, *drawn))
    if request.labels2 is not None:
        second = _second(request, request.labels2, skeleton)
        report = replace(report, noise=noise_of_labels(table, table.pred_px, spacings_mm(samples), second))
    if request.copies:
        report = _with_copies(report, request, samples, skeleton, progress)
    report = _with_gates(report, request.settings)
    return Anatomy(report, _status_of_labels(report))


def _unlabelled(table: RunTable) -> tuple[str, ...]:
    """A note on keypoints that are not labelled, where there are any."""
    known = np.asarray(np.isfinite(table.pred_px).all(axis=-1))
    if known.all():
        return ()
    partly = int((~known.all(axis=1)).sum())
    return (
        f"{int(known.sum())} of {known.size} keypoints labelled, {counted(partly, 'image')} only in part",
    )


def _options(request: AnatomyRequest) -> ReadOptions:
    data = request.settings.data
    return replace(data.read_options(), format=request.data_format or data.format)


def _second(request: AnatomyRequest, path: Path, skeleton: Skeleton) -> "OtherSet":
    from mahtdiag.workflows.second_labels import OtherSet

    return OtherSet(str(path), request.cwd / path, skeleton, _options(request).of_another_set())


def _with_copies(
    report: AnatomyReport,
    request: AnatomyRequest,
    samples: Sequence[Sample],
    skeleton: Skeleton,
    progress: Progress,
) -> AnatomyReport:
    """Held against each other and another set, with pictures of the pairs where a folder is named."""
    from mahtdiag.workflows.anatomy.copies import draw_copies, find_copies
    from mahtdiag.workflows.second_labels import noise_by_copies

    against = None if request.against is None else _second(request, request.against, skeleton)
    found, theirs = find_copies(samples, against, progress, strict=request.strict_copies)
    if request.pictures and request.out is not None:
        ours = {sample.image: sample for sample in samples}
        try:
            found = draw_copies(found, ours, theirs, request.cwd / request.out, FOLDER, progress)
        except RunFolderError as error:
            report = replace(report, notes=(*report.notes, f"no pictures of copies: {error.problems[0]}"))
    # A second labelling that was named says more than what happens to be there twice.
    noise = report.noise or noise_by_copies(report.judged, found.pairs, samples, theirs)
    return replace(report, copies=found, noise=noise)


def _status_of_labels(report: AnatomyReport) -> ExitStatus:
    """Labels or images that could not be read leave the judgement undone; a copy fails a strict one."""
    copies = report.copies
    if report.failures or (copies is not None and copies.unread):
        return ExitStatus.NOT_DONE
    if copies is not None and copies.strict and copies.pairs:
        return ExitStatus.GATE_FAILED
    return status_of(report.gates)


def _view_of_labels(request: AnatomyRequest) -> View | None:
    configured = request.settings.data.view
    return request.view or (None if configured in (None, "auto") else View(str(configured)))


def _columns(read: "ReadImages", skeleton: Skeleton) -> dict[str, Values]:
    """Labels in the place of predictions, and the images they belong to."""
    points_px = np.array([sample.keypoints_px for sample, _ in read.kept], dtype=np.float64)
    width, height = read.size_px.T
    pixels = [image.pixels for _, image in read.kept]
    return {
        "image": tuple(sample.image for sample, _ in read.kept),
        "patient": tuple(sample.patient.identifier for sample, _ in read.kept),
        "image_sha256": tuple(image.image_sha256 for _, image in read.kept),
        "pred_px": points_px.reshape(-1, skeleton.keypoints, 2),
        "width": width,
        "height": height,
        "bits": np.array([each.bits for each in pixels], dtype=np.float64),
        "grey_low": np.array([each.low for each in pixels], dtype=np.float64),
        "grey_high": np.array([each.high for each in pixels], dtype=np.float64),
        "colour": np.array([each.colour for each in pixels], dtype=np.float64),
        "orientation": np.array([each.orientation for each in pixels], dtype=np.float64),
        "thumbnail": tuple(each.thumbnail for each in pixels),
    }
