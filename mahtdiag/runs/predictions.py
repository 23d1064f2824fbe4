"""What comparing two runs needs of their keypoints: a few columns, read without the others."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mahtdiag.errors import RunFolderError
from mahtdiag.runs.blocks import Blocks, require_whole_images
from mahtdiag.runs.parts import iter_tables, row_count
from mahtdiag.runs.reading import KEYPOINTS, Run
from mahtdiag.runs.tables import keypoints_schema

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Predictions:
    """Labels, predictions, errors and σ of the N evaluated images of a run, by image name.

    Points and σ `[N, K, 2]`, errors `[N, K]`, spread `[N, K, 3]` (xx, xy, yy) in original pixels; NaN where
    undefined. `spread_px2` is None where it was not asked for.
    """

    image: tuple[str, ...]
    gt_px: Floats
    pred_px: Floats
    error_px: Floats
    sigma_px: Floats
    spread_px2: Floats | None


def read_predictions(run: Run, *, spread: bool = False) -> Predictions:
    """These columns of a finished run.

    Raises:
        RunFolderError: the table is missing or damaged.
    """
    path, k = run.path / KEYPOINTS, run.view.keypoints
    rows = row_count(path) or 0
    if rows % k:
        raise RunFolderError(f"{path}: {rows} rows are not {k} per image; damaged, evaluate again")
    blocks = Blocks(rows)
    found = Predictions(
        image=(),
        gt_px=blocks.floats("gt_x", "gt_y").reshape(-1, k, 2),
        pred_px=blocks.floats("pred_x", "pred_y").reshape(-1, k, 2),
        error_px=blocks.floats("error_px").reshape(-1, k),
        sigma_px=blocks.floats("sigma_x", "sigma_y").reshape(-1, k, 2),
        spread_px2=blocks.floats("spread_xx", "spread_xy", "spread_yy").reshape(-1, k, 3) if spread else None,
    )
    whole = keypoints_schema(run.view)
    names = ["image", "index", *blocks.names]
    images: list[str] = []
    for table in iter_tables(path, pa.schema([whole.field(name) for name in names])):
        require_whole_images(table, k, path)
        blocks.fill(table)
        firsts = np.arange(0, table.num_rows, k)
        images += (str(name) for name in table.column("image").take(firsts).to_pylist())
    return replace(found, image=tuple(images))
