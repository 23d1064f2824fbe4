"""What to say of radiographs beside which lies something that is no annotation of a known format."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from mahtdiag.data.files import PATIENTS_FILE, SPACING_FILE, list_folder
from mahtdiag.data.folders import content_of
from mahtdiag.data.image_index import ImageIndex
from mahtdiag.data.readers.buu_lspine import EXTENSION
from mahtdiag.data.readers.tables import cells_of
from mahtdiag.errors import DataError
from mahtdiag.opening import LARGEST_BYTES, require_regular
from mahtdiag.schema.safe_text import brief, shown

_MOST_NAMED: Final = 3
_MOST_COLUMNS: Final = 12
_DEEPEST: Final = 2


def unrecognised(path: Path) -> DataError | None:
    """Names what lies beside the images; None where no image is there, or one has a CSV of its name."""
    if not path.is_dir():
        return None
    index = ImageIndex.of(path)
    if not index.by_name or _has_own_annotation(path):
        return None
    named = list(islice(_others(path, index), _MOST_NAMED + 1))
    if not named:
        return None
    listed = ", ".join(named[:_MOST_NAMED]) + ", …" * (len(named) > _MOST_NAMED)
    return DataError(
        f"{shown(path)}: no annotations of a known format beside the images (looked at {listed}):"
        " docs/data.md says what is read, --data-format NAME names a format, --no-labels takes the"
        " images alone"
    )


def _has_own_annotation(path: Path) -> bool:
    """Whether an image here, or in a folder right below, has a CSV of its name: a wrong one is then said."""
    folders = [path, *(path / name for name in content_of(path).folders)]
    entries = (entry for folder in folders for entry in list_folder(folder, EXTENSION).entries.values())
    return any(entry.images and entry.annotations for entry in entries)


def _others(path: Path, index: ImageIndex) -> Iterator[str]:
    """Files that are no images, near ones first, tables with their columns."""
    level = [path]
    for _ in range(_DEEPEST + 1):
        below: list[Path] = []
        for folder in level:
            content = content_of(folder)
            below += [folder / name for name in content.folders]
            for name in sorted(name for names in content.files.values() for name in names):
                if name not in (SPACING_FILE, PATIENTS_FILE) and not index.has(name):
                    file = folder / name
                    yield shown(file.relative_to(path)) + (_too_large(file) or _columns(file))
        level = below


def _too_large(file: Path) -> str:
    try:
        size = require_regular(file)
    except OSError as error:
        return f", {error.strerror}"
    return f" of {size:,} bytes, where {LARGEST_BYTES:,} are read at most" if size > LARGEST_BYTES else ""


def _columns(file: Path) -> str:
    cells = cells_of(file) if file.suffix.lower() in (EXTENSION, ".tsv") else []
    if len(cells) < 2:
        return ""
    return brief(f" with the columns {', '.join(cells[:_MOST_COLUMNS])}") + ", …" * (
        len(cells) > _MOST_COLUMNS
    )
