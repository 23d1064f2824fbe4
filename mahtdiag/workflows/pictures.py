"""Pictures of a command: drawn in threads, in order, after those of an earlier command are gone."""

import hashlib
import os
import unicodedata
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

from mahtdiag.anatomy.rules import RULES
from mahtdiag.data.files import RecordedFiles, recorded_path
from mahtdiag.diagnosis.numbers import numbers_of
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.two_peaks import has_two_peaks
from mahtdiag.errors import DataError
from mahtdiag.opening import open_file, read_bytes
from mahtdiag.reports.tables.errors import leading_unit
from mahtdiag.runs.files import (
    AGAIN,
    ELSEWHERE,
    OUT,
    RESUME,
    remove_abandoned,
    reporting_write_errors,
    write_file,
)
from mahtdiag.runs.folder import RunFolder
from mahtdiag.runs.reading import Run
from mahtdiag.schema.choices import ImageChoice, LeadingUnit, OverlayStyle
from mahtdiag.schema.records import Floats, ImageRecord, Sample
from mahtdiag.schema.skeleton import Skeleton
from mahtdiag.workflows.progress import NoProgress, Progress

if TYPE_CHECKING:
    # What decodes and draws is imported where that is done: most commands do neither.
    from mahtdiag.data.images.network_input import Image
    from mahtdiag.reports.overlay.heat import Heat

Task = TypeVar("Task")
Result = TypeVar("Result")

# Python itself runs in one thread at a time, and each thread holds an image or two.
MOST_WORKERS: Final = 4

OVERLAYS: Final = "overlays"
"""The folder of overlays, in that of their command."""

NO_PROGRESS: Final = NoProgress()
GONE: Final = "the image is gone or another one now"

# A file name has at most 255 bytes, and needs some of them while it is written.
_LONGEST_STEM_BYTES: Final = 200


def usual_workers() -> int:
    """As many threads as there are processors, within reason."""
    return min(MOST_WORKERS, os.cpu_count() or 1)


@contextmanager
def in_order(
    work: Callable[[Task], Result], tasks: Iterable[Task], workers: int
) -> Generator[Generator[Result]]:
    """Iterates over `work(task)` of every task, in their order; `workers` threads work one task ahead each.

    Memory is bounded by the tasks in flight. What is in flight when the block is left, for whatever reason,
    ends before anything else happens, and no further task begins. Raises what `work` raises, at its place.
    """
    with ThreadPoolExecutor(workers) as pool:
        try:
            yield _results(pool, work, tasks, 2 * workers)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _results(
    pool: ThreadPoolExecutor, work: Callable[[Task], Result], tasks: Iterable[Task], most: int
) -> Generator[Result]:
    flying: deque[Future[Result]] = deque()
    for task in tasks:
        flying.append(pool.submit(work, task))
        if len(flying) == most:
            yield flying.popleft().result()
    while flying:
        yield flying.popleft().result()


def remove_pictures(folder: Path, pattern: str, command: str) -> None:
    """Remove the pictures that a command drew and called so (`*.png`); other files stay.

    Raises RunFolderError where one cannot be removed.
    """
    with reporting_write_errors(folder, AGAIN, ELSEWHERE):
        found = [path for path in folder.glob(pattern) if _drawn_by(command, path)]
        for path in found:
            path.unlink()
        # Folders inside that only they filled are of no use.
        for path in found:
            for emptied in path.relative_to(folder).parents[:-1]:
                with suppress(OSError):
                    (folder / emptied).rmdir()


def _drawn_by(command: str, path: Path) -> bool:
    """Whether it is a picture of this command; what cannot be read is taken for somebody else's."""
    from mahtdiag.reports.overlay.draw import is_signed

    if path.is_symlink() or not path.is_file():
        return False
    try:
        with open_file(path) as file:
            return is_signed(file, command)
    except OSError:
        return False


def worst_rows(urgency: Floats, choice: ImageChoice) -> list[int]:
    """Places of the images that want to be looked at most (see `RunTable`), unknown ones last."""
    order: list[int] = np.argsort(-np.nan_to_num(urgency, nan=-1.0), kind="stable").tolist()
    return order[: choice.most]


def picture_names(images: Iterable[str]) -> dict[str, str]:
    """File names of the overlays of images by theirs, without a folder.

    A digest is added to long ones, and to those that are called the same but for folders, endings, capitals.
    """
    stems = {image: PurePosixPath(image).stem for image in images}
    alike = Counter(map(_on_any_disk, stems.values()))
    names = {
        image: stem
        if alike[_on_any_disk(stem)] == 1 and len(stem.encode()) <= _LONGEST_STEM_BYTES
        else _told_apart(stem, image)
        for image, stem in stems.items()
    }
    if len(set(map(_on_any_disk, names.values()))) < len(names):
        names = {image: _told_apart(stem, image) for image, stem in stems.items()}
    return {image: f"{name}.png" for image, name in names.items()}


def _told_apart(stem: str, image: str) -> str:
    kept = stem.encode()[:_LONGEST_STEM_BYTES].decode(errors="ignore")
    return f"{kept}-{hashlib.sha256(image.encode()).hexdigest()[:12]}"


def _on_any_disk(name: str) -> str:
    """The same for names that some disks take for one."""
    return unicodedata.normalize("NFC", name).casefold()


def image_of(
    places: Sequence[Path | None], name: str, sha256: str | None, *, upright: bool = False
) -> "Image | None":
    """The pixels of an image, from the first place that still holds it; None where none does.

    `sha256`: what its content has to be; None where that is not known. `upright`: turned by its tag. Raises
    ImageTimeoutError where reading or decoding it takes too long.
    """
    from mahtdiag.data.images import decode_image
    from mahtdiag.data.time_limit import ImageTimeoutError, within_limit

    def pixels(path: Path) -> "Image | None":
        content = read_bytes(path)
        if sha256 is None or hashlib.sha256(content).hexdigest() == sha256:
            return decode_image(content, name, upright=upright)
        return None

    for path in filter(None, places):
        try:
            image = within_limit(partial(pixels, path), name)
        except ImageTimeoutError:
            raise
        except (OSError, ValueError, DataError):
            continue
        if image is not None:
            return image
    return None


def data_folder(run: Run, named: Path | None = None) -> Path:
    """Where the images of a run are, there or not: in the folder that is named, else where they were."""
    return recorded_path(run.cwd, run.document.data.path) if named is None else run.cwd / named


def pictures_of(
    run: Run, table: RunTable, data: Path | None, progress: Progress = NO_PROGRESS
) -> "Callable[[int], Image | None]":
    """The pixels of an image by its row, None where they are gone, another image now, or take too long."""
    from mahtdiag.data.time_limit import ImageTimeoutError

    files = RecordedFiles(data_folder(run, data))
    upright = run.document.resolved.upright
    too_long: set[int] = set()

    def picture(row: int) -> "Image | None":
        name = table.image[row]
        if row in too_long:
            return None
        try:
            return image_of([files.path(name)], name, table.image_sha256[row], upright=upright)
        except ImageTimeoutError as error:
            too_long.add(row)
            progress.note(f"no picture of {name}: {error.reason}")
            return None

    return picture


def overlay_of(
    image: "Image",
    record: ImageRecord,
    skeleton: Skeleton,
    *,
    labels_judged: bool = False,
    style: OverlayStyle = OverlayStyle.PANEL,
    heat: "Heat | None" = None,
) -> bytes:
    """The overlay of an image with all that its record says of it; on paper the spine alone."""
    from mahtdiag.reports.overlay.draw import draw_overlay
    from mahtdiag.reports.overlay.paper import draw_paper

    if style is OverlayStyle.PAPER:
        return draw_paper(image, record, skeleton, heat=heat)
    return draw_overlay(
        image,
        record,
        skeleton,
        rule_titles={rule.code: rule.title for rule in RULES},
        labels_judged=labels_judged,
        second_peaks=second_peaks_of(record),
        heat=heat,
    )


def draw_into(
    folder: Path,
    command: str,
    draw: Callable[[Task], bytes | None],
    tasks: Sequence[tuple[str, Task]],
    progress: Progress,
) -> list[tuple[Task, str]]:
    """Draws every task into the file of its name, signed by the command; those of which none came, and why.

    Raises RunFolderError where the folder cannot be written to.
    """
    from mahtdiag.data.time_limit import ImageTimeoutError
    from mahtdiag.reports.overlay.draw import signed

    def drawn(task: Task) -> bytes | str:
        try:
            return draw(task) or GONE
        except ImageTimeoutError as error:
            return error.reason

    left_out = []
    for place in {(folder / name).parent for name, _ in tasks}:
        remove_abandoned(place)
    with in_order(drawn, (task for _, task in tasks), usual_workers()) as pictures:
        for (name, task), png in zip(tasks, pictures, strict=True):
            progress.advance(1)
            if isinstance(png, str):
                left_out.append((task, png))
            else:
                write_file(folder, name, signed(png, command))
    return left_out


def second_peaks_of(record: ImageRecord) -> Floats | None:
    """Where ambiguous heatmaps peak again, `[K, 2]` in original pixels, NaN elsewhere; None if not known."""
    peaks = record.keypoints.peaks
    if peaks is None:
        return None
    return np.where(has_two_peaks(peaks)[:, None], peaks.second, np.nan)


def overlay_notes(drawn: int, missing: Sequence[tuple[str, str]], folder: Path | str) -> tuple[str, ...]:
    """How many overlays were drawn and where, and which could not be: names of images, each with why."""
    notes = []
    if drawn:
        notes.append(f"{drawn} overlay{'s' if drawn > 1 else ''} in {folder}")
    by_reason: dict[str, list[str]] = {}
    for name, reason in missing:
        by_reason.setdefault(reason, []).append(name)
    for reason, names in by_reason.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        notes.append(f"no overlay of {names[0]}{more}: {reason}")
    return tuple(notes)


def write_overlays(
    table: RunTable,
    folder: RunFolder,
    progress: Progress,
    *,
    choice: ImageChoice,
    samples: Mapping[str, Sample],
    workers: int,
    style: OverlayStyle = OverlayStyle.PANEL,
    heat: "Callable[[Sample], Heat | None] | None" = None,
    error_unit: LeadingUnit | None = None,
) -> int:
    """Draw and write the chosen overlays, and say how many; one that exists is drawn again.

    `samples`: the images by name, where they lie and how they are read, as far as they are there. `heat`:
    what lies over an image. `error_unit`: what errors are shown in first, which tells what is worst.
    """
    from mahtdiag.data.images import decode_image
    from mahtdiag.data.time_limit import within_limit

    urgency = leading_unit(error_unit, numbers_of(table))[0].urgency(table)
    rows = [row for row in worst_rows(urgency, choice) if table.image[row] in samples]
    if not rows:
        return 0

    def overlay(row: int) -> tuple[str, bytes | Exception]:
        record = table.record(row)
        sample = samples[record.image]

        def decoded() -> "Image":
            content = read_bytes(sample.path)
            return decode_image(content, record.image, sample.dicom_window, upright=sample.upright)

        try:
            image = within_limit(decoded, record.image)
        except (OSError, DataError) as error:
            return record.image, error
        layer = None if heat is None else layers[row]
        return record.image, overlay_of(image, record, table.skeleton, style=style, heat=layer)

    drawn, names = 0, picture_names(table.image)
    remove_abandoned(folder.path / OVERLAYS)
    # A network runs in one thread.
    layers = {} if heat is None else {row: heat(samples[table.image[row]]) for row in rows}
    progress.start("overlays", len(rows))
    with in_order(overlay, rows, min(workers, MOST_WORKERS)) as overlays:
        for image, png in overlays:
            if isinstance(png, Exception):
                progress.note(f"{image}: no overlay, the image cannot be read any more ({png})")
                continue
            write_file(
                folder.path,
                f"{OVERLAYS}/{names[image]}",
                png,
                after_no_space=RESUME,
                elsewhere=OUT,
                parents=False,
            )
            drawn += 1
            progress.advance(1)
    progress.stop()
    return drawn
