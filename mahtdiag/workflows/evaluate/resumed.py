"""What a run that is gone on with has to have in common with its beginning, beside its settings."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.errors import RunFolderError
from mahtdiag.runs.document import Environment
from mahtdiag.runs.files import file_sha256
from mahtdiag.runs.reading import Run
from mahtdiag.schema.records import Sample

_READERS: Final = 4
_COMPARED: Final = (
    ("threads", "threads"),
    ("device_name", "device"),
    ("torch", "torch"),
    ("python", "python"),
    ("platform", "platform"),
)


def require_same_images(run: Run, samples: Sequence[Sample]) -> None:
    """Read the images that were evaluated, or failed, again and compare their SHA-256 with those of then.

    Images whose content was not read then, or cannot be read now, are not compared. Raises RunFolderError,
    one line, where an image is another one: its predictions would be taken for those of the new one.
    """
    table = run.table((RunTable.image_sha256,))
    then = dict(zip(table.image, table.image_sha256, strict=True))
    then |= {failure.image: failure.image_sha256 for failure in table.failures}
    there = [sample for sample in samples if sample.path and then.get(sample.image) is not None]
    with ThreadPoolExecutor(_READERS) as pool:
        now = pool.map(_sha256, (sample.path for sample in there))
    changed = [s.image for s, sha in zip(there, now, strict=True) if sha not in (None, then[s.image])]
    if changed:
        more = f" and {len(changed) - 1:,} more" if len(changed) > 1 else ""
        raise RunFolderError(
            f"{run.label}: cannot be resumed, images are others now than when they were evaluated: "
            f"{changed[0]}{more}; restore them or choose another --out"
        )


def _sha256(path: str) -> str | None:
    try:
        return file_sha256(Path(path))
    except OSError:  # the evaluation will say so
        return None


def environment_notes(then: Environment, now: Environment) -> tuple[str, ...]:
    """A note on what the machine has otherwise than when the run began; none where that is nothing.

    The same network may give other last digits with another number of threads or another version.
    """
    pairs = [(word, getattr(then, name), getattr(now, name)) for name, word in _COMPARED]
    names = [*then.packages, *(name for name in now.packages if name not in then.packages)]
    pairs += [(name, then.packages.get(name), now.packages.get(name)) for name in names]
    changed = [f"{word} {_said(old)} → {_said(new)}" for word, old, new in pairs if old != new]
    if not changed:
        return ()
    return (
        f"resumed on a machine that is not as before: {', '.join(changed)}; numbers of the images before and "
        "after may differ in their last digits",
    )


def _said(value: object) -> str:
    return "not known" if value is None else str(value)
