"""Writing files so that a crash leaves either the old content or the new, and digests that tell if it has."""

import errno
import glob
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from mahtdiag.errors import RunFolderError, UsageError
from mahtdiag.opening import open_file

TEMPORARY_PREFIX: Final = ".tmp-"
# What a run consists of, see `mahtdiag.runs.reading`, which is slow to import.
RUN_FILES: Final = ("run.json", "images.parquet", "keypoints.parquet")

# What to do, where the command has these options, and where it has none.
RESUME: Final = "finish with --resume"
OUT: Final = "choose another place with --out"
AGAIN: Final = "start again"
ELSEWHERE: Final = "make it writable, or use another folder"

NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NOT_WRITABLE: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


@contextmanager
def reporting_write_errors(
    path: Path,
    after_no_space: str = RESUME,
    elsewhere: str = OUT,
) -> Iterator[None]:
    """Turns the operating system's refusal to write below `path` into one line that says what to do.

    `after_no_space` and `elsewhere`: what the command that writes can do then, by options that it has.

    Raises:
        RunFolderError: no space, not writable, a file where a folder is needed, or any other OSError.
    """
    try:
        yield
    except OSError as error:
        raise RunFolderError(f"{path}: {_advice(error, after_no_space, elsewhere)}") from error


def _advice(error: OSError, after_no_space: str, elsewhere: str) -> str:
    if error.errno in NO_SPACE:
        return f"no space left on the device; free some and {after_no_space}"
    if error.errno in _NOT_WRITABLE:
        return f"not writable; {elsewhere}"
    if error.errno == errno.EISDIR:
        return f"a folder stands where the file belongs; {elsewhere}"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return f"a file stands where a folder is needed; {elsewhere}"
    return f"cannot be written ({error.strerror or error}); {elsewhere}"


def replace_by_link(target: Path, to: str) -> bool:
    """Put a link to a folder in the place of `target`; False where that cannot be: nothing has changed."""
    temporary = target.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{target.name}")
    try:
        os.symlink(to, temporary, target_is_directory=True)
        os.replace(temporary, target)
    except (OSError, NotImplementedError, ValueError):
        return False
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return True


def remove_files(folder: Path, names: Sequence[str], *, with_parent: bool = False) -> None:
    """Remove these files, and the folder (and its parent) if nothing else is in it.

    What cannot be removed stays.
    """
    for name in names:
        with suppress(OSError):
            (folder / name).unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()
        if with_parent:
            folder.parent.rmdir()


@contextmanager
def replacing(target: Path, *, fresh: bool = False) -> Iterator[BinaryIO]:
    """A file to write into that takes the place of `target` when the block ends, whole or not at all.

    The content is on the disk before the name is, so that a power cut cannot leave an empty file under it.
    `fresh`: FileExistsError where there is one by then, as far as the file system can tell.
    """
    temporary = target.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{target.name}")
    try:
        # Nothing that waits under its name is written through.
        temporary.unlink(missing_ok=True)
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if not (fresh and _linked(temporary, target)):
            os.replace(temporary, target)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    _sync_folder(target.parent)


def _linked(file: Path, target: Path) -> bool:
    """A second name for a file, which nobody has; False where there are no second names."""
    try:
        os.link(file, target)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):
        return False
    return True


def write_file(
    folder: Path,
    name: str,
    content: bytes,
    *,
    after_no_space: str = AGAIN,
    elsewhere: str = ELSEWHERE,
    parents: bool = True,
) -> Path:
    """Puts a further file (`overlays/0001.png`, `report.html`) into a run folder, whole or not at all.

    `parents`: whether the folder is made where it is missing.

    Raises:
        RunFolderError: the folder cannot be written to, or a link in it leads elsewhere.
    """
    require_own(folder, Path(name).parent)
    target = folder / name
    with reporting_write_errors(target.parent, after_no_space, elsewhere):
        target.parent.mkdir(parents=parents, exist_ok=True)
    with reporting_write_errors(target, after_no_space, elsewhere), replacing(target) as file:
        file.write(content)
    return target


def require_there(run: Path) -> None:
    """Raise RunFolderError where a run folder that was read is gone: it would come back without its run."""
    if not run.is_dir():
        raise RunFolderError(f"{run}: somebody has removed it meanwhile; evaluate again")


def require_own(folder: Path, inner: Path | str) -> None:
    """Raise RunFolderError where a folder in a run folder is a link, which would write files elsewhere.

    The last file of a path is no matter: it is replaced, not written through.
    """
    place = folder
    for part in Path(inner).parts:
        place /= part
        if place.is_symlink():
            raise RunFolderError(f"{place}: a link in a run folder, which is not followed; remove it")


def write_named(
    option: str, path: Path, content: bytes, cwd: Path | None = None, *, fresh: bool = False
) -> None:
    """Writes the file that an option names, whole or not at all; missing folders are made.

    A link is followed, and a character device (`/dev/null`) is written into. A relative `path` begins at
    `cwd`, by default the current folder. `fresh`: there must be none yet. Raises UsageError where it cannot
    be written.
    """
    target = require_file(option, path, cwd)
    remove_abandoned(target.parent, target.name)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not target.is_file():
            target.write_bytes(content)
        else:
            with replacing(target, fresh=fresh) as file:
                file.write(content)
    except (FileExistsError, NotADirectoryError):
        if fresh and target.is_file():
            raise UsageError(f"{option} {path}: somebody has written it meanwhile; name another") from None
        raise UsageError(f"{option} {path}: a file stands where a folder is needed; name another") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"{option} {path}: cannot be written ({reason}); name another file") from error


def write_named_folder(option: str, path: Path, files: Mapping[str, bytes], cwd: Path | None = None) -> int:
    """Writes files, by their paths with `/`, into the folder that an option names.

    Says how many others of the same endings stay in it. A folder that was not there, or was empty, appears
    whole or not at all; in another one every file is written whole or not at all. Nothing is written outside
    it: not by a path, not through a link in it. Raises UsageError where it cannot be written.
    """
    target = require_folder(option, path, cwd)
    for folder in (target.parent, target):
        remove_abandoned(folder, target.name)
    temporary = target.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{target.name}")
    others = 0
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir() and any(target.iterdir()):
            # Within it: it may be a disk of its own.
            temporary = target / temporary.name
            others = _others(target, files)
        try:
            _write_all(temporary, files)
            if temporary.parent == target:
                _move_all(temporary, target, files)
            else:
                if target.is_dir():
                    target.rmdir()
                os.replace(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        _sync_folder(target.parent)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise UsageError(f"{option} {path}: a file and a folder of one name; name another folder") from error
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise UsageError(f"{option} {path}: cannot be written ({reason}); name another folder") from error
    return others


def _others(folder: Path, files: Mapping[str, bytes]) -> int:
    """How many files there are whose ending is one of these, but whose name is not."""
    endings = {Path(name).suffix for name in files}
    found = (file for file in folder.rglob("*") if file.suffix in endings and file.is_file())
    return sum(file.relative_to(folder).as_posix() not in files for file in found)


def _write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    """Raises ValueError, before anything is written, for a path that leads out of the folder."""
    for name in files:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ValueError(f"{name} leads out of it")
    folder.mkdir()
    for name, content in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    for name in files:
        # The folder may have been removed, and made again for what came after.
        os.stat(folder / name)
    if hasattr(os, "sync"):
        # Once for all of them: thousands of files take minutes one by one.
        os.sync()


def _move_all(source: Path, target: Path, files: Mapping[str, bytes]) -> None:
    places = {name: target / name for name in files}
    for name, place in places.items():
        if not place.parent.resolve().is_relative_to(target):
            raise ValueError(f"{name} leads out of it")
    for name, place in places.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(source / name, place)


def require_file(option: str, path: Path, cwd: Path | None = None) -> Path:
    """The absolute place of a file that an option names.

    Raises UsageError for `-`, where a folder has that name, a pipe, a socket or a disk, or where a run would
    lose what the other commands read.
    """
    if str(path) == "-":
        raise UsageError(f"{option} -: not standard output; name a file")
    target = ((cwd or Path()) / path).resolve()
    # Unlike Path.is_dir it takes every name: what is wrong with one is said where it is written.
    if os.path.isdir(target):
        raise UsageError(f"{option} {path}: a folder; name a file")
    if os.path.exists(target) and not (os.path.isfile(target) or stat.S_ISCHR(os.stat(target).st_mode)):
        raise UsageError(f"{option} {path}: a pipe or a device; name a regular file")
    if target.name in RUN_FILES and os.path.isfile(target):
        raise UsageError(f"{option} {path}: a file of a run; name another file")
    return target


def require_folder(option: str, path: Path, cwd: Path | None = None) -> Path:
    """The absolute place of a folder that an option names; raises UsageError where something else is."""
    target = ((cwd or Path()) / path).resolve()
    if os.path.lexists(target) and not os.path.isdir(target):
        raise UsageError(f"{option} {path}: a file stands where a folder is needed; name another folder")
    return target


def _sync_folder(folder: Path) -> None:
    # Not every system lets a folder be opened or synced; the rename itself has already happened.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_abandoned(folder: Path, name: str = "") -> None:
    """Remove what killed processes left half written in a folder, of all files or of one name.

    A process that still runs keeps its own; what cannot be told or removed stays.
    """
    if os.name != "posix":
        return
    with suppress(OSError):
        for leftover in folder.glob(f"{TEMPORARY_PREFIX}*-{glob.escape(name) or '*'}"):
            process = leftover.name.removeprefix(TEMPORARY_PREFIX).partition("-")[0]
            if process.isdecimal() and not _runs(int(process)):
                is_folder = leftover.is_dir() and not leftover.is_symlink()
                shutil.rmtree(leftover, ignore_errors=True) if is_folder else leftover.unlink()


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def remove_temporary_files(folder: Path) -> None:
    """Removes what a killed process left half written in `folder` (not below it)."""
    for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
        with suppress(OSError):
            leftover.unlink()


def file_sha256(path: Path) -> str:
    """Digest of a file. Raises OSError where it cannot be read."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(lines: Sequence[str]) -> str:
    """SHA-256 over lines in sorted order."""
    return hashlib.sha256("\n".join(sorted(lines)).encode("utf-8", "surrogateescape")).hexdigest()
