"""Reading run folders: the document as a validated model, the tables as arrays."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mahtdiag.diagnosis.columns import Values
from mahtdiag.diagnosis.run_table import COLUMNS, RunTable
from mahtdiag.errors import RunFolderError
from mahtdiag.runs.blocks import Blocks, fill_by_image, require_rows
from mahtdiag.runs.checksums import file_sha256
from mahtdiag.runs.document import CHANGED, RunDocument, parse_document
from mahtdiag.runs.latest import is_latest, latest_run
from mahtdiag.runs.parts import Parts, iter_tables, row_count
from mahtdiag.runs.settings import RunSettings
from mahtdiag.runs.tables import OK, Columns, images_schema, keypoints_schema, read_images, read_keypoints
from mahtdiag.schema.readings import PeakPlaces
from mahtdiag.schema.samples import Failure
from mahtdiag.schema.skeleton import View

DOCUMENT: Final = "run.json"
IMAGES: Final = "images.parquet"
KEYPOINTS: Final = "keypoints.parquet"
PARTS: Final = "parts"

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ImageColumns:
    """The images of a run, failed ones included, by name: one entry per image in every column.

    Numbers are NaN, texts None, where an image has no such value; `violations` is empty for failed images.
    """

    image: tuple[str, ...]
    ok: Bools
    reason: tuple[str | None, ...]
    width: Floats
    height: Floats
    pixel_spacing_mm: Floats
    sex: tuple[str | None, ...]
    age_years: Floats
    loss_total: Floats
    loss_heatmap: Floats
    loss_coord: Floats
    loss_anatomical: Floats
    loss_order: Floats
    loss_parallel: Floats
    loss_ratio: Floats
    loss_uncertainty: Floats
    loss_heatmap_keypoint_share: Floats
    radial_error_px: Floats
    max_error_px: Floats
    violations: tuple[tuple[str, ...], ...]
    image_sha256: tuple[str | None, ...]
    annotation_sha256: tuple[str | None, ...]

    def failures(self) -> tuple[Failure, ...]:
        """The images that could not be evaluated."""
        rows = zip(
            self.image, self.reason, self.image_sha256, self.annotation_sha256, self.ok.tolist(), strict=True
        )
        return tuple(
            Failure(image, reason or "unknown", image_sha256, annotation_sha256)
            for image, reason, image_sha256, annotation_sha256, ok in rows
            if not ok
        )


@dataclass(frozen=True, slots=True)
class KeypointColumns:
    """The keypoints of the N evaluated images of a run, by image name; NaN where undefined.

    Points and σ `[N, K, 2]` and spread `[N, K, 3]` (xx, xy, yy) in original pixels, `at_min` and `at_max`
    `[N, K, 2]`, the rest `[N, K]`. The two parts of σ and `peaks` are NaN throughout in a run that an earlier
    version has written.
    """

    view: View
    image: tuple[str, ...]
    gt_px: Floats
    pred_px: Floats
    error_px: Floats
    error_mm: Floats
    sigma_px: Floats
    sigma_aleatoric_px: Floats
    sigma_epistemic_px: Floats
    spread_px2: Floats
    peak: Floats
    flags: NDArray[np.int64]
    at_min: Bools
    at_max: Bools
    peaks: PeakPlaces


@dataclass(frozen=True, slots=True)
class Run:
    """A run folder that can be read, complete or not. `merged`: its two tables are there and up to date."""

    path: Path
    document: RunDocument
    merged: bool

    @property
    def view(self) -> View:
        """The view of all its images."""
        return self.document.view

    def table(self, columns: Columns = COLUMNS) -> RunTable:
        """The evaluated images and those that failed; with some columns alone, in less time and memory.

        Raises:
            RunFolderError: a table is missing or damaged, or does not fit the other.
        """
        wanted = [column for column in columns if column.compute is None]
        of_images = [RunTable.image, *(c for c in wanted if not c.of_keypoints and c is not RunTable.image)]
        of_keypoints = [column for column in wanted if column.of_keypoints]
        images, failures = read_images(self._image_rows(of_images), of_images)
        names, keypoints = self._keypoints(of_keypoints)
        if names != images[RunTable.image.name]:
            raise RunFolderError(f"{self.path}: its tables list different images; damaged, evaluate again")
        conditions = RunSettings(self.document.settings).conditions(
            self.view.skeleton, ensemble=bool(self.document.checkpoint.members)
        )
        return RunTable(self.view.skeleton, images | keypoints, conditions=conditions, failures=failures)

    def _image_rows(self, columns: Columns) -> pa.Table:
        shas = (RunTable.image_sha256, RunTable.annotation_sha256)
        schema = images_schema(self.view, [*columns, *(sha for sha in shas if sha not in columns)])
        tables = iter_tables(self.path / IMAGES, schema) if self.merged else self._parts.images()
        return pa.concat_tables([schema.empty_table(), *(table.select(schema.names) for table in tables)])

    def _keypoints(self, columns: Columns) -> tuple[tuple[str, ...], dict[str, Values]]:
        skeleton, parts = self.view.skeleton, self._parts
        if self.merged:
            path = self.path / KEYPOINTS
            tables = iter_tables(path, keypoints_schema(self.view, columns))
            return read_keypoints(tables, row_count(path) or 0, columns, skeleton, path)
        rows = sum(row_count(parts.keypoints_path(part)) or 0 for part in parts.ranges())
        return read_keypoints(parts.keypoints(), rows, columns, skeleton, parts.root / "keypoints")

    def images(self) -> ImageColumns:
        """All images, failed ones included.

        Raises:
            RunFolderError: the table is missing or damaged.
        """
        schema = images_schema(self.view)
        tables = iter_tables(self.path / IMAGES, schema) if self.merged else self._parts.images()
        return _image_columns(pa.concat_tables([schema.empty_table(), *tables]))

    def keypoints(self) -> KeypointColumns:
        """All keypoints of the evaluated images.

        Raises:
            RunFolderError: the table is missing or damaged.
        """
        schema = keypoints_schema(self.view)
        if self.merged:
            path = self.path / KEYPOINTS
            return _keypoint_columns(iter_tables(path, schema), row_count(path) or 0, self.view, path)
        parts = self._parts
        rows = sum(row_count(parts.keypoints_path(part)) or 0 for part in parts.ranges())
        return _keypoint_columns(parts.keypoints(), rows, self.view, parts.root / "keypoints")

    @property
    def sealed(self) -> bool:
        """Whether its files are known to be as the run wrote them; runs of earlier versions cannot tell."""
        return self.document.checksums is not None

    @property
    def _parts(self) -> Parts:
        return Parts(self.path / PARTS, self.view)


def open_run(path: Path | None, cwd: Path) -> Run:
    """The run in folder `path` (relative to `cwd`), or the newest finished one (None, `latest`).

    An interrupted run, also one whose process was killed, is read as far as it got.

    Raises:
        RunFolderError: no run yet, the folder is gone or is none, its `run.json` cannot be read, or a file of
            it is not as the run wrote it.
    """
    folder = latest_run(cwd) if path is None or is_latest(path, cwd) else cwd / path
    document = read_document(folder)
    require_unchanged(folder, document)
    return Run(folder, document, merged=document.status == "complete")


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
        text = (folder / DOCUMENT).read_bytes()
    except FileNotFoundError as error:
        raise RunFolderError(f"{folder}: not a run folder, it has no {DOCUMENT}; check the name") from error
    except OSError as error:
        raise RunFolderError(f"{folder / DOCUMENT}: cannot be read ({error.strerror or error})") from error
    return parse_document(text, str(folder / DOCUMENT))


def _image_columns(table: pa.Table) -> ImageColumns:
    def numbers(name: str) -> Floats:
        return np.asarray(table.column(name).to_numpy(), dtype=np.float64)

    def texts(name: str) -> tuple[str | None, ...]:
        return tuple(table.column(name).to_pylist())

    return ImageColumns(
        image=tuple(str(name) for name in texts("image")),
        ok=np.array([status == OK for status in texts("status")], dtype=np.bool_),
        reason=texts("reason"),
        width=numbers("width"),
        height=numbers("height"),
        pixel_spacing_mm=numbers("pixel_spacing_mm"),
        sex=texts("sex"),
        age_years=numbers("age_years"),
        loss_total=numbers("loss_total"),
        loss_heatmap=numbers("loss_heatmap"),
        loss_coord=numbers("loss_coord"),
        loss_anatomical=numbers("loss_anatomical"),
        loss_order=numbers("loss_order"),
        loss_parallel=numbers("loss_parallel"),
        loss_ratio=numbers("loss_ratio"),
        loss_uncertainty=numbers("loss_uncertainty"),
        loss_heatmap_keypoint_share=numbers("loss_heatmap_keypoint_share"),
        radial_error_px=numbers("radial_error_px"),
        max_error_px=numbers("max_error_px"),
        violations=tuple(tuple(codes or ()) for codes in table.column("violations").to_pylist()),
        image_sha256=texts("image_sha256"),
        annotation_sha256=texts("annotation_sha256"),
    )


def _keypoint_columns(tables: Iterator[pa.Table], rows: int, view: View, path: Path) -> KeypointColumns:
    k = view.keypoints
    require_rows(rows, k, path)
    blocks = Blocks(rows)
    columns = KeypointColumns(
        view=view,
        image=(),
        gt_px=blocks.floats("gt_x", "gt_y").reshape(-1, k, 2),
        pred_px=blocks.floats("pred_x", "pred_y").reshape(-1, k, 2),
        error_px=blocks.floats("error_px").reshape(-1, k),
        error_mm=blocks.floats("error_mm").reshape(-1, k),
        sigma_px=blocks.floats("sigma_x", "sigma_y").reshape(-1, k, 2),
        sigma_aleatoric_px=blocks.floats("sigma_aleatoric_x", "sigma_aleatoric_y").reshape(-1, k, 2),
        sigma_epistemic_px=blocks.floats("sigma_epistemic_x", "sigma_epistemic_y").reshape(-1, k, 2),
        spread_px2=blocks.floats("spread_xx", "spread_xy", "spread_yy").reshape(-1, k, 3),
        peak=blocks.floats("peak").reshape(-1, k),
        flags=blocks.integers("flags").reshape(-1, k),
        at_min=blocks.bools("at_min_x", "at_min_y").reshape(-1, k, 2),
        at_max=blocks.bools("at_max_x", "at_max_y").reshape(-1, k, 2),
        peaks=PeakPlaces(
            second_share=blocks.floats("second_peak").reshape(-1, k),
            second=blocks.floats("second_x", "second_y").reshape(-1, k, 2),
            argmax=blocks.floats("argmax_x", "argmax_y").reshape(-1, k, 2),
            local=blocks.floats("local_x", "local_y").reshape(-1, k, 2),
        ),
    )
    return replace(columns, image=fill_by_image(blocks, tables, k, path))
