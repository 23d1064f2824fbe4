"""Records to Arrow tables: the columns of `images.parquet` and `keypoints.parquet`.

A missing number is null in the files and NaN in arrays. Rows are ordered by image name.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mahtdiag import __version__
from mahtdiag.anatomy.error_types import whole_image_level_shift
from mahtdiag.runs.document import SCHEMA_VERSION
from mahtdiag.schema.records import ImageRecord, KeypointResults
from mahtdiag.schema.samples import Failure
from mahtdiag.schema.skeleton import View

Columns = tuple[tuple[str, pa.DataType, bool], ...]

OK: Final = "ok"
FAILED: Final = "failed"

# Name, type, may be null.
IMAGE_FIELDS: Final[Columns] = (
    ("image", pa.string(), False),
    ("status", pa.string(), False),
    ("reason", pa.string(), True),
    ("width", pa.int32(), True),
    ("height", pa.int32(), True),
    ("pixel_spacing_mm", pa.float64(), True),
    ("sex", pa.string(), True),
    ("age_years", pa.int32(), True),
    ("loss_total", pa.float64(), True),
    ("loss_heatmap", pa.float64(), True),
    ("loss_coord", pa.float64(), True),
    ("loss_anatomical", pa.float64(), True),
    ("loss_order", pa.float64(), True),
    ("loss_parallel", pa.float64(), True),
    ("loss_ratio", pa.float64(), True),
    ("loss_uncertainty", pa.float64(), True),
    ("loss_heatmap_keypoint_share", pa.float64(), True),
    ("radial_error_px", pa.float64(), True),
    ("max_error_px", pa.float64(), True),
    ("violations", pa.list_(pa.string()), True),
    ("level_shift", pa.int8(), True),
    ("image_sha256", pa.string(), True),
    ("annotation_sha256", pa.string(), True),
)

KEYPOINT_FIELDS: Final[Columns] = (
    ("image", pa.string(), False),
    ("index", pa.int16(), False),
    ("vertebra", pa.string(), False),
    ("corner", pa.string(), False),
    ("gt_x", pa.float64(), True),
    ("gt_y", pa.float64(), True),
    ("pred_x", pa.float64(), True),
    ("pred_y", pa.float64(), True),
    ("error_px", pa.float64(), True),
    ("error_mm", pa.float64(), True),
    ("sigma_x", pa.float64(), True),
    ("sigma_y", pa.float64(), True),
    ("sigma_aleatoric_x", pa.float64(), True),
    ("sigma_aleatoric_y", pa.float64(), True),
    ("sigma_epistemic_x", pa.float64(), True),
    ("sigma_epistemic_y", pa.float64(), True),
    ("peak", pa.float64(), True),
    ("spread_xx", pa.float64(), True),
    ("spread_xy", pa.float64(), True),
    ("spread_yy", pa.float64(), True),
    ("flags", pa.int32(), False),
    ("at_min_x", pa.bool_(), False),
    ("at_min_y", pa.bool_(), False),
    ("at_max_x", pa.bool_(), False),
    ("at_max_y", pa.bool_(), False),
    ("second_peak", pa.float64(), True),
    ("second_x", pa.float64(), True),
    ("second_y", pa.float64(), True),
    ("argmax_x", pa.float64(), True),
    ("argmax_y", pa.float64(), True),
    ("local_x", pa.float64(), True),
    ("local_y", pa.float64(), True),
)

# Columns that run folders of earlier versions lack; there they are read as null.
LATER_COLUMNS: Final = frozenset(
    f"{name}_{axis}"
    for name in ("sigma_aleatoric", "sigma_epistemic", "second", "argmax", "local")
    for axis in "xy"
) | {"second_peak", "level_shift"}


def _schema(columns: Columns, view: View) -> pa.Schema:
    fields = [pa.field(name, dtype, nullable=nullable) for name, dtype, nullable in columns]
    return pa.schema(
        fields, metadata={"mahtdiag": __version__, "schema": str(SCHEMA_VERSION), "view": view.value}
    )


def images_schema(view: View) -> pa.Schema:
    """Columns of `images.parquet`, with product version, schema version and view as file metadata."""
    return _schema(IMAGE_FIELDS, view)


def keypoints_schema(view: View) -> pa.Schema:
    """Columns of `keypoints.parquet`, with product version, schema version and view as file metadata."""
    return _schema(KEYPOINT_FIELDS, view)


def images_table(records: Sequence[ImageRecord], failures: Sequence[Failure], view: View) -> pa.Table:
    """One row per image, evaluated and failed ones together, in the order of their names."""
    table = pa.concat_tables([_failed_rows(failures, view), _evaluated_rows(records, view)])
    return sorted_by_image(table)


def sorted_by_image(table: pa.Table) -> pa.Table:
    """The rows in the order of the image names (code points); rows of one name keep their order."""
    names = table.column("image").to_pylist()
    return table.take(pa.array(sorted(range(len(names)), key=lambda row: str(names[row])), pa.int64()))


def _evaluated_rows(records: Sequence[ImageRecord], view: View) -> pa.Table:
    losses = [record.losses for record in records]
    columns: dict[str, Iterable[object]] = {
        "image": (r.image for r in records),
        "status": (OK for _ in records),
        "width": (r.width for r in records),
        "height": (r.height for r in records),
        "pixel_spacing_mm": (r.pixel_spacing_mm for r in records),
        "sex": (r.sex for r in records),
        "age_years": (r.age_years for r in records),
        "loss_total": (x.total for x in losses),
        "loss_heatmap": (x.heatmap for x in losses),
        "loss_coord": (x.coord for x in losses),
        "loss_anatomical": (x.anatomical for x in losses),
        "loss_order": (x.order for x in losses),
        "loss_parallel": (x.parallel for x in losses),
        "loss_ratio": (x.ratio for x in losses),
        "loss_uncertainty": (x.uncertainty for x in losses),
        "loss_heatmap_keypoint_share": (x.keypoint_share for x in losses),
        "radial_error_px": (r.radial_error_px for r in records),
        "max_error_px": (r.max_error_px for r in records),
        "violations": (sorted({finding.code for finding in r.findings}) for r in records),
        "level_shift": _level_shifts(records),
        "image_sha256": (r.image_sha256 for r in records),
        "annotation_sha256": (r.annotation_sha256 for r in records),
    }
    return _table(columns, len(records), view)


def _level_shifts(records: Sequence[ImageRecord]) -> list[int]:
    """+1 where a whole image is marked one level too low, −1 too high, 0 otherwise."""
    pairs = [(r.keypoints.pred_px[None], r.keypoints.gt_px[None]) for r in records]
    return [int(whole_image_level_shift(pred_px, label_px)[0]) for pred_px, label_px in pairs]


def _failed_rows(failures: Sequence[Failure], view: View) -> pa.Table:
    columns: dict[str, Iterable[object]] = {
        "image": (f.image for f in failures),
        "status": (FAILED for _ in failures),
        "reason": (f.reason for f in failures),
        "image_sha256": (f.image_sha256 for f in failures),
        "annotation_sha256": (f.annotation_sha256 for f in failures),
    }
    return _table(columns, len(failures), view)


def _table(columns: dict[str, Iterable[object]], rows: int, view: View) -> pa.Table:
    """A table of the images schema; a column that is not given is null."""
    schema = images_schema(view)
    arrays = [
        pa.array(list(columns[field.name]), field.type, from_pandas=True)
        if field.name in columns
        else pa.nulls(rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def keypoints_table(records: Sequence[ImageRecord], view: View) -> pa.Table:
    """One row per image and keypoint, by image name and keypoint index.

    Raises:
        ValueError: a record whose arrays do not hold the view's number of keypoints.
    """
    ordered = sorted(records, key=lambda record: record.image)
    count, k = len(ordered), view.keypoints
    unknown = np.full((k, 2), np.nan)
    for record in ordered:
        if record.keypoints.gt_px.shape != (k, 2):
            raise ValueError(f"{record.image}: {record.keypoints.gt_px.shape} points, {view} has {k}")

    def stacked(part: Callable[[KeypointResults], NDArray[np.generic]], width: int) -> NDArray[np.generic]:
        if not ordered:
            return np.empty((0, width))
        return np.concatenate([part(record.keypoints).reshape(k, width) for record in ordered])

    blocks = (
        stacked(lambda x: x.gt_px, 2),
        stacked(lambda x: x.pred_px, 2),
        stacked(lambda x: x.error_px, 1),
        stacked(lambda x: x.error_mm, 1),
        stacked(lambda x: x.sigma_px, 2),
        stacked(lambda x: unknown if x.sigma_aleatoric_px is None else x.sigma_aleatoric_px, 2),
        stacked(lambda x: unknown if x.sigma_epistemic_px is None else x.sigma_epistemic_px, 2),
        stacked(lambda x: x.peak, 1),
        stacked(lambda x: x.spread_px2, 3),
        stacked(lambda x: x.flags, 1),
        stacked(lambda x: x.at_min, 2),
        stacked(lambda x: x.at_max, 2),
        stacked(lambda x: unknown[:, 0] if x.peaks is None else x.peaks.second_share, 1),
        stacked(lambda x: unknown if x.peaks is None else x.peaks.second, 2),
        stacked(lambda x: unknown if x.peaks is None else x.peaks.argmax, 2),
        stacked(lambda x: unknown if x.peaks is None else x.peaks.local, 2),
    )
    names: list[NDArray[np.generic] | Sequence[str]] = [
        np.repeat(np.array([record.image for record in ordered], dtype=object), k),
        np.tile(np.arange(k), count),
        view.vertebra_of * count,
        view.corner_of * count,
    ]
    columns = names + [block[:, column] for block in blocks for column in range(block.shape[1])]
    schema = keypoints_schema(view)
    arrays = [
        pa.array(column, field.type, from_pandas=True) for field, column in zip(schema, columns, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)
