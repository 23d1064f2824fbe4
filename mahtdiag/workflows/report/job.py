"""`report`: a finished run as one page that needs nothing beside it."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from mahtdiag.config.settings import Settings
from mahtdiag.data.files import RecordedFiles
from mahtdiag.data.images import ReducedImage, decode_reduced
from mahtdiag.data.time_limit import ImageTimeoutError, image_timeout, within_limit
from mahtdiag.diagnosis.gates import GateResult
from mahtdiag.diagnosis.numbers import numbers_of
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.errors import DataError, ExitStatus, RunFolderError, UsageError
from mahtdiag.opening import read_bytes
from mahtdiag.reports.figures.pictures import cut_out_jpeg
from mahtdiag.reports.html.gallery import (
    Gallery,
    Picture,
    picture_bytes,
    picture_height,
    small_picture,
)
from mahtdiag.reports.html.page import Strip, StripImage, render_page
from mahtdiag.reports.html.sections import ReportContent, sections_of
from mahtdiag.reports.tables.errors import leading_unit
from mahtdiag.reports.text import counted
from mahtdiag.runs.files import OUT, remove_abandoned, require_file, require_there, write_file, write_named
from mahtdiag.runs.reading import Run, open_finished
from mahtdiag.schema.choices import NO_IMAGES, ImageChoice, LeadingUnit
from mahtdiag.schema.safe_text import one_line
from mahtdiag.workflows.gates.judging import judge_baseline, results_of, status_of, with_gates
from mahtdiag.workflows.pictures import data_folder, pictures_of, worst_rows
from mahtdiag.workflows.progress import Progress
from mahtdiag.workflows.report.screen import content_of

NAME = "report.html"
READERS = 4


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """What a user asked for.

    `settings`: the gates in force now; `run` None: the latest; `out` None: `report.html` in the run folder;
    `images`: which are shown; `data` None: where they lay when the run was made. `error_unit` None: what the
    settings, or those of the run, say.
    """

    settings: Settings
    run: Path | None
    out: Path | None
    images: ImageChoice
    data: Path | None
    cwd: Path
    error_unit: LeadingUnit | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """A written page: where it lies, how large it is, what it shows, and the gates of its run."""

    path: Path
    run: Run
    bytes: int
    shown: int
    without_picture: int
    gates: tuple[GateResult, ...]
    notes: tuple[str, ...]

    @property
    def status(self) -> ExitStatus:
        """0, or 1 if a gate failed."""
        return status_of(self.gates)


def write_report(request: ReportRequest, progress: Progress) -> Report:
    """Draw and write the page; raises MahtdiagError where the run is not finished or holds no result."""
    with image_timeout(request.settings.data.image_timeout):
        return _written_report(request, progress)


def _written_report(request: ReportRequest, progress: Progress) -> Report:
    run = open_finished(request.run, request.cwd)
    if request.out is not None:
        # The page of a large run takes a while, which nobody should wait for in vain.
        require_file("--out", request.out, request.cwd)
    table = run.table()
    _require_results(run, table)
    data = _data_folder(request, run)
    rows = worst_rows(leading_unit(_unit(request, run), numbers_of(table))[0].urgency(table), request.images)
    gates = _gates(request, run, table)
    # The decoder works while figures are drawn.
    with ThreadPoolExecutor(READERS) as pool:
        wanted = [(table.image[row], table.image_sha256[row]) for row in rows]
        started = start_pictures(pool, wanted, data, upright=run.document.resolved.upright)
        try:
            report = content_of(run, table, gates, request.settings.anatomy.facing, _unit(request, run))
            sections = tuple(sections_of(report))
            pictures = finished_pictures(started, progress)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    pictures = pictures if data else [f"{one_line(run.document.data.path)} is gone"] * len(rows)
    names = [table.image[row] for row in rows]
    notes = _notes(run, names, pictures, len(table), data is not None)
    gallery = None if request.images == NO_IMAGES else Gallery(rows, pictures, notes)
    strip = None if request.images == NO_IMAGES else _strip(report, run, table, request, progress)
    content = render_page(report, sections, gallery, strip)
    return Report(
        path=_written(request, run, content),
        run=run,
        bytes=len(content),
        shown=len(rows),
        without_picture=sum(isinstance(picture, str) for picture in pictures),
        gates=gates,
        notes=notes if gallery else (),
    )


def _strip(
    report: ReportContent, run: Run, table: RunTable, request: ReportRequest, progress: Progress
) -> Strip:
    """The worst images, at most as many as are shown in full."""
    figures = report.figures(pictures_of(run, table, request.data, progress))
    rows = figures.worst_rows()[: request.images.most]
    images = tuple(
        StripImage(table.image[row], figures.why(row), cut_out_jpeg(figures.worst_image(row), table.skeleton))
        for row in rows
    )
    of = counted(len(table), "image")
    drawn = "Whole lines: labels; dashed: predictions; arrows: errors."
    caption = drawn if table.labelled else "Dashed lines: predictions."
    return Strip(f"Worst {len(images)} of {of} by {figures.by_what}", images, caption)


def _unit(request: ReportRequest, run: Run) -> LeadingUnit | None:
    """What errors are shown in first; None where nobody asked."""
    return request.error_unit or request.settings.evaluate.error_unit or run.document.resolved.error_unit


def _written(request: ReportRequest, run: Run, content: bytes) -> Path:
    if request.out is None:
        require_there(run.path)
        remove_abandoned(run.path, NAME)
        return write_file(run.path, NAME, content, elsewhere=OUT)
    write_named("--out", request.out, content, request.cwd)
    return request.cwd / request.out


def _require_results(run: Run, table: RunTable) -> None:
    if not len(table):
        raise RunFolderError(
            f"{run.path}: no image was evaluated ({len(table.failures)} failed), there is nothing to "
            "report; evaluate again"
        )


def _data_folder(request: ReportRequest, run: Run) -> Path | None:
    """Where the images are, None where they were and are no more; raises UsageError for a wrong --data."""
    data = data_folder(run, request.data)
    if os.path.isdir(data):
        return data
    if request.data is not None:
        raise UsageError(f"--data {request.data}: no such folder; name the folder that holds the images")
    return None


def _gates(request: ReportRequest, run: Run, table: RunTable) -> tuple[GateResult, ...]:
    """The gates in force now, judged by the run; where the settings have none, those it was judged by."""
    gates, document = request.settings.gates, run.document
    if not gates.limits and gates.baseline is None:
        return results_of(document.gates)
    to_baseline = judge_baseline(gates.baseline, run, table.conditions.limits, table.conditions.rules)
    return results_of(with_gates(document, gates.limits, to_baseline).gates)


def _notes(
    run: Run, names: Sequence[str], pictures: list[Picture | str], evaluated: int, data_there: bool
) -> tuple[str, ...]:
    """What a reader of the gallery has to know; `names` are those of the shown images."""
    notes = [_shown_note(len(pictures), evaluated, run.table().labelled)] if len(pictures) < evaluated else []
    why: dict[str, list[str]] = {}
    for name, picture in zip(names, pictures, strict=True):
        if isinstance(picture, str):
            why.setdefault(picture, []).append(name)
    if why and not data_there:
        notes.append(
            f"The images have moved: {one_line(run.document.data.path)} is gone, so the keypoints are drawn "
            "alone. Name the folder where the images are now with --data."
        )
    elif why:
        reasons = "; ".join(f"{reason}: {_first_of(named)}" for reason, named in sorted(why.items()))
        notes.append(
            f"{counted(sum(map(len, why.values())), 'image')} of {len(pictures):,} cannot be shown, so the "
            f"keypoints are drawn alone ({reasons})."
        )
    return tuple(notes)


def _shown_note(shown: int, evaluated: int, labelled: bool) -> str:
    if not shown:
        return "No images are shown; --images all shows every one."
    most = "largest mean error" if labelled else "most severe violations"
    largest = f"image with the {most}" if shown == 1 else f"{shown:,} images with the {most}"
    verb = "is" if shown == 1 else "are"
    return f"The {largest} of {counted(evaluated, 'image')} {verb} shown; --images all shows every one."


def _first_of(names: Sequence[str]) -> str:
    more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
    return f"{one_line(names[0])}{more}"


GONE = "the file is gone"
CHANGED = "another image since the run"
UNREADABLE = "cannot be read any more"


def start_pictures(
    pool: ThreadPoolExecutor, wanted: Sequence[tuple[str, str | None]], data: Path | None, *, upright: bool
) -> list[Future[Picture | str]]:
    """Begin to make the pictures, unless `data` is None; each ends as a picture or why there is none.

    `wanted`: names in the run, and the digests of their content then (None: not compared).
    """
    if data is None:
        return []
    height, most_bytes = picture_height(len(wanted)), picture_bytes(len(wanted))
    files = RecordedFiles(data)
    return [pool.submit(_picture_of, *image, files, height, most_bytes, upright) for image in wanted]


def finished_pictures(started: Sequence[Future[Picture | str]], progress: Progress) -> list[Picture | str]:
    """Wait for the pictures that are not made yet; all of them, in their order."""
    waiting = [future for future in started if not future.done()]
    if waiting:
        progress.start("pictures", len(started), len(started) - len(waiting))
    try:
        for _ in as_completed(waiting):
            progress.advance(1)
    finally:
        progress.stop()
    return [future.result() for future in started]


def _picture_of(
    image: str, sha256: str | None, files: RecordedFiles, height: int, most_bytes: int, upright: bool
) -> Picture | str:
    path = files.path(image)
    if path is None:
        return GONE

    def reduced() -> ReducedImage | None:
        content = read_bytes(path)
        if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
            return None
        return decode_reduced(content, image, height, upright=upright)

    try:
        shown = within_limit(reduced, image)
    except FileNotFoundError:
        return GONE
    except ImageTimeoutError as error:
        return error.reason
    except (OSError, ValueError, DataError):
        return UNREADABLE
    return CHANGED if shown is None else small_picture(shown.pixels, shown.covers, height, most_bytes)
