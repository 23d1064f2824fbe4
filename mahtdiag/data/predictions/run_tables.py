"""The product's own predictions: `keypoints.parquet`, or the run folder that holds it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.data.labelled import ImageLabels, Shape
from mahtdiag.data.predictions.content import head
from mahtdiag.data.predictions.predicted import PredictedFile, SetOfImages, columns
from mahtdiag.errors import DataError
from mahtdiag.opening.parquet import Texts, checked_pages, parquet_source
from mahtdiag.schema.safe_text import shown, unrecorded

_FILE: Final = "keypoints.parquet"
_MAGIC: Final = b"PAR1"
_NAMES: Final = ("image", "vertebra", "corner")
_NUMBERS: Final = ("pred_x", "pred_y", "sigma_x", "sigma_y", "peak")
_NEEDED: Final = (*_NAMES, "pred_x", "pred_y")
_MOST_ROWS: Final = 200_000_000
_ROWS_AT_ONCE: Final = 65_536
# What is all the same packs well; what is predicted for images is not.
_ROWS_OF_ANY: Final = 1_000_000
_ROWS_PER_BYTE: Final = 16
_MOST_OF_IMAGE: Final = 4096
_MOST_OF_NAME: Final = 2
Rows = tuple[tuple[str, ...], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class RunTables:
    """The reader (see `PredictionReader`)."""

    name: str = "mahtdiag"
    title: str = "keypoints.parquet of mahtdiag"
    looks_like: str = "keypoints.parquet, or a run folder with it"

    def recognises(self, path: Path) -> bool:
        """A Parquet file, or a folder with that of a run."""
        return head(path / _FILE if path.is_dir() else path).startswith(_MAGIC)

    def read(self, path: Path, of: SetOfImages) -> PredictedFile:
        """Of each image pred_x, pred_y, with sigma_x, sigma_y and peak, the score, where they are there."""
        # Takes a while, and is needed here alone.
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = path / _FILE if path.is_dir() else path
        name = shown(file.relative_to(path.parent))
        try:
            with parquet_source(file) as content, pq.ParquetFile(content, pre_buffer=False) as opened:
                size = file.stat().st_size
                _require_columns(opened, name, of, size)
                wanted = [each for each in (*_NAMES, *_NUMBERS) if each in opened.schema_arrow.names]
                groups = range(opened.num_row_groups)
                packed = checked_pages(content, opened.metadata, size, wanted, groups)
                whole = pq.ParquetFile(content, pre_buffer=False, read_dictionary=packed)
                batches, texts = whole.iter_batches(_ROWS_AT_ONCE, columns=wanted), Texts(size)
                images = tuple(_images(map(texts.of, batches), name))
        except (OSError, ValueError, pa.ArrowException, MemoryError) as error:
            said = shown(" ".join(str(error).split())[:100])
            raise DataError(f"{name}: cannot be read: {said}: evaluate again") from error
        return PredictedFile(images, (file,))


def _require_columns(opened: Any, name: str, of: SetOfImages, size: int) -> None:
    """Raises DataError where the table is of something else or of another view."""
    twice = [each for each, count in Counter(opened.schema_arrow.names).items() if count > 1]
    if {*twice} & {*_NAMES, *_NUMBERS}:
        raise DataError(f"{name}: column {shown(twice[0])} is there twice: evaluate again")
    lacking = [each for each in _NEEDED if each not in opened.schema_arrow.names]
    if lacking:
        raise DataError(f"{name}: no column {', '.join(lacking)}: name the {_FILE} of a run")
    most = min(_MOST_ROWS, _ROWS_OF_ANY + _ROWS_PER_BYTE * size)
    if opened.metadata.num_rows > most:
        raise DataError(f"{name}: {opened.metadata.num_rows} rows in {size} bytes: at most {most}")
    view = (opened.schema_arrow.metadata or {}).get(b"view", b"").decode("ascii", "replace")
    if view not in ("", of.skeleton.view.value):
        raise DataError(f"{name}: predictions of the view {shown(view)}, the data are {of.skeleton.view}")


def _images(batches: Any, name: str) -> Iterator[ImageLabels]:
    """An image for each run of rows with one name; of more than two of a name the first two."""
    seen: Counter[str] = Counter()
    image: str | None = None
    row = began = 0
    rows: list[Rows] = []
    for batch in filter(len, batches):
        found, keypoints, values = _columns(batch, name)
        ends = [*np.flatnonzero(found[1:] != found[:-1]) + 1, len(found)]
        first = 0
        for end in ends:
            if image is not None and found[first] != image:
                if seen[image] <= _MOST_OF_NAME:
                    yield _labels(unrecorded(image), f"{name}, row {began}", rows, row - began)
                began, rows, image = row, [], None
            if image is None:
                image = str(found[first])
                seen[image] += 1
            if row - began <= _MOST_OF_IMAGE:
                rows.append((tuple(keypoints[first:end]), values[first:end]))
            row += end - first
            first = end
    if image is not None and seen[image] <= _MOST_OF_NAME:
        yield _labels(unrecorded(image), f"{name}, row {began}", rows, row - began)


def _columns(batch: Any, name: str) -> tuple[NDArray[np.object_], list[str], NDArray[np.float64]]:
    """Image and keypoint of each row as names, and the columns of its point."""
    listed = {each: batch.column(each).to_pylist() for each in _NAMES}
    if any(not isinstance(text, str) for texts in listed.values() for text in texts):
        raise DataError(f"{name}: image, vertebra and corner are not names: evaluate again")
    keypoints = [f"{v} {c}" for v, c in zip(listed["vertebra"], listed["corner"], strict=True)]
    numbers = [
        batch.column(each).cast("float64").to_numpy(zero_copy_only=False)
        if each in batch.schema.names
        else np.full(batch.num_rows, np.nan)
        for each in _NUMBERS
    ]
    points, sigma, score = np.stack(numbers[:2], axis=1), np.stack(numbers[2:4], axis=1), numbers[4]
    return np.array(listed["image"], dtype=object), keypoints, columns(points, sigma, score)


def _labels(image: str, where: str, rows: list[Rows], count: int) -> ImageLabels:
    names = tuple(name for part, _ in rows for name in part)
    if count > len(names):
        return ImageLabels(image, where, (), problem=f"{count} rows for one image")
    if len(set(names)) < len(names):
        return ImageLabels(image, where, (), problem="a keypoint has two rows")
    return ImageLabels(image, where, (Shape("", names, np.concatenate([values for _, values in rows])),))
