"""Which run is the newest finished one, and what a new one is called."""

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from mahtdiag.errors import RunFolderError
from mahtdiag.runs.files import replacing

RUNS: Final = "runs"
LATEST: Final = "latest"
_LONGEST_STEM: Final = 60


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


def publish_latest(run: Path, cwd: Path) -> str | None:
    """Names `run` as the newest finished run in `cwd/runs/latest`; returns a note if that is not possible.

    The file holds the path relative to `cwd/runs` if the run lies in there, otherwise the absolute path.
    """
    runs = (cwd / RUNS).resolve()
    target = (cwd / run).resolve()
    inside = target.is_relative_to(runs) and target != runs
    try:
        runs.mkdir(parents=True, exist_ok=True)
        with replacing(runs / LATEST) as file:
            file.write(f"{target.relative_to(runs).as_posix() if inside else target}\n".encode())
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return f"{cwd / RUNS / LATEST} not updated ({reason}); name the run folder in the next command"
    return None


def is_latest(path: Path, cwd: Path) -> bool:
    """Whether a name means the newest finished run: `latest`, `runs/latest`, unless a folder is there."""
    named = path in (Path(LATEST), Path(RUNS) / LATEST, cwd / RUNS / LATEST)
    return named and not (cwd / path).is_dir()


def latest_run(cwd: Path) -> Path:
    """The run folder named by `cwd/runs/latest` (a text file, or a link to the folder).

    Raises:
        RunFolderError: there is none, it cannot be read, or the folder it names is gone.
    """
    pointer = cwd / RUNS / LATEST
    if pointer.is_symlink() and pointer.is_dir():
        return pointer.resolve()
    try:
        content = pointer.read_text(encoding="utf-8").strip()
    except FileNotFoundError as error:
        raise RunFolderError(
            f"{pointer}: no finished run yet; run `mahtdiag evaluate CHECKPOINT DATA` or name a run folder"
        ) from error
    except (OSError, UnicodeError) as error:
        raise RunFolderError(f"{pointer}: cannot be read ({error}); name a run folder") from error
    run = cwd / RUNS / content
    if not content or not os.path.isdir(run):
        raise RunFolderError(
            f"{pointer}: names '{content}', which is gone; name another run or evaluate again"
        )
    return run
