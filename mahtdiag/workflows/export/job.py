"""`export`: the predictions or labels of a run as a file for an annotation tool."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

import numpy as np

from mahtdiag.data.files import RecordedFiles
from mahtdiag.data.outgoing import Floats, OutgoingImage, OutgoingSet, Points, Written
from mahtdiag.data.placing import LARGEST_COORDINATE_PX
from mahtdiag.data.slicer_spacing import slicer_mm_per_px
from mahtdiag.data.writers import Writer, writer_named
from mahtdiag.diagnosis.columns import Column
from mahtdiag.diagnosis.run_table import COLUMNS, RunTable
from mahtdiag.errors import DataError, RunFolderError, UsageError
from mahtdiag.reports.text import counted
from mahtdiag.runs.document import CheckpointSource
from mahtdiag.runs.files import require_file, write_named, write_named_folder
from mahtdiag.runs.reading import DOCUMENT, Run, open_finished
from mahtdiag.schema.frames import Size
from mahtdiag.schema.records import Failure
from mahtdiag.schema.safe_text import one_line, shown
from mahtdiag.workflows.export.selection import Selection, everything, suspicious, worst
from mahtdiag.workflows.pictures import data_folder

PLACES = (RunTable.width, RunTable.height, RunTable.orientation, RunTable.gt_px, RunTable.pred_px)
OF_PREDICTIONS = (RunTable.sigma_px, RunTable.peak)
MOST_NAMED = 3
DICOM_ENDINGS = (".dcm", ".dicom", ".dic")
NO_DICOM = ("labelme", "labelstudio", "yolo")


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What a user asked for.

    `run` None: the latest; `to`: the name of a format; `worst`, `suspicious`: so many images, None: all.
    `labels` None: labels with `suspicious`, else predictions. `data` None: where the images lay when the run
    was made; `image_root` None: what the format puts before their names.
    """

    run: Path | None
    to: str
    file: Path
    cwd: Path
    worst: int | None = None
    suspicious: int | None = None
    labels: bool | None = None
    data: Path | None = None
    image_root: str | None = None
    force: bool = False


@dataclass(frozen=True, slots=True)
class Export:
    """What was written, and what was not. `chosen`: which images, in words, empty for all of them."""

    run: Run
    writer: Writer
    file: Path
    labels: bool
    chosen: str
    images: int
    keypoints: int
    files: int
    bytes: int
    left_out: tuple[Failure, ...]
    hint: str
    notes: tuple[str, ...]


def export_run(request: ExportRequest) -> Export:
    """Write the file; raises MahtdiagError, before anything is written, for what cannot be done."""
    writer = writer_named(request.to)
    _require_sense(request, writer)
    target = _require_free(request, writer)
    run = open_finished(request.run, request.cwd)
    labels = request.suspicious is not None if request.labels is None else request.labels
    table = run.table(_columns(request))
    _require_points(request, run, table, labels)
    chosen = _chosen(request, run, table)
    images = _Images(request, writer, run, target)
    outgoing, left_out = images.outgoing(table, chosen.rows, labels)
    written = writer.write(outgoing, target.name)
    failures = (*left_out, *written.left_out)
    exported = [image for image in outgoing.images if image.image not in {f.image for f in failures}]
    if not exported:
        first = failures[0]
        raise RunFolderError(f"{run.label}: no image can be exported: {first.image}: {first.reason}")
    others = _write(request, writer, written)
    return Export(
        run=run,
        writer=writer,
        file=request.file,
        labels=labels,
        chosen=chosen.words,
        images=len(exported),
        keypoints=sum(int(image.points.known.sum()) for image in exported) - written.outside,
        files=len(written.files),
        bytes=sum(map(len, written.files.values())),
        left_out=failures,
        hint=images.hint(exported),
        notes=(
            *chosen.notes,
            *_notes(request, writer, table, exported, failures, written, others),
            *images.notes(),
        ),
    )


def _require_sense(request: ExportRequest, writer: Writer) -> None:
    """Raises UsageError for options that contradict each other."""
    if request.worst is not None and request.suspicious is not None:
        raise UsageError("--worst and --suspicious choose images in two ways: give one of them")
    for option, number in (("--worst", request.worst), ("--suspicious", request.suspicious)):
        if number is not None and number < 1:
            raise UsageError(f"{option} {number}: expected a number of images from 1")
    if request.image_root is not None and writer.prefix is None:
        names = "from where they lie, --data" if writer.beside else "by the names of its files"
        raise UsageError(f"--image-root: {writer.name} tells its images {names}: leave it out")
    if request.data is not None and not (request.cwd / request.data).is_dir():
        raise UsageError(f"--data {request.data}: no such folder; name the folder that holds the images")


def _require_free(request: ExportRequest, writer: Writer) -> Path:
    """The absolute place to write at. Raises UsageError where something is in the way."""
    said = request.file
    if str(said) == "-":
        raise UsageError("-: not standard output; name a file")
    target = request.cwd / said
    # Unlike methods of Path these take every name: what is wrong with one is said where it is written.
    if os.path.isfile(target / DOCUMENT):
        raise UsageError(f"{said}: a run folder; name the file to write after it")
    if writer.ending is None:
        there = os.path.isdir(target)
        if os.path.lexists(target) and not there:
            raise UsageError(f"{said}: a file; {writer.name} is a folder of files: name a folder")
        if there and any(target.iterdir()) and not request.force:
            raise UsageError(f"{said}: not empty; write into it with --force or name another folder")
        return target.resolve()
    require_file(f"--to {writer.name}", said, request.cwd)
    if os.path.lexists(target) and not request.force:
        raise UsageError(f"{said}: exists; overwrite it with --force or name another file")
    return target


def _columns(request: ExportRequest) -> tuple[Column[Any], ...]:
    if request.suspicious is not None:
        return COLUMNS
    ranked = (RunTable.radial_error_px, RunTable.error_mm) if request.worst is not None else ()
    return (*PLACES, *OF_PREDICTIONS, *ranked)


def _require_points(request: ExportRequest, run: Run, table: RunTable, labels: bool) -> None:
    if not len(table):
        raise RunFolderError(
            f"{run.label}: no image was evaluated ({len(table.failures)} failed), there is nothing to export;"
            " evaluate again"
        )
    if (labels or request.suspicious is not None) and not np.isfinite(table.gt_px).any():
        option = "--suspicious" if request.suspicious is not None else "--labels"
        raise UsageError(f"{option}: {run.label} has no labels; export its predictions without it")


def _chosen(request: ExportRequest, run: Run, table: RunTable) -> Selection:
    if request.worst is not None:
        return worst(table, request.worst)
    if request.suspicious is not None:
        return suspicious(table, request.suspicious, run.label)
    return everything(table)


class _Images:
    """Turns rows of a table into images of an export: how each is named, and what its spacing is."""

    def __init__(self, request: ExportRequest, writer: Writer, run: Run, target: Path) -> None:
        document = run.document
        self.writer = writer
        self.said = request.file
        self.target = target
        self.data_said = document.data.path if request.data is None else str(request.data)
        data = data_folder(run, request.data)
        self.files = RecordedFiles(data)
        self.there = os.path.isdir(self.files.folder)
        folder = self.files.folder.resolve()
        self.folder_said = shown(run.named(self.files.folder))
        prefix = writer.prefix if request.image_root is None else request.image_root
        self.prefix = "" if prefix is None else _prefix(prefix, request.image_root is None, folder.name)
        self.model = _model(document.checkpoint)

    def outgoing(
        self, table: RunTable, rows: Sequence[int], labels: bool
    ) -> tuple[OutgoingSet, tuple[Failure, ...]]:
        """What is written, and what cannot be."""
        images: list[OutgoingImage] = []
        failures: list[Failure] = []
        for row in rows:
            try:
                images.append(self._image(table, row, labels))
            except DataError as error:
                failures.append(Failure(table.image[row], "; ".join(error.problems)))
        return OutgoingSet(table.skeleton, tuple(images), labels, self.model), tuple(failures)

    def _image(self, table: RunTable, row: int, labels: bool) -> OutgoingImage:
        """Raises DataError: why the format cannot hold it."""
        image = table.image[row]
        path = self.files.path(image)
        if path is None:
            raise DataError("its name leads out of the data folder")
        width, height = float(table.width[row]), float(table.height[row])
        size = Size(int(height), int(width)) if width > 0 and height > 0 else None
        if size is None and self.writer.needs_size:
            raise DataError("the run does not know its size")
        predicted = Points(
            _bounded(table.pred_px[row]), _bounded(table.sigma_px[row]), _bounded(table.peak[row])
        )
        points = Points(_bounded(table.gt_px[row])) if labels else predicted
        if not points.known.any():
            raise DataError("no keypoint is labelled" if labels else "no keypoint is predicted")
        name = _name(path, self.files.folder, image)
        found = OutgoingImage(image, self.prefix + name, size, points, predicted if labels else None)
        if self.writer.prefix is not None and self.prefix.startswith(("/", "http://", "https://")):
            found = replace(found, link=self.prefix + quote(name, safe="/"))
        if self.writer.beside:
            found = replace(found, link=self._way(image, path))
        if self.writer.in_mm:
            found = replace(found, mm_per_px=slicer_mm_per_px(path, there=True))
        return found

    def _way(self, image: str, path: Path) -> str:
        """From the folder of the image's own file to the image; its name alone where it is gone."""
        if not self.there:
            return PurePath(image).name
        try:
            way = os.path.relpath(os.path.realpath(path.parent), self.target / PurePath(image).parent)
        except ValueError:
            # Another drive.
            way = os.path.realpath(path.parent)
        return _encodable(Path(way, path.name).as_posix(), image)

    def hint(self, exported: Sequence[OutgoingImage]) -> str:
        """What to do next, for a shell: paths begin at the current folder."""
        folders = {PurePath(image.image).parent for image in exported}
        inner = folders.pop() if self.writer.beside and len(folders) == 1 else PurePath()
        file, data = self.said / inner, PurePath(self.folder_said) / inner
        link = os.path.relpath(self.files.folder.resolve(), self.target)
        quoted = {
            name: shlex.quote(str(path)) for name, path in (("file", file), ("data", data), ("link", link))
        }
        return self.writer.hint.format(**quoted)

    def notes(self) -> tuple[str, ...]:
        """That the images are gone, where their place is said."""
        if self.there or not self.writer.beside:
            return ()
        return (
            f"{one_line(self.data_said)} is gone: files name their images alone; --data says where they are",
        )


def _bounded(values: Floats) -> Floats:
    """NaN for numbers that no image can have, such as 1e308 in a damaged run; readers refuse them as well."""
    return np.where(np.abs(values) <= LARGEST_COORDINATE_PX, values, np.nan)


def _model(checkpoint: CheckpointSource) -> str:
    """A name without the folders of the machine: `unet_ap 1a2b3c4d`."""
    members = checkpoint.members
    name = f"{len(members)} networks" if members else shown(PurePath(checkpoint.path).stem)[:60]
    return f"{name} {checkpoint.sha256[:8]}"


def _prefix(prefix: str, own: bool, folder: str) -> str:
    """What stands before a name: as the format wants it, or as the user does."""
    if own:
        return prefix.format(data=quote(_encodable(folder, "data")))
    return prefix if not prefix or prefix.endswith(("/", "=")) else f"{prefix}/"


def _name(path: Path, folder: Path, image: str) -> str:
    """The name of a file below the data folder, which records may write with escapes."""
    return _encodable(path.relative_to(folder).as_posix(), image)


def _encodable(name: str, otherwise: str) -> str:
    """A name as UTF-8 can write it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return otherwise
    return name


def _write(request: ExportRequest, writer: Writer, written: Written) -> int:
    """Write the files; says how many others stay in their folder."""
    option = f"--to {writer.name}"
    if writer.ending is None:
        return write_named_folder(option, request.file, written.files, request.cwd)
    target = request.cwd / request.file
    # A device has nothing beside it.
    alone = os.path.lexists(target) and not os.path.isfile(target)
    beside = [] if alone else [name for name in written.files if name != target.name]
    for name in beside:
        if os.path.lexists(target.with_name(name)) and not request.force:
            raise UsageError(f"{request.file.with_name(name)}: exists; overwrite it with --force")
    for name in (target.name, *beside):
        write_named(option, request.file.with_name(name), written.files[name], request.cwd)
    return 0


def _notes(
    request: ExportRequest,
    writer: Writer,
    table: RunTable,
    exported: Sequence[OutgoingImage],
    left_out: Sequence[Failure],
    written: Written,
    others: int,
) -> tuple[str, ...]:
    notes = []
    reasons: dict[str, list[str]] = {}
    for failure in left_out:
        reasons.setdefault(failure.reason, []).append(failure.image)
    notes += [
        f"{counted(len(images), 'image')} not exported, {reason}: {_listed(images)}"
        for reason, images in reasons.items()
    ]
    if written.outside:
        notes.append(f"{counted(written.outside, 'keypoint')} left out, outside the image")
    if table.failures:
        notes.append(f"{counted(len(table.failures), 'image')} failed in the run and not exported")
    if writer.ending is not None and not request.file.name.lower().endswith(writer.ending):
        notes.append(f"its name does not end in {writer.ending}, by which tools know such files")
    names = {image.image for image in exported}
    rows = [row for row, image in enumerate(table.image) if image in names]
    turned = [table.image[row] for row in rows if table.orientation[row] > 1]
    if turned:
        notes.append(
            f"{counted(len(turned), 'image')} with an EXIF orientation, which tools heed and points do not:"
            f" {_listed(turned)}"
        )
    dicom = [image for image in names if image.lower().endswith(DICOM_ENDINGS)]
    if dicom and writer.name in NO_DICOM:
        notes.append(
            f"{counted(len(dicom), 'DICOM image')}, which {writer.title} does not show:"
            f" {_listed(sorted(dicom))}"
        )
    if others:
        notes.append(
            f"{counted(others, 'file')} of the same kind stayed in the folder, of no image of this export"
        )
    return tuple(notes)


def _listed(images: Sequence[str]) -> str:
    return ", ".join(map(one_line, images[:MOST_NAMED])) + ", …" * (len(images) > MOST_NAMED)
