"""What comparing two runs needs of their keypoints: a few columns, read without the others."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mahtdiag.runs.blocks import Blocks, fill_by_image, require_rows
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
    require_rows(rows, k, path)
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
    schema = pa.schema([whole.field(name) for name in ("image", "index", *blocks.names)])
    return replace(found, image=fill_by_image(blocks, iter_tables(path, schema), k, path))
