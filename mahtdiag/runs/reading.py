"""Reading run folders: the document as a validated model, the tables as arrays; which run is the latest."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from mahtdiag.diagnosis.columns import Values
from mahtdiag.diagnosis.run_table import COLUMNS, IMAGES_AT_ONCE, RunTable
from mahtdiag.errors import RunFolderError
from mahtdiag.opening import read_bytes
from mahtdiag.runs.document import CHANGED, LARGEST_BYTES, MOST_MARKS, RunDocument, parse_document
from mahtdiag.runs.files import file_sha256, remove_abandoned, replace_by_link, replacing
from mahtdiag.runs.parquet_files import iter_tables, row_count
from mahtdiag.runs.stored_columns import StoredColumns
from mahtdiag.runs.tables import (
    Columns,
    PartFiles,
    images_schema,
    keypoints_schema,
    read_images,
    read_keypoints,
)
from mahtdiag.schema.json_values import parsed
from mahtdiag.schema.records import Failure
from mahtdiag.schema.safe_text import brief
from mahtdiag.schema.skeleton import Skeleton, View

DOCUMENT: Final = "run.json"
IMAGES: Final = "images.parquet"
KEYPOINTS: Final = "keypoints.parquet"
PARTS: Final = "parts"
MOST_FOLDERS_DEEP: Final = 3
LONGEST_NUMBER: Final = 9
IMAGES_HELD: Final = IMAGES_AT_ONCE
"""Of a run of no more images all columns are in memory; of a larger one those that were asked for last."""


@dataclass(frozen=True)
class Run:
    """A run folder that can be read, complete or not.

    `merged`: its two tables are there and up to date. `cwd`: the folder from which a person names files.
    """

    path: Path
    document: RunDocument
    merged: bool
    cwd: Path = Path()
    _read: list[RunTable] = field(default_factory=list, compare=False, repr=False)

    @property
    def skeleton(self) -> Skeleton:
        """The keypoints of all its images."""
        return self.document.skeleton

    @property
    def view(self) -> View:
        """The view of all its images."""
        return self.document.view

    @property
    def label(self) -> str:
        """What a person calls it."""
        return self.named(self.path)

    def named(self, path: Path) -> str:
        """A path as short as it can be named from the current folder."""
        return str(path.relative_to(self.cwd) if path.is_relative_to(self.cwd) else path)

    def closed(self) -> "Run":
        """The same run, of which nothing is held in memory."""
        return replace(self, _read=[])

    @property
    def sealed(self) -> bool:
        """Whether its files are known to be as the run wrote them; runs of earlier versions cannot tell."""
        return self.document.checksums is not None

    def table(self, columns: Columns = COLUMNS) -> RunTable:
        """The evaluated images and those that failed, always the same table; it has these columns at least.

        Some columns need less time and memory than all; those that are there already are not read again.

        Raises:
            RunFolderError: a table is missing or damaged, or does not fit the other.
        """
        if not self._read:
            self._read.append(self._with((RunTable.image, *columns)))
        (table,) = self._read
        missing = [column for column in columns if not table.has(column)]
        if missing:
            table.read_also(self._values((RunTable.image, *missing))[0])
        return table

    def _is_large(self) -> bool:
        """Whether columns are read when they are asked for, not all at once; those of parts may change."""
        return self.merged and (row_count(self.path / IMAGES) or 0) > IMAGES_HELD

    def _with(self, columns: Columns) -> RunTable:
        values, failures = self._values(columns)
        found, told = (len(values[RunTable.image.name]), len(failures)), self.document.images
        if self.document.status == "complete" and found != (told.evaluated, told.failed):
            raise RunFolderError(
                f"{self.label}: its tables have {found[0]:,} images and {found[1]:,} failed ones, run.json "
                f"{told.evaluated:,} and {told.failed:,}; damaged, evaluate again"
            )
        return RunTable(self.skeleton, values, conditions=self.document.conditions, failures=failures)

    def _values(self, columns: Columns) -> tuple[Mapping[str, Values], tuple[Failure, ...]]:
        wanted = [column for column in dict.fromkeys(columns) if column.compute is None]
        if self._is_large():
            stored = StoredColumns(self.path / IMAGES, self.path / KEYPOINTS, self.skeleton, self.label)
            return stored.columns(wanted), stored.failures
        of_images = [column for column in wanted if not column.of_keypoints]
        of_keypoints = [column for column in wanted if column.of_keypoints]
        images, failures = read_images(self._image_rows(of_images), of_images)
        names, keypoints = self._keypoints(of_keypoints)
        if len(set(names)) != len(names):
            raise RunFolderError(f"{self.label}: its tables list an image twice; damaged, evaluate again")
        if names != images[RunTable.image.name]:
            raise RunFolderError(f"{self.label}: its tables list different images; damaged, evaluate again")
        return images | keypoints, failures

    def _image_rows(self, columns: Columns) -> pa.Table:
        shas = (RunTable.image_sha256, RunTable.annotation_sha256)
        schema = images_schema(self.skeleton, [*columns, *(sha for sha in shas if sha not in columns)])
        tables = iter_tables(self.path / IMAGES, schema) if self.merged else self._parts.images()
        return pa.concat_tables([schema.empty_table(), *(table.select(schema.names) for table in tables)])

    def _keypoints(self, columns: Columns) -> tuple[tuple[str, ...], dict[str, Values]]:
        skeleton, parts = self.skeleton, self._parts
        if self.merged:
            path = self.path / KEYPOINTS
            tables = iter_tables(path, keypoints_schema(self.skeleton, columns))
            return read_keypoints(tables, row_count(path) or 0, columns, skeleton, path)
        rows = sum(row_count(parts.keypoints_path(part)) or 0 for part in parts.ranges())
        return read_keypoints(parts.keypoints(), rows, columns, skeleton, parts.root / "keypoints")

    @property
    def _parts(self) -> PartFiles:
        return PartFiles(self.path / PARTS, self.skeleton)


def open_run(path: Path | None, cwd: Path) -> Run:
    """The run in folder `path` (relative to `cwd`), or the newest finished one (None, `latest`).

    `3` and `FOLDER/3`, where there is no such folder, are the third run of `runs/` and of FOLDER, as
    `mahtdiag runs` numbers them.

    An interrupted run, also one whose process was killed, is read as far as it got.

    Raises:
        RunFolderError: no run yet, the folder is gone or is none, its `run.json` cannot be read, or a file of
            it is not as the run wrote it.
    """
    folder = latest_run(cwd) if path is None or is_latest(path, cwd) else _named_run(cwd / path, path, cwd)
    document = read_document(folder)
    require_unchanged(folder, document)
    return Run(folder, document, merged=document.status == "complete", cwd=cwd)


def open_finished(path: Path | None, cwd: Path) -> Run:
    """A run that is complete; the latest where `path` is None.

    Raises:
        RunFolderError: as `open_run`, or the run was interrupted.
    """
    run = open_run(path, cwd)
    if run.document.status != "complete":
        images = run.document.images
        raise RunFolderError(
            f"{run.label}: interrupted after {images.evaluated + images.failed} of {images.total} images; "
            f"finish it with evaluate --out {run.label} --resume"
        )
    return run


def require_unchanged(folder: Path, document: RunDocument) -> None:
    """Compare the tables of a run with the checksums in its document, if it has any.

    Raises:
        RunFolderError: a table is gone or not as the run wrote it, one line each.
    """
    if document.checksums is None:
        return
    problems = []
    stored = {IMAGES: document.checksums.images_parquet, KEYPOINTS: document.checksums.keypoints_parquet}
    for name, sha256 in stored.items():
        try:
            if file_sha256(folder / name) != sha256:
                problems.append(f"{folder / name}: {CHANGED}")
        except FileNotFoundError:
            problems.append(f"{folder / name}: missing from the run folder; evaluate again")
        except OSError as error:
            problems.append(f"{folder / name}: cannot be read ({error.strerror or error})")
    if problems:
        raise RunFolderError(*problems)


def read_document(folder: Path) -> RunDocument:
    """The `run.json` of a run folder.

    Raises:
        RunFolderError: no such folder, not a run folder, or a damaged or unknown document.
    """
    try:
        if not folder.exists():
            raise RunFolderError(
                f"{folder}: no such run folder; check the name, or name latest, the newest run"
            )
        if not folder.is_dir():
            raise RunFolderError(f"{folder}: a file, not a run folder; name the folder that holds {DOCUMENT}")
        text = read_bytes(folder / DOCUMENT, LARGEST_BYTES)
    except FileNotFoundError as error:
        raise RunFolderError(f"{folder}: not a run folder, it has no {DOCUMENT}; check the name") from error
    except OSError as error:
        raise RunFolderError(f"{folder / DOCUMENT}: cannot be read ({error.strerror or error})") from error
    return parse_document(text, str(folder / DOCUMENT))


def _named_run(folder: Path, path: Path, cwd: Path) -> Path:
    """The folder, or the run that it gives the number of; raises RunFolderError for a number of none."""
    if not path.name.isdecimal() or os.path.lexists(folder):
        return folder
    among = cwd / RUNS if path.parent == Path() else folder.parent
    found = list_runs(among)
    if not found:
        return folder
    number = int(path.name[:LONGEST_NUMBER])
    if not 1 <= number <= len(found):
        raise RunFolderError(
            f"{path}: no run has this number; `mahtdiag runs` lists {len(found)}, from 1 to {len(found)}"
        )
    return found[number - 1]


def list_runs(folder: Path) -> tuple[Path, ...]:
    """The runs in a folder and in folders within it, in the order in which they were started.

    That is the order of their numbers. A folder counts where its `run.json` says when it was started,
    whatever else is wrong with it.
    """
    started = ((_started(found), found) for found in run_folders(folder))
    return tuple(found for _, found in sorted((time, path) for time, path in started if time is not None))


def run_folders(folder: Path, depth: int = MOST_FOLDERS_DEEP) -> Iterator[Path]:
    """Folders that hold a `run.json`, by name; links are not followed, and in a run nothing is looked for."""
    for inner in inner_folders(folder):
        if os.path.lexists(inner / DOCUMENT):
            yield inner
        elif depth > 1:
            yield from run_folders(inner, depth - 1)


def inner_folders(folder: Path) -> list[Path]:
    """The folders in a folder, without hidden ones and links; none where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if e.is_dir(follow_symlinks=False) and e.name[0] != "."]
    except OSError:
        return []
    return [folder / name for name in sorted(names)]


def _started(folder: Path) -> datetime | None:
    """When a run was started, as far as its document says so."""
    try:
        content: Any = parsed(read_bytes(folder / DOCUMENT, LARGEST_BYTES), MOST_MARKS, "failures")
        time = datetime.fromisoformat(content["started"])
        return time if time.tzinfo else time.replace(tzinfo=UTC)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


RUNS: Final = "runs"
LATEST: Final = "latest"
_LONGEST_STEM: Final = 60
# Of a file that names the newest run, where the system has no links.
_LONGEST_POINTER: Final = 65_536


def default_run_path(checkpoint_stem: str, now: datetime, cwd: Path | None = None) -> Path:
    """`runs/20261123T101500Z-ckpt`, relative to `cwd`, with `-2`, `-3`, … added while it exists there."""
    safe = re.sub(r"[^\w.+-]+", "-", checkpoint_stem)[:_LONGEST_STEM].strip("-.") or "checkpoint"
    name = f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{safe}"
    base = cwd or Path()
    path, number = Path(RUNS) / name, 2
    while (base / path).exists():
        path = Path(RUNS) / f"{name}-{number}"
        number += 1
    return path


def claim_run_path(checkpoint_stem: str, now: datetime, cwd: Path | None = None) -> Path:
    """`default_run_path`, as an empty folder that no other process has: of two that start at once, each one.

    What keeps it from being made is told where the run is begun.
    """
    while True:
        path = default_run_path(checkpoint_stem, now, cwd)
        place = (cwd or Path()) / path
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
        except OSError:
            return path
        try:
            place.mkdir()
        except FileExistsError:
            continue
        except OSError:
            return path
        return path


def publish_latest(run: Path, cwd: Path) -> str | None:
    """Names `run` as the newest finished run in `cwd/runs/latest`; returns a note if that is not possible.

    That is a link to the run, or where the system has none a text file with its path: relative to `cwd/runs`
    if the run lies in there, otherwise absolute.
    """
    runs = (cwd / RUNS).resolve()
    target = (cwd / run).resolve()
    inside = target.is_relative_to(runs) and target != runs
    named = target.relative_to(runs).as_posix() if inside else str(target)
    try:
        runs.mkdir(parents=True, exist_ok=True)
        remove_abandoned(runs, LATEST)
        if not replace_by_link(runs / LATEST, named):
            with replacing(runs / LATEST) as file:
                file.write(f"{named}\n".encode())
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return f"{cwd / RUNS / LATEST} not updated ({reason}); name the run folder in the next command"
    return None


def is_latest(path: Path, cwd: Path) -> bool:
    """Whether a name means the newest finished run: `latest`, `runs/latest`, unless a folder is there."""
    named = path in (Path(LATEST), Path(RUNS) / LATEST, cwd / RUNS / LATEST)
    return named and (not (cwd / path).is_dir() or (cwd / path).is_symlink())


def latest_run(cwd: Path) -> Path:
    """The run folder named by `cwd/runs/latest` (a link to the folder, or a text file).

    Raises:
        RunFolderError: there is none, it cannot be read, or the folder it names is gone.
    """
    pointer = cwd / RUNS / LATEST
    try:
        is_link = pointer.is_symlink()
        content = os.readlink(pointer) if is_link else read_bytes(pointer, _LONGEST_POINTER).decode().strip()
    except FileNotFoundError as error:
        raise RunFolderError(
            f"{pointer}: no finished run yet; run `mahtdiag evaluate CHECKPOINT DATA` or name a run folder"
        ) from error
    except UnicodeError as error:
        raise RunFolderError(f"{pointer}: cannot be read (not UTF-8); name a run folder") from error
    except OSError as error:
        reason = error.strerror or error
        raise RunFolderError(f"{pointer}: cannot be read ({reason}); name a run folder") from error
    run = cwd / RUNS / content
    if not content or not os.path.isdir(run):
        what = "is no run folder" if content and os.path.exists(run) else "is gone"
        raise RunFolderError(
            f"{pointer}: names '{brief(content, 200)}', which {what}; name another run or evaluate again"
        )
    return run
