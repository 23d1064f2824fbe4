"""The main job: a checkpoint and an annotated set in, a run folder out."""

import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from torch import nn

from mahtdiag.anatomy.findings import Findings
from mahtdiag.config.settings import Settings
from mahtdiag.data.time_limit import image_timeout
from mahtdiag.diagnosis.numbers import RunNumbers
from mahtdiag.engine.inference import BatchSeconds
from mahtdiag.engine.ranks import Ranks
from mahtdiag.errors import ExitStatus, InterruptedRunError, RunFolderError
from mahtdiag.runs.document import RunDocument, Seconds
from mahtdiag.runs.folder import RunFolder, has_work_left, sole_writer
from mahtdiag.runs.reading import Run, claim_run_path, read_document
from mahtdiag.schema.choices import LeadingUnit, OverlayStyle
from mahtdiag.schema.setup import Inspection
from mahtdiag.workflows.evaluate.checks import entries_of, look_closer, stored, unaccepted
from mahtdiag.workflows.evaluate.preparation import Prepared, header, prepare
from mahtdiag.workflows.evaluate.results import read_results
from mahtdiag.workflows.evaluate.resumed import environment_notes, require_same_images
from mahtdiag.workflows.evaluate.together import (
    FOLDER,
    HEADER,
    agree,
    announce,
    judged_with_others,
    refusals_told,
    with_own_device,
    work_along,
    work_of,
)
from mahtdiag.workflows.gates.judging import judge_baseline, results_of, status_of, with_gates
from mahtdiag.workflows.pictures import write_overlays
from mahtdiag.workflows.progress import Progress, keep_work


@dataclass(frozen=True, slots=True)
class EvaluateRequest:
    """What a user asked for; `out` None means a new folder under `runs/`.

    `predictions`: a file that is read in the place of a network. `network`: one that is in memory, in the
    place of a checkpoint. `latest`: whether the run becomes the latest of `cwd`. `ranks`: this process among
    those that share the work; None where it is alone.
    """

    settings: Settings
    out: Path | None
    resume: bool
    trust: bool
    cwd: Path
    predictions: Path | None = None
    network: nn.Module | None = None
    latest: bool = True
    ranks: Ranks | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A finished run, its numbers (None if nothing was evaluated), and the exit status they call for.

    `not_done` says why, where the status is NOT_DONE; `overlays` is how many were drawn; `setup_wrong`: the
    checks of the setup that make a strict evaluation fail; `error_unit`: what errors are shown in first.
    """

    run: Run
    numbers: RunNumbers | None
    status: ExitStatus
    not_done: str | None
    overlays: int
    setup_wrong: tuple[str, ...] = ()
    error_unit: LeadingUnit | None = None


def evaluate(request: EvaluateRequest, progress: Progress) -> Evaluation:
    """Run the network over the images, judge every one of them, write the run folder.

    Raises MahtdiagError for what cannot be done at all, InterruptedRunError after Ctrl-C in a run folder.
    """
    with image_timeout(request.settings.data.image_timeout):
        return _evaluated(request, progress)


def _evaluated(request: EvaluateRequest, progress: Progress) -> Evaluation:
    started = time.perf_counter()
    prepared = _prepare(request)
    with ExitStack() as held:
        with refusals_told(request.ranks, FOLDER):
            # A run that is resumed is held by one process from here on; a new one begins once nothing is
            # refused.
            resumed = _open_folder(request, prepared, held) if request.resume else None
            look = None if resumed is not None and resumed.complete else look_closer(prepared)
            folder = resumed or _open_folder(request, prepared, held)
        clock = _Clock(folder.document, started)
        run, numbers, overlays = _fill(folder, prepared, look, clock, request, progress)
    not_done = _not_done(folder.document, prepared.allow_failures)
    status = status_of(results_of(folder.document.gates))
    asked = request.settings.evaluate
    wrong = unaccepted(folder.document.setup_entries, asked.accept or ()) if asked.strict_setup else ()
    status = ExitStatus.GATE_FAILED if wrong else status
    status = status if not_done is None else ExitStatus.NOT_DONE
    run, unit = replace(run, document=folder.document), asked.error_unit or run.document.resolved.error_unit
    return Evaluation(run, numbers, status, not_done, overlays, wrong, unit)


def take_part(ask: Callable[[], EvaluateRequest], ranks: Ranks) -> None:
    """The share of a process that is not the first of them: the first one merges, judges and tells.

    Raises MahtdiagError without words: the first process says them.
    """
    with refusals_told(ranks, HEADER):
        request = replace(ask(), ranks=ranks)
    with image_timeout(request.settings.data.image_timeout):
        work_along(ranks, _prepare(request))


def _prepare(request: EvaluateRequest) -> Prepared:
    """What is asked for, loaded; several processes have agreed on it."""
    ranks, settings = request.ranks, request.settings
    with refusals_told(ranks, HEADER):
        if request.resume and request.out is not None:
            settings = _with_stored_batches(settings, request.out)
        if ranks is not None:
            settings = with_own_device(settings, ranks)
        prepared = prepare(
            settings, trust=request.trust, predictions=request.predictions, network=request.network
        )
    if ranks is not None:
        agree(ranks, prepared, (f"out={request.out}", f"resume={request.resume}"))
    return prepared


def _with_stored_batches(settings: Settings, out: Path) -> Settings:
    """What fits on a GPU is a matter of the moment: a run goes on with the batches that it began with."""
    if settings.evaluate.batch_size not in (None, "auto"):
        return settings
    try:
        stored = read_document(out)
    except RunFolderError:  # told where the folder is opened
        return settings
    size = stored.resolved.batch_size
    if stored.environment.device_kind != "cuda" or size is None:
        return settings
    asked = settings.evaluate.model_copy(update={"batch_size": size})
    return settings.model_copy(update={"evaluate": asked})


def _open_folder(request: EvaluateRequest, prepared: Prepared, held: ExitStack) -> RunFolder:
    """The run folder, which no other process writes to as long as `held` is not closed."""
    now = datetime.now(UTC)
    path = request.out or claim_run_path(prepared.source.name, now, request.cwd)
    if request.resume:
        if has_work_left(path):
            held.enter_context(sole_writer(path))
        new = header(prepared, now)
        folder = RunFolder.resume(path, new, prepared.dataset.failures)
        begun = Run(path, folder.document, merged=folder.complete, cwd=request.cwd)
        require_same_images(begun, prepared.dataset.samples)
        if not folder.complete:
            folder.note(environment_notes(folder.document.environment, new.environment))
        return folder
    try:
        folder = RunFolder.create(path, header(prepared, now), prepared.dataset.failures)
    except RunFolderError:
        if request.out is None:
            with suppress(OSError):
                (request.cwd / path).rmdir()
        raise
    held.enter_context(sole_writer(path))
    return folder


def _fill(
    folder: RunFolder,
    prepared: Prepared,
    look: Inspection | None,
    clock: "_Clock",
    request: EvaluateRequest,
    progress: Progress,
) -> tuple[Run, RunNumbers | None, int]:
    """Evaluate what is not in the folder yet, summarise, draw, finish; the number of overlays."""
    try:
        keep_work(True)
        found = _infer(prepared, folder, clock, request.ranks, progress)
        known = folder.document.model_copy(update={"settings": prepared.settings.stored})
        run = replace(folder.tables(), cwd=request.cwd)
        if found:
            images = [image for names, _, _ in found for image in names]
            judged = run.table().judged_by(prepared.limits, prepared.rules)
            _, predictions, labels = zip(*found, strict=True)
            judged.know_findings(images, Findings.chain(predictions), Findings.chain(labels))
        document, numbers = read_results(run, folder.document if folder.complete else known)
        if not folder.complete:
            judged = run.table().judged_by(prepared.limits, prepared.rules)
            document = document.model_copy(update={"setup": stored(entries_of(prepared, look, judged))})
        run = replace(run, document=document)
        overlays = 0 if numbers is None else _draw(prepared, run, folder, progress)
        document = folder.document if folder.complete else _at_the_end(document, prepared, clock)
        gates = prepared.asked.gates
        baseline = judge_baseline(gates.baseline, run, prepared.limits, prepared.rules)
        document = with_gates(document, gates.limits, baseline)
        for note in folder.finish(document, request.cwd if request.latest and numbers else None):
            progress.note(note)
    except KeyboardInterrupt:
        _leave_readable(folder, prepared, clock)
        raise InterruptedRunError(str(folder.path)) from None
    finally:
        progress.stop()
    return run, numbers, overlays


def _infer(
    prepared: Prepared, folder: RunFolder, clock: "_Clock", ranks: Ranks | None, progress: Progress
) -> list[tuple[tuple[str, ...], Findings, Findings]]:
    """Evaluates what is not in the folder yet; names, findings and those in labels of what was done now."""
    if ranks is not None:
        announce(ranks, folder)
    if folder.complete:
        return []
    samples, done = prepared.dataset.samples, folder.finished_batches()
    finished = sum(len(samples[b * prepared.batch_size : (b + 1) * prepared.batch_size]) for b in done)
    progress.start("evaluating", len(samples), finished)
    work = work_of(prepared, done, ranks)
    batches = prepared.source.judged(work)
    if ranks is not None:
        batches = judged_with_others(ranks, folder, batches, -(-len(samples) // work.batch_size), progress)
    for judged in batches:
        clock.add(judged.seconds)
        if judged.records or judged.failures:
            folder.append(judged.index, judged.records, judged.failures)
        if ranks is None:
            progress.advance(len(judged.records) + len(judged.failures))
    progress.stop()
    # What other processes have found is not known here: it is found again from the table.
    return work.maker.found if ranks is None else []


def _draw(prepared: Prepared, run: Run, folder: RunFolder, progress: Progress) -> int:
    """Overlays of the worst images by the rules and limits of now; how many."""
    asked = prepared.asked.evaluate
    return write_overlays(
        run.table().judged_by(prepared.limits, prepared.rules),
        folder,
        progress,
        choice=prepared.overlays,
        samples={sample.image: sample for sample in prepared.dataset.samples if sample.path},
        workers=prepared.workers,
        style=asked.overlay_style or OverlayStyle.PANEL,
        heat=prepared.source.heat if asked.overlay_heatmaps else None,
        error_unit=asked.error_unit,
    )


def _not_done(document: RunDocument, allow_failures: int) -> str | None:
    """Why the job counts as not done: nothing evaluated, or more failures than allowed."""
    images = document.images
    if images.evaluated and images.failed <= allow_failures:
        return None
    first = next((f"; the first: {failure.image}: {failure.reason}" for failure in document.failures), "")
    if not images.evaluated:
        return f"{document.data.path}: none of {images.total} images could be evaluated{first}"
    return f"{images.failed} of {images.total} images failed, --allow-failures is {allow_failures}{first}"


class _Clock:
    """Seconds spent, on top of what an interrupted run had already spent."""

    def __init__(self, document: RunDocument, started: float) -> None:
        self._before = document.seconds or Seconds(total=0.0)
        self._started = started
        self._spent = BatchSeconds()

    def add(self, seconds: BatchSeconds) -> None:
        """Count what a batch took."""
        self._spent = self._spent + seconds

    @property
    def stored(self) -> Seconds:
        """As `run.json` keeps it."""
        before = self._before
        return Seconds(
            total=before.total + time.perf_counter() - self._started,
            forward=(before.forward or 0.0) + self._spent.forward,
            decode=(before.decode or 0.0) + self._spent.decode,
            analyse=(before.analyse or 0.0) + self._spent.analyse,
        )


def _at_the_end(document: RunDocument, prepared: Prepared, clock: _Clock) -> RunDocument:
    """With what `run.json` learns last; a resumed run may have gone on with other workers or overlays."""
    return document.model_copy(update={"seconds": clock.stored, "settings": prepared.settings.stored})


def _leave_readable(folder: RunFolder, prepared: Prepared, clock: _Clock) -> None:
    """Write what is known; the folder stays resumable."""
    if folder.complete:
        return
    try:
        document, _ = read_results(folder.tables(), folder.document)
    except ValueError:
        document = folder.document
    folder.interrupt(_at_the_end(document, prepared, clock))
