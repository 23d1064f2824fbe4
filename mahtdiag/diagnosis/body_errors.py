"""Sizes of predicted vertebrae against labelled ones, computed once for tables, sentences and gates."""

from collections.abc import Iterator

import numpy as np

from mahtdiag.anatomy.bodies import BodyErrors, fit_body_pairs
from mahtdiag.anatomy.pairs import Block, PointPairs
from mahtdiag.anatomy.whole_vertebrae import whole_vertebrae
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.schema.choices import HeatmapFlag


def bodies_of(table: RunTable) -> BodyErrors | None:
    """What is said of body scales, None of too few; computed by `RunTable.once`."""
    return fit_body_pairs(pairs_of(table, in_cells=False), table.units)


def pairs_of(table: RunTable, *, in_cells: bool) -> PointPairs:
    """Predictions, NaN where a heatmap has no peak, and labels: original pixels, or heatmap cells.

    Every vertebra begins at four times its number, whatever the first one has (see `whole_vertebrae`).
    """

    def blocks() -> Iterator[Block]:
        for part in table.parts():
            flat = (part.flags.astype(np.int64) & int(HeatmapFlag.FLAT)) != 0
            pred_px = np.where(flat[..., None], np.nan, part.pred_px)
            both = (part.in_cells(pred_px), part.in_cells(part.gt_px)) if in_cells else (pred_px, part.gt_px)
            if both[0] is not None and both[1] is not None:
                yield whole_vertebrae(both[0], table.skeleton), whole_vertebrae(both[1], table.skeleton)

    return PointPairs(len(table), blocks)
